"""Skip-gram and CBOW over n-grams: word2vec's loops, on words that are composed as they come near.

A word has a score of rows, and is part of ten pairs; but its rows are not met in every pair. When the word comes within
reach its vector is composed into a ring of the words near by, where the updates go while it stays; when it is out of
reach, what it has changed by is added to each of its rows. That is what fastText's updates come to, since adding a
gradient to each of the rows moves their mean by that gradient.
"""

# V words, W floats of a row that are used (a multiple of LANES), N rows of `inputs`, S = 2 * window + 1 words near by
# inputs (N, ≥ W) and outputs (V, ≥ W) are float32, zero beyond the dimension. near (S + 2, ≥ W): the ring, where the
# word at place p of a piece stands at p % S, then a row that is written and never read, and the mean that CBOW predicts
# from. before (S, ≥ W): minus the same words, as they were composed.

from typing import Any, NamedTuple

import numpy as np
from numba import float32, int64, uint64
from numpy.typing import NDArray

from inlay.vectors.compiled import compiled
from inlay.vectors.kernels import (
    PIECE,
    SLOTS,
    TILE,
    add,
    choose_outputs,
    choose_path,
    draw,
    errors,
    fetch,
    fetch_path,
    next_piece,
    next_random,
    predict,
    update,
)
from inlay.vectors.simd import LANES, fma, load, plus, spread, store, zero


class Words(NamedTuple):
    """Which rows each word is composed of."""

    starts: NDArray[np.int64]
    """(V,): word v is composed of rows[starts[v] : ends[v]]."""
    ends: NDArray[np.int64]
    rows: NDArray[np.int32]
    shares: NDArray[np.float32]
    """(V, 2): 1 / how many, and minus that."""
    frozen: NDArray[np.bool_]
    """(V,): these words stay as they are."""


class Task(NamedTuple):
    """What a word is predicted against: noise, or the nodes of its path through a tree where there are `points`."""

    noise: NDArray[np.uint32]
    """(V, 2), an alias table."""
    drawn: int
    """Noise words for a prediction; 0 for a tree."""
    weight: float
    """How often each of them counts."""
    per_pair: bool
    """Whether skip-gram draws for each pair anew, or for each word."""
    points: NDArray[np.int32]
    codes: NDArray[np.uint8]
    starts: NDArray[np.int64]
    """(V + 1,): the path of word v is points[starts[v] : starts[v + 1]]."""
    longest: int
    """Nodes of the longest path."""


@compiled
def enter(inputs: Any, words: Any, word: Any, near: Any, before: Any, slot: Any, width: Any) -> None:
    """near[slot] = the mean of the word's rows, before[slot] = minus that."""
    first, last = words.starts[word], words.ends[word]
    for d in range(0, width, LANES):
        store(near, slot, d, zero())
    for k in range(first, last):
        row = int64(words.rows[k])
        for d in range(0, width, LANES):
            store(near, slot, d, plus(load(near, slot, d), load(inputs, row, d)))
    share, minus = spread(words.shares, word, 0), spread(words.shares, word, 1)
    for d in range(0, width, LANES):
        total = load(near, slot, d)
        store(near, slot, d, fma(share, total, zero()))
        store(before, slot, d, fma(minus, total, zero()))


@compiled
def leave(inputs: Any, words: Any, word: Any, near: Any, before: Any, slot: Any, width: Any) -> None:
    """Add to each of the word's rows what near[slot] has changed by, unless it is frozen."""
    if words.frozen[word]:
        return
    for d in range(0, width, LANES):
        store(before, slot, d, plus(load(before, slot, d), load(near, slot, d)))
    for k in range(words.starts[word], words.ends[word]):
        row = int64(words.rows[k])
        for d in range(0, width, LANES):
            store(inputs, row, d, plus(load(inputs, row, d), load(before, slot, d)))


@compiled
def fetch_word(inputs: Any, words: Any, word: Any, width: Any) -> None:
    """Bring the word's rows into the cache."""
    for k in range(words.starts[word], words.ends[word]):
        fetch(inputs, int64(words.rows[k]), width)


@compiled
def choose(task: Any, word: Any, negatives: Any, rate: Any, outs: Any, step: Any) -> Any:
    """Fill the slots with what the word is predicted against; returns how many are in use."""
    if task.drawn == 0:
        return choose_path(word, task.points, task.codes, task.starts, rate, outs, step)
    choose_outputs(word, negatives, rate, float32(task.weight), outs, step)
    return len(outs)


@compiled
def draw_ahead(task: Any, negatives: Any, outputs: Any, state: Any, width: Any) -> None:
    """Draw the next prediction's noise, which is on its way while this one is worked on."""
    for k in range(len(negatives)):
        negatives[k] = draw(task.noise, state)
        fetch(outputs, negatives[k], width)


@compiled
def fetch_outputs(task: Any, word: Any, outputs: Any, width: Any) -> None:
    """Bring what predicts the word into the cache: its row, or the nodes of its path."""
    if task.drawn:
        fetch(outputs, word, width)
    else:
        fetch_path(word, task.points, task.starts, outputs, width)


@compiled
def around(words: Any, piece: Any, n: Any, p: Any, window: Any, state: Any, slots: Any, into: Any, sizes: Any) -> Any:
    """The words around place p, as far as a reach drawn from 1 .. window: slots, where to write them, numbers of rows.

    A frozen word's updates go to the row that is never read. Returns how many there are.
    """
    reach = 1 + int64(((next_random(state) >> uint64(32)) * uint64(window)) >> uint64(32))
    m, size = 0, 2 * window + 1
    for q in range(max(0, p - reach), min(n, p + reach + 1)):
        if q != p:
            slots[m] = q % size
            into[m] = size if words.frozen[piece[q]] else slots[m]
            sizes[0, m] = words.ends[piece[q]] - words.starts[piece[q]]
            m += 1
    return m


@compiled
def average(near: Any, slots: Any, sizes: Any, m: Any, row: Any, width: Any) -> None:
    """near[row] = the mean of all rows of all the m words: Σ sizes · near[slots] / Σ sizes; changes `sizes`."""
    total = float32(0)
    for c in range(m):
        total += sizes[0, c]
    for c in range(m):
        sizes[0, c] /= total
    for d in range(0, width, LANES):
        mean = zero()
        for c in range(m):
            mean = fma(spread(sizes, 0, c), load(near, slots[c], d), mean)
        store(near, row, d, mean)


@compiled
def train(
    tokens: Any,  # (n,) int32, -1 between sentences
    begin: Any,
    end: Any,
    rates: Any,  # (2,) float64: the learning rate at `begin` and at `end`, linear between them
    keep: Any,  # (V,) uint32: each word's chance to stay, times 2**32
    inputs: Any,
    words: Any,
    outputs: Any,
    task: Any,
    near: Any,
    before: Any,
    width: Any,
    window: Any,
    cbow: Any,  # bool: from the mean of the words around, not from each of them
    state: Any,  # (1,) uint64
) -> int:
    """Train on the sentences that begin in tokens[begin:end], changing both tables; returns where the next one begins.

    Each word in turn is predicted from those within a reach drawn from 1 .. window.
    """
    size = 2 * window + 1
    n_slots = (max(task.drawn + 1, task.longest) + TILE - 1) // TILE * SLOTS
    piece = np.empty(PIECE, np.int32)
    slots, into = np.empty(size + 1, np.int64), np.empty(size + 1, np.int64)
    outs, step = np.empty(n_slots, np.int64), np.empty((2, n_slots), np.float32)
    g, error = np.empty((size + 1, n_slots), np.float32), np.empty((1, near.shape[1]), np.float32)
    sizes = np.empty((1, size), np.float32)
    negatives = np.empty(task.drawn, np.int64)
    draw_ahead(task, negatives, outputs, state, width)

    at = begin
    while at < end:
        rate = float32(rates[0] + (rates[1] - rates[0]) * (at - begin) / (end - begin))
        n, at = next_piece(tokens, at, keep, state, piece)
        entered = 0
        for p in range(n):
            while entered < min(n, p + window + 1):
                if entered + 1 < n:
                    fetch_word(inputs, words, piece[entered + 1], width)
                enter(inputs, words, piece[entered], near, before, entered % size, width)
                entered += 1
            if p + 1 < n:
                fetch_outputs(task, piece[p + 1], outputs, width)
            m = around(words, piece, n, p, window, state, slots, into, sizes)
            if cbow and m:
                average(near, slots, sizes, m, size + 1, width)
                used = choose(task, piece[p], negatives, rate, outs, step)
                draw_ahead(task, negatives, outputs, state, width)
                predict(near, size + 1, outputs, outs[:used], step, error, width)
                for c in range(m):
                    add(near, slots[c], into[c], error, width)
            elif task.per_pair:
                for c in range(m):
                    used = choose(task, piece[p], negatives, rate, outs, step)
                    draw_ahead(task, negatives, outputs, state, width)
                    predict(near, slots[c], outputs, outs[:used], step, error, width)
                    add(near, slots[c], into[c], error, width)
            elif m:
                used = choose(task, piece[p], negatives, rate, outs, step)
                draw_ahead(task, negatives, outputs, state, width)
                errors(near, slots, m, outputs, outs[:used], step, g, width)
                update(near, slots, into, m, outputs, outs[:used], g, width)
            if p >= window:
                leave(inputs, words, piece[p - window], near, before, (p - window) % size, width)
        for q in range(max(n - window, 0), n):
            leave(inputs, words, piece[q], near, before, q % size, width)
    return at
