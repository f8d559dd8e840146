"""Labelled pairs from a file of records: queries with what answers them, or two texts with how alike they are."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from inlay.errors import InputError
from inlay.text.fields import Record, records

QUERY = ("query", "anchor", "question")
POSITIVE = ("positive", "pos", "answer", "positives")
NEGATIVE = ("negatives", "negative", "neg")
LEFT = ("text1", "sentence1", "texta", "sentence_a")
RIGHT = ("text2", "sentence2", "textb", "sentence_b")
SCORE = ("score", "similarity", "label")


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """A query, a text that answers it, and texts that do not, though they may look so."""

    query: str
    positive: str
    negatives: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Alike:
    """Two texts, and a number that is the higher the more alike they are."""

    left: str
    right: str
    score: float


def read_pairs(path: str | Path) -> list[Answered] | list[Alike]:
    """The pairs of a .jsonl, .csv or .tsv, all of one kind: `query, positive, negatives…` or `text1, text2, score`.

    A record with several positives is several pairs. InputError naming file and line for a field that is missing,
    empty or of another type, for a record of the other kind than the first, and where there are fewer than two pairs.
    """
    answered: list[Answered] = []
    alike: list[Alike] = []
    first = ""
    for record in records(path):
        if record.has(*LEFT) or (record.has(*RIGHT) and not record.has(*QUERY)):
            kind, other = "texts with a score", bool(answered)
            alike.append(Alike(left=record.text(*LEFT), right=record.text(*RIGHT), score=record.number(*SCORE)))
        else:
            kind, other = "a query with its answer", bool(alike)
            answered += _answered(record)
        if other:
            raise InputError(f"{record.where}: {kind}, but {first} is of the other kind; put each in a file of its own")
        first = first or record.where
    count = len(answered) + len(alike)
    if count < 2:
        found = "one pair" if count else "no pair"
        raise InputError(f"{path}: holds {found}, and at least two are needed to tell anything apart; give more")
    return alike or answered


def _answered(record: Record) -> Iterator[Answered]:
    query, positives = record.text(*QUERY), record.texts(*POSITIVE)
    negatives = tuple(record.texts(*NEGATIVE)) if record.has(*NEGATIVE) else ()
    if not positives:
        raise InputError(f"{record.where}: field 'positives' is an empty list; give one at least, or drop the record")
    for positive in positives:
        if positive in negatives:
            raise InputError(f"{record.where}: {positive[:40]!r} is a positive and a negative of one query; drop one")
        yield Answered(query=query, positive=positive, negatives=negatives)
