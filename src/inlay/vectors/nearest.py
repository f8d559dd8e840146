"""The k words with the largest scores, exactly: blocks of words scored one after the other, the best kept in one pass.

One query is scored straight from the stored numbers, at the speed of the memory; many queries share each block.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.vectors import storage
from inlay.vectors.storage import Table

# V words, D dimensions, Q questions, M queries of a question, W words of a block, k results

Formula = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""From the cosines of a question's M queries, (Q, M, W), to the scores (Q, W)."""

_WORDS, _SCORES = 1 << 12, 1 << 20
"""Words of a block, and scores that are held at a time: both stay near the processor."""


def only(cosines: NDArray[np.float32]) -> NDArray[np.float32]:
    """The score is the cosine of the one query."""
    return cosines[:, 0]


def largest(
    table: Table,
    norms: NDArray[np.float32],
    queries: NDArray[np.float32],
    k: int,
    *,
    without: NDArray[np.int64] | None = None,
    restrict: int | None = None,
    formula: Formula = only,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """((Q, k) rows, (Q, k) scores) of the words with the largest scores for queries (Q, M, D), the largest first.

    Equal scores stand in the words' order. `without` (Q, n) are rows that a question leaves out, `restrict` looks at
    the first words only. Fewer than k columns come back where there are fewer words. InputError where a vector is not
    finite.
    """
    if k < 1:
        raise InputError(f"k={k} must be at least 1")
    if restrict is not None and restrict < 1:
        raise InputError(f"restrict={restrict} must be at least 1, or None for all words")
    n_words = table.shape[0] if restrict is None else min(table.shape[0], restrict)
    n_questions, n_queries, dim = queries.shape
    assert dim == table.shape[1], "the loops check no bounds"
    k = min(k, n_words - (0 if without is None else _most_left_out(without, n_words)))
    found, scores = np.full((n_questions, k), -1, np.int64), np.full((n_questions, k), -np.inf, np.float32)
    if k == 0:
        return found, scores
    units = np.ascontiguousarray(storage.units(queries))
    weights = np.reciprocal(np.maximum(norms[:n_words], np.finfo(np.float32).tiny))
    step = max(1, _SCORES // (_WORDS * n_queries))
    for first in range(0, n_questions, step):
        part = slice(first, first + step)
        left_out = None if without is None else without[part]
        _search(table, weights, units[part], left_out, formula, found[part], scores[part])
    if (found < 0).any():
        raise InputError("a vector holds NaN or infinity; write the file again from where it came")
    order = np.lexsort((found, -scores), axis=1)
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(scores, order, axis=1)


def _most_left_out(without: NDArray[np.int64], n_words: int) -> int:
    """How many of the words any question leaves out at most: some rows may be no word's, or stand twice."""
    rows = np.sort(without, axis=1)
    is_new = (rows >= 0) & (rows < n_words) & (np.diff(rows, axis=1, prepend=-1) != 0)
    return int(is_new.sum(axis=1).max(initial=0))


def _search(
    table: Table,
    weights: NDArray[np.float32],
    units: NDArray[np.float32],
    without: NDArray[np.int64] | None,
    formula: Formula,
    found: NDArray[np.int64],
    best: NDArray[np.float32],
) -> None:
    """Fill `found` and `best` (Q, k), unsorted, for queries (Q, M, D) of length 1."""
    from inlay.vectors.nearest_kernels import keep_largest

    n_questions, n_queries, dim = units.shape
    rows = units.reshape(-1, dim)
    for first in range(0, len(weights), _WORDS):
        last = min(first + _WORDS, len(weights))
        one = len(rows) == 1
        cosines = table.dots(rows[0], first, last)[None] if one else rows @ table.take(slice(first, last)).T
        cosines *= weights[first:last]
        scores = formula(cosines.reshape(n_questions, n_queries, last - first))
        if without is not None:
            question, column = np.nonzero((without >= first) & (without < last))
            scores[question, without[question, column] - first] = -np.inf
        keep_largest(scores, first, found, best)
