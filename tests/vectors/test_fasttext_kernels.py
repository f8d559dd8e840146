"""The loops of fastText against a slow twin in plain NumPy, and against the gradients of the loss."""

import numpy as np
import pytest
from twins import Chance, sigmoid

from inlay.vectors.fasttext_kernels import Task, Words, train
from inlay.vectors.huffman import tree
from inlay.vectors.kernels import LANES, alias_table
from inlay.vectors.parts import parts as find_parts
from inlay.vectors.training import aligned

WORDS = ["where", "there", "lala", "猫狗", "a", "ear"]
COUNTS = np.array([9, 7, 5, 3, 2, 1])
DIM = 11
WIDTH = -(-DIM // LANES) * LANES
ALL = np.full(len(WORDS), 2**32 - 1, np.uint32)
SENTENCES = [[0, 1, 2, 2, 5, 3, 0, 4, 1], [3], [4, 0], [1, 5, 5, 2, 0, 3, 1]]
NO_PATH = np.empty(0, np.int32), np.empty(0, np.uint8), np.empty(0, np.int64), 0


def noise(drawn=3, weight=1.0, per_pair=False, shares=COUNTS):
    return Task(alias_table(np.asarray(shares) ** 0.5), drawn, weight, per_pair, *NO_PATH)


def path():
    points, codes, starts = tree(COUNTS)
    return Task(np.empty((0, 2), np.uint32), 0, 1.0, False, points, codes, starts, int(np.diff(starts).max()))


def tables(words=WORDS, fixed=()):
    """Parts, their table with a random start, the kernel's view of the words, and random outputs."""
    rng = np.random.default_rng(0)
    parts = find_parts(words, min_n=2, max_n=3, buckets=40)
    inputs, outputs = aligned(len(parts), DIM), aligned(len(words), DIM)
    inputs[:, :DIM], outputs[:, :DIM] = rng.normal(size=(len(parts), DIM)), rng.normal(0, 0.5, (len(words), DIM))
    frozen = np.isin(np.arange(len(words)), fixed)
    starts, sizes = parts.starts[:-1], np.where(frozen, 1, parts.sizes)
    shares = np.stack([1 / sizes, -1 / sizes], axis=1).astype(np.float32)
    return Words(starts, starts + sizes, parts.rows, shares, frozen), inputs, outputs


def learn(words, inputs, outputs, task, sentences, *, cbow, window=3, rate=0.05, keep=ALL, seed=7):
    tokens = np.array([number for sentence in sentences for number in [*sentence, -1]], np.int32)
    near, before = aligned(2 * window + 3, DIM), aligned(2 * window + 1, DIM)
    rates, state = np.array([rate, rate]), np.array([seed], np.uint64)
    tables = (inputs, words, outputs, task, near, before)
    assert train(tokens, 0, len(tokens), rates, keep, *tables, WIDTH, window, cbow, state) == len(tokens)


def targets(task, word, negatives):
    """(what, label, weight) of all that the word is predicted against."""
    if not task.drawn:
        stretch = slice(task.starts[word], task.starts[word + 1])
        return list(zip(task.points[stretch].tolist(), task.codes[stretch].tolist(), [1] * 99, strict=False))
    return [(word, 1, 1), *((other, 0, task.weight * (other != word)) for other in negatives)]


def twin_predict(hidden, outputs, aims, rate, moves):
    """Update the outputs, six at a time, and return what each row of `hidden` (M, D) changes by.

    Rows are scored against all outputs at the beginning, and one that `moves` (M,) has changed by the first six when it
    meets the next; a row alone (None) is scored against six at a time, and changes at the end.
    """
    what, label, weight = (np.array(part) for part in zip(*aims, strict=True))
    change, first = np.zeros_like(hidden), outputs[what].copy()
    for begin in range(0, len(aims), 6):
        tile = slice(begin, begin + 6)
        before = outputs[what[tile]].copy()
        scores = hidden @ (first[tile] if moves is not None else before).T
        g = rate * weight[tile] * (label[tile] - sigmoid(scores))
        np.add.at(outputs, what[tile], g.T @ (hidden if moves is None else hidden + change * moves[:, None]))
        change += g @ before
    return change


def twin_learn(words, inputs, outputs, task, sentences, *, cbow, window=3, rate=0.05, keep=ALL, seed=7):
    """The same on float64, with a dictionary of the words near by."""
    random = Chance(seed)
    rows = [words.rows[first:last] for first, last in zip(words.starts, words.ends, strict=True)]

    def draw():
        return [random.draw(task.noise) for _ in range(task.drawn)]

    negatives = draw()
    for sentence in sentences:
        piece = [word for word in sentence if random.next() >> 32 <= keep[word]]
        near, before = {}, {}
        for p, centre in enumerate(piece):
            for q in range(len(near), min(len(piece), p + window + 1)):
                near[q] = inputs[rows[piece[q]]].mean(axis=0)
                before[q] = near[q].copy()
            reach = 1 + random.below(window)
            around = [q for q in range(max(0, p - reach), min(len(piece), p + reach + 1)) if q != p]
            groups = [around] if cbow or not task.per_pair else [[q] for q in around]
            for group in groups if around else []:
                aims, negatives = targets(task, centre, negatives), draw()
                free = ~words.frozen[[piece[q] for q in group]]
                if cbow:
                    sizes = [len(rows[piece[q]]) for q in group]
                    hidden = np.average([near[q] for q in group], axis=0, weights=sizes)[None]
                    change = np.repeat(twin_predict(hidden, outputs, aims, rate, None), len(group), axis=0)
                else:
                    moves = None if task.per_pair else free
                    change = twin_predict(np.array([near[q] for q in group]), outputs, aims, rate, moves)
                for q, moved in zip(group, change * free[:, None], strict=True):
                    near[q] = near[q] + moved
            for q in range(len(piece)) if p == len(piece) - 1 else [p - window]:
                if q in near and before[q] is not None and not words.frozen[piece[q]]:
                    np.add.at(inputs, rows[piece[q]], near[q] - before[q])
                    before[q] = None


TASKS = {
    "noise of the centre": (noise(), False),
    "weighted noise of the centre": (noise(drawn=8, weight=0.5), False),
    "noise of the pair": (noise(drawn=6, per_pair=True), False),
    "tree": (path(), False),
    "cbow with noise": (noise(drawn=7), True),
    "cbow with a tree": (path(), True),
}


@pytest.mark.parametrize("fixed", [(), (0, 2)], ids=["all learn", "two are frozen"])
@pytest.mark.parametrize("window", [1, 3, 20])
@pytest.mark.parametrize(("task", "cbow"), TASKS.values(), ids=TASKS)
def test_a_text_is_learnt_as_by_the_twin(task, cbow, window, fixed):
    words, inputs, outputs = tables(fixed=fixed)
    keep = np.array([2**31, *ALL[1:]], np.uint32)
    ours, theirs = (inputs, outputs), (inputs[:, :DIM].astype(float), outputs[:, :DIM].astype(float))
    before = inputs.copy()
    learn(words, *ours, task, SENTENCES * 3, cbow=cbow, window=window, keep=keep)
    twin_learn(words, *theirs, task, SENTENCES * 3, cbow=cbow, window=window, keep=keep)
    np.testing.assert_allclose(inputs[:, :DIM], theirs[0], atol=2e-5)
    np.testing.assert_allclose(outputs[:, :DIM], theirs[1], atol=2e-5)
    assert not inputs[:, DIM:].any()
    own = words.rows[words.starts]
    np.testing.assert_array_equal((inputs[own] == before[own]).all(axis=1), words.frozen)


def loss(words, inputs, outputs, task, sentence, cbow):
    """The loss of a sentence of two words, where each is the other's only neighbour; noise is always the third word."""
    total = 0.0
    for centre, other in (sentence, sentence[::-1]):
        hidden = inputs[words.rows[words.starts[other] : words.ends[other]]].mean(axis=0)
        for what, label, weight in targets(task, centre, [2] * task.drawn):
            total -= weight * np.log(sigmoid((2 * label - 1) * hidden @ outputs[what]))
    return total


@pytest.mark.parametrize(
    ("task", "cbow"),
    [
        (noise(drawn=1, shares=[1e-12, 1e-12, 1]), False),
        (noise(drawn=2, weight=2.5, shares=[1e-12, 1e-12, 1]), False),
        (noise(drawn=1, per_pair=True, shares=[1e-12, 1e-12, 1]), False),
        (noise(drawn=1, shares=[1e-12, 1e-12, 1]), True),
        (path(), False),
        (path(), True),
    ],
    ids=["centre", "weighted", "pair", "cbow", "tree", "cbow tree"],
)
def test_rows_move_against_the_gradient_of_the_loss(task, cbow):
    """Each row of a word moves by the gradient of the word's vector: the row's own, times the number of rows."""
    words, inputs, outputs = tables()
    sentence, rate, step = (0, 3), 3e-4, 1e-4
    assert not set(words.rows[: words.ends[0]]) & set(words.rows[words.starts[3] : words.ends[3]])
    at = inputs[:, :DIM].astype(float), outputs[:, :DIM].astype(float)
    learn(words, inputs, outputs, task, [sentence], cbow=cbow, window=1, rate=rate)
    moved = (inputs[:, :DIM] - at[0]) / rate, (outputs[:, :DIM] - at[1]) / rate
    sizes = np.zeros(len(inputs))
    for word in sentence:
        sizes[words.rows[words.starts[word] : words.ends[word]]] = words.ends[word] - words.starts[word]
    factors = sizes, np.ones(len(outputs))
    for table, factor, change in zip(at, factors, moved, strict=True):
        gradient = np.zeros_like(table)
        for place in np.ndindex(*table.shape):
            kept = table[place]
            table[place] = kept + step
            above = loss(words, *at, task, sentence, cbow)
            table[place] = kept - step
            gradient[place] = (above - loss(words, *at, task, sentence, cbow)) / (2 * step)
            table[place] = kept
        np.testing.assert_allclose(change, -factor[:, None] * gradient, atol=4e-3)
        assert np.abs(gradient).max() > 0.02
