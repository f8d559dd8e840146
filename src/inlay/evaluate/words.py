"""How good word vectors are: analogies answered right, and similarities ranked as people rank them.

A word that is unknown is tried in lower case. Questions and pairs with words that are then still unknown are left out,
and counted; or a policy answers for them (`NGrams()`, `Zero()`, ...), which is counted too.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.evaluate.intervals import spearman, wilson
from inlay.vectors import storage
from inlay.vectors.analogy import ADD, Method, answers
from inlay.vectors.unseen import Unseen
from inlay.vectors.wordvectors import WordVectors

# Q questions, P pairs, U words that differ, D dimensions

_ASKED = 1024
"""Questions that are asked together."""

_FIRST = 10_000
"""Words by which it is judged whether a vocabulary knows capital letters."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """Analogy questions: how many there are, how many could be asked, how many of these are answered right."""

    questions: int
    known: int
    """Asked: the four words are known, or, with a policy for unseen words, the last one is."""
    right: int
    guessed: int = 0
    """Asked with a word among the first three that only the policy has a vector for."""

    @property
    def accuracy(self) -> float:
        """Right answers to known questions; NaN where none is known."""
        return self.right / self.known if self.known else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy."""
        return wilson(self.right, self.known)

    @property
    def coverage(self) -> float:
        """Share of the questions that could be asked."""
        return self.known / self.questions if self.questions else float("nan")


@dataclass(frozen=True, kw_only=True, slots=True)
class Analogies:
    """The answers to a file of analogies, by its sections."""

    sections: dict[str, Answers]

    def part(self, belongs: Callable[[str], bool]) -> Answers:
        """The sections together whose name `belongs`."""
        chosen = [answers for name, answers in self.sections.items() if belongs(name)]
        return Answers(
            questions=sum(answers.questions for answers in chosen),
            known=sum(answers.known for answers in chosen),
            right=sum(answers.right for answers in chosen),
            guessed=sum(answers.guessed for answers in chosen),
        )

    @property
    def total(self) -> Answers:
        """All sections together."""
        return self.part(lambda name: True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Similarities:
    """Agreement with people's judgements of pairs of words."""

    spearman: float
    """Rank correlation over the known pairs, from -1 to 1; NaN for fewer than three."""
    interval: tuple[float, float]
    """Its 95 % interval, from resamples of the pairs."""
    pairs: int
    known: int
    guessed: int = 0
    """Known pairs with a word that only the policy for unseen words has a vector for."""

    @property
    def coverage(self) -> float:
        """Share of the pairs whose two words are known."""
        return self.known / self.pairs


def analogies(
    vectors: WordVectors,
    path: str | Path,
    restrict: int | None = None,
    *,
    method: Method = ADD,
    unseen: Unseen | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> Analogies:
    """Answer each question `a b c d` exactly: is d the word that is to c as b is to a, leaving out a, b and c?

    Lines `: name` begin a section. `restrict` looks for answers among the first words only, and asks only about these.
    `on_progress` is told the share that is answered. Raises InputError for a line without four words.
    """
    limit = len(vectors) if restrict is None else restrict
    if limit < 1:
        raise InputError(f"restrict={restrict} must be at least 1, or None for all words")
    look = _Look(vectors, unseen)
    questions = list(_questions(path))
    rows = np.array([look.rows(words) for _, words in questions], np.int64)  # (Q, 4), -1 for unknown words
    asked = (rows[:, 3] >= 0) & (rows < limit).all(axis=1)
    if unseen is None:
        asked &= (rows >= 0).all(axis=1)
    chosen = np.flatnonzero(asked)
    right = np.zeros(len(questions), bool)
    for first in range(0, len(chosen), _ASKED):
        part = chosen[first : first + _ASKED]
        given = look.vectors([questions[number][1][:3] for number in part])
        found, _ = answers(vectors, given, 1, method=method, without=rows[part, :3], restrict=restrict)
        right[part] = found[:, 0] == rows[part, 3] if found.shape[1] else False
        if on_progress:
            on_progress((first + len(part)) / len(chosen))
    guessed = asked & (rows[:, :3] < 0).any(axis=1)
    names = np.array([section for section, _ in questions])
    return Analogies(
        sections={
            name: Answers(
                questions=int((here := names == name).sum()),
                known=int((asked & here).sum()),
                right=int((right & here).sum()),
                guessed=int((guessed & here).sum()),
            )
            for name in dict.fromkeys(section for section, _ in questions)
        }
    )


def similarities(
    vectors: WordVectors, path: str | Path, *, unseen: Unseen | None = None, seed: int | np.random.Generator = 0
) -> Similarities:
    """Spearman's correlation of the cosines with the judgements in a file of lines `word word score`.

    Raises InputError for a line of another kind, but the first, which may be a heading.
    """
    look = _Look(vectors, unseen)
    pairs = list(_pairs(path))
    rows = np.array([look.rows(words) for words, _ in pairs], np.int64)  # (P, 2)
    chosen = np.arange(len(pairs)) if unseen is not None else np.flatnonzero((rows >= 0).all(axis=1))
    two = look.vectors([pairs[number][0] for number in chosen]).reshape(len(chosen), 2, vectors.dim)
    two = storage.units(two)
    cosines = np.einsum("pd,pd->p", two[:, 0], two[:, 1]).astype(np.float64)
    score, low, high = spearman(cosines, np.array([pairs[number][1] for number in chosen]), seed=seed)
    guessed = int((rows[chosen] < 0).any(axis=1).sum())
    return Similarities(spearman=score, interval=(low, high), pairs=len(pairs), known=len(chosen), guessed=guessed)


class _Look:
    """Words to rows and vectors: as they stand, else in lower case, else as the policy says."""

    def __init__(self, vectors: WordVectors, unseen: Unseen | None) -> None:
        self._vectors, self._unseen = vectors, unseen
        # Where the vocabulary is in lower case, so are the n-grams of an unseen word.
        self._lower = all(word == word.lower() for word in islice(vectors.words, _FIRST))

    def rows(self, words: Sequence[str]) -> list[int]:
        """The row of each word, -1 for an unknown one."""
        index = self._vectors.index
        return [index.get(word, index.get(word.lower(), -1)) for word in words]

    def vectors(self, groups: Sequence[Sequence[str]]) -> NDArray[np.float32]:
        """(N, n, D) the vectors of N groups of n words."""
        places: dict[str, int] = {}
        at = np.array([[places.setdefault(word, len(places)) for word in group] for group in groups], np.int64)
        rows = np.array(self.rows(list(places)), np.int64)
        found = self._vectors.table.take(np.maximum(rows, 0))  # (U, D)
        if len(missing := np.flatnonzero(rows < 0)):
            assert self._unseen is not None, "questions with unknown words are left out without a policy"
            words = list(places)
            asked = [words[place].lower() if self._lower else words[place] for place in missing]
            found[missing] = self._vectors.rows(asked, self._unseen)
        return found[at]


def is_analogies(path: str | Path) -> bool:
    """Whether the first line of a file is a section, or four words: analogies, not similarities."""
    _, line = next(_lines(path), (0, ""))
    return line.startswith(":") or len(line.split()) == 4


def _questions(path: str | Path) -> Iterator[tuple[str, list[str]]]:
    """(section, four words) of each question; InputError where there is none."""
    section, found = "", False
    for number, line in _lines(path):
        if line.startswith(":"):
            section = line[1:].strip()
            continue
        words = line.split()
        if len(words) != 4:
            raise InputError(f"{path} line {number}: {line[:60]!r} is no analogy of four words, nor `: section`")
        found = True
        yield section, words
    if not found:
        raise InputError(f"{path}: no analogies in it; lines of four words, and `: name` for a section")


def _pairs(path: str | Path) -> Iterator[tuple[list[str], float]]:
    """(two words, judgement) of each pair; InputError where there is none."""
    found = False
    for number, line in _lines(path):
        fields = line.split("\t") if "\t" in line else line.split()
        try:
            words, judgement = [fields[0].strip(), fields[1].strip()], float(fields[2])
            if not np.isfinite(judgement):
                raise ValueError
        except (IndexError, ValueError):
            if number == 1:
                continue
            raise InputError(f"{path} line {number}: {line[:60]!r} is not `word word score`") from None
        found = True
        yield words, judgement
    if not found:
        raise InputError(f"{path}: no pairs in it; lines of two words and a score")


def _lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """The lines that are not empty, with their numbers."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 (byte {error.start}); convert it") from None
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line.strip()
