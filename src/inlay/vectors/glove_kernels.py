"""Training GloVe: AdaGrad on pairs of words, several pairs at once, as pure functions on arrays.

A row of the table holds a word's vector and, behind it, the sums of its squared gradients, so that a pair is read and
written in one stretch of memory each. The biases are two columns of the vectors: (..., b, 1) · (..., 1, b'), and where
the 1 stands the sum of squares is infinite, so that its step is zero; hence `exact`, which knows infinity. Pairs are
trained in tiles that share a word, which stays in registers while four others are read; and in visits, whose other
words stay in the cache.
"""

# V words, W floats of a vector (a multiple of LANES: dimensions, two biases, zeros). `table` is (2V, >= 2W) float32:
# row 2i is word i as centre, 2i + 1 as context; in a row, W floats of the vector, then W of the sums of squares.
# A pair of rows (a, o) has its twin (a ^ 1, o ^ 1): the same two words, each in the other's part.

from typing import Any

import numpy as np
from numba import float32, float64, int64, uint64

from inlay.vectors.compiled import exact
from inlay.vectors.kernels import next_random
from inlay.vectors.simd import LANES, fma, load, plus, rsqrt, spread, store, sums8, zero

TILE = 4
"""Others that are trained at once with their anchor."""


@exact
def below(n: Any, state: Any) -> int:
    """A random number below n."""
    return int64(((next_random(state) >> uint64(32)) * uint64(n)) >> uint64(32))


@exact
def score(table: Any, a: Any, o: Any, width: Any, dots: Any) -> None:
    """dots[0] = the products of row a with the four rows o, and of a ^ 1 with the four o ^ 1."""
    o0, o1, o2, o3 = o[0], o[1], o[2], o[3]
    s0 = s1 = s2 = s3 = t0 = t1 = t2 = t3 = zero()
    for d in range(0, width, LANES):
        x, y = load(table, a, d), load(table, a ^ 1, d)
        s0, t0 = fma(x, load(table, o0, d), s0), fma(y, load(table, o0 ^ 1, d), t0)
        s1, t1 = fma(x, load(table, o1, d), s1), fma(y, load(table, o1 ^ 1, d), t1)
        s2, t2 = fma(x, load(table, o2, d), s2), fma(y, load(table, o2 ^ 1, d), t2)
        s3, t3 = fma(x, load(table, o3, d), s3), fma(y, load(table, o3 ^ 1, d), t3)
    store(dots, 0, 0, sums8(s0, s1, s2, s3, t0, t1, t2, t3))


@exact
def pull(table: Any, row: Any, d: Any, width: Any, g: Any, x: Any) -> Any:
    """AdaGrad on LANES columns of a row: squares += s², w += s / √squares, with s = g · x; returns g · w of before."""
    w = load(table, row, d)
    s = fma(g, x, zero())
    squares = fma(s, s, load(table, row, width + d))
    store(table, row, d, fma(s, rsqrt(squares), w))
    store(table, row, width + d, squares)
    return fma(g, w, zero())


@exact
def move(table: Any, a: Any, o: Any, width: Any, steps: Any, first: Any) -> None:
    """Move the four rows o by steps[0, first + k] times row a, and row a by the sum of its steps from them."""
    g0, g1 = spread(steps, 0, first), spread(steps, 0, first + 1)
    g2, g3 = spread(steps, 0, first + 2), spread(steps, 0, first + 3)
    o0, o1, o2, o3 = o[0], o[1], o[2], o[3]
    for d in range(0, width, LANES):
        x = load(table, a, d)
        t0, t1 = pull(table, o0, d, width, g0, x), pull(table, o1, d, width, g1, x)
        t2, t3 = pull(table, o2, d, width, g2, x), pull(table, o3, d, width, g3, x)
        squares = load(table, a, width + d)
        squares = plus(squares, plus(fma(t0, t0, fma(t1, t1, zero())), fma(t2, t2, fma(t3, t3, zero()))))
        store(table, a, d, fma(plus(plus(t0, t1), plus(t2, t3)), rsqrt(squares), x))
        store(table, a, width + d, squares)


@exact
def shuffled(pairs: Any, state: Any) -> Any:
    """Tiles in an order by chance, each of up to TILE pairs by chance of one anchor: `order` (n,), `tiles` (tiles, 2).

    Tile t has the pairs order[tiles[t, 0] : tiles[t, 1]].
    """
    order, tiles = np.empty(len(pairs), np.int32), np.empty((len(pairs), 2), np.int32)
    n = at = 0
    while at < len(pairs):
        end = at
        while end < len(pairs) and pairs[end].anchor == pairs[at].anchor:
            place = at + below(end - at + 1, state)  # each goes to a place by chance, and what stood there to the end
            order[end] = order[place]
            order[place] = end
            end += 1
        for first in range(at, end, TILE):
            place = below(n + 1, state)
            tiles[n, 0], tiles[n, 1] = tiles[place, 0], tiles[place, 1]
            tiles[place, 0], tiles[place, 1] = first, min(first + TILE, end)
            n += 1
        at = end
    return order, tiles[:n]


@exact
def visit(table: Any, pairs: Any, width: Any, alpha: Any, two_way: Any, state: Any) -> tuple:
    """Train on the pairs, shuffled, those with the same anchor four at a time.

    Returns the sum of weight · error², and of how many pairs, twins counted.

    `pairs` (n,) have a row `anchor`, a row `other` and the pair's `log` and `weight`; those with the same anchor stand
    together. If `two_way`, the twin of each pair has the same log and weight, but for the pair of a word with itself,
    which is its own twin.
    """
    order, tiles = shuffled(pairs, state)
    o = np.zeros(TILE, np.int64)
    dots, steps = np.zeros((1, 2 * TILE), np.float32), np.zeros((1, 2 * TILE), np.float32)
    loss, n = 0.0, len(pairs)
    for t in range(len(tiles)):
        at, m = tiles[t, 0], tiles[t, 1] - tiles[t, 0]
        a = pairs[order[at]].anchor
        for k in range(TILE):  # a place that is left over repeats the last pair, with a step of zero
            o[k] = pairs[order[at + min(k, m - 1)]].other
        score(table, a, o, width, dots)
        steps[0, :] = 0
        for k in range(m):
            pair = pairs[order[at + k]]
            error = dots[0, k] - pair.log
            steps[0, k] = -float32(alpha) * pair.weight * error
            loss += float64(pair.weight * error * error)
            if two_way and o[k] != a ^ 1:
                n += 1
                error = dots[0, TILE + k] - pair.log
                steps[0, TILE + k] = -float32(alpha) * pair.weight * error
                loss += float64(pair.weight * error * error)
        move(table, a, o, width, steps, 0)
        if two_way:
            o ^= 1
            move(table, a ^ 1, o, width, steps, TILE)
    return loss, n


@exact
def drawn(seed: Any, word: Any, n: Any) -> int:
    """A number below n that the seed draws for a word, always the same (SplitMix64, Steele et al. 2014)."""
    z = seed + uint64(word + 1) * uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> uint64(27))) * uint64(0x94D049BB133111EB)
    z ^= z >> uint64(31)
    return int64(((z >> uint64(32)) * uint64(n)) >> uint64(32))


@exact
def tally_stripes(records: Any, stripe: Any, sizes: Any) -> None:
    """sizes[s] += the records whose j is one of the `stripe` words from s · stripe on."""
    for k in range(len(records)):
        sizes[records[k].j // stripe] += 1


@exact
def tally_visits(records: Any, stripe: Any, firsts: Any, seed: Any, sizes: Any) -> None:
    """sizes[v] += the records of visit v: a stripe's j with a part of all i, drawn by the seed.

    Stripe s has the visits firsts[s] .. firsts[s + 1] - 1.
    """
    for k in range(len(records)):
        s = records[k].j // stripe
        sizes[firsts[s] + drawn(seed, records[k].i, firsts[s + 1] - firsts[s])] += 1


@exact
def scatter(records: Any, stripe: Any, firsts: Any, seed: Any, at: Any, pairs: Any, x_max: Any, exponent: Any) -> None:
    """Write each record as a pair to its visit v, at pairs[at[v]], which moves on: i as centre, j as context."""
    for k in range(len(records)):
        s = records[k].j // stripe
        v = firsts[s] + drawn(seed, records[k].i, firsts[s + 1] - firsts[s])
        x = records[k].x
        log = np.log(x)
        pairs[at[v]].anchor = 2 * records[k].i
        pairs[at[v]].other = 2 * records[k].j + 1
        pairs[at[v]].log = log
        pairs[at[v]].weight = np.exp(exponent * (log - np.log(x_max))) if x < x_max else 1.0
        at[v] += 1
