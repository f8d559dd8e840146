"""Product quantisation: a row of D numbers as a few bytes, each the nearest of 256 centroids for its part of the row.

Jégou et al. 2011, "Product quantization for nearest neighbor search"; the layout is that of fastText's .ftz files
(Joulin et al. 2016, arXiv:1612.03651).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

# M rows, D dimensions, P parts of a row, S dimensions of a part (the last one may have fewer)

CENTROIDS = 256
"""Centroids for each part: as many as a byte can name."""


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
