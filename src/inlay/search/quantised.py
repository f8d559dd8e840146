"""QuantisedIndex: the contract of Index on vectors kept as codes; far less memory, and nearly the same answers."""

# Q queries, N documents, D dimensions, K results

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inlay.config import from_tree, to_tree
from inlay.errors import InputError
from inlay.files import (
    CHECKSUMS,
    atomic_folder,
    contained,
    lock,
    read_json,
    verify_checksums,
    write_checksums,
    write_json,
)
from inlay.search import disk
from inlay.search.codes import Coder, Int8, Product, ProductCoder, Storage
from inlay.search.index import Index, text_ids, unit_rows
from inlay.tensorfile import read_header, write_header

_FORMAT = "inlay-quantised-1"
_CENTROIDS = "centroids"
_DTYPES: dict[str, np.dtype[Any]] = {
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "U64": np.dtype("<u8"),
    "F32": np.dtype("<f4"),
}
_SCORES = 1 << 21
"""Scores held at a time, whatever Q and N are."""
_SLACK = 1e-5
_BLOCK = 1 << 14
_SAMPLE = 1 << 14
"""Vectors that codes are learned from: 64 for each centroid."""


class QuantisedIndex:
    """Codes of N unit vectors under text ids. Scores are cosines as far as the codes know them, and a zero vector's are
    0; vectors are given as floats, and come back as the codes have them.

    Every search looks at every code, and scores its candidates again by the finest codes that are kept.
    """

    def __init__(self, dim: int, storage: Storage | None = None) -> None:
        if not 1 <= dim <= disk.MAX_DIM:
            raise InputError(f"dim={dim} must be from 1 to {disk.MAX_DIM}")
        self.dim, self.storage = dim, storage or Int8()
        self._coder: Coder = self.storage.coder(dim)
        self._ids: list[str] = []
        self._row: dict[str, int] = {}
        self._buffers: dict[str, NDArray[Any]] = {  # rows past N are room to grow
            name: np.empty((0, *shape), _DTYPES[code]) for name, (code, shape) in self._coder.layout.items()
        }

    @classmethod
    def of(cls, index: Index, storage: Storage | None = None) -> Self:
        """An index of floats in codes, under the same ids in the same order."""
        found = cls(index.dim, storage)
        ids = index.ids
        if ids:
            rng = np.random.default_rng(0)
            sample = rng.permutation(len(ids))[:_SAMPLE]
            found.learn(index.vectors([ids[at] for at in sorted(sample.tolist())]))
        for at in range(0, len(ids), _BLOCK):
            found.add(ids[at : at + _BLOCK], index.vectors(ids[at : at + _BLOCK]))
        return found

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, id: str) -> bool:
        return id in self._row

    def __repr__(self) -> str:
        return f"QuantisedIndex({len(self):,} documents, {self.dim} dimensions, {self.storage})"

    @property
    def ids(self) -> list[str]:
        """The ids in the order in which they came."""
        return list(self._ids)

    @property
    def nbytes(self) -> int:
        """Bytes of the codes of all documents."""
        return sum(array.nbytes for array in self._codes.values())

    def learn(self, sample: ArrayLike) -> None:
        """Find what the codes need to know of vectors like these (n, D), before the first are added; 10,000 do.

        Centroids, for product quantisation; the others need nothing. Raises InputError where there are documents.
        """
        rows = unit_rows(sample, self.dim, "sample")
        if isinstance(self._coder, ProductCoder):
            if len(self):
                raise InputError(f"{len(self)} documents are in the index by other centroids; learn before adding")
            if not len(rows):
                raise InputError("there is no vector to learn centroids from; give some thousands")
            self._coder = self._coder.learn(rows)

    def vectors(self, ids: Sequence[str] | None = None) -> NDArray[np.float32]:
        """(len(ids), D) the vectors that the codes stand for; all of them in the order of `ids` without an argument."""
        return self._coder.decode(self._codes if ids is None else self._taken(self._rows(ids)))

    def add(self, ids: Sequence[str], vectors: ArrayLike, *, replace: bool = False) -> None:
        """Add the rows of vectors (len(ids), D) under the ids; a replaced document keeps its place in the order.

        Raises InputError, and adds nothing, for ids that are there already (without `replace`), ids given twice, a
        wrong shape, NaN and infinity.
        """
        ids = text_ids(ids)
        unit = unit_rows(vectors, self.dim, "vectors")
        if len(unit) != len(ids):
            raise InputError(f"{len(ids)} ids but {len(unit)} vectors; give one vector for each id")
        known = np.array([id in self._row for id in ids], bool)
        if known.any() and not replace:
            raise InputError(f"id {ids[known.argmax()]!r} is in the index already; delete it, or add with replace=True")
        codes = self._coder.encode(unit)
        rows = [self._row[id] for id, there in zip(ids, known, strict=True) if there]
        fresh = [id for id, there in zip(ids, known, strict=True) if not there]
        start, end = len(self), len(self) + len(fresh)
        for name, buffer in self._buffers.items():
            if end > len(buffer) or not buffer.flags.writeable:
                grown = np.empty((max(end, start * 3 // 2), *buffer.shape[1:]), buffer.dtype)
                grown[:start] = buffer[:start]
                self._buffers[name] = buffer = grown
            buffer[rows] = codes[name][known]
            buffer[start:end] = codes[name][~known]
        self._ids += fresh
        self._row.update(zip(fresh, range(start, end), strict=True))

    def delete(self, ids: Sequence[str]) -> None:
        """Remove documents; the others keep their order. Raises InputError, and removes nothing, for an unknown id."""
        gone = self._rows(text_ids(ids))
        keep = np.ones(len(self), bool)
        keep[gone] = False
        self._buffers = {name: array[keep] for name, array in self._codes.items()}
        self._ids = [id for id, stays in zip(self._ids, keep.tolist(), strict=True) if stays]
        self._row = {id: row for row, id in enumerate(self._ids)}

    def search(self, queries: ArrayLike, k: int) -> tuple[list[list[str]], NDArray[np.float32]]:
        """The ids of the K = min(k, N) best documents of each query, and their scores (Q, K); best first.

        Equal scores stand in the order of insertion, and a query's answer does not depend on its neighbours in
        `queries` (Q, D).
        """
        if k < 1:
            raise InputError(f"k={k} must be 1 or more")
        unit = unit_rows(queries, self.dim, "queries")
        k = min(k, len(self))
        scores = np.empty((len(unit), k), np.float32)
        found: list[list[str]] = []
        if k:
            for at, (query, rows) in enumerate(zip(unit, self._candidates(unit, k), strict=True)):
                best, scores[at] = self._best(query, rows, k)
                found.append([self._ids[row] for row in best.tolist()])
        return found or [[] for _ in unit], scores

    def scores(self, queries: ArrayLike) -> NDArray[np.float32]:
        """(Q, N) the scores of queries (Q, D) with every document by the finest codes, in the order of `ids`."""
        unit = unit_rows(queries, self.dim, "queries")
        if self._coder.more == 1:
            return self._coder.coarse(unit, self._codes)
        found = np.empty((len(unit), len(self)), np.float32)
        for at in range(0, len(self), _BLOCK):
            found[:, at : at + _BLOCK] = unit @ self._coder.decode(self._taken(slice(at, at + _BLOCK))).T
        return found

    def save(self, folder: str | Path) -> None:
        """Write the index as a folder, whole or not at all; an index that stands there is replaced.

        Raises InputError when another process is writing there, or when the folder holds files that are not an index's.
        """
        arrays = {name: np.ascontiguousarray(array) for name, array in self._codes.items()}
        if isinstance(self._coder, ProductCoder):
            arrays[_CENTROIDS] = _flat(self._coder)
        header = {"format": _FORMAT, "dim": self.dim, "count": len(self), "storage": to_tree(self.storage, Storage)}
        codes = {dtype: code for code, dtype in _DTYPES.items()}
        with lock(disk.claim(folder)), atomic_folder(folder) as part:
            with open(part / disk.CODES, "wb") as file:
                kinds = {name: (codes[array.dtype], array.shape) for name, array in arrays.items()}
                for name in write_header(file, kinds, {}):
                    file.write(arrays[name].data)
            (part / disk.IDS).write_text("".join(json.dumps(id) + "\n" for id in self._ids), "ascii", newline="\n")
            write_json(part / disk.HEADER, header)
            write_checksums(part)

    @classmethod
    def load(cls, folder: str | Path, *, mmap: bool = True, verify: bool = True) -> Self:
        """The index that `save` wrote; with `mmap` its codes stay on disk and are read when needed.

        `verify` compares every file with its checksum: one changed byte is an InputError. Without it, only shapes and
        sizes are checked.
        """
        folder = Path(folder)
        tree = read_json(contained(folder, disk.HEADER))
        if not is_quantised(tree) or set(tree) != {"format", "dim", "count", "storage"}:
            raise InputError(f"{folder / disk.HEADER}: is not the header of a quantised index; build it anew")
        dim, count = tree["dim"], tree["count"]
        if type(dim) is not int or type(count) is not int or not 1 <= dim <= disk.MAX_DIM or count < 0:
            raise InputError(f"{folder / disk.HEADER}: dim={dim!r} and count={count!r} must be sizes; it is damaged")
        if verify and verify_checksums(folder) < 3:
            raise InputError(f"{folder / CHECKSUMS}: does not cover the index; build it anew")
        index = cls(dim, from_tree(Storage, tree["storage"], "storage"))  # type: ignore[arg-type]
        arrays = _mapped(contained(folder, disk.CODES), mmap=mmap)
        wanted = {name: (code, (count, *shape)) for name, (code, shape) in index._coder.layout.items()}
        if isinstance(index._coder, ProductCoder):
            learned = count or (_CENTROIDS in arrays and arrays[_CENTROIDS].size)
            wanted[_CENTROIDS] = ("F32", (256 * dim if learned else 0,))
        for name, (code, shape) in wanted.items():
            if name not in arrays or arrays[name].dtype != _DTYPES[code] or arrays[name].shape != shape:
                raise InputError(f"{folder / disk.CODES}: must hold {name!r} as {code} {shape}; build the index anew")
        for name in ("scales", _CENTROIDS):
            if name in arrays and not np.isfinite(arrays[name]).all():
                raise InputError(f"{folder / disk.CODES}: {name!r} holds NaN or infinity; build the index anew")
        if isinstance(index._coder, ProductCoder) and arrays[_CENTROIDS].size:
            index._coder = _unflat(index._coder, arrays[_CENTROIDS])
        index._ids = disk.read_ids(folder / disk.IDS, count)
        index._row = {id: row for row, id in enumerate(index._ids)}
        index._buffers = {name: arrays[name] for name in index._coder.layout}
        return index

    @property
    def _codes(self) -> dict[str, NDArray[Any]]:
        return {name: buffer[: len(self)] for name, buffer in self._buffers.items()}

    def _taken(self, rows: NDArray[np.intp] | slice) -> dict[str, NDArray[Any]]:
        return {name: array[rows] for name, array in self._codes.items()}

    def _rows(self, ids: Sequence[str]) -> NDArray[np.int64]:
        try:
            return np.fromiter((self._row[id] for id in ids), np.int64, len(ids))
        except KeyError as error:
            raise InputError(f"id {error.args[0]!r} is not among the {len(self)} documents of the index") from None

    def _candidates(self, queries: NDArray[np.float32], k: int) -> Iterator[NDArray[np.intp]]:
        """For each query the rows that come within rounding of the last candidate's score."""
        wanted, codes = min(k * self._coder.more, len(self)), self._codes
        block = max(1, _SCORES // len(self))
        for start in range(0, len(queries), block):
            scores = self._coder.coarse(queries[start : start + block], codes)
            least = np.partition(scores, len(self) - wanted, axis=1)[:, len(self) - wanted] - _SLACK
            for row, limit in zip(scores, least, strict=True):
                yield np.flatnonzero(row >= limit)

    def _best(
        self, query: NDArray[np.float32], rows: NDArray[np.intp], k: int
    ) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """The k best of the candidate rows and their scores, summed in float64 so that equal documents stay equal."""
        if not query.any():
            return np.arange(k), np.zeros(k, np.float32)
        decoded = self._coder.decode(self._taken(rows)).astype(np.float64)
        scores = (decoded @ query.astype(np.float64)).astype(np.float32)
        order = np.lexsort((rows, -scores))[:k]
        return rows[order], scores[order]


def open_index(folder: str | Path, *, verify: bool = True) -> Index | QuantisedIndex:
    """The index in a folder, of floats or of codes, as its header says."""
    quantised = is_quantised(read_json(contained(folder, disk.HEADER)))
    return (QuantisedIndex if quantised else Index).load(folder, verify=verify)


def is_quantised(tree: Any) -> bool:
    """Whether a header is that of an index of codes."""
    return isinstance(tree, dict) and tree.get("format") == _FORMAT


def _flat(coder: ProductCoder) -> NDArray[np.float32]:
    """(256 · D,) the centroids, part after part."""
    return np.concatenate([table.ravel() for table in coder.tables]) if coder.tables else np.empty(0, np.float32)


def _unflat(coder: ProductCoder, flat: NDArray[np.float32]) -> ProductCoder:
    assert isinstance(coder.storage, Product)
    size = coder.storage.part
    cuts = [(at, min(size, coder.dim - at)) for at in range(0, coder.dim, size)]
    return ProductCoder(
        coder.dim, coder.storage, [flat[256 * at : 256 * (at + wide)].reshape(256, wide) for at, wide in cuts]
    )


def _mapped(path: Path, *, mmap: bool) -> dict[str, NDArray[Any]]:
    """The arrays of a file by name; InputError for a damaged file and for dtypes that no codes have."""
    if not path.is_file():
        raise InputError(f"{path}: missing; copy the index again or build it anew")
    entries, _ = read_header(path)
    raw = np.memmap(path, np.uint8, "r") if mmap else np.fromfile(path, np.uint8)
    found = {}
    for name, entry in entries.items():
        if entry.code not in _DTYPES:
            raise InputError(f"{path}: {name!r} has the dtype {entry.code}, which codes have not; build the index anew")
        data = raw[entry.begin : entry.end].view(_DTYPES[entry.code]).reshape(entry.shape)
        found[name] = data if mmap else data.copy()
    return found
