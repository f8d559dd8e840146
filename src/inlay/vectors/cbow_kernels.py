"""CBOW: the loops over a corpus, one for each way to predict a word from the mean of its neighbours.

Each word in turn is the centre. A reach is drawn from 1 .. window; the mean of the neighbours within it predicts the
centre. As word2vec and its descendants do it, each neighbour then moves by the whole gradient of the mean, not by its
share of it: a step that is as many times longer as there are neighbours.

Arguments, tables and results are those of the loops of skip-gram.
"""

# V words, W floats of a row that are used, n tokens (-1 between sentences), M neighbours of a centre

from typing import Any

import numpy as np
from numba import float32

from inlay.vectors.compiled import compiled
from inlay.vectors.kernels import (
    PIECE,
    SLOTS,
    TILE,
    add,
    choose_outputs,
    choose_path,
    draw,
    fetch,
    neighbours,
    next_piece,
    predict,
)
from inlay.vectors.simd import LANES, fma, load, plus, spread, store, zero


@compiled
def mean(table: Any, rows: Any, m: Any, hidden: Any, share: Any, width: Any) -> None:
    """hidden[0] = Σ_c table[rows[c]] / m; `share` (1, 1) is room for 1 / m."""
    share[0, 0] = float32(1) / float32(m)
    factor = spread(share, 0, 0)
    for d in range(0, width, LANES):
        total = zero()
        for c in range(m):
            total = plus(total, load(table, rows[c], d))
        store(hidden, 0, d, fma(total, factor, zero()))


@compiled
def noise(
    tokens: Any,
    begin: Any,
    end: Any,
    rates: Any,
    inputs: Any,
    outputs: Any,
    width: Any,
    frozen: Any,
    noise: Any,  # (V, 2) uint32, an alias table
    drawn: Any,  # noise words for each centre
    weight: Any,  # how often each of them counts
    window: Any,
    keep: Any,
    state: Any,
) -> int:
    """Negative sampling with new noise words for each centre: to share them over several centres costs quality."""
    n_slots = (drawn + TILE) // TILE * SLOTS
    piece = np.empty(PIECE, np.int32)
    rows, into = np.empty(2 * window + 2, np.int64), np.empty(2 * window + 2, np.int64)
    outs, step = np.empty(n_slots, np.int64), np.empty((2, n_slots), np.float32)
    hidden, error, share = (
        np.empty((1, width), np.float32),
        np.empty((1, width), np.float32),
        np.empty((1, 1), np.float32),
    )
    negatives = np.empty(drawn, np.int64)
    for k in range(drawn):
        negatives[k] = draw(noise, state)

    at = begin
    while at < end:
        rate = float32(rates[0] + (rates[1] - rates[0]) * (at - begin) / (end - begin))
        n, at = next_piece(tokens, at, keep, state, piece)
        for p in range(n):
            m = neighbours(piece, n, p, window, frozen, len(inputs) - 1, state, rows, into)
            if m == 0:
                continue
            choose_outputs(piece[p], negatives, rate, float32(weight), outs, step)
            for k in range(drawn):  # the next centre's, so that they are on their way while this one is worked on
                negatives[k] = draw(noise, state)
                fetch(outputs, negatives[k], width)
            if p + window + 2 < n:
                fetch(inputs, piece[p + window + 2], width)
                fetch(outputs, piece[p + 2], width)
            mean(inputs, rows, m, hidden, share, width)
            predict(hidden, 0, outputs, outs, step, error, width)
            for c in range(m):
                add(inputs, rows[c], into[c], error, width)
    return at


@compiled
def tree(
    tokens: Any,
    begin: Any,
    end: Any,
    rates: Any,
    inputs: Any,
    outputs: Any,  # of the inner nodes
    width: Any,
    frozen: Any,
    points: Any,  # of a Huffman tree, as are codes and starts
    codes: Any,
    starts: Any,
    longest: Any,  # the most nodes on a path
    window: Any,
    keep: Any,
    state: Any,
) -> int:
    """Hierarchical softmax: the mean against the nodes of the centre's path."""
    n_slots = (longest + TILE - 1) // TILE * SLOTS
    piece = np.empty(PIECE, np.int32)
    rows, into = np.empty(2 * window + 2, np.int64), np.empty(2 * window + 2, np.int64)
    outs, step = np.empty(n_slots, np.int64), np.empty((2, n_slots), np.float32)
    hidden, error, share = (
        np.empty((1, width), np.float32),
        np.empty((1, width), np.float32),
        np.empty((1, 1), np.float32),
    )

    at = begin
    while at < end:
        rate = float32(rates[0] + (rates[1] - rates[0]) * (at - begin) / (end - begin))
        n, at = next_piece(tokens, at, keep, state, piece)
        for p in range(n):
            m = neighbours(piece, n, p, window, frozen, len(inputs) - 1, state, rows, into)
            if m == 0:
                continue
            used = choose_path(piece[p], points, codes, starts, rate, outs, step)
            if p + window + 2 < n:
                fetch(inputs, piece[p + window + 2], width)
            mean(inputs, rows, m, hidden, share, width)
            predict(hidden, 0, outputs, outs[:used], step, error, width)
            for c in range(m):
                add(inputs, rows[c], into[c], error, width)
    return at
