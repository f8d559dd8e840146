"""Judged texts in files of the user's own: records of .jsonl, .csv, .tsv; every fault has its file and line.

sts       text1, text2, score            clusters  text, label
pairs     text1, text2, label (0 or 1)   probe     text, label
rerank    query, positive, negative      (a text each, or a list of texts)
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from inlay.errors import InputError, did_you_mean
from inlay.evaluate.judged import Candidates, Halves, JudgedPairs, Labelled, ScoredPairs
from inlay.evaluate.sentences import KINDS, Judged
from inlay.text.fields import Record, records

_FIRST = ("text1", "sentence1", "sentence_1", "first", "text_a", "a", "query", "anchor", "text")
_SECOND = ("text2", "sentence2", "sentence_2", "second", "text_b", "b", "other", "positive", "paraphrase")
_SCORE = ("score", "similarity", "similarity_score", "rating", "label")
_ALIKE = ("label", "alike", "is_duplicate", "duplicate", "score")
_TEXT = ("text", "sentence", "content", "review", "question", "query", "title", "body")
_LABEL = ("label", "class", "category", "topic", "intent")
_QUERY = ("query", "question", "anchor", "text")
_GOOD = ("positive", "positives", "pos", "relevant")
_BAD = ("negative", "negatives", "neg", "irrelevant")
_TRUTH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def read(path: str | Path, kind: str, *, train: str | Path | None = None, seed: int = 0) -> Judged:
    """The judged texts of a file, for a task of this kind.

    `train` is the file to learn from: for `probe`, which otherwise draws a fifth of the texts to be judged by, and for
    `pairs`, whose threshold it gives. Raises InputError naming file and line for a missing field, a value of another
    kind and an empty text, and for a file that no figure can be had from.
    """
    if kind not in KINDS:
        raise InputError(f"kind {kind!r} is unknown{did_you_mean(kind, KINDS)}")
    if train is not None and kind not in ("probe", "pairs"):
        raise InputError(f"{kind} learns nothing from {train}; probe and pairs do")
    try:
        return _READERS[kind](Path(path), None if train is None else Path(train), seed)
    except InputError as error:
        # What is wrong with the texts as a whole does not name the file yet.
        where = [str(path), *([] if train is None else [str(train)])]
        raise (error if any(one in str(error) for one in where) else InputError(f"{path}: {error}")) from None


def _scored(path: Path, train: Path | None, seed: int) -> ScoredPairs:
    rows = list(records(path))
    first, second = _sides(rows)
    return ScoredPairs(first=first, second=second, scores=np.array([row.number(*_SCORE) for row in rows], np.float64))


def _judged(path: Path, train: Path | None, seed: int) -> JudgedPairs:
    rows = list(records(path))
    first, second = _sides(rows)
    alike = np.array([_truth(row) for row in rows], bool)
    dev = None if train is None else _judged(train, None, seed)
    return JudgedPairs(first=first, second=second, alike=alike, dev=dev)


def _labelled(path: Path, train: Path | None, seed: int) -> Labelled:
    rows = list(records(path))
    found = Labelled(texts=[row.text(*_TEXT) for row in rows], labels=[row.label(*_LABEL) for row in rows])
    found.need_two_classes()
    return found


def _halves(path: Path, train: Path | None, seed: int) -> Halves:
    if train is None:
        return split(_labelled(path, None, seed), seed)
    rows = list(records(path))
    test = Labelled(texts=[row.text(*_TEXT) for row in rows], labels=[row.label(*_LABEL) for row in rows])
    return Halves(train=_labelled(train, None, seed), test=test)


def split(data: Labelled, seed: int = 0, *, share: float = 0.2) -> Halves:
    """The labelled texts with a share of them, drawn by chance, to be judged by; the others to learn from."""
    order = np.random.default_rng(seed).permutation(len(data.texts))
    cut = max(1, round(share * len(order)))
    if cut >= len(order):
        raise InputError(f"there are {len(order)} texts, too few to learn from some and judge by others")
    test, train = (_chosen(data, np.sort(rows).tolist()) for rows in (order[:cut], order[cut:]))
    return Halves(train=train, test=test)


def _candidates(path: Path, train: Path | None, seed: int) -> Candidates:
    queries, texts, relevant = [], [], []
    for row in records(path):
        good, bad = row.texts(*_GOOD), row.texts(*_BAD)
        if not good or not bad:
            raise InputError(
                f"{row.where}: {len(good)} positive and {len(bad)} negative texts; give one of each or more"
            )
        if both := set(good) & set(bad):
            raise InputError(f"{row.where}: {next(iter(both))!r:.60} is both positive and negative; drop one")
        queries.append(row.text(*_QUERY))
        texts.append([*good, *bad])
        relevant.append([True] * len(good) + [False] * len(bad))
    return Candidates(queries=queries, texts=texts, relevant=relevant)


_READERS: dict[str, Callable[[Path, Path | None, int], Judged]] = {
    "sts": _scored,
    "pairs": _judged,
    "clusters": _labelled,
    "probe": _halves,
    "rerank": _candidates,
}
assert tuple(_READERS) == KINDS


def _sides(rows: Sequence[Record]) -> tuple[list[str], list[str]]:
    return [row.text(*_FIRST) for row in rows], [row.text(*_SECOND) for row in rows]


def _truth(row: Record) -> bool:
    label = row.label(*_ALIKE).lower()
    if label not in _TRUTH:
        raise InputError(f"{row.where}: label {label!r:.40} must be 1 (alike) or 0 (not)")
    return _TRUTH[label]


def _chosen(data: Labelled, rows: Sequence[int]) -> Labelled:
    return Labelled(texts=[data.texts[row] for row in rows], labels=[data.labels[row] for row in rows])
