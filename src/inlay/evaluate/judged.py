"""What people judged, as the tasks of `sentences` take it; each is checked once, where it is made."""

# N texts or pairs, Q queries

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoredPairs:
    """Pairs of texts, and how alike people found them: semantic textual similarity."""

    first: Sequence[str]
    second: Sequence[str]
    scores: NDArray[np.float64]
    """(N) on any scale, more alike is more."""

    def __post_init__(self) -> None:
        _same_length("pairs", self.first, self.second, self.scores)
        _enough("pairs", len(self.scores), 3)
        if self.scores.min() == self.scores.max():
            raise InputError(
                f"all {len(self.scores):,} pairs have the score {self.scores[0]:g}: "
                "no correlation is defined; give pairs of which some are more alike than others"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class JudgedPairs:
    """Pairs of texts that are alike, or are not."""

    first: Sequence[str]
    second: Sequence[str]
    alike: NDArray[np.bool_]
    """(N)"""
    dev: "JudgedPairs | None" = None
    """Other pairs, to choose the threshold on; None: each half of the pairs is judged by the other's threshold."""

    def __post_init__(self) -> None:
        _same_length("pairs", self.first, self.second, self.alike)
        _enough("pairs", len(self.alike), 4)
        if self.alike.all() or not self.alike.any():
            what = "alike" if self.alike.all() else "different"
            raise InputError(f"all {len(self.alike):,} pairs are {what}; nothing can be told apart: give pairs of both")


@dataclass(frozen=True, kw_only=True, eq=False)
class Labelled:
    """Texts with a label each."""

    texts: Sequence[str]
    labels: Sequence[str]

    def __post_init__(self) -> None:
        _same_length("texts", self.texts, self.labels)
        _enough("texts", len(self.texts), 1)

    def classes(self) -> list[str]:
        """The labels that occur, sorted."""
        return sorted(set(self.labels))

    def need_two_classes(self) -> None:
        """Raises InputError where all texts have the same label."""
        if len(found := self.classes()) < 2:
            raise InputError(
                f"all {len(self.texts):,} texts have the label {found[0]!r:.40}; give texts of two or more"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Halves:
    """Labelled texts to learn from, and others to be judged by."""

    train: Labelled
    test: Labelled

    def __post_init__(self) -> None:
        self.train.need_two_classes()


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """Queries, each with texts of which some answer it."""

    queries: Sequence[str]
    texts: Sequence[Sequence[str]]
    """(Q) lists"""
    relevant: Sequence[Sequence[bool]]
    """(Q) lists as long as those of the texts."""

    def __post_init__(self) -> None:
        _same_length("queries", self.queries, self.texts, self.relevant)
        _enough("queries", len(self.queries), 1)
        for query, texts, relevant in zip(self.queries, self.texts, self.relevant, strict=True):
            if not any(relevant) or len(relevant) != len(texts) or all(relevant):
                raise InputError(
                    f"query {query!r:.60}: {sum(relevant)} of its {len(texts)} texts are relevant; "
                    "give one or more that are, and one or more that are not"
                )


def _same_length(what: str, *lists: Sequence[object] | NDArray[np.generic]) -> None:
    if len({len(one) for one in lists}) > 1:
        raise InputError(
            f"{' and '.join(str(len(one)) for one in lists)} {what} do not fit together; give as many each"
        )


def _enough(what: str, n: int, least: int) -> None:
    if n < least:
        raise InputError(f"there are {n} {what}, too few to measure anything; give {least} or more")
