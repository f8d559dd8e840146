"""A linear classifier over the words of a line: the loops over lines, as pure functions on arrays.

A line's features are its words, their character n-grams and its word n-grams, as fastText makes them. The mean of their
rows is the line's hidden vector, which predicts the label (Joulin et al. 2016, arXiv:1607.01759).
"""

# V words, B buckets, C labels, W floats of a row that are used, N lines, T distinct words of the text ("types")
# tokens (n,) int32: numbers of types, -1 at each line end. A feature is a word's number, or V + its n-gram's bucket.

from typing import Any, NamedTuple

import numpy as np
from numba import float32, int64, uint32, uint64
from numpy.typing import NDArray

from inlay.vectors.compiled import compiled, exact
from inlay.vectors.kernels import draw, next_random
from inlay.vectors.subword_kernels import hash_bytes

SOFTMAX, PATHS, NOISE, EACH = range(4)
"""How labels are told apart: all against all, by turns in a tree, against drawn ones, each by itself."""


class Types(NamedTuple):
    """What each distinct word of a text contributes to a line; the last type is the line's end."""

    starts: NDArray[np.int64]
    """(T + 2,)"""
    features: NDArray[np.int32]
    """Type t contributes features[starts[t] : starts[t + 1]]."""
    hashes: NDArray[np.int32]
    """(T + 1,) of the words, for word n-grams."""
    word_ngrams: int
    """Most words of a word n-gram."""
    n_words: int
    """V"""
    buckets: int
    """B"""
    places: NDArray[np.int32]
    """(B,) the feature to take for each bucket in place of V + bucket; or empty."""


class Labels(NamedTuple):
    """How labels are learned."""

    kind: int
    """SOFTMAX, PATHS, NOISE or EACH."""
    drawn: int
    """Noise labels against each true one."""
    noise: NDArray[np.uint32]
    """(C, 2): an alias table."""
    points: NDArray[np.int32]
    codes: NDArray[np.uint8]
    starts: NDArray[np.int64]
    """A Huffman tree's paths, as `huffman.tree` gives them."""


@exact
def hash_words(text: Any, bounds: Any) -> Any:
    """(T,) int32: the hash of each word text[bounds[t] : bounds[t + 1]], its bits taken as a signed number."""
    hashes = np.empty(len(bounds) - 1, np.int32)
    for t in range(len(hashes)):
        hashes[t] = np.int32(uint32(hash_bytes(text[bounds[t] : bounds[t + 1]])))
    return hashes


@exact
def part_labels(tokens: Any, label_of: Any, lines: Any, labels: Any, bounds: Any) -> tuple:
    """Take the labels out of the tokens, in place, and drop the lines without any.

    `label_of` (T,) int32 is the label of a type, -1 of a word, -2 of a type that is left out. Fills `lines` (N + 1,),
    where each line begins in tokens, `labels`, and `bounds` (N + 1,), where each line's labels begin. Returns how many
    lines, labels and tokens there are.
    """
    n_lines = n_labels = n = 0
    lines[0] = bounds[0] = 0
    for token in tokens:
        if token >= 0:
            label = label_of[token]
            if label >= 0:
                labels[n_labels] = label
                n_labels += 1
            elif label == -1:
                tokens[n] = token
                n += 1
        elif n_labels == bounds[n_lines]:
            n = lines[n_lines]
        else:
            tokens[n] = -1
            n += 1
            n_lines += 1
            lines[n_lines], bounds[n_lines] = n, n_labels
    return n_lines, n_labels, n


@exact
def longest(tokens: Any, types: Any) -> tuple:
    """(most words, most features) of a line, the line's end counted."""
    most_words = most = words = features = 0
    end = len(types.hashes) - 1
    for token in tokens:
        t = end if token < 0 else token
        words += 1
        features += types.starts[t + 1] - types.starts[t]
        if token < 0:
            most_words, most = max(most_words, words), max(most, features + words * max(types.word_ngrams - 1, 0))
            words = features = 0
    return most_words, most


@exact
def line_features(tokens: Any, at: Any, types: Any, hashes: Any, features: Any) -> tuple:
    """Fill `features` with those of the line that begins at `at`: (how many, where the next line begins).

    `hashes`, int32, is room for as many numbers as the line has words, its end counted.
    """
    n = words = 0
    end = len(types.hashes) - 1
    token = int64(0)
    while token >= 0:
        token = int64(tokens[at])
        at += 1
        t = end if token < 0 else token
        hashes[words] = types.hashes[t]
        words += 1
        for k in range(types.starts[t], types.starts[t + 1]):
            features[n] = types.features[k]
            n += 1
    for first in range(words if types.word_ngrams > 1 else 0):
        h = uint64(int64(hashes[first]))
        for word in range(first + 1, min(words, first + types.word_ngrams)):
            h = h * uint64(116049371) + uint64(int64(hashes[word]))
            bucket = int64(h % uint64(types.buckets))
            place = types.places[bucket] if len(types.places) else types.n_words + bucket
            if place >= 0:
                features[n] = place
                n += 1
    return n, at


@exact
def all_features(tokens: Any, lines: Any, types: Any, hashes: Any, features: Any, bounds: Any) -> int:
    """Fill `features` with those of all lines, and `bounds` (N + 1,) with where each line's begin; returns how many."""
    n = 0
    bounds[0] = 0
    for line in range(len(lines) - 1):
        count, _ = line_features(tokens, lines[line], types, hashes, features[n:])
        n += count
        bounds[line + 1] = n
    return n


@exact
def mark(tokens: Any, types: Any, hashes: Any, features: Any, seen: Any) -> None:
    """seen[f] = True for every feature f of the text; `seen` (V + B,)."""
    at = 0
    while at < len(tokens):
        n, at = line_features(tokens, at, types, hashes, features)
        for k in range(n):
            seen[features[k]] = True


@compiled
def mean_rows(table: Any, rows: Any, n: Any, hidden: Any) -> None:
    """hidden = the mean of table[rows[:n]]; `hidden` (W,), zero where n is."""
    hidden[:] = 0
    for k in range(n):
        row = rows[k]
        for d in range(len(hidden)):
            hidden[d] += table[row, d]
    if n:
        share = float32(1) / float32(n)
        for d in range(len(hidden)):
            hidden[d] *= share


@compiled
def means(table: Any, features: Any, bounds: Any, hidden: Any) -> None:
    """hidden[i] = the mean of the rows of line i, which are features[bounds[i] : bounds[i + 1]]; `hidden` (N, W)."""
    for line in range(len(hidden)):
        begin = bounds[line]
        mean_rows(table, features[begin:], bounds[line + 1] - begin, hidden[line])


@compiled
def learn_softmax(hidden: Any, outputs: Any, target: Any, rate: Any, scores: Any, gradient: Any) -> None:
    """One step down -log softmax(outputs · hidden)[target]: changes outputs, adds -rate · ∂/∂hidden to `gradient`.

    `outputs` (C, ≥ W); `scores` (C,) is room for the work.
    """
    best = float32(-np.inf)
    for c in range(len(scores)):
        score = float32(0)
        for d in range(len(hidden)):
            score += outputs[c, d] * hidden[d]
        scores[c] = score
        best = max(best, score)
    total = float32(0)
    for c in range(len(scores)):
        scores[c] = np.exp(scores[c] - best)
        total += scores[c]
    for c in range(len(scores)):
        step = rate * (float32(c == target) - scores[c] / total)
        for d in range(len(hidden)):
            output = outputs[c, d]
            gradient[d] += step * output
            outputs[c, d] = output + step * hidden[d]


@compiled
def learn_binary(hidden: Any, outputs: Any, row: Any, goal: Any, rate: Any, gradient: Any) -> None:
    """One step down -log σ(± outputs[row] · hidden), plus where `goal` is 1: as `learn_softmax`."""
    score = float32(0)
    for d in range(len(hidden)):
        score += outputs[row, d] * hidden[d]
    step = rate * (float32(goal) - float32(1) / (float32(1) + np.exp(-score)))
    for d in range(len(hidden)):
        output = outputs[row, d]
        gradient[d] += step * output
        outputs[row, d] = output + step * hidden[d]


@compiled
def learn_labels(
    hidden: Any, outputs: Any, own: Any, labels: Any, rate: Any, scores: Any, gradient: Any, state: Any
) -> None:
    """One step for a line with the labels `own`: for all of them where each is by itself, else for one drawn."""
    gradient[:] = 0
    target = own[0]
    if len(own) > 1:
        target = own[int64(((next_random(state) >> uint64(32)) * uint64(len(own))) >> uint64(32))]
    if labels.kind == SOFTMAX:
        learn_softmax(hidden, outputs, target, rate, scores, gradient)
    elif labels.kind == PATHS:
        for k in range(labels.starts[target], labels.starts[target + 1]):
            learn_binary(hidden, outputs, labels.points[k], labels.codes[k], rate, gradient)
    elif labels.kind == NOISE:
        learn_binary(hidden, outputs, target, 1, rate, gradient)
        for _ in range(labels.drawn):
            label = draw(labels.noise, state)
            while label == target:
                label = draw(labels.noise, state)
            learn_binary(hidden, outputs, label, 0, rate, gradient)
    else:
        for c in range(len(outputs)):
            goal = 0
            for label in own:
                goal |= label == c
            learn_binary(hidden, outputs, c, goal, rate, gradient)


@compiled
def train_lines(
    order: Any,  # (N,) int32: the lines, in the order in which they are learned; shuffled anew at its begin
    begin: Any,
    end: Any,
    rates: Any,  # (2,) float64: the learning rate at `begin` and at `end`, linear between them
    tokens: Any,
    lines: Any,  # (N + 1,) where each line begins in tokens
    own: Any,  # int32: the labels of line i are own[bounds[i] : bounds[i + 1]], one or more
    bounds: Any,
    types: Any,
    room: Any,  # what `longest` says of the tokens
    labels: Any,
    inputs: Any,  # (rows, ≥ W) float32
    outputs: Any,  # (C, ≥ W) float32
    width: Any,
    frozen: Any,  # (rows,) bool: True for a row of inputs that stays as it is; or empty
    state: Any,  # (1,) uint64
) -> int:
    """Learn from the lines order[begin:end], changing both tables; returns `end`."""
    if begin == 0:
        for k in range(len(order) - 1, 0, -1):
            other = int64(((next_random(state) >> uint64(32)) * uint64(k + 1)) >> uint64(32))
            order[k], order[other] = order[other], order[k]
    hashes, rows = np.empty(room[0], np.int32), np.empty(room[1], np.int32)
    hidden, gradient = np.empty(width, np.float32), np.empty(width, np.float32)
    scores = np.empty(len(outputs), np.float32)
    for place in range(begin, end):
        line = order[place]
        n, _ = line_features(tokens, lines[line], types, hashes, rows)
        if n == 0:
            continue
        rate = float32(rates[0] + (rates[1] - rates[0]) * (place - begin) / (end - begin))
        mean_rows(inputs, rows, n, hidden)
        mine = own[bounds[line] : bounds[line + 1]]
        learn_labels(hidden, outputs, mine, labels, rate, scores, gradient, state)
        share = float32(1) / float32(n)
        for d in range(width):
            gradient[d] *= share
        for k in range(n):
            row = rows[k]
            if len(frozen) == 0 or not frozen[row]:
                for d in range(width):
                    inputs[row, d] += gradient[d]
    return end


@exact
def leaves(turns: Any, labels: Any, found: Any) -> None:
    """found[i, c] = the probability of label c: the product over its path of the chances `turns` (N, C - 1) to turn."""
    for line in range(len(found)):
        for c in range(found.shape[1]):
            chance = float32(1)
            for k in range(labels.starts[c], labels.starts[c + 1]):
                turn = turns[line, labels.points[k]]
                chance *= turn if labels.codes[k] else float32(1) - turn
            found[line, c] = chance
