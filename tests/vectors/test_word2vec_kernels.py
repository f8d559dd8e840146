"""The loops of word2vec over a corpus, each against its slow twin, and what holds for all of them."""

import numpy as np
import pytest
from twins import WIDTH, Chance, alone, centres, outputs_of, path_of, sigmoid, tables, together

from inlay.vectors import cbow_kernels, huffman, kernels, skipgram_kernels

V = 12
RATES = np.array([0.05, 0.01])
TREE = huffman.tree(np.arange(3 * V, 2 * V, -1))
LONGEST = int(np.diff(TREE[2]).max())
NOISE = kernels.alias_table(np.random.default_rng(5).random(V))
ALL = np.full(V, 2**32 - 1, np.uint32)
SOME = np.random.default_rng(2).integers(2**30, 2**32, V).astype(np.uint32)
TOKENS = np.random.default_rng(1).integers(-1, V, 400).astype(np.int32)


def twin_shared_noise(steps, random, inputs, outputs, drawn, weight):
    negatives = [random.draw(NOISE) for _ in range(drawn)]
    for rate, centre, rows, into in steps:
        outs, step = outputs_of(centre, negatives, rate, np.float32(weight))
        negatives = [random.draw(NOISE) for _ in range(drawn)]
        together(inputs, rows, into, outputs, outs, step)


def twin_own_noise(steps, random, inputs, outputs, words):
    negatives = [random.draw(NOISE) for _ in range(words)]
    for rate, centre, rows, into in steps:
        for row, to in zip(rows, into, strict=True):
            outs, step = outputs_of(centre, negatives, rate, np.float32(1))
            negatives = [random.draw(NOISE) for _ in range(words)]
            inputs[to] = inputs[row] + alone(inputs[row].copy(), outputs, outs, step)


def twin_tree(steps, random, inputs, outputs, *_):
    for rate, centre, rows, into in steps:
        for c in range(0, len(rows), 2):
            together(inputs, rows[c : c + 2], into[c : c + 2], outputs, *path_of(centre, TREE, rate))


def from_mean(inputs, rows, into, outputs, outs, step):
    error = alone(inputs[rows].mean(axis=0), outputs, outs, step)
    for row, to in zip(rows, into, strict=True):
        inputs[to] = inputs[row] + error


def twin_cbow_noise(steps, random, inputs, outputs, drawn, weight):
    negatives = [random.draw(NOISE) for _ in range(drawn)]
    for rate, centre, rows, into in steps:
        outs, step = outputs_of(centre, negatives, rate, np.float32(weight))
        negatives = [random.draw(NOISE) for _ in range(drawn)]
        from_mean(inputs, rows, into, outputs, outs, step)


def twin_cbow_tree(steps, random, inputs, outputs, *_):
    for rate, centre, rows, into in steps:
        from_mean(inputs, rows, into, outputs, *path_of(centre, TREE, rate))


LOOPS = {
    "skip-gram, shared noise": (skipgram_kernels.shared_noise, twin_shared_noise, (NOISE, 5, 1.0)),
    "skip-gram, shared weighted noise": (skipgram_kernels.shared_noise, twin_shared_noise, (NOISE, 8, 0.5)),
    "skip-gram, own noise": (skipgram_kernels.own_noise, twin_own_noise, (NOISE, 7)),
    "skip-gram, tree": (skipgram_kernels.tree, twin_tree, (*TREE, LONGEST)),
    "cbow, noise": (cbow_kernels.noise, twin_cbow_noise, (NOISE, 7, 1.0)),
    "cbow, tree": (cbow_kernels.tree, twin_cbow_tree, (*TREE, LONGEST)),
}
EVERY_LOOP = pytest.mark.parametrize(("loop", "twin", "chosen"), LOOPS.values(), ids=LOOPS)


@pytest.mark.parametrize("frozen", [[], [0, 3, 7]], ids=["free", "frozen"])
@pytest.mark.parametrize("window", [1, 5])
@EVERY_LOOP
def test_a_corpus_is_trained_as_by_the_twin(loop, twin, chosen, window, frozen):
    inputs, outputs = tables(np.random.default_rng(1))
    expected_inputs, expected_outputs = inputs.copy(), outputs.copy()
    random = Chance(77)
    numbers = [part for part in chosen if not isinstance(part, np.ndarray)]
    if twin in (twin_tree, twin_cbow_tree):
        numbers = []
    steps = centres(TOKENS, RATES, SOME, window, random, frozen, V)
    twin(steps, random, expected_inputs, expected_outputs, *numbers)
    mask = np.isin(np.arange(V), frozen) if frozen else np.zeros(0, np.bool_)
    before = inputs.copy()
    state = np.array([77], np.uint64)
    end = loop(TOKENS, 0, 400, RATES, inputs, outputs, WIDTH, mask, *chosen, window, SOME, state)
    assert end == 400
    np.testing.assert_allclose(inputs[:V], expected_inputs[:V], atol=1e-4)
    np.testing.assert_allclose(outputs, expected_outputs, atol=1e-4)
    assert inputs[frozen].tobytes() == before[frozen].tobytes()
    assert (inputs[:V] != before[:V]).any()
    assert int(state[0]) == random.x


@EVERY_LOOP
def test_no_pair_of_words_reaches_over_the_end_of_a_sentence(loop, twin, chosen):
    """Words of different sentences never meet: the second sentence's word leaves the first one's vectors alone."""
    inputs, outputs = tables(np.random.default_rng(0))
    before = inputs.copy()
    tokens = np.array([0, -1, 1, -1, 2, 3, -1, 4], np.int32)
    rest = (np.zeros(0, np.bool_), *chosen, 5, ALL, np.array([3], np.uint64))
    loop(tokens, 0, 8, RATES, inputs, outputs, WIDTH, *rest)
    assert np.flatnonzero((inputs != before).any(axis=1)).tolist() == [2, 3]


@EVERY_LOOP
def test_a_sentence_that_begins_in_a_chunk_is_finished_in_it(loop, twin, chosen):
    tokens = np.array([0, 1, 2, -1, 3, 4, 5, 6, -1, 7], np.int32)
    inputs, outputs = tables(np.random.default_rng(0))
    rest = (RATES, inputs, outputs, WIDTH, np.zeros(0, np.bool_), *chosen, 5, ALL, np.array([3], np.uint64))
    assert loop(tokens, 0, 5, *rest) == 9
    assert loop(tokens, 0, 4, *rest) == 4


def test_the_context_of_a_word_is_what_the_window_reaches():
    """`the cat sits on the mat`, window 2, centre `cat`: the, sits, on; nearer words alone where the reach is one."""
    piece, rows, into = np.array([0, 1, 2, 3, 0, 4], np.int32), np.empty(6, np.int64), np.empty(6, np.int64)
    seen, state = set(), np.array([1], np.uint64)
    for _ in range(50):
        m = kernels.neighbours(piece, 6, 1, 2, np.zeros(0, np.bool_), 5, state, rows, into)
        seen.add(tuple(rows[:m]))
    assert seen == {(0, 2), (0, 2, 3)}


def test_a_step_of_cbow_is_the_gradient_of_its_loss_times_the_number_of_neighbours():
    """As in word2vec: each neighbour moves by the gradient of the mean, which is as many times its own."""
    inputs, outputs = tables(np.random.default_rng(4), dim=3)
    tokens, rate = np.array([0, 1, 2], np.int32), 1e-3
    noise = kernels.alias_table(np.eye(V)[7])  # nothing but word 7, twice for each centre
    random = Chance(11)
    draws = [random.draw(noise) for _ in range(2)]
    met = []
    for _, centre, rows, _ in centres(tokens, (rate, rate), ALL, 9, random, [], V):
        met.append((centre, rows))
        draws += [random.draw(noise) for _ in range(2)]
    assert set(draws) == {7}

    def loss(inputs, outputs, times_neighbours):
        total = 0.0
        for centre, rows in met:
            h = inputs[rows].mean(axis=0)
            one = -np.log(sigmoid(outputs[centre] @ h)) - 2 * np.log(sigmoid(-outputs[7] @ h))
            total += one * (len(rows) if times_neighbours else 1)
        return total

    moved_inputs, moved_outputs = inputs.copy(), outputs.copy()
    rest = (np.zeros(0, np.bool_), noise, 2, 1.0, 9, ALL, np.array([11], np.uint64))
    cbow_kernels.noise(tokens, 0, 3, np.array([rate, rate]), moved_inputs, moved_outputs, WIDTH, *rest)
    for row, column in np.ndindex(8, 3):
        small = np.zeros(inputs.shape)
        small[row, column] = 1e-4
        up, down = (loss(inputs + sign * small, outputs, True) for sign in (1, -1))
        step = (inputs[row, column] - moved_inputs[row, column]) / rate
        assert step == pytest.approx((up - down) / 2e-4, abs=5e-3)
        up, down = (loss(inputs, outputs + sign * small[:V], False) for sign in (1, -1))
        step = (outputs[row, column] - moved_outputs[row, column]) / rate
        assert step == pytest.approx((up - down) / 2e-4, abs=5e-3)
