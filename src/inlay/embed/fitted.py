"""The fitted table: token rows whose sum over a document is as near as may be to the vector an encoder gave it.

Ridge regression (Hoerl & Kennard 1970) of document vectors on weighed token counts: an encoder reads the user's
documents once, and a table answers for it from then on.
"""

# N documents, V tokens, F features, D dimensions

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from inlay.embed.static import unit
from inlay.errors import InputError
from inlay.live import Live

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Array = NDArray[np.float32]

RIDGE = 1.0
"""How much the rows are held back; documents have length 1, so that it means the same in every corpus."""

_DIRECT = 3_000
"""Unknowns up to which the system is solved at once; beyond, by steps, whose cost grows with the text alone."""
_STEPS = 200
_NEAR = 1e-5
"""Share of its target at which a solution by steps is near enough: a tenth of what float32 can hold of a cosine."""


def fit_table(
    counts: "csr_matrix", targets: Array, *, features: "csr_matrix | None" = None, ridge: float = RIDGE
) -> Array:
    """(V, D) token vectors whose sum over a document points where its target (N, D) does; the same for the same input.

    `counts` (N, V) says how often each token stands in each document; they are weighed (1 + log tf) · idf and brought
    to length 1, and idf is in the table. `features` (V, F) says what the tokens are made of (grams.matrix): then
    tokens that no document has get vectors from what they share with others; without it, they have none (zero).
    Raises InputError for shapes that do not match, targets that are not finite, and a ridge that is not above 0.
    """
    from scipy.sparse import diags

    _check(counts, targets, features, ridge)
    documents = (counts if features is None else counts @ features).tocsr().astype(np.float32)  # (N, F)
    documents.sum_duplicates()
    frequency = np.bincount(documents.indices, minlength=documents.shape[1])
    idf = (np.log((1 + documents.shape[0]) / (1 + frequency)) + 1).astype(np.float32)
    documents.data = 1 + np.log(documents.data)
    documents = (documents @ diags(idf)).tocsr()
    lengths = np.sqrt(np.asarray(documents.multiply(documents).sum(axis=1)).ravel())
    documents = (diags((1 / np.maximum(lengths, 1e-12)).astype(np.float32)) @ documents).tocsr()
    rows = idf[:, None] * ridge_rows(documents, np.asarray(targets, np.float32), ridge)  # (F, D)
    return np.asarray(rows if features is None else features @ rows, np.float32)


def ridge_rows(matrix: "csr_matrix", targets: Array, ridge: float) -> Array:
    """(F, D) the W of least |matrix W - targets|² + ridge |W|², for a sparse (N, F) matrix and (N, D) targets.

    Solved among documents or features, whichever are fewer.
    """
    n_rows, n_columns = matrix.shape
    transposed = matrix.T.tocsr()
    if n_rows <= n_columns:  # W = Aᵀ (A Aᵀ + λ)⁻¹ Y
        return np.asarray(transposed @ _solve(matrix, transposed, targets, ridge), np.float32)
    return _solve(transposed, matrix, np.asarray(transposed @ targets, np.float32), ridge)


def side_by_side(*parts: Array) -> Array:
    """(N, D₁ + D₂ + …) the parts' vectors, each part of length 1 and of equal weight in a cosine; zero rows stay."""
    return np.asarray(np.concatenate([unit(part) for part in parts], axis=1) / np.sqrt(len(parts)), np.float32)


def _solve(left: "csr_matrix", right: "csr_matrix", targets: Array, ridge: float) -> Array:
    """(M, D) the X of (left right + ridge) X = targets, where `left` (M, K) and `right` (K, M) are each other's
    transposes."""
    if left.shape[0] > _DIRECT:
        return _by_steps(left, right, targets, ridge)
    from scipy.linalg import cho_factor, cho_solve

    gram = np.asarray((left @ right).todense(), np.float64)
    gram[np.diag_indices(len(gram))] += ridge
    return np.asarray(cho_solve(cho_factor(gram, lower=True), targets.astype(np.float64)), np.float32)


def _by_steps(left: "csr_matrix", right: "csr_matrix", targets: Array, ridge: float) -> Array:
    """The same by conjugate gradients, every column by steps of its own length (Hestenes & Stiefel 1952)."""
    found = np.zeros_like(targets)
    rest = targets.copy()
    direction = rest.copy()
    energy = np.einsum("md,md->d", rest, rest, dtype=np.float64)
    enough = _NEAR**2 * energy
    with Live("ridge regression", _STEPS, "steps") as live:
        for _ in live.over(range(_STEPS)):
            if (energy <= enough).all():
                break
            ahead = left @ (right @ direction) + np.float32(ridge) * direction
            bend = np.einsum("md,md->d", direction, ahead, dtype=np.float64)
            step = np.divide(energy, bend, out=np.zeros_like(energy), where=bend > 0)
            found += direction * step.astype(np.float32)
            rest -= ahead * step.astype(np.float32)
            before, energy = energy, np.einsum("md,md->d", rest, rest, dtype=np.float64)
            grown = np.divide(energy, before, out=np.zeros_like(energy), where=before > 0)
            direction = rest + direction * grown.astype(np.float32)
    return found


def _check(counts: "csr_matrix", targets: Array, features: "csr_matrix | None", ridge: float) -> None:
    if targets.ndim != 2 or len(targets) != counts.shape[0] or not len(targets):
        raise InputError(f"{counts.shape[0]} documents and targets {targets.shape}; give one vector for each document")
    if not np.isfinite(targets).all():
        row = int(np.flatnonzero(~np.isfinite(targets).all(axis=1))[0])
        raise InputError(f"the target of document {row} is not finite (NaN or infinity); check the model it is from")
    if features is not None and features.shape[0] != counts.shape[1]:
        raise InputError(f"{counts.shape[1]} tokens and features {features.shape}; give one row for each token")
    if not 0 < ridge < np.inf:
        raise InputError(f"ridge={ridge} must be above 0; {RIDGE:g} is usual")
