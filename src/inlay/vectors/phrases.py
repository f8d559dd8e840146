"""Phrases: neighbouring words that stand together far more often than by chance become one word, `new_york`."""

from collections.abc import Container
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.text.words import is_unspaced
from inlay.vectors.tokens import Growing, give_back
from inlay.vectors.vocabulary import Encoded, settle

# n tokens, V words, P pairs, S slots of the table of pairs

_PIECE = 1 << 20
"""Tokens that are looked at at a time."""

_Counts = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Lift:
    """How many times more often a pair stands than its words would by chance (Mikolov et al. 2013, arXiv:1310.4546).

    (count(ab) - discount) · N / (count(a) count(b)) must lie above the threshold.
    """

    threshold: float = 100.0
    """Higher joins less."""
    discount: float = 5.0
    """Taken off the count of a pair, so that rare ones must stand out more."""

    def __post_init__(self) -> None:
        if not self.threshold > 0:
            raise InputError(f"threshold={self.threshold} must be above 0; 100 is usual")
        if not self.discount >= 0:
            raise InputError(f"discount={self.discount} must not be negative; 5 is usual")

    def score(self, first: _Counts, second: _Counts, pair: _Counts, words: int) -> NDArray[np.float64]:
        """(P,) scores, from the counts (P,) of first words, second words and pairs in a text of so many words."""
        return (pair - self.discount) / first / second * words


@dataclass(frozen=True, kw_only=True)
class Npmi:
    """How firmly two words belong together, from -1 to 1 (Bouma 2009): normalised pointwise mutual information.

    log(p(ab) / (p(a) p(b))) / -log p(ab) must lie above the threshold.
    """

    threshold: float = 0.5
    """1 joins only words that never stand apart."""

    def __post_init__(self) -> None:
        if not -1 <= self.threshold <= 1:
            raise InputError(f"threshold={self.threshold} must lie between -1 and 1; 0.5 is usual")

    def score(self, first: _Counts, second: _Counts, pair: _Counts, words: int) -> NDArray[np.float64]:
        """(P,) scores, as `Lift.score`."""
        share = pair / words
        return np.log(share / (first / words * (second / words))) / -np.log(share)


@dataclass(frozen=True, kw_only=True)
class Phrases:
    """Which pairs become phrases."""

    score: Lift | Npmi = Lift()
    """How a pair is judged."""
    min_count: int = 5
    """Rarer pairs stay apart."""
    passes: int = 1
    """1 joins two words; each further pass joins what the one before it left: 2 gives up to four words."""

    def __post_init__(self) -> None:
        if self.min_count < 1:
            raise InputError(f"min_count={self.min_count} must be at least 1; 5 is usual")
        if not 1 <= self.passes <= 10:
            raise InputError(f"passes={self.passes} must lie between 1 and 10; 1 or 2 is usual")


def join(
    encoded: Encoded,
    config: Phrases = Phrases(),
    joiner: str | None = None,
    *,
    min_count: int = 1,
    max_vocab: int | None = None,
    known: Container[str] = (),
) -> Encoded:
    """The corpus with its phrases as words, numbered anew by frequency; pairs do not reach over the end of a sentence.

    Spelt with `joiner` between the words; None: `_` in spaced scripts, nothing beside Chinese and kana. A phrase that
    is spelt as a word is that word. The rest is as in `vocabulary.read`, but at the end: give a corpus that was read
    with min_count=1, for where rare words are missing, words stand together that never did.
    """
    for _ in range(config.passes):
        words, tokens = _joined(encoded, config, joiner)
        encoded = settle(words.__getitem__, len(words), tokens, 1, None)
    if min_count == 1 and max_vocab is None:
        return encoded
    words = encoded.vocabulary.words
    return settle(words.__getitem__, len(words), encoded.tokens, min_count, max_vocab, known)  # our own tokens by now


def _joined(encoded: Encoded, config: Phrases, joiner: str | None) -> tuple[list[str], NDArray[np.int32]]:
    """The words, with the phrases after them, and the tokens (≤ n,) in which each phrase is one."""
    from inlay.vectors.phrase_kernels import EMPTY, join_pairs, move_pairs

    counts, n_words = encoded.vocabulary.counts, int(encoded.vocabulary.counts.sum())
    table, times = _pairs(encoded, counts >= config.min_count)
    taken = np.flatnonzero((table != EMPTY) & (times >= config.min_count))
    first, second = (table[taken] >> np.uint64(32)).astype(np.int64), (table[taken] & np.uint64(0xFFFFFFFF)).astype(int)
    scores = config.score.score(counts[first], counts[second], times[taken], n_words)
    chosen = scores > config.score.threshold
    words = list(encoded.vocabulary.words)
    index = {word: number for number, word in enumerate(words)}
    numbers = np.empty(int(chosen.sum()), np.int32)
    # In the order of their words, not of the table's slots: what is spelt first is numbered first.
    order = np.argsort(table[taken[chosen]], kind="stable")
    for place, a, b in zip(order, first[chosen][order], second[chosen][order], strict=True):
        between = joiner if joiner is not None else "" if is_unspaced(words[a]) or is_unspaced(words[b]) else "_"
        spelling = f"{words[a]}{between}{words[b]}"
        numbers[place] = number = index.setdefault(spelling, len(words))
        if number == len(words):
            words.append(spelling)
    slots = np.full(1 << (2 * len(numbers) + 1).bit_length(), EMPTY, np.uint64)
    phrases = np.empty(len(slots), np.int32)
    move_pairs(table[taken[chosen]], numbers, slots, phrases)
    tokens, joined, at = encoded.tokens, Growing(), 0
    while at < len(tokens):
        begin, end = at, min(at + _PIECE, len(tokens))
        at, written = join_pairs(tokens, at, end, slots, phrases, joined.room(end - at))
        joined.add(written)
        give_back(tokens[begin:at])
    return words, joined.whole()


def _pairs(encoded: Encoded, common: NDArray[np.bool_]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """(S,) keys and (S,) counts of the neighbouring pairs of common words."""
    from inlay.vectors.phrase_kernels import EMPTY, count_pairs, move_pairs

    keys, counts = np.full(1 << 16, EMPTY, np.uint64), np.zeros(1 << 16, np.int64)
    tokens, at, used = encoded.tokens, 1, 0
    while at < len(tokens):
        begin, end = at, min(at + _PIECE, len(tokens))
        at, used = count_pairs(tokens, at, end, common, keys, counts, used)
        give_back(tokens[begin:at])
        if at < end:
            larger = np.full(2 * len(keys), EMPTY, np.uint64), np.zeros(2 * len(keys), np.int64)
            move_pairs(keys, counts, *larger)
            keys, counts = larger
    return keys, counts
