"""The loops over a corpus that find neighbouring words and join them; a hash table of pairs in plain arrays."""

from typing import Any

import numpy as np
from numba import uint64

from inlay.vectors.compiled import exact

# n tokens, V words, S slots of the table: a power of two

EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
"""The key of a slot that holds no pair."""
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@exact
def _slot(keys: Any, key: Any) -> Any:
    """The slot of the key (S,), or the empty one where it belongs."""
    mask = uint64(len(keys) - 1)
    product = key * _GOLDEN
    slot = (product ^ (product >> uint64(32))) & mask
    while keys[slot] != key and keys[slot] != EMPTY:
        slot = (slot + uint64(1)) & mask
    return slot


@exact
def count_pairs(tokens: Any, at: Any, end: Any, common: Any, keys: Any, counts: Any, used: Any) -> tuple:
    """Count the pairs (tokens[i - 1], tokens[i]) of `common` (V,) words, for i from `at` to `end`.

    Fills `keys` (S,) with first word * 2**32 + second, `counts` (S,) with how often it stands. Returns (place, used
    slots): a place before the end where the table is two thirds full and must grow first.
    """
    limit = len(keys) * 2 // 3
    while at < end and used < limit:
        first, second = tokens[at - 1], tokens[at]
        if first >= 0 and second >= 0 and common[first] and common[second]:
            key = (uint64(first) << uint64(32)) | uint64(second)
            slot = _slot(keys, key)
            if keys[slot] == EMPTY:
                keys[slot] = key
                used += 1
            counts[slot] += 1
        at += 1
    return at, used


@exact
def move_pairs(keys: Any, values: Any, new_keys: Any, new_values: Any) -> None:
    """Put every pair and its value into another table, which must be empty and have room."""
    for old in range(len(keys)):
        if keys[old] != EMPTY:
            slot = _slot(new_keys, keys[old])
            new_keys[slot], new_values[slot] = keys[old], values[old]


@exact
def join_pairs(tokens: Any, at: Any, end: Any, keys: Any, phrases: Any, out: Any) -> tuple:
    """Write tokens[at:end] to `out` (≥ end - at,), each pair of the table as the one number of its phrase.

    From left to right: a word that closed a phrase opens no other. Returns (place, how many were written): the place
    is behind the end where a phrase reaches over it.
    """
    n, written = len(tokens), 0
    while at < end:
        out[written] = tokens[at]
        if at + 1 < n and tokens[at] >= 0 and tokens[at + 1] >= 0:
            key = (uint64(tokens[at]) << uint64(32)) | uint64(tokens[at + 1])
            slot = _slot(keys, key)
            if keys[slot] == key:
                out[written] = phrases[slot]
                at += 1
        at += 1
        written += 1
    return at, written
