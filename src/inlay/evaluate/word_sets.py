"""The named sets of questions about words, English and Chinese, and one function that asks them all.

google-analogies         English; `gram...` sections are syntactic, the others semantic
chinese-analogies-ca8    Chinese; a file of morphological and one of semantic questions
wordsim-en, wordsim-zh   pairs of words that people judged, a result for each file
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from inlay.errors import InputError, did_you_mean
from inlay.evaluate.words import Analogies, Answers, Similarities, analogies, is_analogies, similarities
from inlay.live import Live
from inlay.text import data
from inlay.vectors.analogy import ADD, Method
from inlay.vectors.unseen import Unseen
from inlay.vectors.wordvectors import WordVectors

NAMES = ("google-analogies", "chinese-analogies-ca8", "wordsim-en", "wordsim-zh")
"""Sets that `evaluate` knows by name; `inlay.text.data` says where each comes from, and gets it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """One figure, with what it stands on."""

    name: str
    """The set, and the file where a set has several: `wordsim-en/EN-RG-65`."""
    section: str
    """A part of the questions; empty for all of them."""
    measure: Literal["accuracy", "spearman"]
    score: float
    """NaN where nothing could be asked."""
    low: float
    high: float
    """The 95 % interval: Wilson's for accuracies, from resamples of the pairs for correlations."""
    known: int
    """Questions or pairs that could be asked."""
    total: int
    guessed: int
    """Of the known ones, those with a word that only the policy for unseen words has a vector for."""

    @property
    def coverage(self) -> float:
        """Share of the questions or pairs that could be asked."""
        return self.known / self.total


def evaluate(
    vectors: WordVectors,
    on: Sequence[str | Path],
    *,
    method: Method = ADD,
    unseen: Unseen | None = None,
    restrict: int | None = None,
    seed: int = 0,
) -> list[Result]:
    """The figures of the vectors on each set: a name of NAMES, or a file, of analogies or of pairs as its content says.

    A file of analogies has a result for all, and then one for each section; each Google part (semantic, syntactic) has
    one too. `method`, `restrict` and `unseen` are those of `words.analogies`; `seed` is that of the resamples. Raises
    InputError for an unknown name, for files of another kind, and where nothing at all could be asked.
    """
    if not on:
        raise InputError(f"nothing to evaluate on; name a file, or sets: {', '.join(NAMES)}")
    results: list[Result] = []
    files = [found for one in on for found in _files(one)]
    with Live("evaluate", len(files), "files") as live:
        for done, (name, path) in enumerate(files):
            if is_analogies(path):
                answered = analogies(
                    vectors,
                    path,
                    restrict,
                    method=method,
                    unseen=unseen,
                    on_progress=lambda share, done=done, name=name: live.at(done + share, name),  # type: ignore[misc]
                )
                results += _accuracies(name, answered)
            else:
                results.append(_correlation(name, similarities(vectors, path, unseen=unseen, seed=seed)))
            live.at(done + 1, name)
    if not any(result.known for result in results):
        asked = ", ".join(map(str, on))
        raise InputError(f"the vectors know the words of no question in {asked}; are they of another language?")
    return results


def tree(results: Sequence[Result]) -> list[dict[str, Any]]:
    """The results as plain values for JSON; null for what could not be measured."""
    return [
        {
            "on": result.name,
            "section": result.section or None,
            "measure": result.measure,
            "score": _number(result.score),
            "low": _number(result.low),
            "high": _number(result.high),
            "known": result.known,
            "total": result.total,
            "guessed": result.guessed,
            "coverage": result.coverage,
        }
        for result in results
    ]


def _files(one: str | Path) -> Iterator[tuple[str, Path]]:
    """(name, file) for each file of a named set, or for a file by itself."""
    if str(one) in NAMES:
        name = str(one)
        folder = data.path(name)
        files = [folder / file.path for file in data.describe(name).files if file.path.endswith(".txt")]
        for file in files:
            yield (name if len(files) == 1 else f"{name}/{file.stem}"), file
    elif Path(one).is_file():
        yield Path(one).name, Path(one)
    else:
        raise InputError(f"{one}: no such file, and no set of questions{did_you_mean(str(one), NAMES)}")


def _accuracies(name: str, answered: Analogies) -> Iterator[Result]:
    yield _accuracy(name, "", answered.total)
    if name == "google-analogies":
        yield _accuracy(name, "semantic", answered.part(lambda section: not section.startswith("gram")))
        yield _accuracy(name, "syntactic", answered.part(lambda section: section.startswith("gram")))
    if len(answered.sections) > 1:
        for section, part in answered.sections.items():
            yield _accuracy(name, section, part)


def _accuracy(name: str, section: str, part: Answers) -> Result:
    low, high = part.interval
    return Result(
        name=name, section=section, measure="accuracy", score=part.accuracy, low=low, high=high,
        known=part.known, total=part.questions, guessed=part.guessed,
    )  # fmt: skip


def _correlation(name: str, judged: Similarities) -> Result:
    low, high = judged.interval
    return Result(
        name=name, section="", measure="spearman", score=judged.spearman, low=low, high=high,
        known=judged.known, total=judged.pairs, guessed=judged.guessed,
    )  # fmt: skip


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
