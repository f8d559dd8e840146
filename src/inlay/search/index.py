"""Index: document vectors by id, searched by cosine; exact, or through a graph of neighbours when there are many."""

# Q queries, N documents, D dimensions, K results

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inlay.errors import InputError
from inlay.files import lock
from inlay.search import disk
from inlay.search.approximate import Graph, available

_BLOCK = 1 << 24
"""Scores held at a time: 64 MB, whatever Q and N are."""
_SLACK = 1e-5
"""More than rounding can part two equal scores in a float32 product of unit vectors."""


class Index:
    """Unit vectors (N, D) float32 under text ids; scores are cosines, and a zero vector scores 0 with everything.

    Up to `approximate_above` documents every search is exact. Beyond, candidates come from a graph (extra `search`),
    built when first needed, and are scored exactly.
    """

    def __init__(self, dim: int, *, approximate_above: int = 50_000) -> None:
        if not 1 <= dim <= disk.MAX_DIM:
            raise InputError(f"dim={dim} must be from 1 to {disk.MAX_DIM}")
        if approximate_above < 0:
            raise InputError(f"approximate_above={approximate_above} must be 0 or more")
        self.dim, self.approximate_above = dim, approximate_above
        self._ids: list[str] = []
        self._row: dict[str, int] = {}
        self._buffer: NDArray[np.float32] = np.empty((0, dim), np.float32)  # rows past N are room to grow
        self._graph: Graph | None = None

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, id: str) -> bool:
        return id in self._row

    @property
    def ids(self) -> list[str]:
        """The ids in the order in which they came."""
        return list(self._ids)

    def vectors(self, ids: Sequence[str] | None = None) -> NDArray[np.float32]:
        """(len(ids), D) unit vectors, a copy; all of them in the order of `ids` without an argument."""
        return self._matrix.copy() if ids is None else self._matrix[self._rows(ids)]

    def add(self, ids: Sequence[str], vectors: ArrayLike, *, replace: bool = False) -> None:
        """Add the rows of vectors (len(ids), D) under the ids; a replaced document keeps its place in the order.

        Raises InputError, and adds nothing, for ids that are there already (without `replace`), ids given twice, a
        wrong shape, NaN and infinity.
        """
        ids = text_ids(ids)
        unit = unit_rows(vectors, self.dim, "vectors")
        if len(unit) != len(ids):
            raise InputError(f"{len(ids)} ids but {len(unit)} vectors; give one vector for each id")
        known = [position for position, id in enumerate(ids) if id in self._row]
        if known and not replace:
            raise InputError(f"id {ids[known[0]]!r} is in the index already; delete it first, or add with replace=True")
        if known:
            self._replace([self._row[ids[position]] for position in known], unit[known])
            fresh = [position for position, id in enumerate(ids) if id not in self._row]
            ids, unit = [ids[position] for position in fresh], unit[fresh]
        self._append(ids, unit)

    def delete(self, ids: Sequence[str]) -> None:
        """Remove documents; the others keep their order. Raises InputError, and removes nothing, for an unknown id."""
        gone = self._rows(text_ids(ids))
        if not len(gone):
            return
        keep = np.ones(len(self), dtype=bool)
        keep[gone] = False
        self._buffer = self._matrix[keep]
        self._ids = [id for id, stays in zip(self._ids, keep.tolist(), strict=True) if stays]
        self._row = {id: row for row, id in enumerate(self._ids)}
        if self._graph:
            self._graph.remove(gone)

    def search(self, queries: ArrayLike, k: int, *, exact: bool = False) -> tuple[list[list[str]], NDArray[np.float32]]:
        """The ids of the K = min(k, N) best documents of each query, and their cosines (Q, K); best first.

        Equal scores stand in the order of insertion, and a query's answer does not depend on its neighbours in
        `queries` (Q, D). `exact` looks at every document however many there are.
        """
        if k < 1:
            raise InputError(f"k={k} must be 1 or more")
        unit = unit_rows(queries, self.dim, "queries")
        k = min(k, len(self))
        scores = np.empty((len(unit), k), np.float32)
        found: list[list[str]] = []
        if k:
            through_graph = not exact and len(self) > self.approximate_above
            candidates = self._built_graph().search(unit, k) if through_graph else self._candidates(unit, k)
            for at, (query, rows) in enumerate(zip(unit, candidates, strict=True)):
                best, scores[at] = self._best(query, rows, k)
                found.append([self._ids[row] for row in best.tolist()])
        return found or [[] for _ in unit], scores

    def scores(self, queries: ArrayLike) -> NDArray[np.float32]:
        """(Q, N) cosines of queries (Q, D) with every document, in the order of `ids`."""
        return unit_rows(queries, self.dim, "queries") @ self._matrix.T

    def save(self, folder: str | Path) -> None:
        """Write the index as a folder, whole or not at all; an index that stands there is replaced.

        Above `approximate_above` the graph is saved too, where its package is installed. Raises InputError when another
        process is writing there, or when the folder holds files that are not an index's.
        """
        if len(self) > self.approximate_above and available():
            self._built_graph()
        with lock(disk.claim(folder)):
            disk.write(folder, self._ids, self._matrix, self.approximate_above, self._graph)

    @classmethod
    def load(cls, folder: str | Path, *, mmap: bool = True, verify: bool = True) -> Self:
        """The index that `save` wrote; with `mmap` its vectors stay on disk and are read row by row when needed.

        `verify` compares every file with its checksum: one changed byte is an InputError. Without it, only shapes and
        sizes are checked.
        """
        header, ids, vectors, graph = disk.read(folder, mmap=mmap, verify=verify)
        index = cls(header.dim, approximate_above=header.approximate_above)
        index._ids, index._buffer, index._graph = ids, vectors, graph
        index._row = {id: row for row, id in enumerate(ids)}
        return index

    @property
    def _matrix(self) -> NDArray[np.float32]:
        return self._buffer[: len(self)]

    def _rows(self, ids: Sequence[str]) -> NDArray[np.int64]:
        try:
            return np.fromiter((self._row[id] for id in ids), np.int64, len(ids))
        except KeyError as error:
            raise InputError(f"id {error.args[0]!r} is not among the {len(self)} documents of the index") from None

    def _append(self, ids: list[str], unit: NDArray[np.float32]) -> None:
        start, end = len(self), len(self) + len(ids)
        if end > len(self._buffer) or not self._buffer.flags.writeable:
            grown = np.empty((max(end, start * 3 // 2), self.dim), np.float32)
            grown[:start] = self._matrix
            self._buffer = grown
        self._buffer[start:end] = unit
        self._ids += ids
        self._row.update(zip(ids, range(start, end), strict=True))
        if self._graph:
            self._graph.add(unit)

    def _replace(self, rows: list[int], unit: NDArray[np.float32]) -> None:
        if not self._buffer.flags.writeable:
            self._buffer = self._matrix.copy()
        self._buffer[rows] = unit
        if self._graph:
            self._graph.replace(np.array(rows), unit)

    def _built_graph(self) -> Graph:
        if self._graph is None:
            graph = Graph(self.dim)
            graph.add(self._matrix)
            self._graph = graph
        return self._graph

    def _candidates(self, queries: NDArray[np.float32], k: int) -> Iterator[NDArray[np.intp]]:
        """For each query the rows that may be among its k best: all that come within rounding of the k-th score."""
        block = max(1, _BLOCK // len(self))
        for start in range(0, len(queries), block):
            scores = queries[start : start + block] @ self._matrix.T
            kth = np.partition(scores, len(self) - k, axis=1)[:, len(self) - k]
            for row, least in zip(scores, kth - _SLACK, strict=True):
                yield np.flatnonzero(row >= least)

    def _best(
        self, query: NDArray[np.float32], rows: NDArray[np.intp], k: int
    ) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """The k best of the candidate rows and their scores.

        Summed in float64: a float32 product rounds by where a row stands, and equal documents would part.
        """
        if not query.any():  # every score is 0, and every row a candidate
            return np.arange(k), np.zeros(k, np.float32)
        scores = (self._matrix[rows].astype(np.float64) @ query.astype(np.float64)).astype(np.float32)
        order = np.lexsort((rows, -scores))[:k]
        return rows[order], scores[order]


def unit_rows(vectors: ArrayLike, dim: int, what: str) -> NDArray[np.float32]:
    """(n, D) float32 of length 1, rows of zeros as they are; InputError for another shape, NaN and infinity."""
    given = np.asarray(vectors)
    if given.ndim != 2 or given.shape[1] != dim or given.dtype.kind not in "fiu":
        raise InputError(f"{what} of shape {given.shape} and type {given.dtype} must be numbers of shape (n, {dim})")
    unit = np.empty(given.shape, np.float32)
    for start in range(0, len(given), 4096):
        block = given[start : start + 4096].astype(np.float64)
        bad = ~np.isfinite(block).all(axis=1)
        if bad.any():
            row = start + int(bad.argmax())
            raise InputError(f"{what}: row {row} holds NaN or infinity; leave it out or mend what made it")
        # The largest entry goes first: squares of numbers beyond 1e154 would overflow.
        block /= np.maximum(np.abs(block).max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
        norm = np.sqrt(np.einsum("nd,nd->n", block, block))[:, None]
        unit[start : start + 4096] = np.divide(block, norm, out=block, where=norm > 0)
    return unit


def text_ids(ids: Iterable[str]) -> list[str]:
    """The ids as a list; InputError where one is no text, or is given twice."""
    if isinstance(ids, str):
        raise InputError(f"ids={ids!r} is one text; give a list of ids")
    listed = list(ids)
    seen: set[str] = set()
    for id in listed:
        if not isinstance(id, str):
            raise InputError(f"id {id!r} is a {type(id).__name__}; ids are text")
        if id in seen:
            raise InputError(f"id {id!r} is given twice; give each id once")
        seen.add(id)
    return listed
