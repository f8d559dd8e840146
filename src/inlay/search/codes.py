"""Codes: document vectors in a quarter, a thirtieth or less of their memory, and how a query is scored on them."""

# Q queries, N rows, D dimensions, P parts of a row, W words of 64 bits

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inlay.embed.quantise import quantise_rows
from inlay.errors import InputError

Array = NDArray[np.float32]
Codes = Mapping[str, NDArray[Any]]
"""What is kept of N rows: arrays by name, the first axis of each N long."""

_ROWS = 4096
"""Rows at a time: what they are widened to stays in the cache."""
_MOST_CANDIDATES = 1000
_ROUNDS = 10
"""Of k-means: more move the centroids too little to be seen in a ranking."""


@dataclass(frozen=True, kw_only=True)
class Int8:
    """A byte for each number and one scale for each vector: a quarter of float32, and hardly anything is lost."""

    def coder(self, dim: int) -> "Int8Coder":
        """What writes and reads such codes."""
        return Int8Coder(dim)


@dataclass(frozen=True, kw_only=True)
class Binary:
    """A bit for each number, its sign: the nearest by Hamming distance are candidates, and are scored again.

    Yamada et al. 2021, arXiv:2106.00882.
    """

    rescore: Int8 | None = Int8()
    """By what candidates are scored again: int8 codes beside the bits, or (None) the query's floats on the bits."""
    candidates: int = 10
    """Candidates for each result wanted."""

    def __post_init__(self) -> None:
        _check_candidates(self.candidates)

    def coder(self, dim: int) -> "BinaryCoder":
        """What writes and reads such codes."""
        return BinaryCoder(dim, self)


@dataclass(frozen=True, kw_only=True)
class Product:
    """A byte for each `part` numbers, the nearest of 256 centroids that were learned. Jégou et al. 2011."""

    part: int = 4
    """Numbers that share a byte."""
    rescore: Int8 | None = None
    """By what candidates are scored again: int8 codes kept beside the others, or (None) nothing."""
    candidates: int = 10
    """Candidates for each result wanted, where they are scored again."""
    seed: int = 0
    """Of the centroids that k-means begins with."""

    def __post_init__(self) -> None:
        _check_candidates(self.candidates)
        if self.part < 1 or self.seed < 0:
            raise InputError(f"part={self.part} must be at least 1 and seed={self.seed} at least 0; part=4 is usual")

    def coder(self, dim: int) -> "ProductCoder":
        """What writes and reads such codes, once it has learned its centroids."""
        if self.part > dim:
            raise InputError(f"part={self.part} must be at most {dim}, the dimensions; 4 is usual")
        return ProductCoder(dim, self)


Storage = Int8 | Binary | Product


@dataclass(frozen=True)
class Int8Coder:
    """`int8` (N, D) and `scales` (N,) float32."""

    dim: int
    more = 1
    """Candidates for each result: the first scores are the last ones."""

    @property
    def layout(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Of each array the dtype, as safetensors calls it, and the shape without its first axis."""
        return {"int8": ("I8", (self.dim,)), "scales": ("F32", ())}

    def encode(self, rows: Array) -> dict[str, NDArray[Any]]:
        """The codes of unit rows (n, D)."""
        codes, scales = np.empty(rows.shape, np.int8), np.empty(len(rows), np.float32)
        for at in range(0, len(rows), _ROWS):
            codes[at : at + _ROWS], scales[at : at + _ROWS] = quantise_rows(rows[at : at + _ROWS])
        return {"int8": codes, "scales": scales}

    def coarse(self, queries: Array, codes: Codes) -> Array:
        """(Q, N) the scores by which candidates are found."""
        values, scales = codes["int8"], codes["scales"]
        found = np.empty((len(queries), len(values)), np.float32)
        for at in range(0, len(values), _ROWS):
            block = values[at : at + _ROWS].astype(np.float32)
            np.matmul(queries, block.T, out=found[:, at : at + _ROWS])
        found *= scales
        return found

    def decode(self, codes: Codes) -> Array:
        """(n, D) the rows that the codes stand for."""
        return np.asarray(codes["int8"] * codes["scales"][:, None], np.float32)


@dataclass(frozen=True)
class BinaryCoder:
    """`bits` (N, W) uint64, `filled` (N,) uint8 that is 0 for a row of zeros, and the codes to score again by."""

    dim: int
    storage: Binary

    @property
    def more(self) -> int:
        """Candidates for each result."""
        return self.storage.candidates

    @property
    def layout(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Of each array the dtype and the shape without its first axis."""
        own: dict[str, tuple[str, tuple[int, ...]]] = {"bits": ("U64", (-(-self.dim // 64),)), "filled": ("U8", ())}
        return own | _layout(self.storage.rescore, self.dim)

    def encode(self, rows: Array) -> dict[str, NDArray[Any]]:
        """The codes of unit rows (n, D)."""
        found: dict[str, NDArray[Any]] = {"bits": self._bits(rows), "filled": np.asarray(rows.any(axis=1), np.uint8)}
        return found | _encode(self.storage.rescore, self.dim, rows)

    def coarse(self, queries: Array, codes: Codes) -> Array:
        """(Q, N) 1 - 2 · Hamming distance / D: the cosines of the signs."""
        asked, bits = self._bits(queries), codes["bits"]
        found = np.empty((len(queries), len(bits)), np.float32)
        for at in range(0, len(bits), 4 * _ROWS):
            block = bits[at : at + 4 * _ROWS]
            for row, query in enumerate(asked):
                found[row, at : at + 4 * _ROWS] = np.bitwise_count(block ^ query).sum(axis=1, dtype=np.uint16)
        found *= np.float32(-2 / self.dim)
        found += 1
        return found

    def decode(self, codes: Codes) -> Array:
        """(n, D) the rows by the finest codes that are kept."""
        if self.storage.rescore:
            return self.storage.rescore.coder(self.dim).decode(codes)
        octets = np.ascontiguousarray(codes["bits"]).astype("<u8").view(np.uint8)
        signs = np.unpackbits(octets, axis=1, count=self.dim, bitorder="little")
        rows = (2 * signs.astype(np.float32) - 1) * np.float32(self.dim**-0.5)
        return np.asarray(rows * codes["filled"][:, None], np.float32)

    def _bits(self, rows: Array) -> NDArray[np.uint64]:
        """(n, W) the signs, 64 in a word; what is left of the last word is zero."""
        padded = np.zeros((len(rows), -(-self.dim // 64) * 64), bool)
        padded[:, : self.dim] = rows > 0
        return np.packbits(padded, axis=1, bitorder="little").view("<u8").astype(np.uint64)


@dataclass(frozen=True)
class ProductCoder:
    """`parts` (N, P) uint8, `filled` (N,) uint8 that is 0 for a row of zeros, and the codes to score again by."""

    dim: int
    storage: Product
    tables: list[Array] = field(default_factory=list)
    """P times (256, S): the centroids of each part; none before `learn`."""

    @cached_property
    def stacked(self) -> Array:
        """(P, 256, S): the centroids of all parts; what the last one lacks of S numbers is zero."""
        found = np.zeros((len(self.tables), 256, self.storage.part), np.float32)
        for p, table in enumerate(self.tables):
            found[p, :, : table.shape[1]] = table
        return found

    @property
    def more(self) -> int:
        """Candidates for each result."""
        return self.storage.candidates if self.storage.rescore else 1

    @property
    def layout(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Of each array the dtype and the shape without its first axis."""
        own: dict[str, tuple[str, tuple[int, ...]]] = {
            "parts": ("U8", (-(-self.dim // self.storage.part),)),
            "filled": ("U8", ()),
        }
        return own | _layout(self.storage.rescore, self.dim)

    def learn(self, rows: Array) -> "ProductCoder":
        """The same with centroids found in these unit rows; up to 256 of them lose nothing."""
        from inlay.vectors.product import quantize

        rng = np.random.default_rng(self.storage.seed)
        found = quantize(rows, self.storage.part, by_norm=False, rng=rng, rounds=_ROUNDS)
        return ProductCoder(self.dim, self.storage, found.tables)

    def encode(self, rows: Array) -> dict[str, NDArray[Any]]:
        """The codes of unit rows (n, D)."""
        from inlay.vectors.product_kernels import nearest

        if not self.tables:
            raise InputError("product quantisation learns its centroids from vectors first; call learn(sample)")
        parts = np.empty((len(rows), len(self.tables)), np.uint8)
        for p, table in enumerate(self.tables):
            points = np.ascontiguousarray(rows[:, p * self.storage.part : (p + 1) * self.storage.part])
            code = np.empty(len(rows), np.uint8)
            nearest(points, np.ascontiguousarray(table.T), code)
            parts[:, p] = code
        found: dict[str, NDArray[Any]] = {"parts": parts, "filled": np.asarray(rows.any(axis=1), np.uint8)}
        return found | _encode(self.storage.rescore, self.dim, rows)

    def coarse(self, queries: Array, codes: Codes) -> Array:
        """(Q, N) sums over the parts of what the query has with the centroid: looked up, not multiplied."""
        from inlay.vectors.product_kernels import add_up

        parts, size = np.ascontiguousarray(codes["parts"]), self.storage.part
        found = np.zeros((len(queries), len(parts)), np.float32)
        if not self.tables:
            return found
        padded = np.zeros((len(queries), self.stacked.shape[0] * size), np.float32)
        padded[:, : self.dim] = queries
        split = padded.reshape(len(queries), -1, size).swapaxes(0, 1)  # (P, Q, S)
        each = np.matmul(split, self.stacked.swapaxes(1, 2))  # (P, Q, 256): what a centroid gives with its part
        for row, lookups in enumerate(np.ascontiguousarray(each.swapaxes(0, 1))):
            add_up(lookups, parts, found[row])
        found *= codes["filled"]
        return found

    def decode(self, codes: Codes) -> Array:
        """(n, D) the rows by the finest codes that are kept."""
        if self.storage.rescore:
            return self.storage.rescore.coder(self.dim).decode(codes)
        parts = codes["parts"]
        if not self.tables:
            return np.zeros((len(parts), self.dim), np.float32)
        rows = self.stacked[np.arange(parts.shape[1]), parts].reshape(len(parts), -1)[:, : self.dim]
        return np.asarray(rows * codes["filled"][:, None], np.float32)


Coder = Int8Coder | BinaryCoder | ProductCoder


def _layout(rescore: Int8 | None, dim: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    return rescore.coder(dim).layout if rescore else {}


def _encode(rescore: Int8 | None, dim: int, rows: Array) -> dict[str, NDArray[Any]]:
    return rescore.coder(dim).encode(rows) if rescore else {}


def _check_candidates(n: int) -> None:
    if not 1 <= n <= _MOST_CANDIDATES:
        raise InputError(f"candidates={n} must lie between 1 and {_MOST_CANDIDATES}; 10 is usual")
