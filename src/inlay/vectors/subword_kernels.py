"""The n-grams of words as fastText hashes them: loops over the bytes of words.

A word stands in `text` as `<word>` in UTF-8. A character is a byte and the continuation bytes (10xxxxxx) after it; what
is hashed are bytes, so the two orders of counting never disagree.
"""

# V words, R their n-grams together, B buckets
# text: bytes, uint8; bounds (V + 1,): word v is text[bounds[v] : bounds[v + 1]]; starts (V + 1,): its n-grams are
# rows[starts[v] : starts[v + 1]]

from typing import Any

import numpy as np
from numba import int64, uint32

from inlay.vectors.compiled import compiled, exact

_BASIS, _PRIME = 2166136261, 16777619


@exact
def hashed(h: Any, byte: Any) -> Any:
    """The hash h with one more byte: FNV-1a of 32 bits, with each byte taken as a signed one, as fastText does."""
    wide = uint32(byte) | uint32(0xFFFFFF00) if byte & 0x80 else uint32(byte)
    return uint32((uint32(h) ^ wide) * uint32(_PRIME))


@exact
def hash_bytes(text: Any) -> Any:
    """The 32-bit hash of `text` (n,) uint8."""
    h = uint32(_BASIS)
    for byte in text:
        h = hashed(h, byte)
    return h


@exact
def count_ngrams(text: Any, bounds: Any, min_n: Any, max_n: Any) -> Any:
    """(V + 1,) `starts`: how many n-grams of min_n .. max_n characters stand before each word's."""
    starts = np.zeros(len(bounds), np.int64)
    for v in range(len(bounds) - 1):
        length = 0
        for at in range(bounds[v], bounds[v + 1]):
            length += (text[at] & 0xC0) != 0x80
        count = 0
        for n in range(max(min_n, 1), min(max_n, length) + 1):
            count += length - n + 1
            if n == 1:
                count -= 2  # the ends of the word alone are none
        starts[v + 1] = starts[v] + count
    return starts


@exact
def fill_ngrams(text: Any, bounds: Any, min_n: Any, max_n: Any, buckets: Any, starts: Any, rows: Any) -> None:
    """rows[starts[v] : starts[v + 1]] = the buckets of word v's n-grams: by their first character, then by length.

    `starts` is what `count_ngrams` gave for the same words; `rows` (R,) int64.
    """
    for v in range(len(bounds) - 1):
        begin, end, filled = bounds[v], bounds[v + 1], starts[v]
        for first in range(begin, end):
            if (text[first] & 0xC0) == 0x80:
                continue
            h, at, n = uint32(_BASIS), first, 0
            while at < end and n < max_n:
                h = hashed(h, text[at])
                at += 1
                while at < end and (text[at] & 0xC0) == 0x80:
                    h = hashed(h, text[at])
                    at += 1
                n += 1
                if n >= min_n and not (n == 1 and (first == begin or at == end)):
                    rows[filled] = int64(h) % buckets
                    filled += 1


@compiled
def add_rows(table: Any, starts: Any, rows: Any, words: Any, sums: Any) -> None:
    """sums[i] += Σ table[r] over the rows r in rows[starts[v] : starts[v + 1]] of v = words[i]; -1 stands for zeros.

    `table` (N, ≥ D), `sums` (len(words), D).
    """
    for i in range(len(words)):
        for k in range(starts[words[i]], starts[words[i] + 1]):
            row = rows[k]
            if row >= 0:
                for d in range(sums.shape[1]):
                    sums[i, d] += table[row, d]


@exact
def number_rows(starts: Any, ngrams: Any, buckets: Any) -> tuple:
    """The rows that V words are composed of, numbered as they are first met: buckets that none meets get no number.

    Returns (bounds (V + 1,), rows (V + R,) int32, places (N,) int64): word v is composed of rows[bounds[v] :
    bounds[v + 1]], its own row first; row n is the row places[n] of the table of V words and B buckets.
    """
    n_words = len(starts) - 1
    number = np.full(buckets, -1, np.int32)
    bounds, rows = np.empty(n_words + 1, np.int64), np.empty(n_words + len(ngrams), np.int32)
    places = np.empty(n_words + min(len(ngrams), buckets), np.int64)
    n = at = 0
    for v in range(n_words):
        bounds[v] = at
        rows[at], places[n] = n, v
        at += 1
        n += 1
        for bucket in ngrams[starts[v] : starts[v + 1]]:
            if number[bucket] < 0:
                number[bucket] = n
                places[n] = n_words + bucket
                n += 1
            rows[at] = number[bucket]
            at += 1
    bounds[n_words] = at
    return bounds, rows, places[:n]
