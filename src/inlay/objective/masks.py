"""Masks: which tokens of a text are to be predicted. One way of choosing, from units that each kind cuts differently.

The units of a text (tokens, words, spans) stand in a circle, in a random order; those that begin in an arc of it are
taken, which is the share p of its tokens long and lies anywhere. So every unit is as likely, whatever its size and
place, and a text gives p of its tokens in the mean, short ones too, never more than a unit away; a batch at least one.

N packed tokens, B texts, U units, M chosen tokens.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inlay.batch import Batch
from inlay.errors import InputError
from inlay.objective.tokens import Tokens, check_ids

Floats = NDArray[np.floating]
Flags = NDArray[np.bool_]
Dice = Callable[[int], Floats]
"""Numbers (N,) from 0 to below 1, one for each token; another throw for another number."""

_ORDER, _ARC, _LENGTH, _FATE, _TOKEN = range(5)


@dataclass(frozen=True, kw_only=True)
class Dynamic:
    """Each token by itself, anew each time. Liu et al. 2019, arXiv:1907.11692 (RoBERTa)."""


@dataclass(frozen=True, kw_only=True)
class WholeWord:
    """A word with all its pieces, anew each time; Chinese words where the batch says where they begin.

    Each piece then has its own fate, as in BERT's whole-word models; Cui et al. 2021, arXiv:1906.08101, for Chinese.
    """


@dataclass(frozen=True, kw_only=True)
class Geometric:
    """A span ends after each word with the same chance; 0.2 and at most 10 give 3.8 words in the mean (SpanBERT)."""

    stop: float = 0.2
    """The chance."""
    longest: int = 10
    """Words of a span at most."""

    def __post_init__(self) -> None:
        if not 0 < self.stop < 1:
            raise InputError(f"stop={self.stop} must lie between 0 and 1; 0.2 is usual")
        _check_longest(self.longest)

    def weights(self) -> Floats:
        """How often each length comes, 1 first; they need not add up to 1."""
        return (1 - self.stop) ** np.arange(self.longest)


@dataclass(frozen=True, kw_only=True)
class Harmonic:
    """n words come 1/n as often as one: ALBERT with at most 3, XLNet with at most 5."""

    longest: int = 5
    """Words of a span at most."""

    def __post_init__(self) -> None:
        _check_longest(self.longest)

    def weights(self) -> Floats:
        """How often each length comes, 1 first; they need not add up to 1."""
        return 1 / np.arange(1, self.longest + 1)


@dataclass(frozen=True, kw_only=True)
class Spans:
    """Runs of whole words, anew each time; all of a span has one fate. Joshi et al. 2020, arXiv:1907.10529.

    A text is cut into spans of drawn lengths, of which some are taken: none overlap, and every place is as likely.
    """

    lengths: Geometric | Harmonic = field(default_factory=Geometric)
    """How many words a span has."""


@dataclass(frozen=True, kw_only=True)
class Static:
    """A text that comes again has one of the same few masks again, told from its tokens. Devlin et al. 2019 (BERT)."""

    copies: int = 10
    """Different masks of a text; which one it is, chance says each time."""
    of: Dynamic | WholeWord | Spans = field(default_factory=Dynamic)
    """What is chosen."""

    def __post_init__(self) -> None:
        if self.copies < 1:
            raise InputError(f"copies={self.copies} must be at least 1; 10 is usual")


Masks = Dynamic | Static | WholeWord | Spans


@dataclass(frozen=True, eq=False)
class Chosen:
    """The tokens to predict, and what chance says of each."""

    at: NDArray[np.int64]
    """(M,) their places in the batch, in order."""
    fate: Floats
    """(M,) from 0 to below 1; one number for all of a span."""
    token: Floats
    """(M,) from 0 to below 1, for whoever needs a random token."""


def choose(masks: Masks, batch: Batch, tokens: Tokens, p: float, rng: np.random.Generator, *, seed: int = 0) -> Chosen:
    """The share p of each text's tokens, specials left aside; `seed` tells the masks of Static apart from others'."""
    check_ids(batch, len(tokens.ordinary))
    throw: Dice = lambda _: rng.random(len(batch.ids))  # noqa: E731
    if isinstance(masks, Static):
        throw = _repeating(batch, rng.integers(masks.copies, size=len(batch)), seed)
        masks = masks.of
    ordinary = tokens.ordinary[batch.ids]
    begins = _units(masks, batch, tokens, throw) & ordinary
    unit = np.cumsum(begins) - 1  # (N,) the unit of each ordinary token, as every edge begins one
    heads = np.flatnonzero(begins)
    taken = _taken(batch.rows[heads], np.bincount(unit[ordinary], minlength=len(heads)), p, throw, heads)
    at = np.flatnonzero(ordinary & taken[unit]) if len(heads) else heads
    fate = throw(_FATE)
    return Chosen(at, fate[heads[unit[at]]] if isinstance(masks, Spans) else fate[at], throw(_TOKEN)[at])


def _units(masks: Dynamic | WholeWord | Spans, batch: Batch, tokens: Tokens, throw: Dice) -> Flags:
    """(N,) True where a unit begins."""
    match masks:
        case Dynamic():
            return np.ones(len(batch.ids), bool)
        case WholeWord():
            return tokens.words(batch)
        case Spans():
            return _spans(masks, tokens.words(batch), tokens.edges(batch), throw(_LENGTH))


def _spans(masks: Spans, words: Flags, edges: Flags, chance: Floats) -> Flags:
    """(N,) True where a span begins: between two edges one follows the other, word i drawing how long the i-th is."""
    chances = np.cumsum(masks.lengths.weights())
    at = np.flatnonzero(words)  # (W,)
    lengths = 1 + np.searchsorted(chances[:-1] / chances[-1], chance[at], "right")
    stretch = np.cumsum(edges[at]) - 1  # (W,) edges are words, the first token among them
    first = np.flatnonzero(edges[at])
    after = np.cumsum(lengths)
    after += first[stretch] - (after - lengths)[first][stretch]  # the word after the i-th span of the stretch
    begins = edges.copy()
    begins[at[after[after < np.append(first[1:], len(at))[stretch]]]] = True
    return begins


def _taken(
    texts: NDArray[np.int64], sizes: NDArray[np.int64], p: float, throw: Dice, heads: NDArray[np.int64]
) -> Flags:
    """(U,) True for the units that are taken; those of a text stand together, and each knows its text and size."""
    key, arc = throw(_ORDER)[heads], throw(_ARC)
    order = np.argsort(texts + key)  # text after text, each in a random order
    size = sizes[order]
    before = np.cumsum(size) - size
    first = np.searchsorted(texts, texts)  # the first unit of the same text
    total = np.bincount(texts, sizes)[texts] if len(texts) else size
    from_arc = before - before[first] - arc[heads[first]] * total
    taken = np.zeros(len(texts), bool)
    taken[order[from_arc + total * (from_arc < 0) < p * total]] = True
    if len(texts) and not taken.any():
        taken[np.argmin(key)] = True
    return taken


def _repeating(batch: Batch, copy: NDArray[np.int64], seed: int) -> Dice:
    """Dice that fall alike whenever a text comes again with the same copy (B,), whatever is beside it."""
    rows, place = batch.rows, (np.arange(len(batch.ids)) - np.repeat(batch.starts, batch.lengths)).astype(np.uint64)
    sums = np.append(np.uint64(0), np.cumsum(_mixed(_mixed(place) + batch.ids.astype(np.uint64))))
    text = _mixed(sums[batch.starts + batch.lengths] - sums[batch.starts] + _mixed(copy.astype(np.uint64)))
    base = _mixed(text + _mixed(np.full(len(batch), seed, np.uint64)))[rows] + place

    def throw(number: int) -> Floats:
        return (_mixed(base + _mixed(np.full(1, number, np.uint64))) >> np.uint64(11)) * 2.0**-53

    return throw


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Each number as another that looks drawn: SplitMix64, Steele et al. 2014."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _check_longest(longest: int) -> None:
    if longest < 1:
        raise InputError(f"longest={longest} must be at least 1 word")
