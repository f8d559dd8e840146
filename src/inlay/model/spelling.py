"""How tokens are spelt, as rows of a table of characters: hashed, so that no list of characters has to be kept.

A character has K = 3 rows, and its vector is their sum: with one row of 2048, three Chinese characters of a usual
vocabulary would be the same one; of three rows hardly two share all. Svenstrup et al. 2017, arXiv:1709.03933.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import gcd

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.tokenize.tokenizer import Tokenizer
from inlay.tokenize.writing import Written

# V tokens, L characters of a token, K rows of a character

HASHES = 3
"""K"""
NOTHING, NO_TOKEN, MARK, FIRST_SPECIAL = 0, 1, 2, 3
"""Rows for the end of a token, for an id without a token, for the mark of a piece; then those of the specials.

Each of these has one row K times.
"""


@dataclass(frozen=True, kw_only=True)
class Spelling:
    """What the characters could not tell."""

    cut: int
    """Tokens with more characters than are read; the first ones are."""
    alike: int
    """Tokens that are spelt as another is: they have the same vector, and no training tells them apart."""


def spell(
    tokenizer: Tokenizer, vocab_size: int, length: int, buckets: int, specials: int, in_order: bool
) -> tuple[NDArray[np.int32], Spelling]:
    """((V, L, K) rows of the tokens' characters, what they could not tell); InputError for too many specials.

    The mark that tells a word from a piece (`##`, `▁`) is a character; a special token and an id without a token are
    one character of their own; a byte that is no character by itself is one of its own too.
    """
    rows = np.zeros((vocab_size, length, HASHES), np.int32)
    rows[:, 0] = NO_TOKEN
    hashed = lru_cache(maxsize=None)(lambda unit: [_hash(unit, seed) % buckets for seed in range(HASHES)])
    first, met, cut = FIRST_SPECIAL + specials, 0, 0
    for token, number in tokenizer.vocabulary.items():
        written = tokenizer.writing.read(token)
        if written.special:
            if met == specials:
                total = sum(tokenizer.writing.read(one).special for one in tokenizer.vocabulary)
                raise InputError(f"specials={specials} is too few: the tokenizer has {total} special tokens")
            rows[number, 0] = FIRST_SPECIAL + met
            met += 1
            continue
        units = _units(written)
        cut += len(units) > length
        for place, unit in enumerate(units[:length]):
            rows[number, place] = [first + h for h in hashed(unit)] if unit else MARK
    return rows, Spelling(cut=cut, alike=_alike(rows[list(tokenizer.vocabulary.values())], in_order))


def _units(written: Written) -> Sequence[str]:
    """The token's characters, '' for the mark; bytes that make no characters stand behind a NUL each."""
    mark = [""] if written.marked else []
    if written.text is None:
        return [f"\0{letter}" for letter in written.token]
    return [*mark, *written.text] or ["\0"]


def _hash(unit: str, seed: int) -> int:
    """FNV-1a of the seed's byte and the character's, in 32 bits."""
    value = 2166136261
    for byte in (seed, *unit.encode("utf-8", "surrogatepass")):
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return value


def _alike(rows: NDArray[np.int32], in_order: bool) -> int:
    """How many tokens are spelt as another is; without order the shares of their characters alone count."""
    key = bytes if in_order else _shares
    counts = Counter(map(key, np.sort(rows, axis=-1)))
    return sum(n for n in counts.values() if n > 1)


def _shares(rows: NDArray[np.int32]) -> frozenset[tuple[bytes, int]]:
    """(L, K) -> each character and how often it stands there, in lowest terms: their mean is all that is kept."""
    counts = Counter(bytes(row) for row in rows if row.any())
    common = gcd(*counts.values())
    return frozenset((character, n // common) for character, n in counts.items())
