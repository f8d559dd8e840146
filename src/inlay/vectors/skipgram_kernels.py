"""Skip-gram: the loops over a corpus, one for each way to predict a word from each of its neighbours.

Each word in turn is the centre. A reach is drawn from 1 .. window; every neighbour within it predicts the centre. Over
a corpus this is the same sum as the centre predicting its neighbours, since each pair of words is met from both sides.

All loops train on the sentences that begin in tokens[begin:end], change both tables, and return where the next sentence
begins. Their arguments, in groups: the stretch of the corpus; the two tables; how outputs are chosen; chance.
"""

# V words, W floats of a row that are used, n tokens (-1 between sentences), M neighbours of a centre
# rates (2,): the learning rate at `begin` and at `end`, linear between them
# inputs (V + 1, ≥ W) float32: the last row is spare; outputs (V, ≥ W) float32
# frozen (V,) bool, or empty: words whose inputs stay as they are; keep (V,) uint32; state (1,) uint64

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
    errors,
    fetch,
    neighbours,
    next_piece,
    predict,
    update,
    update_two,
)


@compiled
def shared_noise(
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
    """Negative sampling with one set of noise words for each centre, shared by its neighbours.

    So an update is a small matrix product (neighbours × outputs) and not a dot product per pair.
    """
    n_slots = (drawn + TILE) // TILE * SLOTS
    piece = np.empty(PIECE, np.int32)
    rows, into = np.empty(2 * window + 2, np.int64), np.empty(2 * window + 2, np.int64)
    outs, step = np.empty(n_slots, np.int64), np.empty((2, n_slots), np.float32)
    g = np.empty((2 * window + 2, n_slots), np.float32)
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
            errors(inputs, rows, m, outputs, outs, step, g, width)
            update(inputs, rows, into, m, outputs, outs, g, width)
    return at


@compiled
def own_noise(
    tokens: Any,
    begin: Any,
    end: Any,
    rates: Any,
    inputs: Any,
    outputs: Any,
    width: Any,
    frozen: Any,
    noise: Any,
    words: Any,  # noise words for each pair
    window: Any,
    keep: Any,
    state: Any,
) -> int:
    """Negative sampling with new noise words for each pair of words: the classic algorithm."""
    n_slots = (words + TILE) // TILE * SLOTS
    piece = np.empty(PIECE, np.int32)
    rows, into = np.empty(2 * window + 2, np.int64), np.empty(2 * window + 2, np.int64)
    outs, step = np.empty(n_slots, np.int64), np.empty((2, n_slots), np.float32)
    error = np.empty((1, width), np.float32)
    negatives = np.empty(words, np.int64)
    for k in range(words):
        negatives[k] = draw(noise, state)

    at = begin
    while at < end:
        rate = float32(rates[0] + (rates[1] - rates[0]) * (at - begin) / (end - begin))
        n, at = next_piece(tokens, at, keep, state, piece)
        for p in range(n):
            m = neighbours(piece, n, p, window, frozen, len(inputs) - 1, state, rows, into)
            if p + window + 2 < n:
                fetch(inputs, piece[p + window + 2], width)
                fetch(outputs, piece[p + 2], width)
            for c in range(m):
                choose_outputs(piece[p], negatives, rate, float32(1), outs, step)
                for k in range(words):
                    negatives[k] = draw(noise, state)
                    fetch(outputs, negatives[k], width)
                predict(inputs, rows[c], outputs, outs, step, error, width)
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
    """Hierarchical softmax: the neighbours of a centre, two at a time, against the nodes of its path.

    All at once would be a little faster and costs a point or two of the analogies: every path begins at the same few
    nodes, and they would take all the neighbours' steps from one place.
    """
    n_slots = (longest + TILE - 1) // TILE * SLOTS
    piece = np.empty(PIECE, np.int32)
    rows, into = np.empty(2 * window + 2, np.int64), np.empty(2 * window + 2, np.int64)
    outs, step = np.empty(n_slots, np.int64), np.empty((2, n_slots), np.float32)
    g, error = np.empty((2, n_slots), np.float32), np.empty((1, width), np.float32)

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
            for c in range(0, m - 1, 2):
                errors(inputs, rows[c:], 2, outputs, outs[:used], step, g, width)
                update_two(inputs, rows[c], rows[c + 1], into[c], into[c + 1], outputs, outs[:used], g, width)
            if m & 1:
                predict(inputs, rows[m - 1], outputs, outs[:used], step, error, width)
                add(inputs, rows[m - 1], into[m - 1], error, width)
    return at
