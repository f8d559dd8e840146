"""Latent semantic analysis, folded into a token table: TF-IDF of the corpus, truncated SVD (Deerwester et al. 1990)."""

# N documents, V tokens, F features, D dimensions

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inlay.live import Live

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_SPARE = 16
"""Directions more than asked for: the randomised range finder (Halko et al. 2011, arXiv:0909.4061) needs some."""
_ROUNDS = 4


def table(counts: "csr_matrix", features: "csr_matrix", *, dim: int, seed: int) -> NDArray[np.float32]:
    """(V, D) vectors such that the sum over a text's tokens is its LSA vector; D is at most `dim`, N - 1 and F - 1.

    `counts` (N, V) says how often each token stands in each document, `features` (V, F) what the tokens are made of.
    Documents are weighed (1 + log tf) · idf and brought to length 1; features of a single document carry no relation
    between documents and are left out.
    """
    from scipy.sparse import diags

    documents = (counts @ features).tocsr()  # (N, V) (V, F) -> (N, F)
    n_documents = documents.shape[0]
    frequency = np.bincount(documents.indices, minlength=documents.shape[1])
    shared = np.flatnonzero(frequency > 1) if (frequency > 1).any() else np.arange(len(frequency))
    documents, features = documents[:, shared].tocsr(), features[:, shared]
    idf = (np.log((1 + n_documents) / (1 + frequency[shared])) + 1).astype(np.float32)
    documents.data = 1 + np.log(documents.data)
    documents = _unit_rows(documents @ diags(idf))
    directions = right_singular(documents, dim, seed)  # (F, D)
    return np.asarray(features @ (idf[:, None] * directions), np.float32)


def right_singular(matrix: "csr_matrix", dim: int, seed: int) -> NDArray[np.float32]:
    """(F, D) the strongest right singular vectors of a sparse (N, F) matrix, the strongest first.

    Only (N, D) matrices are kept apart between rounds, by LU: the corpus has far fewer documents than features. The
    sign of each vector is fixed, so that the same matrix and seed give the same result.
    """
    from scipy.linalg import eigh, lu

    n_rows, n_columns = matrix.shape
    dim = max(1, min(dim, n_rows - 1, n_columns - 1))
    width = min(dim + _SPARE, n_rows, n_columns)
    transposed = matrix.T.tocsr()
    rng = np.random.default_rng(seed)
    basis = matrix @ rng.standard_normal((n_columns, width), np.float32)
    with Live("singular vectors", _ROUNDS, "rounds") as live:
        for _ in live.over(range(_ROUNDS)):
            basis = matrix @ (transposed @ _apart(basis, lu))  # (N, F) (F, N) (N, W)
    basis = _apart(basis, lu)
    projected = transposed @ basis  # (F, W)
    # Rayleigh-Ritz in a basis that is not orthogonal: a generalised problem instead of a QR of N rows.
    overlap = (basis.T @ basis).astype(np.float64)
    overlap[np.diag_indices(width)] *= 1 + 1e-6
    squares, rotation = eigh((projected.T @ projected).astype(np.float64), overlap)
    strongest = np.argsort(-squares)[:dim]
    lengths = np.sqrt(np.maximum(squares[strongest], 1e-12))
    vectors = (projected @ rotation[:, strongest].astype(np.float32)) / lengths.astype(np.float32)
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(dim)])
    return np.asarray(vectors * np.where(signs == 0, 1, signs), np.float32)


def _unit_rows(matrix: "csr_matrix") -> "csr_matrix":
    from scipy.sparse import diags

    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return (diags((1 / np.maximum(lengths, 1e-12)).astype(np.float32)) @ matrix).tocsr().astype(np.float32)


def _apart(basis: NDArray[np.float32], lu: Callable[..., Any]) -> NDArray[np.float32]:
    """Columns that span the same space and are far from parallel: LU does it in a third of the time of QR."""
    return np.asarray(lu(basis, permute_l=True, check_finite=False)[0], np.float32)
