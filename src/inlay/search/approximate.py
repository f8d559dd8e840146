"""Graph: the rows that are probably nearest, without looking at all of them (usearch, extra `search`)."""

# Q queries, N rows, D dimensions, K candidates

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError, missing_extra

GRAPH, KEYS = "graph.usearch", "graph.keys"
_SPARE = 2
"""Candidates for each result wanted: the graph holds half precision, and the caller scores them again."""
_LEAST = 64
"""Candidates for a query at least: asking for fewer costs recall and saves nothing."""


class Graph:
    """A navigable small-world graph (Malkov and Yashunin 2016, arXiv:1603.09320) over the rows of a matrix.

    Row r of N is known to the graph by `keys[r]`; keys only grow, so rows find their keys again after a deletion.
    Building uses every core, and which neighbours are linked depends on their timing: only recall may differ.
    """

    def __init__(self, dim: int) -> None:
        self._graph: Any = _usearch().Index(ndim=dim, metric="ip", dtype="f16")
        self._keys: NDArray[np.int64] = np.empty(0, np.int64)
        self._fixed = False

    def add(self, vectors: NDArray[np.float32]) -> None:
        """Append rows (n, D) after those that are there."""
        start = int(self._keys[-1]) + 1 if len(self._keys) else 0
        keys = np.arange(start, start + len(vectors))
        if len(keys):
            self._changeable().add(keys, vectors)
            self._keys = np.concatenate([self._keys, keys])

    def remove(self, rows: NDArray[np.int64]) -> None:
        """Forget rows; those behind them move up."""
        self._changeable().remove(self._keys[rows])
        self._keys = np.delete(self._keys, rows)

    def replace(self, rows: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Give rows new vectors (len(rows), D)."""
        self._changeable().remove(self._keys[rows])
        self._graph.add(self._keys[rows], vectors)

    def search(self, queries: NDArray[np.float32], k: int) -> Iterator[NDArray[np.intp]]:
        """For each of queries (Q, D) k rows or more that are probably among its nearest; all where it finds fewer."""
        count = min(max(k * _SPARE, _LEAST), len(self._keys))
        for start in range(0, len(queries), 1024):
            block = queries[start : start + 1024]
            found = self._graph.search(block, count)
            for matches in [found] if len(block) == 1 else found:  # usearch unpacks a batch of one
                near = np.searchsorted(self._keys, matches.keys.astype(np.int64))
                yield near if len(near) >= k else np.arange(len(self._keys))

    def save(self, folder: Path) -> None:
        """Write the graph's two files into an existing folder."""
        # Through memory: writing by itself, usearch does not say when the disk is full.
        (folder / GRAPH).write_bytes(self._graph.save())
        (folder / KEYS).write_bytes(self._keys.astype("<i8").tobytes())

    @classmethod
    def load(cls, folder: Path, shape: tuple[int, int], *, mmap: bool) -> Self:
        """The graph saved in the folder for a matrix of this shape (N, D); InputError where it is for another."""
        usearch = _usearch()
        try:
            keys = np.frombuffer((folder / KEYS).read_bytes(), "<i8").astype(np.int64)
            loaded = usearch.Index.restore(os.fspath(folder / GRAPH), view=mmap)
            fits = (len(loaded), loaded.ndim) == shape and np.array_equal(np.sort(np.asarray(loaded.keys)), keys)
        except (ValueError, TypeError, AttributeError, OSError, EOFError, RuntimeError) as error:
            raise InputError(f"{folder / GRAPH}: damaged ({error}); build the index anew") from None
        if not fits:
            raise InputError(f"{folder / GRAPH}: is not the graph of {shape} vectors; build the index anew")
        graph = cls.__new__(cls)
        graph._graph, graph._keys, graph._fixed = loaded, keys, mmap
        return graph

    def _changeable(self) -> Any:
        if self._fixed:  # a graph viewed on disk refuses changes: take it into memory
            self._graph, self._fixed = _usearch().Index.restore(bytes(self._graph.save())), False
        return self._graph


def available() -> bool:
    """Whether the package that builds and reads graphs is installed."""
    return importlib.util.find_spec("usearch") is not None


def _usearch() -> Any:
    try:
        import usearch.index
    except ImportError:
        raise missing_extra("approximate search (exact=True does without)", "usearch", "search") from None
    return usearch.index
