"""How good word vectors are: analogies answered right, and similarities ranked as people rank them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inlay.errors import InputError
from inlay.vectors.wordvectors import WordVectors

# Q questions, D dimensions


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """Analogy questions: how many there are, how many have four known words, how many of these are answered right."""

    questions: int
    known: int
    right: int

    @property
    def accuracy(self) -> float:
        """Right answers to known questions; NaN where none is known."""
        return self.right / self.known if self.known else float("nan")

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
        )

    @property
    def total(self) -> Answers:
        """All sections together."""
        return self.part(lambda name: True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Similarities:
    """Agreement with people's judgements of pairs of words."""

    spearman: float
    """Rank correlation over the known pairs, from -1 to 1."""
    pairs: int
    known: int

    @property
    def coverage(self) -> float:
        """Share of the pairs whose two words are known."""
        return self.known / self.pairs


def analogies(vectors: WordVectors, path: str | Path, restrict: int | None = None) -> Analogies:
    """Answer each question `a b c d` exactly by 3CosAdd: is d the word nearest to b - a + c, leaving out a, b, c?

    Lines `: name` begin a section. `restrict` looks for answers among the first words only, and asks only about these.
    A word that is unknown is tried in lower case. Raises InputError for a line without four words.
    """
    limit = len(vectors) if restrict is None else min(len(vectors), restrict)
    asked: dict[str, int] = {}
    names: list[str] = []
    rows: list[list[int]] = []
    section = ""
    for number, line in _lines(path):
        if line.startswith(":"):
            section = line[1:].strip()
            continue
        words = line.split()
        if len(words) != 4:
            raise InputError(f"{path} line {number}: {line[:60]!r} is no analogy of four words, nor `: section`")
        asked[section] = asked.get(section, 0) + 1
        places = [_row(vectors, word) for word in words]
        if all(0 <= place < limit for place in places):
            names.append(section)
            rows.append(places)
    if not asked:
        raise InputError(f"{path}: no analogies in it; lines of four words, and `: name` for a section")
    known, right = dict.fromkeys(asked, 0), dict.fromkeys(asked, 0)
    for name, hit in zip(names, _answered(vectors, np.array(rows, np.int64).reshape(-1, 4), restrict), strict=True):
        known[name] += 1
        right[name] += bool(hit)
    return Analogies(
        sections={name: Answers(questions=asked[name], known=known[name], right=right[name]) for name in asked}
    )


def similarities(vectors: WordVectors, path: str | Path) -> Similarities:
    """Spearman's correlation of the cosines with the judgements in a file of lines `word word score`.

    Pairs with an unknown word are left out and counted. Raises InputError for a line of another kind, but the first,
    which may be a heading, and where fewer than three pairs are known.
    """
    from scipy.stats import spearmanr

    pairs, cosines, judgements = 0, [], []
    for number, line in _lines(path):
        fields = line.split("\t") if "\t" in line else line.split()
        try:
            first, second, judgement = fields[0].strip(), fields[1].strip(), float(fields[2])
        except (IndexError, ValueError):
            if number == 1:
                continue
            raise InputError(f"{path} line {number}: {line[:60]!r} is not `word word score`") from None
        pairs += 1
        a, b = _row(vectors, first), _row(vectors, second)
        if a >= 0 and b >= 0:
            cosines.append(vectors.similarity(vectors.words[a], vectors.words[b]))
            judgements.append(judgement)
    if len(cosines) < 3:
        raise InputError(
            f"{path}: both words are known in only {len(cosines)} of {pairs} pairs; three are needed at least"
        )
    return Similarities(spearman=float(spearmanr(cosines, judgements).statistic), pairs=pairs, known=len(cosines))


def _answered(vectors: WordVectors, rows: np.ndarray, restrict: int | None) -> np.ndarray:
    """(Q,) bool for the questions (Q, 4): whether the fourth word is found."""
    units = vectors.matrix[rows[:, :3]] / np.maximum(vectors.norms[rows[:, :3], None], np.float32(1e-30))  # (Q, 3, D)
    queries = units[:, 1] - units[:, 0] + units[:, 2]
    found, _ = vectors.nearest(queries, 1, without=rows[:, :3], restrict=restrict)
    return found[:, 0] == rows[:, 3] if found.shape[1] else np.zeros(len(rows), bool)


def _row(vectors: WordVectors, word: str) -> int:
    return vectors.index.get(word, vectors.index.get(word.lower(), -1))


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
