"""Slow twins, in plain NumPy and Python numbers, of the compiled loops of word2vec, some of which fastText shares."""

import numpy as np

from inlay.vectors import kernels
from inlay.vectors.simd import LANES

WIDTH = 2 * LANES


def tables(rng, n_words=12, dim=11):
    """Inputs, with a spare row at their end, and outputs."""
    room = np.zeros((2, n_words + 1, WIDTH), np.float32)
    room[:, :-1, :dim] = rng.normal(0, 0.5, (2, n_words, dim))
    return room[0].copy(), room[1, :-1].copy()


def sigmoid(x):
    return 1 / (1 + np.exp(-np.clip(x, -8, 8)))


class Chance:
    """xorshift64*, and what is drawn with it."""

    def __init__(self, seed):
        self.x = seed

    def next(self):
        x, full = self.x, 2**64 - 1
        x ^= x >> 12
        x ^= x << 25 & full
        x ^= x >> 27
        self.x = x
        return x * 0x2545F4914F6CDD1D & full

    def below(self, n):
        return (self.next() >> 32) * n >> 32

    def draw(self, noise):
        r = self.next()
        word = (r >> 32) * len(noise) >> 32
        return word if (r & 0xFFFFFFFF) <= int(noise[word, 0]) else int(noise[word, 1])


def outputs_of(centre, negatives, rate, weight):
    """(slots,) rows and (2, slots) steps, in tiles of eight slots of which six are used."""
    n = -(-(len(negatives) + 1) // 6) * 8
    outs, step = np.full(n, centre), np.zeros((2, n), np.float32)
    step[:, 0] = rate, -rate
    for k, word in enumerate(negatives, 1):
        slot = k // 6 * 8 + k % 6
        outs[slot] = word
        step[1, slot] = -rate * weight * (word != centre)
    return outs, step


def path_of(word, tree, rate):
    """The same for the nodes of a word's path."""
    points, codes, starts = (part.astype(int) for part in tree)
    nodes, turns = points[starts[word] : starts[word + 1]], codes[starts[word] : starts[word + 1]]
    n = -(-len(nodes) // 6) * 8
    outs, step = np.full(n, nodes[0] if len(nodes) else 0), np.zeros((2, n), np.float32)
    for k, (node, turn) in enumerate(zip(nodes, turns, strict=True)):
        slot = k // 6 * 8 + k % 6
        outs[slot], step[:, slot] = node, (rate * turn, -rate)
    return outs, step


def together(inputs, rows, into, outputs, outs, step):
    """All neighbours against the same outputs; both tables change in place."""
    g = step[0] + step[1] * sigmoid(inputs[rows] @ outputs[outs].T)
    for first in range(0, len(outs), 8):
        tile = slice(first, first + 6)
        before, change = outputs[outs[tile]].copy(), np.zeros((len(outs[tile]), WIDTH), np.float32)
        for c, (row, to) in enumerate(zip(rows, into, strict=True)):
            h = inputs[row].copy()
            inputs[to] = inputs[row] + g[c, tile] @ before
            change += np.outer(g[c, tile], h)
        np.add.at(outputs, outs[tile], change)


def alone(h, outputs, outs, step):
    """One vector against its outputs, which change in place; returns the sum that goes to the vector."""
    error = np.zeros(WIDTH, np.float32)
    for first in range(0, len(outs), 8):
        tile = slice(first, first + 6)
        g = step[0, tile] + step[1, tile] * sigmoid(outputs[outs[tile]] @ h)
        error += g @ outputs[outs[tile]]
        np.add.at(outputs, outs[tile], np.outer(g, h))
    return error


def centres(tokens, rates, keep, window, random, frozen, spare):
    """(rate, centre, rows of its neighbours, rows to write them to) for each centre that has neighbours."""
    at = 0
    while at < len(tokens):
        rate, piece = rates[0] + (rates[1] - rates[0]) * at / len(tokens), []
        while at < len(tokens) and len(piece) < kernels.PIECE:
            word, at = tokens[at], at + 1
            if word < 0:
                break
            if random.next() >> 32 <= keep[word]:
                piece.append(word)
        for p, centre in enumerate(piece):
            reach = 1 + random.below(window)
            rows = [*piece[max(0, p - reach) : p], *piece[p + 1 : p + reach + 1]]
            if rows:
                yield np.float32(rate), centre, rows, [spare if row in frozen else row for row in rows]
