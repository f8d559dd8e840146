"""word2vec side by side with gensim, in one run: speed, quality and memory, on the same text with the same settings.

    INLAY_DATA=... python benchmarks/word2vec_vs_gensim.py [--quick] [--only speed wide ...]

gensim reads its fastest input (`corpus_file`) and runs its compiled loops. What each loads to begin with (gensim's
modules, inlay's compiled code) is not counted in the times, but in the memory. Parts that only inlay knows are held
against gensim's `speed` and `wide`.
"""

import io
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from side_by_side import DATA, Comparison, Job, Row, chinese, clock, english, main, peak_mb

SETTINGS: dict[str, Any] = {"window": 5, "sample": 1e-3, "alpha": 0.025, "min_alpha": 1e-4, "min_count": 5}
NEGATIVE = 5
PARTS = {
    "speed": "skip-gram, D=100, the whole text, 3 epochs",
    "wide": "skip-gram, D=300, a part, 1 epoch",
    "cbow": "CBOW, D=100, the whole text, 3 epochs",
    "cbow-wide": "CBOW, D=300, a part, 1 epoch",
    "hs": "skip-gram with hierarchical softmax, D=100, the whole text, 1 epoch",
    "hs-wide": "skip-gram with hierarchical softmax, D=300, a part, 1 epoch",
    "cbow-hs": "CBOW with hierarchical softmax, D=100, a part, 3 epochs",
    "pair": "skip-gram, noise for each pair, D=100, the whole text, 3 epochs; inlay alone",
    "three": "skip-gram, three weighted noise words, D=100, the whole text, 3 epochs; inlay alone",
    "three-wide": "skip-gram, three weighted noise words, D=300, a part, 1 epoch; inlay alone",
    "zh": "skip-gram, D=100, Chinese, 3 epochs",
    "zh-cbow": "CBOW, D=100, Chinese, 3 epochs",
    "zh-three": "skip-gram, three weighted noise words, D=100, Chinese, 3 epochs; inlay alone",
    "threads": "skip-gram, D=100, a part, 10 epochs, 1 and 2 threads; inlay alone",
    "two": "skip-gram, D=100, the whole text, 3 epochs, 2 threads",
    "memory": "skip-gram, D=100, the whole text, 1 epoch",
    "read": "count and encode the whole text",
    "load": "load 100,000 x 300 vectors from text",
}
OURS_ALONE = {"pair": "speed", "three": "speed", "three-wide": "wide", "zh-three": "zh"}
"""The part of which gensim's runs are what these are held against."""
EN, ZH = ("analogies", "semantic", "syntactic", "ws353", "simlex"), ("morphological", "semantic", "wordsim240")


def plan(quick: bool) -> Iterator[tuple[str, Job]]:
    """The jobs of every part."""
    seeds = range(1) if quick else range(3)
    whole: Job = {"what": "train", "text": "english", "dim": 100, "epochs": 3, "threads": 1, "kind": "skip-gram"}
    part: Job = {**whole, "text": "part", "dim": 300, "epochs": 1}
    zh: Job = {**whole, "text": "chinese"}
    kinds: dict[str, Job] = {
        "speed": whole,
        "wide": part,
        "cbow": {**whole, "kind": "cbow"},
        "cbow-wide": {**part, "kind": "cbow"},
        "hs": {**whole, "kind": "skip-gram hs", "epochs": 1},
        "hs-wide": {**part, "kind": "skip-gram hs"},
        "cbow-hs": {**whole, "text": "part", "kind": "cbow hs"},
        "pair": {**whole, "kind": "skip-gram per pair", "tool": "inlay"},
        "three": {**whole, "kind": "skip-gram of three", "tool": "inlay"},
        "three-wide": {**part, "kind": "skip-gram of three", "tool": "inlay"},
        "zh": zh,
        "zh-cbow": {**zh, "kind": "cbow"},
        "zh-three": {**zh, "kind": "skip-gram of three", "tool": "inlay"},
        "two": {**whole, "threads": 2},
    }
    for name, job in kinds.items():
        for seed in seeds:
            yield name, {**job, "seed": seed}
    for seed in seeds:
        for threads in (1, 2):
            job: Job = {**part, "tool": "inlay", "dim": 100, "epochs": 2 if quick else 10}
            yield "threads", {**job, "threads": threads, "seed": seed}
    yield "memory", {**whole, "epochs": 1, "seed": 0}
    for _ in seeds:
        yield "read", {"what": "read", "text": "english"}
        yield "load", {"what": "load", "rows": 10_000 if quick else 100_000, "dim": 300}


def train(tool: str, text: str, dim: int, epochs: int, seed: int, threads: int, kind: str) -> dict[str, Any]:
    """Train with one tool; CPU and wall seconds of training without reading, peak memory of all, and quality."""
    words, matrix, took = (train_inlay if tool == "inlay" else train_gensim)(text, dim, epochs, seed, threads, kind)
    peak = peak_mb()
    measured = (chinese_quality if Path(text).stem == "chinese" else english_quality)(words, matrix)
    times = {"train_cpu_s": took["cpu_s"], "train_wall_s": took["wall_s"]}
    return {**times, "peak_mb": peak, "vocabulary": len(words), **measured}


def train_inlay(text: str, dim: int, epochs: int, seed: int, threads: int, kind: str) -> tuple:
    from dataclasses import replace

    from inlay.vectors.vocabulary import LineFiles, read
    from inlay.vectors.word2vec import Cbow, Hierarchical, Negative, PerCentre, PerPair, SkipGram, Word2Vec, train

    noise = {"skip-gram per pair": PerPair(), "skip-gram of three": PerCentre(drawn=3)}.get(kind, PerCentre())
    config = Word2Vec(
        **SETTINGS,
        model=Cbow() if "cbow" in kind else SkipGram(),
        output=Hierarchical() if "hs" in kind else Negative(words=NEGATIVE, sampling=noise),
        dim=dim,
        epochs=epochs,
        seed=seed,
        threads=threads,
    )
    few = replace(config, dim=8, epochs=1, min_count=1, threads=1)
    train([["load", "the", "compiled", "code", "of", "this"]], few)
    corpus = read(LineFiles(text), min_count=config.min_count)
    with clock() as took:
        vectors = train(corpus, config)
    return list(vectors.words), vectors.matrix, took


def train_gensim(text: str, dim: int, epochs: int, seed: int, threads: int, kind: str) -> tuple:
    from gensim.models import word2vec

    assert word2vec.FAST_VERSION > -1, "gensim runs without its compiled loops"
    tree = "hs" in kind
    model = word2vec.Word2Vec(
        vector_size=dim,
        sg=int("cbow" not in kind),
        hs=int(tree),
        negative=0 if tree else NEGATIVE,
        seed=seed + 1,
        workers=threads,
        epochs=epochs,
        **SETTINGS,
    )
    model.build_vocab(corpus_file=text)
    with clock() as took:
        model.train(
            corpus_file=text, total_examples=model.corpus_count, total_words=model.corpus_total_words, epochs=epochs
        )
    return model.wv.index_to_key, model.wv.vectors, took


def english_quality(words: list[str], matrix: np.ndarray) -> dict[str, float]:
    """Analogies answered and rank correlations with people, in per cent; one judge for both tools."""
    from inlay.evaluate.words import analogies, similarities
    from inlay.vectors.wordvectors import WordVectors

    vectors = WordVectors(words, matrix)
    answers = analogies(vectors, DATA / "google-analogies" / "questions-words.txt")
    parts = {
        "analogies": answers.total,
        "semantic": answers.part(lambda name: not name.startswith("gram")),
        "syntactic": answers.part(lambda name: name.startswith("gram")),
    }
    judged = {
        "ws353": similarities(vectors, DATA / "wordsim-en" / "EN-WS-353-ALL.txt"),
        "simlex": similarities(vectors, DATA / "wordsim-en" / "EN-SIMLEX-999.txt"),
    }
    return {
        **{name: round(100 * answers.accuracy, 2) for name, answers in parts.items()},
        "analogies_known": answers.total.known,
        **{name: round(100 * scores.spearman, 2) for name, scores in judged.items()},
    }


def chinese_quality(words: list[str], matrix: np.ndarray) -> dict[str, float]:
    """The same for Chinese: the two halves of CA8, and wordsim-240."""
    from inlay.evaluate.words import analogies, similarities
    from inlay.vectors.wordvectors import WordVectors

    vectors = WordVectors(words, matrix)
    folder = DATA / "chinese-analogies-ca8" / "CA8"
    halves = {name: analogies(vectors, folder / f"{name}.txt").total for name in ("morphological", "semantic")}
    scores = similarities(vectors, DATA / "wordsim-zh" / "wordsim-240.txt")
    return {
        **{name: round(100 * answers.accuracy, 2) for name, answers in halves.items()},
        **{f"{name}_known": answers.known for name, answers in halves.items()},
        "wordsim240": round(100 * scores.spearman, 2),
        "wordsim240_known": scores.known,
    }


def read(tool: str, text: str) -> dict[str, Any]:
    """CPU seconds to count the words of a text; inlay's time holds their encoding too, gensim's does not."""
    if tool == "inlay":
        from inlay.vectors.vocabulary import LineFiles
        from inlay.vectors.vocabulary import read as count

        count(LineFiles(io.BytesIO(b"load the compiled code")), min_count=1)
        with clock() as took:
            n_words = len(count(LineFiles(text), min_count=SETTINGS["min_count"]).vocabulary)
    else:
        from gensim.models import Word2Vec

        model = Word2Vec(min_count=SETTINGS["min_count"])
        with clock() as took:
            model.build_vocab(corpus_file=text)
        n_words = len(model.wv)
    return {"read_cpu_s": took["cpu_s"], "vocabulary": n_words}


def load(tool: str, rows: int, dim: int) -> dict[str, Any]:
    """CPU seconds to read a text file of random vectors, which gensim wrote."""
    from gensim.models import KeyedVectors

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.txt"
        vectors = KeyedVectors(dim)
        matrix = np.random.default_rng(0).standard_normal((rows, dim)).astype(np.float32)
        vectors.add_vectors([f"word{number}" for number in range(rows)], matrix)
        vectors.save_word2vec_format(str(path))
        if tool == "inlay":
            from inlay.vectors.formats import load as load_vectors

            small = Path(folder) / "small.txt"
            small.write_bytes(b"1 1\nword 1\n")  # loads the compiled code
            load_vectors(small)
            begin = time.process_time()
            read_matrix = load_vectors(path).matrix
        else:
            begin = time.process_time()
            read_matrix = KeyedVectors.load_word2vec_format(str(path)).vectors
        seconds = time.process_time() - begin
    return {"load_cpu_s": seconds, "sum": float(read_matrix.sum(dtype=np.float64))}


def rows() -> list[Row]:
    """What the summary shows: costs first, then qualities."""
    costs = {
        "D=100, CPU s": "speed",
        "D=300 on a part, CPU s": "wide",
        "CBOW D=100, CPU s": "cbow",
        "CBOW D=300 on a part, CPU s": "cbow-wide",
        "hierarchical D=100, CPU s": "hs",
        "hierarchical D=300 on a part, CPU s": "hs-wide",
        "CBOW hierarchical on a part, CPU s": "cbow-hs",
        "noise per pair D=100, CPU s": "pair",
        "three noise words D=100, CPU s": "three",
        "three noise words D=300, CPU s": "three-wide",
        "Chinese D=100, CPU s": "zh",
        "Chinese CBOW D=100, CPU s": "zh-cbow",
        "Chinese, three noise words, CPU s": "zh-three",
    }
    found = [Row(name=name, part=part, key="train_cpu_s") for name, part in costs.items()]
    found += [
        Row(name="count and encode, CPU s", part="read", key="read_cpu_s"),
        Row(name="load text vectors, CPU s", part="load", key="load_cpu_s"),
        Row(name="peak memory, MB", part="memory", key="peak_mb"),
    ]
    for unit in ("wall", "cpu"):
        for threads in (1, 2):
            name = f"part, {threads} thread{'s' * (threads > 1)}, {'CPU' if unit == 'cpu' else unit} s"
            found.append(Row(name=name, part="threads", key=f"train_{unit}_s", where={"threads": threads}))
    english_parts = {"speed": "1 thread", "two": "2 threads", "cbow": "CBOW", "hs": "hierarchical"}
    for part, label in {**english_parts, "pair": "per pair", "three": "three"}.items():
        found += [Row(name=f"{key}, {label}, %", part=part, key=key, cost=False) for key in EN]
    for part, label in {"zh": "Chinese", "zh-cbow": "Chinese CBOW", "zh-three": "Chinese, three"}.items():
        found += [Row(name=f"{key}, {label}, %", part=part, key=key, cost=False) for key in ZH]
    return found


def extra(summary: dict[str, Any]) -> dict[str, Any]:
    """What two threads gain, and the parts of inlay alone against gensim's of the same text and size."""
    more: dict[str, Any] = {}
    costs = {row.part: row.name for row in rows() if row.key == "train_cpu_s" and not row.where}
    for part, other in OURS_ALONE.items():
        ours, theirs = summary.get(costs[part], {}), summary.get(costs[other], {})
        if "median_inlay" in ours and "median_gensim" in theirs:
            more[costs[part]] = {**ours, "ratio": theirs["median_gensim"] / ours["median_inlay"]}
    for tool in ("inlay", "gensim"):
        one, two = (summary.get(f"part, {n}, wall s", {}).get(f"median_{tool}") for n in ("1 thread", "2 threads"))
        if one and two:
            more[f"{tool}: 2 threads against 1"] = {"ratio": one / two}
    return more


COMPARISON = Comparison(
    script=__file__,
    tools=("inlay", "gensim"),
    parts=PARTS,
    jobs={"train": train, "read": read, "load": load},
    plan=plan,
    rows=rows(),
    texts={
        "english": lambda path, quick: english(path, 20_000 if quick else None),
        "part": lambda path, quick: english(path, 10_000 if quick else 70_000),
        "chinese": lambda path, quick: chinese(path, 20_000 if quick else 400_000),
    },
    warm_up=[
        {
            "what": "train",
            "tool": "inlay",
            "text": "part",
            "dim": 100,
            "epochs": 1,
            "seed": 0,
            "threads": 1,
            "kind": kind,
        }
        for kind in ("skip-gram", "cbow", "skip-gram hs", "cbow hs", "skip-gram per pair")
    ],
    settings={**SETTINGS, "negative": NEGATIVE},
    packages=("numpy", "numba", "llvmlite", "scipy", "gensim", "rjieba"),
    extra=extra,
)

if __name__ == "__main__":
    main(COMPARISON, __doc__)
