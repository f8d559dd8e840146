"""The exact search: each kernel against its slow twin, and the answer against sorting everything."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inlay.errors import InputError
from inlay.vectors import nearest_kernels as kernels
from inlay.vectors.nearest import largest
from inlay.vectors.storage import norms, pack

PRECISIONS = ["float32", "half", "int8"]


@pytest.mark.parametrize("dim", [1, 7, 100])
def test_the_dot_products_are_those_of_numpy(dim):
    rng = np.random.default_rng(dim)
    query, scores = rng.standard_normal(dim, dtype=np.float32), np.empty(50, np.float32)
    for rows in (rng.standard_normal((50, dim), dtype=np.float32), rng.integers(-127, 128, (50, dim), dtype=np.int8)):
        kernels.dots(rows, query, scores)
        np.testing.assert_allclose(scores, rows.astype(np.float64) @ query, rtol=1e-4, atol=1e-4)


def test_every_finite_half_is_decoded_as_numpy_decodes_it():
    bits = np.arange(1 << 16, dtype=np.uint16)
    bits = bits[np.isfinite(bits.view(np.float16))]
    scores = np.empty(len(bits), np.float32)
    kernels.half_dots(bits[:, None], np.array([kernels.HALF_SCALE], np.float32), scores)
    np.testing.assert_array_equal(scores, bits.view(np.float16).astype(np.float32))


def slow_largest(scores, k):
    """Columns and scores of the k largest of a row, equal ones in order."""
    order = sorted(range(len(scores)), key=lambda column: (-scores[column], column))[:k]
    return order, [scores[column] for column in order]


@given(
    st.integers(1, 12),
    st.lists(st.sampled_from([-1.0, 0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=60),
    st.integers(1, 20),
)
@settings(deadline=None)
def test_the_kept_are_the_largest_and_of_equals_the_first(k, scores, step):
    rows, best = np.full((1, k), -1, np.int64), np.full((1, k), -np.inf, np.float32)
    for first in range(0, len(scores), step):
        kernels.keep_largest(np.array([scores[first : first + step]], np.float32), first, rows, best)
    order = np.lexsort((rows, -best), axis=1)[0]
    n = min(k, len(scores))
    expected, values = slow_largest(scores, k)
    assert rows[0][order][rows[0][order] >= 0].tolist() == expected
    assert best[0][order][best[0][order] > -np.inf].tolist() == values[:n]


def test_nan_and_minus_infinity_are_never_kept():
    rows, best = np.full((1, 3), -1, np.int64), np.full((1, 3), -np.inf, np.float32)
    kernels.keep_largest(np.array([[np.nan, 1, -np.inf, np.nan]], np.float32), 0, rows, best)
    assert sorted(rows[0].tolist()) == [-1, -1, 1]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("n_queries", [1, 30])
def test_one_query_and_many_find_what_sorting_finds(precision, n_queries):
    rng = np.random.default_rng(1)
    table = pack(rng.standard_normal((9000, 12), dtype=np.float32), precision)
    decoded = table.take(slice(None)).astype(np.float64)
    queries = rng.standard_normal((n_queries, 1, 12), dtype=np.float32)
    found, scores = largest(table, norms(table), queries, 20)
    units = queries[:, 0] / np.linalg.norm(queries[:, 0], axis=1, keepdims=True)
    cosines = units @ (decoded / np.linalg.norm(decoded, axis=1, keepdims=True)).T
    np.testing.assert_allclose(scores, -np.sort(-cosines, axis=1)[:, :20], atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(cosines, found, axis=1), scores, atol=1e-6)


def test_a_vector_that_is_not_finite_is_an_error_and_no_wrong_word():
    values = np.ones((4, 3), np.float32)
    values[2, 1] = np.nan
    table = pack(values, "float32")
    with pytest.raises(InputError, match="NaN or infinity"):
        largest(table, norms(table), np.ones((1, 1, 3), np.float32), 4)
    assert largest(table, norms(table), np.ones((1, 1, 3), np.float32), 3)[0].tolist() == [[0, 1, 3]]
