"""What the loops of word2vec are made of, as pure functions on arrays: chance, windows, outputs, and the updates.

Many vectors against the same outputs are a small matrix product, done in tiles of 2 vectors × 6 outputs, whose twelve
sums stay in registers (`errors`, `update`); a vector alone takes a tile of its own (`predict`).
"""

# V words, W floats of a row that are used (a multiple of LANES), M neighbours of a centre, T = 8 slots a tile of 6
# outputs: the two last ones stay unused. `inputs` and `outputs` are (≥ V, ≥ W) float32, zero beyond the dimension.
# r: a 64-bit random number, of which the upper half is compared with a probability times 2**32.

from typing import Any

import numpy as np
from numba import float32, int64, uint32, uint64

from inlay.vectors.compiled import compiled
from inlay.vectors.simd import LANES, fma, load, load8, plus, prefetch, sigmoid, spread, store, sums, zero

TILE = 6
"""Outputs in a tile: with 2 neighbours, as many sums as 16 registers hold."""
SLOTS = 8
"""Places that a tile takes in the arrays of outputs, so that its errors are one register."""
PIECE = 1024
"""Words of a sentence that are kept at a time; a window never reaches over the end of a piece."""
_NEAR_ROOT = 4
"""Levels of a tree that every path comes through again and again."""
_LINE = 16
"""Floats in a cache line."""


@compiled
def next_random(state: Any) -> Any:
    """The next 64 random bits; `state` is one uint64 that is not zero (xorshift64*, Vigna 2016, arXiv:1402.6246)."""
    x = state[0]
    x ^= x >> uint64(12)
    x ^= x << uint64(25)
    x ^= x >> uint64(27)
    state[0] = x
    return x * uint64(0x2545F4914F6CDD1D)


@compiled
def alias_table(shares: Any) -> Any:
    """(V, 2) uint32: for each word the share of its own column, times 2**32, and the word that fills up the column.

    `shares` (V,) are probabilities. A draw takes two looks, whatever V is (Walker 1977; Vose 1991).
    """
    n = len(shares)
    full = shares / shares.sum() * n
    table = np.empty((n, 2), np.uint32)
    small, large = np.empty(n, np.int64), np.empty(n, np.int64)
    n_small = n_large = 0
    for word in range(n):
        table[word, 0], table[word, 1] = 0xFFFFFFFF, word
        if full[word] < 1:
            small[n_small] = word
            n_small += 1
        else:
            large[n_large] = word
            n_large += 1
    while n_small and n_large:
        n_small -= 1
        poor, rich = small[n_small], large[n_large - 1]
        table[poor, 0], table[poor, 1] = uint32(full[poor] * 4294967295.0), rich
        full[rich] -= 1 - full[poor]
        if full[rich] < 1:
            n_large -= 1
            small[n_small] = rich
            n_small += 1
    return table


@compiled
def draw(noise: Any, state: Any) -> Any:
    """A word drawn from an alias table."""
    r = next_random(state)
    word = int64(((r >> uint64(32)) * uint64(len(noise))) >> uint64(32))
    other = int64(noise[word, 1])
    return word if (r & uint64(0xFFFFFFFF)) <= uint64(noise[word, 0]) else other


@compiled
def errors(inputs: Any, rows: Any, m: Any, outputs: Any, outs: Any, step: Any, g: Any, width: Any) -> None:
    """g[c, t] = step[0, t] + step[1, t] · σ(h_c · o_t) for the m neighbours h_c and the outputs o_t.

    `rows` (≥ m + 1,) are the neighbours' rows in `inputs`, `outs` (a multiple of T,) the outputs' rows in `outputs`.
    """
    if m & 1:
        rows[m] = rows[m - 1]  # an odd one is scored twice: cheaper than a second kernel
    for s in range(0, len(outs), SLOTS):
        r0, r1, r2, r3, r4, r5 = outs[s], outs[s + 1], outs[s + 2], outs[s + 3], outs[s + 4], outs[s + 5]
        base, slope = load8(step, 0, s), load8(step, 1, s)
        for c in range(0, m, 2):
            a, b = rows[c], rows[c + 1]
            a0 = a1 = a2 = a3 = a4 = a5 = zero()
            b0 = b1 = b2 = b3 = b4 = b5 = zero()
            for d in range(0, width, LANES):
                x, y = load(inputs, a, d), load(inputs, b, d)
                o = load(outputs, r0, d)
                a0, b0 = fma(x, o, a0), fma(y, o, b0)
                o = load(outputs, r1, d)
                a1, b1 = fma(x, o, a1), fma(y, o, b1)
                o = load(outputs, r2, d)
                a2, b2 = fma(x, o, a2), fma(y, o, b2)
                o = load(outputs, r3, d)
                a3, b3 = fma(x, o, a3), fma(y, o, b3)
                o = load(outputs, r4, d)
                a4, b4 = fma(x, o, a4), fma(y, o, b4)
                o = load(outputs, r5, d)
                a5, b5 = fma(x, o, a5), fma(y, o, b5)
            store(g, c, s, fma(slope, sigmoid(sums(a0, a1, a2, a3, a4, a5)), base))
            store(g, c + 1, s, fma(slope, sigmoid(sums(b0, b1, b2, b3, b4, b5)), base))


@compiled
def update(inputs: Any, rows: Any, into: Any, m: Any, outputs: Any, outs: Any, g: Any, width: Any) -> None:
    """h_c += Σ_t g[c, t] · o_t and o_t += Σ_c g[c, t] · h_c, tile after tile.

    The new h_c goes to the row into[c]: that of rows[c], or any other where the word is to stay as it is. A row that
    stands twice among `rows` or `outs` gets both of its updates.
    """
    for s in range(0, len(outs), SLOTS):
        r0, r1, r2, r3, r4, r5 = outs[s], outs[s + 1], outs[s + 2], outs[s + 3], outs[s + 4], outs[s + 5]
        for d in range(0, width, LANES):
            o0, o1, o2 = load(outputs, r0, d), load(outputs, r1, d), load(outputs, r2, d)
            o3, o4, o5 = load(outputs, r3, d), load(outputs, r4, d), load(outputs, r5, d)
            e0 = e1 = e2 = e3 = e4 = e5 = zero()
            for c in range(m):
                h = load(inputs, rows[c], d)
                w = spread(g, c, s)
                even, e0 = fma(w, o0, h), fma(w, h, e0)
                w = spread(g, c, s + 1)
                odd, e1 = fma(w, o1, zero()), fma(w, h, e1)  # two chains of sums, each half as long to wait for
                w = spread(g, c, s + 2)
                even, e2 = fma(w, o2, even), fma(w, h, e2)
                w = spread(g, c, s + 3)
                odd, e3 = fma(w, o3, odd), fma(w, h, e3)
                w = spread(g, c, s + 4)
                even, e4 = fma(w, o4, even), fma(w, h, e4)
                w = spread(g, c, s + 5)
                odd, e5 = fma(w, o5, odd), fma(w, h, e5)
                store(inputs, into[c], d, plus(even, odd))
            store(outputs, r0, d, plus(load(outputs, r0, d), e0))
            store(outputs, r1, d, plus(load(outputs, r1, d), e1))
            store(outputs, r2, d, plus(load(outputs, r2, d), e2))
            store(outputs, r3, d, plus(load(outputs, r3, d), e3))
            store(outputs, r4, d, plus(load(outputs, r4, d), e4))
            store(outputs, r5, d, plus(load(outputs, r5, d), e5))


@compiled
def update_two(
    inputs: Any, a: Any, b: Any, into_a: Any, into_b: Any, outputs: Any, outs: Any, g: Any, width: Any
) -> None:
    """`update` for two neighbours a and b: their twelve errors stay in registers, an output is written once."""
    for s in range(0, len(outs), SLOTS):
        r0, r1, r2, r3, r4, r5 = outs[s], outs[s + 1], outs[s + 2], outs[s + 3], outs[s + 4], outs[s + 5]
        a0, a1, a2 = spread(g, 0, s), spread(g, 0, s + 1), spread(g, 0, s + 2)
        a3, a4, a5 = spread(g, 0, s + 3), spread(g, 0, s + 4), spread(g, 0, s + 5)
        b0, b1, b2 = spread(g, 1, s), spread(g, 1, s + 1), spread(g, 1, s + 2)
        b3, b4, b5 = spread(g, 1, s + 3), spread(g, 1, s + 4), spread(g, 1, s + 5)
        for d in range(0, width, LANES):
            o0, o1, o2 = load(outputs, r0, d), load(outputs, r1, d), load(outputs, r2, d)
            o3, o4, o5 = load(outputs, r3, d), load(outputs, r4, d), load(outputs, r5, d)
            x = load(inputs, a, d)
            even, odd = fma(a4, o4, fma(a2, o2, fma(a0, o0, x))), fma(a5, o5, fma(a3, o3, fma(a1, o1, zero())))
            store(inputs, into_a, d, plus(even, odd))
            y = load(inputs, b, d)  # after the other is written: it may be the same word
            even, odd = fma(b4, o4, fma(b2, o2, fma(b0, o0, y))), fma(b5, o5, fma(b3, o3, fma(b1, o1, zero())))
            store(inputs, into_b, d, plus(even, odd))
            store(outputs, r0, d, fma(b0, y, fma(a0, x, o0)))
            store(outputs, r1, d, fma(b1, y, fma(a1, x, load(outputs, r1, d))))  # read again, as in `predict`
            store(outputs, r2, d, fma(b2, y, fma(a2, x, load(outputs, r2, d))))
            store(outputs, r3, d, fma(b3, y, fma(a3, x, load(outputs, r3, d))))
            store(outputs, r4, d, fma(b4, y, fma(a4, x, load(outputs, r4, d))))
            store(outputs, r5, d, fma(b5, y, fma(a5, x, load(outputs, r5, d))))


@compiled
def predict(hidden: Any, row: Any, outputs: Any, outs: Any, step: Any, error: Any, width: Any) -> None:
    """For the one vector h = hidden[row] and g_t = step[0, t] + step[1, t] · σ(h · o_t): o_t += g_t · h, and
    error (1, ≥ W) = Σ_t g_t · o_t, of the outputs as they were. An output that stands twice gets both updates."""
    g = np.empty((1, SLOTS), np.float32)
    if not len(outs):  # the path of the only word has no nodes
        for d in range(0, width, LANES):
            store(error, 0, d, zero())
    for s in range(0, len(outs), SLOTS):
        r0, r1, r2, r3, r4, r5 = outs[s], outs[s + 1], outs[s + 2], outs[s + 3], outs[s + 4], outs[s + 5]
        a0 = a1 = a2 = a3 = a4 = a5 = zero()
        for d in range(0, width, LANES):
            h = load(hidden, row, d)
            a0, a1 = fma(h, load(outputs, r0, d), a0), fma(h, load(outputs, r1, d), a1)
            a2, a3 = fma(h, load(outputs, r2, d), a2), fma(h, load(outputs, r3, d), a3)
            a4, a5 = fma(h, load(outputs, r4, d), a4), fma(h, load(outputs, r5, d), a5)
        store(g, 0, 0, fma(load8(step, 1, s), sigmoid(sums(a0, a1, a2, a3, a4, a5)), load8(step, 0, s)))
        g0, g1, g2 = spread(g, 0, 0), spread(g, 0, 1), spread(g, 0, 2)
        g3, g4, g5 = spread(g, 0, 3), spread(g, 0, 4), spread(g, 0, 5)
        for d in range(0, width, LANES):
            h = load(hidden, row, d)
            o0, o1, o2 = load(outputs, r0, d), load(outputs, r1, d), load(outputs, r2, d)
            o3, o4, o5 = load(outputs, r3, d), load(outputs, r4, d), load(outputs, r5, d)
            even, odd = fma(g4, o4, fma(g2, o2, fma(g0, o0, zero()))), fma(g5, o5, fma(g3, o3, fma(g1, o1, zero())))
            e = plus(even, odd)
            store(error, 0, d, plus(load(error, 0, d), e) if s else e)
            store(outputs, r0, d, fma(g0, h, o0))
            store(outputs, r1, d, fma(g1, h, load(outputs, r1, d)))  # read again: it may be the row of before
            store(outputs, r2, d, fma(g2, h, load(outputs, r2, d)))
            store(outputs, r3, d, fma(g3, h, load(outputs, r3, d)))
            store(outputs, r4, d, fma(g4, h, load(outputs, r4, d)))
            store(outputs, r5, d, fma(g5, h, load(outputs, r5, d)))


@compiled
def add(table: Any, row: Any, to: Any, vector: Any, width: Any) -> None:
    """table[to] = table[row] + vector[0]"""
    for d in range(0, width, LANES):
        store(table, to, d, plus(load(table, row, d), load(vector, 0, d)))


@compiled
def next_slot(slot: Any) -> Any:
    """The slot after this one, over the two at the end of each tile that stay unused."""
    return slot + 1 if slot & (SLOTS - 1) < TILE - 1 else slot + 1 + SLOTS - TILE


@compiled
def choose_outputs(centre: Any, negatives: Any, rate: Any, weight: Any, outs: Any, step: Any) -> None:
    """Fill the slots: the centre, to be raised by rate · (1 - σ); the negatives, to be lowered by rate · weight · σ.

    A negative that happens to be the centre, and a slot that is left over, get a step of zero: then any row will do.
    """
    outs[:] = centre
    step[:] = 0
    step[0, 0], step[1, 0] = rate, -rate
    slot = 0
    for negative in negatives:
        slot = next_slot(slot)
        outs[slot] = negative
        step[1, slot] = -rate * weight if negative != centre else float32(0)


@compiled
def choose_path(word: Any, points: Any, codes: Any, starts: Any, rate: Any, outs: Any, step: Any) -> Any:
    """Fill the slots with the nodes of a word's path (see `huffman`): σ is to be 1 where the code is 1, else 0.

    Returns how many slots are in use; those left over in the last tile get the path's first node and a step of zero.
    """
    begin = starts[word]
    length = starts[word + 1] - begin
    n = (length + TILE - 1) // TILE * SLOTS
    outs[:n] = points[begin] if length else 0
    step[:, :n] = 0
    slot = 0
    for k in range(begin, begin + length):
        outs[slot] = points[k]
        step[0, slot], step[1, slot] = rate * codes[k], -rate
        slot = next_slot(slot)
    return n


@compiled
def next_piece(tokens: Any, at: Any, keep: Any, state: Any, piece: Any) -> Any:
    """Copy the words from `at` to the end of the sentence into `piece`, as many as `keep` lets pass and it holds.

    `tokens` (n,) int32 with -1 between sentences; `keep` (V,) uint32 is each word's chance to stay, times 2**32.
    Returns how many words were copied, and where the next piece begins.
    """
    n = 0
    while at < len(tokens) and n < len(piece):
        word = tokens[at]
        at += 1
        if word < 0:
            break
        if (next_random(state) >> uint64(32)) <= uint64(keep[word]):
            piece[n] = word
            n += 1
    return n, at


@compiled
def fetch_path(word: Any, points: Any, starts: Any, table: Any, width: Any) -> None:
    """Bring the nodes of a word's path into the cache; those near the root, which stand last, are there anyway."""
    for k in range(starts[word], starts[word + 1] - _NEAR_ROOT):
        fetch(table, points[k], width)


@compiled
def neighbours(
    piece: Any, n: Any, p: Any, window: Any, frozen: Any, spare: Any, state: Any, rows: Any, into: Any
) -> Any:
    """The words of piece[:n] around p, as far as a reach drawn from 1 .. window: their rows, and where to write them.

    `frozen` (V,) bool, or empty: these words' updates go to the row `spare`, so that they stay as they are. Returns how
    many there are; `rows` and `into` hold one more.
    """
    reach = 1 + int64(((next_random(state) >> uint64(32)) * uint64(window)) >> uint64(32))
    m = 0
    for q in range(max(0, p - reach), min(n, p + reach + 1)):
        if q != p:
            rows[m] = into[m] = piece[q]
            if len(frozen) and frozen[piece[q]]:
                into[m] = spare
            m += 1
    return m


@compiled
def fetch(table: Any, row: Any, width: Any) -> None:
    """Bring a row into the cache while there is other work to do."""
    for d in range(0, width, _LINE):
        prefetch(table, row, d)
