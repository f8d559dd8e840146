"""The fitted table: ridge regression as algebra has it, by every way of solving it, and rows for unseen tokens."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix, random

from inlay.embed import fitted
from inlay.embed.fitted import fit_table, ridge_rows, side_by_side
from inlay.embed.static import unit
from inlay.errors import InputError


def matrix(n: int, m: int, seed: int = 0) -> csr_matrix:
    return random(n, m, 0.2, "csr", np.float32, np.random.default_rng(seed))


@pytest.mark.parametrize("shape", [(30, 80), (80, 30), (40, 40)])
@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("ridge", [0.1, 1.0, 50.0])
def test_every_way_gives_the_solution_of_the_normal_equations(
    shape: tuple[int, int], direct: bool, ridge: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not direct:
        monkeypatch.setattr(fitted, "_DIRECT", 0)
    a, y = matrix(*shape), np.random.default_rng(1).standard_normal((shape[0], 7), np.float32)
    dense = a.toarray().astype(np.float64)
    expected = np.linalg.solve(dense.T @ dense + ridge * np.eye(shape[1]), dense.T @ y)
    np.testing.assert_allclose(ridge_rows(a, y, ridge), expected, atol=2e-4 * np.abs(expected).max())


def test_documents_point_where_their_targets_do() -> None:
    rng = np.random.default_rng(0)
    counts = csr_matrix((rng.random((60, 300)) < 0.1).astype(np.float32))
    targets = unit(rng.standard_normal((60, 9), np.float32))
    table = fit_table(counts, targets, ridge=1e-3)
    assert table.dtype == np.float32
    assert ((unit(counts @ table) * targets).sum(axis=1) > 0.95).all()
    assert table.tobytes() == fit_table(counts, targets, ridge=1e-3).tobytes()


def test_a_token_that_no_document_has_is_zero_or_made_of_what_it_shares_with_others() -> None:
    counts = csr_matrix(np.array([[1, 0, 0], [2, 1, 0], [0, 1, 0]], np.float32))
    targets = np.eye(3, dtype=np.float32)
    assert not fit_table(counts, targets)[2].any()
    made_of = csr_matrix(np.array([[1, 0], [0, 1], [1, 0]], np.float32))  # the third token's stem is the first's
    table = fit_table(counts, targets, features=made_of)
    np.testing.assert_array_equal(table[2], table[0])


def test_parts_side_by_side_weigh_the_same_in_a_cosine() -> None:
    a, b = np.random.default_rng(0).standard_normal((2, 5, 4), np.float32)
    both = side_by_side(a, 100 * b)
    np.testing.assert_allclose(both @ both.T, (unit(a) @ unit(a).T + unit(b) @ unit(b).T) / 2, atol=1e-6)


def test_empty_documents_and_no_tokens_give_finite_rows() -> None:
    counts = csr_matrix((4, 6), dtype=np.float32)
    assert not fit_table(counts, np.ones((4, 2), np.float32)).any()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"targets": np.ones((3, 2), np.float32)}, "one vector for each document"),
        ({"targets": np.full((4, 2), np.nan, np.float32)}, "document 0 is not finite"),
        ({"features": csr_matrix((5, 2), dtype=np.float32)}, "one row for each token"),
        ({"ridge": 0.0}, "ridge=0.0 must be above 0"),
    ],
)
def test_what_does_not_fit_is_told(change: dict, said: str) -> None:
    given = {"counts": matrix(4, 6), "targets": np.ones((4, 2), np.float32)} | change
    with pytest.raises(InputError, match=said):
        fit_table(given.pop("counts"), given.pop("targets"), **given)
