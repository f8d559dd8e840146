"""The compiled loops against slow twins in plain NumPy, against the formulas, and against chance."""

import os
import subprocess
import sys

import numpy as np
import pytest
from twins import WIDTH, alone, outputs_of, path_of, sigmoid, tables, together

from inlay.vectors import huffman, kernels
from inlay.vectors.word2vec import Word2Vec, train


@pytest.mark.parametrize("drawn", [1, 5, 6, 13])
@pytest.mark.parametrize("rows", [[3], [3, 4], [3, 4, 5, 6, 7], [3, 3, 4, 3]], ids=str)
def test_one_centre_is_updated_as_by_the_twin(rows, drawn):
    rng = np.random.default_rng(drawn)
    inputs, outputs = tables(rng)
    negatives = rng.integers(0, 12, drawn)  # with repetitions, and with the centre among them
    outs, step = outputs_of(2, negatives, 0.1, 0.7)
    made, made_step = np.empty(len(outs), np.int64), np.empty((2, len(outs)), np.float32)
    kernels.choose_outputs(2, negatives, np.float32(0.1), np.float32(0.7), made, made_step)
    np.testing.assert_array_equal(made, outs)
    np.testing.assert_allclose(made_step, step, rtol=1e-6)

    expected_inputs, expected_outputs = inputs.copy(), outputs.copy()
    together(expected_inputs, rows, rows, expected_outputs, outs, step)
    room = np.array([*rows, -1])
    g = np.empty((len(rows) + 1, len(outs)), np.float32)
    kernels.errors(inputs, room, len(rows), outputs, outs, step, g, WIDTH)
    kernels.update(inputs, room, room, len(rows), outputs, outs, g, WIDTH)
    np.testing.assert_allclose(inputs, expected_inputs, atol=2e-6)
    np.testing.assert_allclose(outputs, expected_outputs, atol=2e-6)


@pytest.mark.parametrize("drawn", [1, 5, 6, 13])
def test_one_vector_is_updated_as_by_the_twin(drawn):
    rng = np.random.default_rng(drawn)
    hidden, outputs = tables(rng)
    outs, step = outputs_of(2, rng.integers(0, 12, drawn), 0.1, 0.7)
    expected_outputs, error = outputs.copy(), np.empty((1, WIDTH), np.float32)
    expected = alone(hidden[4], expected_outputs, outs, step)
    kernels.predict(hidden, 4, outputs, outs, step, error, WIDTH)
    np.testing.assert_allclose(error[0], expected, atol=2e-6)
    np.testing.assert_allclose(outputs, expected_outputs, atol=2e-6)


def test_one_vector_without_outputs_has_no_error():
    hidden, outputs = tables(np.random.default_rng(0))
    error = np.full((1, WIDTH), np.nan, np.float32)
    kernels.predict(hidden, 4, outputs, np.empty(0, np.int64), np.empty((2, 0), np.float32), error, WIDTH)
    assert not error.any()


def test_a_path_fills_the_slots_as_by_the_twin():
    tree = huffman.tree(np.array([500, 100, 40, 10, 6, 4, 2, 2, 1, 1]))
    outs, step = np.empty(16, np.int64), np.empty((2, 16), np.float32)
    for word in range(10):
        expected, expected_step = path_of(word, tree, 0.3)
        n = kernels.choose_path(word, *tree, np.float32(0.3), outs, step)
        np.testing.assert_array_equal(outs[:n], expected)
        np.testing.assert_allclose(step[:, :n], expected_step)


def test_the_step_is_the_gradient_of_the_negative_sampling_loss():
    """The worked example: loss 2.030716 and its four gradients."""
    v = np.zeros((1, WIDTH), np.float32)
    v[0, :2] = 0.1, -0.2
    u = np.zeros((3, WIDTH), np.float32)
    u[:, :2] = (0.3, 0.1), (-0.2, 0.4), (0.5, 0.2)

    def loss(v, u):
        scores = u.astype(float) @ v[0].astype(float)
        return -np.log(sigmoid(scores[0])) - np.log(sigmoid(-scores[1:])).sum()

    assert loss(v, u) == pytest.approx(2.030716, abs=1e-6)
    outs, step = np.empty(8, np.int64), np.empty((2, 8), np.float32)
    kernels.choose_outputs(0, np.array([1, 2]), np.float32(1), np.float32(1), outs, step)
    new_v, new_u, rows, g = v.copy(), u.copy(), np.array([0, 0]), np.empty((2, 8), np.float32)
    kernels.errors(new_v, rows, 1, new_u, outs, step, g, WIDTH)
    kernels.update(new_v, rows, rows, 1, new_u, outs, g, WIDTH)
    dv, du = v - new_v, u - new_u  # a step of size 1 goes down the gradient
    np.testing.assert_allclose(dv[0, :2], (0.006996, 0.240758), atol=2e-6)
    np.testing.assert_allclose(
        du[:, :2], [(-0.049750, 0.099500), (0.047502, -0.095004), (0.050250, -0.100500)], atol=2e-6
    )
    for table, gradient in ((v, dv), (u, du)):
        for place in np.ndindex(len(table), 2):
            up, down = (x.astype(float) for x in (table, table))
            up[place] += 1e-5
            down[place] -= 1e-5
            pair = [(x, u) if table is v else (v, x) for x in (up, down)]
            slope = (loss(*pair[0]) - loss(*pair[1])) / 2e-5
            assert gradient[place] == pytest.approx(slope, abs=1e-5)


def test_noise_follows_counts_to_the_power_three_quarters():
    counts = np.array([2, 1, 1, 1, 1])  # the cat sits on the mat
    shares = counts**0.75 / (counts**0.75).sum()
    np.testing.assert_allclose(shares, [0.295997, *[0.176001] * 4], atol=1e-6)
    noise, state = kernels.alias_table(counts**0.75), np.array([9], np.uint64)
    drawn = np.bincount([kernels.draw(noise, state) for _ in range(40_000)], minlength=5) / 40_000
    np.testing.assert_allclose(drawn, shares, atol=0.01)


@pytest.mark.parametrize("n", [1, 2, 1000])
def test_the_alias_table_holds_the_probabilities_exactly(n):
    shares = np.random.default_rng(n).random(n) ** 4
    table = kernels.alias_table(shares)
    own = table[:, 0] / (2**32 - 1)
    implied = np.bincount(np.arange(n), own, n) + np.bincount(table[:, 1], 1 - own, n)
    np.testing.assert_allclose(implied / n, shares / shares.sum(), atol=1e-8)


def test_the_fraction_that_subsampling_keeps_is_the_one_asked_for():
    tokens = np.zeros(500, np.int32)
    piece, state = np.empty(1024, np.int32), np.array([5], np.uint64)
    keep = np.array([0.3 * 2**32], np.uint32)
    kept = np.mean([kernels.next_piece(tokens, 0, keep, state, piece)[0] for _ in range(200)]) / 500
    assert kept == pytest.approx(0.3, abs=0.01)


def test_registers_of_eight_floats_give_the_same_vectors_as_wider_ones(tmp_path):
    """The narrow path, compiled in a process that hides the machine's wide registers, and says that it compiles."""
    code = """
import sys
import llvmlite.binding as binding
features = binding.get_host_cpu_features()
features.update({name: False for name in features if name.startswith("avx512")})
binding.get_host_cpu_features = lambda: features
import numpy as np
from inlay.vectors import word2vec
from inlay.vectors.simd import LANES
assert LANES == 8
config = word2vec.Word2Vec(dim=20, epochs=1, min_count=1, alpha=0.1)
np.save(sys.argv[1], word2vec.train([line.split() for line in sys.stdin], config).matrix)
"""
    words = np.random.default_rng(0).integers(0, 40, (50, 12))
    text = "\n".join(" ".join(f"w{word}" for word in row) for row in words)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "narrow.npy")],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "compiling kernels, once" in done.stderr
    wide = train([line.split() for line in text.split("\n")], Word2Vec(dim=20, epochs=1, min_count=1, alpha=0.1))
    np.testing.assert_allclose(np.load(tmp_path / "narrow.npy"), wide.matrix, atol=1e-5)
