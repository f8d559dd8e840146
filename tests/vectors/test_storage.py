"""Smaller numbers: errors as small as they are said to be, in memory and in a file, and the same neighbours."""

import numpy as np
import pytest

from inlay.errors import InputError
from inlay.vectors import storage
from inlay.vectors.wordvectors import WordVectors


def normal(n=300, dim=20, seed=0):
    return np.random.default_rng(seed).standard_normal((n, dim), dtype=np.float32)


def test_the_errors_are_within_what_is_promised():
    values = normal() * np.logspace(-3, 3, 300, dtype=np.float32)[:, None]
    half = storage.pack(values, "half").take(slice(None))
    assert (np.abs(half - values) <= np.maximum(np.abs(values) * 2.0**-11, 3e-8)).all()
    int8 = storage.pack(values, "int8").take(slice(None))
    assert (np.abs(int8 - values) <= np.abs(values).max(axis=1, keepdims=True) / 254 * (1 + 1e-5)).all()


@pytest.mark.parametrize("precision", ["float32", "half", "int8"])
def test_a_row_is_the_same_however_it_is_asked_for(precision):
    table = storage.pack(normal(), precision)
    whole = table.take(slice(None))
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(table.take([5, 2]), whole[[5, 2]])
    np.testing.assert_array_equal(table.take(7), whole[7])
    np.testing.assert_array_equal(np.vstack([block for _, block in storage.blocks(table)]), whole)
    np.testing.assert_allclose(storage.norms(table), np.linalg.norm(whole, axis=1), rtol=1e-6)
    np.testing.assert_allclose(storage.mean(table), whole.mean(axis=0), atol=1e-6)


def test_lengths_out_of_the_reach_of_float32_squares_are_right():
    values = np.array([[3e30, 4e30], [3e-25, 4e-25], [0, 0]], np.float32)
    np.testing.assert_allclose(storage.norms(storage.pack(values, "float32")), [5e30, 5e-25, 0], rtol=1e-6)
    np.testing.assert_allclose(storage.units(values), [[0.6, 0.8], [0.6, 0.8], [0, 0]], rtol=1e-6)
    huge = np.full((1, 400), -3e38, np.float32)  # longer than any float32
    np.testing.assert_allclose(storage.units(huge), np.full((1, 400), -1 / 20), rtol=1e-6)
    np.testing.assert_allclose(storage.pack(np.concatenate([huge, -huge]), "int8").take(1), -huge[0], rtol=1e-6)


def test_a_row_of_zeros_and_a_table_of_none_are_kept():
    assert not storage.pack(np.zeros((2, 3), np.float32), "int8").take(slice(None)).any()
    for precision in ("half", "int8"):
        for shape in ((0, 3), (2, 0)):
            assert storage.pack(np.zeros(shape, np.float32), precision).take(slice(None)).shape == shape


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="above 65504 does not fit half"):
        storage.pack(np.full((1, 2), 7e4, np.float32), "half")
    for precision in ("half", "int8"):
        with pytest.raises(InputError, match="NaN or infinity"):
            storage.pack(np.array([[1, np.nan]], np.float32), precision)
    with pytest.raises(InputError, match="precision='int4' must be"):
        storage.pack(normal(), "int4")


@pytest.mark.parametrize(("precision", "share"), [("half", 0.55), ("int8", 0.35)])
def test_a_packed_file_is_smaller_mapped_and_answers_the_same(precision, share, tmp_path):
    vectors = WordVectors([f"w{n}" for n in range(500)], normal(500, 100), np.arange(500))
    vectors.save(tmp_path / "full.safetensors")
    packed = vectors.packed(precision)
    packed.save(tmp_path / "packed.safetensors")
    size, full = ((tmp_path / f"{name}.safetensors").stat().st_size for name in ("packed", "full"))
    assert size < share * full
    loaded = WordVectors.load(tmp_path / "packed.safetensors")
    assert type(loaded.table) is type(packed.table)
    assert not loaded.table.values.flags.owndata
    np.testing.assert_array_equal(loaded.matrix, packed.matrix)
    np.testing.assert_array_equal(loaded.counts, vectors.counts)
    assert loaded.most_similar("w3") == packed.most_similar("w3")
    theirs, ours = dict(vectors.most_similar("w3", k=20)), dict(loaded.most_similar("w3", k=20))
    assert len(theirs.keys() & ours.keys()) >= 18
    assert all(abs(theirs[word] - ours[word]) < 0.01 for word in theirs.keys() & ours.keys())
    assert loaded.similarity("w1", "w2") == pytest.approx(vectors.similarity("w1", "w2"), abs=0.01)
    loaded.save(tmp_path / "back.txt")
    np.testing.assert_array_equal(WordVectors.load(tmp_path / "back.txt").matrix, packed.matrix)
