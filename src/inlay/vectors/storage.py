"""How the numbers of V vectors are kept: float32, or smaller in half precision or int8, decoded where they are used.

Scores over a smaller table are exact for the numbers that it holds; it holds them with these errors, at most:
half precision 2**-11 of each number (numbers below 6e-5 keep 3e-8), int8 1/254 of the largest number of the row.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError

# V words, D dimensions, N words looked up, W words of a block

Precision = Literal["float32", "half", "int8"]

_BLOCK = 1 << 12
"""Rows that are worked on at a time."""


@dataclass(frozen=True, eq=False)
class Full:
    """Each number a float32: `values` (V, D)."""

    values: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, int]:
        """(V, D)"""
        return self.values.shape

    def take(self, places: Any) -> NDArray[np.float32]:
        """The rows at the places, an index of NumPy, as float32."""
        return self.values[places]

    def dots(self, query: NDArray[np.float32], first: int, last: int) -> NDArray[np.float32]:
        """(W,) the rows from `first` to `last` times the query (D,)."""
        from inlay.vectors.nearest_kernels import dots

        scores = np.empty(last - first, np.float32)
        dots(self.values[first:last], query, scores)
        return scores


@dataclass(frozen=True, eq=False)
class Half:
    """Each number a float16: `values` (V, D)."""

    values: NDArray[np.float16]

    @property
    def shape(self) -> tuple[int, int]:
        """(V, D)"""
        return self.values.shape

    def take(self, places: Any) -> NDArray[np.float32]:
        """The rows at the places, an index of NumPy, as float32."""
        return self.values[places].astype(np.float32)

    def dots(self, query: NDArray[np.float32], first: int, last: int) -> NDArray[np.float32]:
        """(W,) the rows from `first` to `last` times the query (D,)."""
        from inlay.vectors.nearest_kernels import HALF_SCALE, half_dots

        scores = np.empty(last - first, np.float32)
        half_dots(self.values[first:last].view(np.uint16), query * np.float32(HALF_SCALE), scores)
        return scores


@dataclass(frozen=True, eq=False)
class Int8:
    """Each number a whole one from -127 to 127, `values` (V, D), times the scale of its row, `scales` (V,) float32."""

    values: NDArray[np.int8]
    scales: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, int]:
        """(V, D)"""
        return self.values.shape

    def take(self, places: Any) -> NDArray[np.float32]:
        """The rows at the places, an index of NumPy, as float32."""
        return self.values[places] * self.scales[places][..., None]

    def dots(self, query: NDArray[np.float32], first: int, last: int) -> NDArray[np.float32]:
        """(W,) the rows from `first` to `last` times the query (D,)."""
        from inlay.vectors.nearest_kernels import dots

        scores = np.empty(last - first, np.float32)
        dots(self.values[first:last], query, scores)
        scores *= self.scales[first:last]
        return scores


Table = Full | Half | Int8


def pack(values: NDArray[np.float32], precision: Precision) -> Table:
    """The rows (V, D) in a precision; InputError for a name that is none, and for numbers too large for half."""
    if precision == "float32":
        return Full(values)
    if values.size and not (np.isfinite(values.max()) and np.isfinite(values.min())):
        raise InputError("NaN or infinity among the numbers; only float32 can hold it")
    if precision == "half":
        if values.size and max(values.max(), -values.min()) > np.finfo(np.float16).max:
            raise InputError("a number above 65504 does not fit half precision; take int8 or float32")
        return Half(values.astype(np.float16))
    if precision == "int8":
        codes, scales = np.empty(values.shape, np.int8), np.empty(len(values), np.float32)
        for first in range(0, len(values), _BLOCK):
            block = values[first : first + _BLOCK]
            scale = np.maximum(np.abs(block).max(axis=1, initial=0) / np.float32(127), np.finfo(np.float32).tiny)
            codes[first : first + _BLOCK] = np.rint(block / scale[:, None])
            scales[first : first + _BLOCK] = scale
        return Int8(codes, scales)
    raise InputError(f"precision={precision!r} must be 'float32', 'half' or 'int8'")


def norms(table: Table) -> NDArray[np.float32]:
    """(V,) the lengths of the rows as they are decoded."""
    lengths = np.empty(table.shape[0], np.float32)
    for first, block in blocks(table):
        lengths[first : first + len(block)] = _lengths(block)
    return lengths


def units(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    """(N, ..., D) the rows with length 1; those of zeros stay zero."""
    lengths = _lengths(rows)[..., None]
    out = np.empty(rows.shape, np.float32)  # a copy in float64 would take twice its memory
    return np.divide(rows, np.where(lengths == 0, 1, lengths), out=out, casting="same_kind")


def _lengths(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N, ...) the lengths of the rows (N, ..., D), also of those whose squares are out of float32's reach."""
    squares = np.einsum("...d,...d->...", rows, rows).astype(np.float64)
    if (out := ~((squares > 1e-30) & np.isfinite(squares))).any():
        squares[out] = np.einsum("nd,nd->n", rows[out], rows[out], dtype=np.float64)
    return np.sqrt(squares)


def mean(table: Table) -> NDArray[np.float32]:
    """(D,) the mean of the rows as they are decoded."""
    total = np.zeros(table.shape[1])
    for _, block in blocks(table):
        total += block.sum(axis=0, dtype=np.float64)
    return (total / max(table.shape[0], 1)).astype(np.float32)


def blocks(table: Table) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The rows a few thousand at a time as float32, each block with the number of its first row."""
    for first in range(0, table.shape[0], _BLOCK):
        yield first, table.take(slice(first, first + _BLOCK))
