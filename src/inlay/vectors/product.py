"""Product quantisation: a row of D numbers as a few bytes, each the nearest of 256 centroids for its part of the row.

Jégou et al. 2011, "Product quantization for nearest neighbor search"; the layout is that of fastText's .ftz files
(Joulin et al. 2016, arXiv:1612.03651).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError

# M rows, D dimensions, P parts of a row, S dimensions of a part (the last one may have fewer)

CENTROIDS = 256
"""Centroids for each part: as many as a byte can name."""
_SAMPLE = 1 << 15
"""Rows that the centroids are found from: 128 for each of them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Quantized:
    """A matrix (M, D) of which each row is stored in P bytes, or P + 1 where its length is stored by itself.

    The arrays may be memory-mapped and are never changed.
    """

    dim: int
    """D"""
    part: int
    """S"""
    codes: NDArray[np.uint8]
    """(M, P): the centroid of each part of a row."""
    centroids: NDArray[np.float32]
    """(256 · D,): part after part, the 256 centroids of each."""
    norm_codes: NDArray[np.uint8] | None = None
    """(M,): which length each row has; None: the rows have the length that their parts give."""
    norms: NDArray[np.float32] | None = None
    """(256,): the lengths."""

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def shape(self) -> tuple[int, int]:
        """(M, D)"""
        return len(self.codes), self.dim

    @cached_property
    def tables(self) -> list[NDArray[np.float32]]:
        """P times (256, S): the centroids of each part."""
        bounds = range(0, CENTROIDS * self.dim, CENTROIDS * self.part)
        return [self.centroids[at : at + CENTROIDS * self.part].reshape(CENTROIDS, -1) for at in bounds]

    def rows(self, rows: NDArray[np.int64] | slice = slice(None)) -> NDArray[np.float32]:
        """(N, D) the rows asked for, by default all of them."""
        codes = self.codes[rows]
        found = np.empty((len(codes), self.dim), np.float32)
        for p, table in enumerate(self.tables):
            found[:, p * self.part : p * self.part + table.shape[1]] = table[codes[:, p]]
        if self.norm_codes is not None and self.norms is not None:
            found *= self.norms[self.norm_codes[rows]][:, None]
        return found


def quantize(
    matrix: NDArray[np.float32], part: int, *, by_norm: bool, rng: np.random.Generator, rounds: int = 25
) -> Quantized:
    """The matrix in parts of `part` dimensions, each the nearest of 256 centroids that k-means found for it.

    With `by_norm`, the directions and the lengths of the rows are quantised apart, which is more exact for one byte
    more a row. Up to 256 rows lose nothing. The same `rng` gives the same bits.
    """
    if not 1 <= part <= matrix.shape[1]:
        raise InputError(f"part={part} must lie between 1 and {matrix.shape[1]}, the dimensions; 2 is usual")
    norm_codes = norms = None
    if by_norm:
        lengths = np.linalg.norm(matrix, axis=1).astype(np.float32)
        matrix = matrix / np.maximum(lengths, np.float32(1e-30))[:, None]
        norm_codes, table = _cluster(lengths[:, None], rng, rounds)
        norms = table[:, 0].copy()
    codes, tables = [], []
    for first in range(0, matrix.shape[1], part):
        code, table = _cluster(np.ascontiguousarray(matrix[:, first : first + part]), rng, rounds)
        codes.append(code)
        tables.append(table.ravel())
    return Quantized(
        dim=matrix.shape[1], part=part, codes=np.stack(codes, axis=1), centroids=np.concatenate(tables),
        norm_codes=norm_codes, norms=norms,
    )  # fmt: skip


def _cluster(
    points: NDArray[np.float32], rng: np.random.Generator, rounds: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """((n,) the nearest centroid of each point, (256, S) the centroids)."""
    from inlay.vectors.product_kernels import improve, nearest

    n, size = points.shape
    table = np.zeros((CENTROIDS, size), np.float32)
    if n <= CENTROIDS:
        table[:n] = points
        return np.arange(n, dtype=np.uint8), table
    sample = points[rng.permutation(n)[:_SAMPLE]]
    centroids = np.ascontiguousarray(sample[:CENTROIDS].T)
    codes = np.empty(n, np.uint8)
    improve(sample, centroids, codes, rounds, rng.integers(1, 2**64, 1, np.uint64))
    nearest(points, centroids, codes)
    table[:] = centroids.T
    return codes, table
