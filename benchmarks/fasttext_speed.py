"""fastText's word vectors side by side with fastText itself and with gensim's FastText: speed, memory, quality.

    INLAY_DATA=... python benchmarks/fasttext_speed.py [--quick] [--only skip-gram chinese ...]

fastText is its C++ library, called from Python. All tools read the same file of words and have the same settings, those
that fastText has by default; fastText has no seed. Times are CPU seconds from the file to the vectors of the words,
because fastText does not part reading from training. Peak memory is measured before the vectors are looked at.

With fewer than ten threads, fastText 0.9.2 sets only as many tenths of its table to random numbers, and the rest begins
at zero. So that its quality is not judged by that alone, "twelve" trains it with twelve threads.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from side_by_side import DATA, Comparison, Job, Row, chinese, clock, english, main, peak_mb

SETTINGS: dict[str, Any] = {"window": 5, "sample": 1e-4, "alpha": 0.05, "min_alpha": 0.0, "min_count": 5}
NOISE, EXPONENT, BUCKETS = 5, 0.5, 2_000_000
TOOLS = ("inlay", "fasttext", "gensim")
LENGTHS = {"english": (3, 6), "chinese": (1, 3)}
PARTS = {
    "skip-gram": "English, D=100, noise, 1 thread; ours with three seeds",
    "chinese": "the same in Chinese, with n-grams of 1 to 3 characters",
    "twelve": "the same two, fastText with twelve threads",
    "cbow": "English, CBOW, D=100, noise, 1 thread",
    "tree": "English, skip-gram, D=100, hierarchical softmax, 1 thread",
    "wide": "English, skip-gram, D=300, noise, 1 epoch, 1 thread",
    "threads": "English, skip-gram, D=100, noise, 1 and 2 threads, ours alone",
}
FILES = {
    "google-analogies": DATA / "google-analogies" / "questions-words.txt",
    "WS-353": DATA / "wordsim-en" / "EN-WS-353-ALL.txt",
    "SimLex-999": DATA / "wordsim-en" / "EN-SIMLEX-999.txt",
    "CA8 morphological": DATA / "chinese-analogies-ca8" / "CA8" / "morphological.txt",
    "CA8 semantic": DATA / "chinese-analogies-ca8" / "CA8" / "semantic.txt",
    "wordsim-240": DATA / "wordsim-zh" / "wordsim-240.txt",
}
ANALOGIES = {"english": ["google-analogies"], "chinese": ["CA8 morphological", "CA8 semantic"]}
SIMILARITIES = {"english": ["WS-353", "SimLex-999"], "chinese": ["wordsim-240"]}

Trained = tuple[Job, list[str], np.ndarray, Callable[[str], np.ndarray]]
"""Times and memory, the words, their vectors (V, D), and the vector of any word from its n-grams alone."""


def run(tool: str, text: str, language: str, judged: bool = False, **job: Any) -> Job:
    """Train with one tool; what it took, and, if asked for, how good the vectors are."""
    train = {"inlay": _ours, "fasttext": _fasttext, "gensim": _gensim}[tool]
    took, words, matrix, from_ngrams = train(text, *LENGTHS[language], **job)
    return {**took, "vocabulary": len(words), **(quality(words, matrix, from_ngrams, language) if judged else {})}


def _ours(
    text: str, min_n: int, max_n: int, dim: int, epochs: int, threads: int = 1, seed: int = 0, model: str = "skip-gram"
) -> Trained:
    from inlay.vectors.fasttext import FastText, train
    from inlay.vectors.vocabulary import LineFiles
    from inlay.vectors.word2vec import Cbow, Hierarchical, Negative, SkipGram

    config = FastText(
        dim=dim, epochs=epochs, threads=threads, seed=seed, min_n=min_n, max_n=max_n, buckets=BUCKETS,
        model=Cbow() if model == "cbow" else SkipGram(),
        output=Hierarchical() if model == "tree" else Negative(words=NOISE, exponent=EXPONENT),
        **SETTINGS,
    )  # fmt: skip
    small = FastText(dim=8, epochs=1, min_count=1, output=Hierarchical() if model == "tree" else Negative(words=1))
    train([["load", "the", "compiled", "code"]], small)
    with clock() as took:
        vectors = train(LineFiles(text), config)
    subwords = vectors.subwords
    assert subwords is not None

    def from_ngrams(word: str) -> np.ndarray:
        return subwords.vector(word) if len(subwords.rows(word)) else np.zeros(dim, np.float32)

    return {**took, "peak_mb": peak_mb()}, list(vectors.words), vectors.matrix, from_ngrams


def _fasttext(
    text: str, min_n: int, max_n: int, dim: int, epochs: int, threads: int = 1, seed: int = 0, model: str = "skip-gram"
) -> Trained:
    import fasttext

    with clock() as took:
        trained = fasttext.train_unsupervised(
            text, model="cbow" if model == "cbow" else "skipgram", loss="hs" if model == "tree" else "ns",
            dim=dim, epoch=epochs, thread=threads, minn=min_n, maxn=max_n, bucket=BUCKETS, neg=NOISE,
            ws=SETTINGS["window"], t=SETTINGS["sample"], lr=SETTINGS["alpha"], minCount=SETTINGS["min_count"],
            verbose=0,
        )  # fmt: skip
    took["peak_mb"] = peak_mb()
    words, inputs = trained.words, trained.get_input_matrix()

    def from_ngrams(word: str) -> np.ndarray:
        rows = [row for row in trained.get_subwords(word)[1] if row >= len(words)]
        return inputs[rows].mean(axis=0) if rows else np.zeros(dim, np.float32)

    return took, words, np.array([trained.get_word_vector(word) for word in words]), from_ngrams


def _gensim(
    text: str, min_n: int, max_n: int, dim: int, epochs: int, threads: int = 1, seed: int = 0, model: str = "skip-gram"
) -> Trained:
    from gensim.models import fasttext

    settings = {**SETTINGS, "vector_size": dim, "epochs": epochs, "workers": threads, "seed": seed + 1}
    with clock() as took:
        trained = fasttext.FastText(
            sg=model != "cbow", hs=model == "tree", negative=0 if model == "tree" else NOISE, ns_exponent=EXPONENT,
            min_n=min_n, max_n=max_n, bucket=BUCKETS, **settings,
        )  # fmt: skip
        trained.build_vocab(corpus_file=text)
        counts = {"total_examples": trained.corpus_count, "total_words": trained.corpus_total_words}
        trained.train(corpus_file=text, epochs=epochs, **counts)
    found = trained.wv

    def from_ngrams(word: str) -> np.ndarray:
        rows = fasttext.ft_ngram_hashes(word, min_n, max_n, BUCKETS)
        return found.vectors_ngrams[rows].mean(axis=0) if len(rows) else np.zeros(dim, np.float32)

    return {**took, "peak_mb": peak_mb()}, found.index_to_key, found.vectors, from_ngrams


def quality(
    words: list[str], matrix: np.ndarray, from_ngrams: Callable[[str], np.ndarray], language: str
) -> dict[str, float]:
    """Analogies answered and rank correlations with people, in per cent; the latter from n-grams alone, too."""
    from inlay.evaluate.words import analogies, similarities
    from inlay.vectors.wordvectors import WordVectors

    vectors, found = WordVectors(words, np.ascontiguousarray(matrix, np.float32)), {}
    for name in ANALOGIES[language]:
        answers = analogies(vectors, FILES[name]).total
        found |= {name: answers.accuracy, f"{name} coverage": answers.coverage}
    for name in SIMILARITIES[language]:
        asked = sorted({word for line in _lines(FILES[name]) for word in line.lower().split()[:2]})
        alone = WordVectors(asked, np.array([from_ngrams(word) for word in asked], np.float32))
        judged = similarities(vectors, FILES[name])
        found |= {name: judged.spearman, f"{name} coverage": judged.coverage}
        found[f"{name} from n-grams"] = similarities(alone, FILES[name]).spearman
    return {name: round(100 * share, 2) for name, share in found.items()}


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8-sig").splitlines() if re.search(r"\d", line)]


def plan(quick: bool) -> Iterator[tuple[str, Job]]:
    epochs = 1 if quick else 3
    base: Job = {"what": "run", "text": "english", "language": "english", "dim": 100, "epochs": epochs, "judged": True}
    texts: dict[str, Job] = {"skip-gram": base, "chinese": {**base, "text": "chinese", "language": "chinese"}}
    for part, job in texts.items():
        for tool in TOOLS:
            for seed in range(3 if tool == "inlay" and not quick else 1):
                yield part, {**job, "tool": tool, "seed": seed}
    for job in texts.values():
        yield "twelve", {**job, "tool": "fasttext", "threads": 12}
    yield "cbow", {**base, "model": "cbow"}
    yield "tree", {**base, "model": "tree"}
    yield "wide", {**base, "dim": 300, "epochs": 1, "judged": False}
    for seed in range(1 if quick else 3):
        for threads in (1, 2):
            yield "threads", {**base, "judged": False, "seed": seed, "threads": threads, "tool": "inlay"}


def rows() -> Iterator[Row]:
    for part in ("skip-gram", "chinese", "cbow", "tree", "wide"):
        yield Row(name=f"{part}, CPU s", part=part, key="cpu_s")
        yield Row(name=f"{part}, peak memory, MB", part=part, key="peak_mb")
    for part, language in (("skip-gram", "english"), ("chinese", "chinese"), ("cbow", "english"), ("tree", "english")):
        for name in _qualities(language):
            yield Row(name=f"{part}, {name}, %", part=part, key=name, cost=False)
    for language in LENGTHS:
        for name in _qualities(language):
            where = {"language": language}
            yield Row(name=f"twelve threads, {name}, %", part="twelve", key=name, where=where, cost=False)
    for threads in (1, 2):
        name = f"{threads} thread{'s' * (threads > 1)}, wall s"
        yield Row(name=name, part="threads", key="wall_s", where={"threads": threads})


def _qualities(language: str) -> list[str]:
    judged = [[name, f"{name} from n-grams"] for name in SIMILARITIES[language]]
    return [*ANALOGIES[language], *(name for pair in judged for name in pair)]


if __name__ == "__main__":
    main(
        Comparison(
            script=__file__,
            tools=TOOLS,
            parts=PARTS,
            jobs={"run": run},
            plan=plan,
            rows=list(rows()),
            texts={
                "english": lambda path, quick: english(path, 10_000 if quick else 70_000),
                "chinese": lambda path, quick: chinese(path, 20_000 if quick else 200_000),
            },
            warm_up=[
                {"what": "run", "tool": "inlay", "text": "english", "language": "english", "dim": dim, "epochs": 1}
                for dim in (100, 300)
            ],
            settings={**SETTINGS, "noise": NOISE, "exponent": EXPONENT, "buckets": BUCKETS, "ngrams": LENGTHS},
            packages=("numpy", "numba", "llvmlite", "gensim", "fasttext-numpy2-wheel"),
        ),
        __doc__,
    )
