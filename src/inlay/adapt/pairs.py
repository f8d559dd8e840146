"""Pairs to learn from: mined or labelled, what counts as one document, and a part of the labelled ones held out."""

# P pairs, N documents

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inlay.adapt.config import Mined
from inlay.errors import InputError
from inlay.evaluate.heldout import HeldOut
from inlay.text.dedup import fingerprint
from inlay.text.document import Document
from inlay.text.labelled import Alike, Answered
from inlay.text.pairs import mine_all

_HELD_OUT = 5
"""Every so manieth labelled query is held out, to ask whether anything was gained."""
_MOST_ASKED = 400
LABELLED = "labelled"


@dataclass(frozen=True, eq=False)
class Pairs:
    """P queries, what answers each, and the group of each pair, within which nothing is a wrong answer."""

    queries: list[str]
    positives: list[str]
    negatives: list[tuple[str, ...]]
    """Texts that do not answer the query: those that were given, and hard ones once they are mined."""
    groups: NDArray[np.int64]
    """(P,) the document of a mined pair; of labelled ones, the same number for those that share a text."""

    def __len__(self) -> int:
        return len(self.queries)

    def select(self, places: Sequence[int]) -> "Pairs":
        """The pairs at these places."""
        return Pairs(
            [self.queries[at] for at in places],
            [self.positives[at] for at in places],
            [self.negatives[at] for at in places],
            self.groups[list(places)],
        )


def mined(documents: Sequence[Document], held: HeldOut, config: Mined, *, seed: int) -> Pairs:
    """Pairs of the documents that are not held out; InputError where they are of fewer than two documents."""
    secret = set(held.positions)
    rest = [at for at in range(len(documents)) if at not in secret]
    rng = np.random.default_rng([seed, 7])
    found = mine_all(documents, rest, rng, limit=config.limit, avoid=held.secret, kinds=config.kinds)
    groups = np.array([pair.document for pair in found], np.int64)
    if len(set(groups.tolist())) < 2:
        raise InputError(
            f"the text gives {len(found)} training pairs of {len(set(groups.tolist()))} documents, and two documents "
            "are needed; give documents of several sentences, or titles, or labelled pairs (--pairs FILE)"
        )
    return Pairs([pair.query for pair in found], [pair.positive for pair in found], [()] * len(found), groups)


def answered(given: Sequence[Answered]) -> Pairs:
    """Labelled pairs; those that share a query or an answer are one group."""
    groups = _joined([(fingerprint(pair.query), fingerprint(pair.positive)) for pair in given])
    return Pairs(
        [pair.query for pair in given],
        [pair.positive for pair in given],
        [pair.negatives for pair in given],
        groups,
    )


def apart_from(pairs: Pairs, texts: Iterable[str]) -> Pairs:
    """The pairs of which neither side is one of these texts: what is asked must not be trained on."""
    apart = _apart(zip(pairs.queries, pairs.positives, strict=True), texts)
    found = pairs.select(np.flatnonzero(apart).tolist())
    need_two_groups(found.groups)
    return found


def need_two_groups(groups: NDArray[np.int64]) -> None:
    """InputError where no pair has a wrong answer."""
    if len(np.unique(groups)) < 2:
        raise InputError(
            f"all {len(groups)} pairs that are learnt from share a text: nothing is a wrong answer; give more"
        )


def split_answered(pairs: Pairs, *, seed: int) -> tuple[Pairs, Pairs]:
    """(to learn from, held out): whole groups, a fifth of them; none is held out where that leaves fewer than two."""
    names = np.unique(pairs.groups)
    order = np.random.default_rng([seed, 8]).permutation(names)
    kept_back = set(order[: len(order) // _HELD_OUT].tolist()) if len(order) - len(order) // _HELD_OUT >= 2 else set()
    out = [group in kept_back for group in pairs.groups.tolist()]
    places = np.arange(len(pairs))
    return pairs.select(places[~np.array(out)].tolist()), pairs.select(places[np.array(out, bool)].tolist())


def split_alike(given: Sequence[Alike], asked: Iterable[str] = (), *, seed: int) -> tuple[list[Alike], list[Alike]]:
    """(to learn from, held out): a fifth of the pairs, and with them all that share a text; of texts that are `asked`
    nothing is learnt. InputError where all scores that are learnt from are the same."""
    groups = _joined([(fingerprint(pair.left), fingerprint(pair.right)) for pair in given]).tolist()
    names = sorted(set(groups))
    order = np.random.default_rng([seed, 8]).permutation(names)
    kept_back = set(order[: len(order) // _HELD_OUT].tolist())
    out = [pair for pair, group in zip(given, groups, strict=True) if group in kept_back]
    learnt = [pair for pair, group in zip(given, groups, strict=True) if group not in kept_back]
    if len(learnt) < 2:
        learnt, out = list(given), []
    apart = _apart([(pair.left, pair.right) for pair in learnt], asked)
    learnt = [pair for pair, free in zip(learnt, apart, strict=True) if free]
    need_two_scores([pair.score for pair in learnt])
    return learnt, out


def need_two_scores(scores: Sequence[float]) -> None:
    """InputError where no pair is more alike than another."""
    if not scores:
        raise InputError("no pair is left to learn from: each has a text that is a held-out question; give more")
    if len(set(scores)) < 2:
        raise InputError(f"all {len(scores)} pairs have the score {scores[0]:g}, which orders nothing; give others too")


def with_labelled(held: HeldOut, pairs: Pairs) -> HeldOut:
    """The held-out questions, and one more kind: labelled queries whose answers are searched among the same texts."""
    if not len(pairs):
        return held
    places = {fingerprint(text): at for at, text in reversed(list(enumerate(held.texts)))}
    texts = list(held.texts)
    queries: list[str] = []
    answers: list[int] = []
    asked: set[int] = set()
    for query, positive in zip(pairs.queries[: 2 * _MOST_ASKED], pairs.positives, strict=False):
        if fingerprint(query) in asked or len(asked) == _MOST_ASKED:  # the metric knows one answer to a question
            continue
        asked.add(fingerprint(query))
        place = places.setdefault(fingerprint(positive), len(texts))
        if place == len(texts):
            texts.append(positive)
        queries.append(query)
        answers.append(place)
    return replace(
        held,
        texts=tuple(texts),
        queries={**held.queries, LABELLED: queries},
        answers={**held.answers, LABELLED: answers},
    )


def _apart(rows: Iterable[tuple[str, str]], texts: Iterable[str]) -> list[bool]:
    """Of each two texts, whether neither is one of `texts`."""
    secret = {fingerprint(text) for text in texts}
    return [secret.isdisjoint((fingerprint(left), fingerprint(right))) for left, right in rows]


def _joined(rows: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
    """(P,) the same number for rows that share a name, directly or by way of others."""
    rows = list(rows)
    parent: dict[int, int] = {}

    def root(name: int) -> int:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for left, right in rows:
        parent[root(left)] = root(right)
    number: dict[int, int] = {}
    return np.array([number.setdefault(root(left), len(number)) for left, _ in rows], np.int64)
