"""The classifier's kernels against slow twins and against finite differences."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from inlay.vectors.classifier import label_arrays
from inlay.vectors.classifier_kernels import (
    hash_words,
    learn_binary,
    learn_labels,
    learn_softmax,
    leaves,
    line_features,
    longest,
    means,
    part_labels,
)
from inlay.vectors.fasttext_model import Args, Loss, Model
from inlay.vectors.features import types_of
from inlay.vectors.product_kernels import improve, nearest
from inlay.vectors.subwords import ngram_rows

COUNTS = np.array([9, 5, 3, 2, 1])


def table(rows: int, columns: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-x))


def loss_of(kind: Loss, hidden: NDArray[np.float64], outputs: NDArray[np.float64], own: list[int]) -> float:
    """The loss of one line, in plain words."""
    scores = outputs @ hidden
    if kind == Loss.SOFTMAX:
        return float(np.log(np.exp(scores).sum()) - scores[own[0]])
    if kind == Loss.ONE_VS_ALL:
        return float(-np.log(sigmoid(np.where(np.isin(np.arange(len(scores)), own), scores, -scores))).sum())
    arrays = label_arrays(kind, COUNTS, 0)
    path = slice(arrays.starts[own[0]], arrays.starts[own[0] + 1])
    turns = np.where(arrays.codes[path] == 1, 1, -1) * scores[arrays.points[path]]
    return float(-np.log(sigmoid(turns)).sum())


@pytest.mark.parametrize(("kind", "own"), [(Loss.SOFTMAX, [2]), (Loss.HIERARCHICAL, [1]), (Loss.ONE_VS_ALL, [0, 3])])
def test_a_step_goes_down_the_gradient_of_the_loss(kind: Loss, own: list[int]) -> None:
    hidden, outputs, rate, tiny = table(1, 6)[0], table(5, 6, 1), 1e-3, 1e-5
    stepped, gradient = outputs.copy(), np.empty(6, np.float32)
    arrays, state = label_arrays(kind, COUNTS, 0), np.ones(1, np.uint64)
    learn_labels(
        hidden, stepped, np.array(own, np.int32), arrays, np.float32(rate), np.empty(5, np.float32), gradient, state
    )
    h, o = hidden.astype(np.float64), outputs.astype(np.float64)

    def slope(change: Callable[[float], float]) -> float:
        return (change(tiny) - change(-tiny)) / (2 * tiny)

    for d in range(6):
        step = np.eye(6)[d]
        assert gradient[d] == pytest.approx(-rate * slope(lambda t, s=step: loss_of(kind, h + t * s, o, own)), abs=2e-6)
        for c in range(5):
            unit = np.outer(np.eye(5)[c], step)
            expected = -rate * slope(lambda t, u=unit: loss_of(kind, h, o + t * u, own))
            assert stepped[c, d] - outputs[c, d] == pytest.approx(expected, abs=2e-6)


def test_softmax_and_binary_steps_equal_their_numpy_twins() -> None:
    hidden, outputs, rate = table(1, 16)[0], table(7, 16, 1), np.float32(0.3)
    shares = np.exp(outputs @ hidden) / np.exp(outputs @ hidden).sum()
    error = rate * (np.eye(7)[4] - shares)
    ours, gradient = outputs.copy(), np.ones(16, np.float32)
    learn_softmax(hidden, ours, 4, rate, np.empty(7, np.float32), gradient)
    np.testing.assert_allclose(gradient, 1 + error @ outputs, atol=1e-5)
    np.testing.assert_allclose(ours, outputs + np.outer(error, hidden), atol=1e-5)
    ours, gradient = outputs.copy(), np.ones(16, np.float32)
    learn_binary(hidden, ours, 2, 0, rate, gradient)
    step = rate * (0 - sigmoid(outputs[2] @ hidden))
    np.testing.assert_allclose(gradient, 1 + step * outputs[2], atol=1e-5)
    np.testing.assert_allclose(ours[2], outputs[2] + step * hidden, atol=1e-5)
    np.testing.assert_array_equal(np.delete(ours, 2, 0), np.delete(outputs, 2, 0))


def test_noise_is_never_the_true_label_and_follows_the_root_of_the_counts() -> None:
    arrays, state, tries = label_arrays(Loss.NEGATIVE, COUNTS, 1), np.ones(1, np.uint64), 20_000
    hidden, met = np.ones(1, np.float32), np.zeros(5)
    for _ in range(tries):
        outputs, gradient = np.zeros((5, 1), np.float32), np.empty(1, np.float32)
        learn_labels(
            hidden, outputs, np.zeros(1, np.int32), arrays, np.float32(1), np.empty(5, np.float32), gradient, state
        )
        assert outputs[0, 0] == pytest.approx(0.5)
        met += outputs[:, 0] < 0
    shares = np.sqrt(COUNTS) * (np.arange(5) > 0)
    np.testing.assert_allclose(met / tries, shares / shares.sum(), atol=0.015)


def test_the_tree_gives_probabilities_that_sum_to_one() -> None:
    turns = sigmoid(table(3, 5)).astype(np.float32)
    found = np.empty((3, 5), np.float32)
    leaves(turns, label_arrays(Loss.HIERARCHICAL, COUNTS, 0), found)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_labels_are_taken_out_and_lines_without_any_go() -> None:
    # types: 0 word, 1 label 0, 2 word, 3 label 1, 4 a label that is not known
    tokens = np.array([1, 0, 2, -1, 0, -1, 4, 2, -1, 2, 3, 1, -1, -1, 3, -1], np.int32)
    lines, bounds, own = np.zeros(9, np.int64), np.zeros(9, np.int64), np.zeros(16, np.int32)
    found = part_labels(tokens, np.array([-1, 0, -1, 1, -2], np.int32), lines, own, bounds)
    assert found == (3, 4, 6)
    assert tokens[:6].tolist() == [0, 2, -1, 2, -1, -1]
    assert lines[:4].tolist() == [0, 3, 5, 6]
    assert own[:4].tolist() == [0, 1, 0, 1]
    assert bounds[:4].tolist() == [0, 1, 3, 4]


def signed(number: int, bits: int) -> int:
    return (number + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)


def slow_hash(word: str) -> int:
    h = 2166136261
    for byte in word.encode():
        h = ((h ^ (signed(byte, 8) % (1 << 32))) * 16777619) % (1 << 32)
    return h


def test_features_are_words_then_ngrams_of_characters_then_of_words() -> None:
    words, known = ["good", "food", "猫"], {"food": 0, "</s>": 1, "good": 2}
    args = Args(dim=1, model=Model.SUPERVISED, word_ngrams=3, buckets=97, min_n=2, max_n=3)
    types = types_of(words, known, args)
    tokens = np.array([0, 1, 2, -1, 2, -1], np.int32)
    expected = []
    for word in words:
        expected += [known[word]] if word in known else []
        expected += (ngram_rows([word], 2, 3, 97)[1] + 3).tolist()
    expected.append(1)
    hashes = [signed(slow_hash(word), 32) for word in (*words, "</s>")]
    for first in range(4):
        h = hashes[first] % (1 << 64)
        for other in hashes[first + 1 : first + 3]:
            h = (h * 116049371 + other) % (1 << 64)
            expected.append(3 + h % 97)
    n_words, most = longest(tokens, types)
    assert (n_words, most) == (4, len(expected) + 3)  # as if each word began n-grams of all sizes
    room, found = np.empty(n_words, np.int32), np.empty(most, np.int32)
    n, at = line_features(tokens, 0, types, room, found)
    assert at == 4
    assert found[:n].tolist() == expected


def test_hashes_are_signed_as_fasttext_keeps_them() -> None:
    words = ["a", "猫", "</s>", "été"]
    spelt = [word.encode() for word in words]
    bounds = np.cumsum([0, *map(len, spelt)])
    found = hash_words(np.frombuffer(b"".join(spelt), np.uint8), bounds)
    assert found.tolist() == [signed(slow_hash(word), 32) for word in words]


def test_means_equal_their_numpy_twin() -> None:
    rows, bounds = np.array([3, 3, 0, 1, 2]), np.array([0, 3, 3, 5])
    source, hidden = table(4, 5), np.empty((3, 5), np.float32)
    means(source, rows, bounds, hidden)
    np.testing.assert_allclose(hidden, [source[[3, 3, 0]].mean(0), np.zeros(5), source[[1, 2]].mean(0)], atol=1e-6)


def test_the_nearest_centroid_is_the_one_of_numpy() -> None:
    points, centroids = table(500, 3), table(3, 256, 1)
    codes = np.empty(500, np.uint8)
    nearest(points, centroids, codes)
    distances = ((points[:, :, None] - centroids) ** 2).sum(axis=1)
    np.testing.assert_allclose(distances[np.arange(500), codes], distances.min(axis=1), rtol=1e-4)
    assert (codes == distances.argmin(axis=1)).mean() > 0.99


def test_each_round_of_k_means_is_no_worse() -> None:
    points = table(2000, 2)
    errors = []
    for rounds in (0, 1, 5, 20):
        centroids, codes = np.ascontiguousarray(points[:256].T), np.empty(2000, np.uint8)
        improve(points, centroids, codes, rounds, np.ones(1, np.uint64))
        nearest(points, centroids, codes)
        errors.append(((points - centroids.T[codes]) ** 2).sum())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.7 * errors[0]
