"""The named tasks: which data set each is made of, and how its files become judged texts.

Where a set is large, a task takes a sample of it, drawn once and for all: figures compare between models and days.
"""

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from inlay.errors import InputError
from inlay.evaluate import beir
from inlay.evaluate.given import split
from inlay.evaluate.judged import Candidates, Halves, JudgedPairs, Labelled, ScoredPairs
from inlay.evaluate.sentences import Judged
from inlay.text.decode import File, lines
from inlay.text.document import CorpusConfig, Document

_PAIRS, _DEV, _TEXTS, _TRAIN = 1000, 500, 1000, 2000
"""Most of each that a task takes."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task with a name."""

    name: str
    """The name of its data, as tables show it."""
    kind: str
    lang: str
    data_set: str
    """The set of `inlay data` that holds its files."""
    read: Callable[[Path], Judged]
    """The set's folder -> judged texts."""


def _cells(path: Path, width: int) -> Iterator[tuple[str, list[str]]]:
    """(place, cells) of each line of a file without a header whose cells are parted by tabs, that is not blank."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; the data set is not whole, pull it again")
    file = File(path=path, name=path.name, where=str(path), kind=".tsv")
    for number, line in enumerate(lines(file, CorpusConfig()), 1):
        cells = line.rstrip("\r").split("\t")
        if not line.strip():
            continue
        if len(cells) < width:
            raise InputError(f"{path} line {number}: {len(cells)} cells, but {width} are needed; pull the set again")
        yield f"{path} line {number}", cells


def _number(place: str, cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise InputError(f"{place}: {cell!r:.40} must be a number; pull the set again") from None


def _sample(rows: Sequence[Any], most: int) -> list[Any]:
    """At most so many of the rows, drawn without regard to what they hold, in their order."""
    if len(rows) <= most:
        return list(rows)
    chosen = np.sort(np.random.default_rng(0).permutation(len(rows))[:most])
    return [rows[row] for row in chosen.tolist()]


def _stsbenchmark(folder: Path) -> ScoredPairs:
    rows = [(cells[5], cells[6], _number(place, cells[4])) for place, cells in _cells(folder / "sts-test.csv", 7)]
    return _scored(rows)


def _sts_zh(folder: Path) -> ScoredPairs:
    return _scored([(a, b, _number(place, c)) for place, (a, b, c, *_) in _cells(folder / "sts-b-test.txt", 3)])


def _scored(rows: Sequence[tuple[str, str, float]]) -> ScoredPairs:
    first, second, scores = zip(*rows, strict=True)
    return ScoredPairs(first=first, second=second, scores=np.array(scores))


def _afqmc(folder: Path) -> JudgedPairs:
    """The test part has no labels: dev is judged, by a threshold of a part of train."""
    return _judged(folder / "dev.txt", folder / "train.txt", {"1": True, "0": False})


def _nli_zh(folder: Path) -> JudgedPairs:
    """What follows from a sentence is alike, what contradicts it is not; what is neither is left out."""
    known = {"entailment": True, "contradiction": False}
    return _judged(folder / "cnsd-snli-test.txt", folder / "cnsd-snli-dev.txt", known)


def _judged(test: Path, dev: Path, labels: dict[str, bool]) -> JudgedPairs:
    def pairs(path: Path, most: int, dev: JudgedPairs | None) -> JudgedPairs:
        rows = [(a, b, labels[label.strip()]) for _, (a, b, label, *_) in _cells(path, 3) if label.strip() in labels]
        first, second, alike = zip(*_sample(rows, most), strict=True)
        return JudgedPairs(first=first, second=second, alike=np.array(alike, bool), dev=dev)

    return pairs(test, _PAIRS, pairs(dev, _DEV, None))


def _titles(folder: Path) -> Labelled:
    rows = [(cells[0], cells[1].strip()) for _, cells in _cells(folder / "test.txt", 2)]
    return _labelled(_sample(rows, _TEXTS))


def _csl(folder: Path) -> Labelled:
    rows = [(cells[1], cells[2].strip()) for _, cells in _cells(folder / "cls_ctg" / "test.tsv", 3)]
    return _labelled(_sample(rows, _TEXTS))


def _labelled(rows: Sequence[tuple[str, str]]) -> Labelled:
    texts, labels = zip(*rows, strict=True)
    return Labelled(texts=texts, labels=labels)


def _trec(folder: Path) -> Halves:
    """Questions by the six coarse types of what they ask for."""
    with zipfile.ZipFile(folder / "qc.zip") as packed:
        parts = []
        for name, most in (("train", _TRAIN), ("test", _TEXTS)):
            rows = []
            for line in packed.read(f"qc/{name}.txt").decode("latin-1").splitlines():
                kind, _, question = line.partition(" ")
                rows.append((question, kind.partition(":")[0]))
            parts.append(_labelled(_sample(rows, most)))
    return Halves(train=parts[0], test=parts[1])


def _sst2(folder: Path) -> Halves:
    parts = [
        _labelled(_sample([(a, label) for _, (a, label, *_) in _cells(folder / f"{name}.tsv", 2)], most))
        for name, most in (("train", _TRAIN), ("test", _TEXTS))
    ]
    return Halves(train=parts[0], test=parts[1])


def _waimai(folder: Path) -> Halves:
    """The set has no parts of its own: a third of a sample is judged by what the others teach."""
    path = folder / "waimai_10k.csv"
    text = "\n".join(lines(File(path=path, name=path.name, where=str(path), kind=".csv"), CorpusConfig()))
    rows = [(row["review"], row["label"]) for row in csv.DictReader(io.StringIO(text))]
    return split(_labelled(_sample(rows, _TRAIN + _TEXTS)), share=_TEXTS / (_TRAIN + _TEXTS))


@dataclass(frozen=True, kw_only=True)
class _Xquad:
    """Questions about paragraphs of articles: paragraph id -> (article, text), and (question, paragraph id)."""

    paragraphs: dict[str, tuple[str, str]]
    questions: list[tuple[str, str]]

    @classmethod
    def read(cls, folder: Path, lang: str) -> "_Xquad":
        tree = json.loads((folder / f"xquad.{lang}.json").read_text("utf-8"))
        paragraphs, questions = {}, []
        for number, article in enumerate(tree["data"]):
            for place, paragraph in enumerate(article["paragraphs"]):
                id = f"{number}.{place}"
                paragraphs[id] = (article.get("title") or str(number), paragraph["context"])
                questions += [(asked["question"], id) for asked in paragraph["qas"]]
        return cls(paragraphs=paragraphs, questions=questions)


def _xquad_clusters(folder: Path, lang: str) -> Labelled:
    """Questions by the article that they are about."""
    found = _Xquad.read(folder, lang)
    return _labelled([(question, found.paragraphs[id][0]) for question, id in found.questions])


def _xquad_retrieval(folder: Path, lang: str) -> beir.Beir:
    """A question's one relevant document is the paragraph that it was asked about."""
    found = _Xquad.read(folder, lang)
    return beir.Beir(
        corpus=[Document(id=id, text=text) for id, (_, text) in found.paragraphs.items()],
        queries={str(at): question for at, (question, _) in enumerate(found.questions)},
        qrels={str(at): {id: 1} for at, (_, id) in enumerate(found.questions)},
    )


def _xquad_rerank(folder: Path, lang: str) -> Candidates:
    """A question's candidates are the paragraphs of its article."""
    found = _Xquad.read(folder, lang)
    beside: dict[str, list[str]] = {}
    for id, (title, _) in found.paragraphs.items():
        beside.setdefault(title, []).append(id)
    lists = [beside[found.paragraphs[id][0]] for _, id in found.questions]
    return Candidates(
        queries=[question for question, _ in found.questions],
        texts=[[found.paragraphs[one][1] for one in ids] for ids in lists],
        relevant=[[one == id for one in ids] for (_, id), ids in zip(found.questions, lists, strict=True)],
    )


def _beir(folder: Path) -> beir.Beir:
    return beir.read(folder)


def _read_of(reader: Callable[[Path, str], Judged], lang: str, folder: Path) -> Judged:
    return reader(folder, lang)


def _tasks() -> Iterator[Task]:
    for name, kind, lang, read in (
        ("stsbenchmark", "sts", "en", _stsbenchmark),
        ("trec-question-types", "probe", "en", _trec),
        ("sst2-sentences", "probe", "en", _sst2),
        ("medline", "retrieval", "en", _beir),
        ("sts-zh", "sts", "zh", _sts_zh),
        ("afqmc", "pairs", "zh", _afqmc),
        ("nli-zh-dev-test", "pairs", "zh", _nli_zh),
        ("thucnews-titles-dev-test", "clusters", "zh", _titles),
        ("csl", "clusters", "zh", _csl),
        ("waimai-10k", "probe", "zh", _waimai),
    ):
        yield Task(name=name, kind=kind, lang=lang, data_set=name, read=read)
    readers: dict[str, Callable[[Path, str], Judged]] = {
        "clusters": _xquad_clusters,
        "retrieval": _xquad_retrieval,
        "rerank": _xquad_rerank,
    }
    for lang in ("en", "zh"):
        for kind, reader in readers.items():
            name = f"xquad-{lang}"
            yield Task(name=name, kind=kind, lang=lang, data_set="xquad", read=partial(_read_of, reader, lang))


_ORDER = ("sts", "pairs", "clusters", "probe", "rerank", "retrieval")
TASKS: tuple[Task, ...] = tuple(sorted(_tasks(), key=lambda task: (task.lang, _ORDER.index(task.kind))))
"""English first; by kind."""
NAMES = tuple(dict.fromkeys(task.name for task in TASKS))
