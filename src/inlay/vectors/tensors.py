"""Our own file, a .safetensors: everything that WordVectors hold, byte for byte the same for the same vectors.

Its tensors are `words` (the words' UTF-8 one after the other), `offsets` (V + 1), `matrix` (V, D) in F32, F16 or I8
(with `scales` (V,)), `norms` (V,), and where there are any `counts` (V,), `context` (V, D), `subwords` (V + U, D) and
`met` (U,): see `Subwords`. A CRC-32 of each stands in the header. Files whose `words` are a JSON list, without offsets,
are read too.
"""

import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.tensorfile import read_header, write_header
from inlay.vectors.gather import refuse_infinite_vectors
from inlay.vectors.storage import Full, Half, Int8, Table
from inlay.vectors.words import Words

if TYPE_CHECKING:
    from inlay.vectors.subwords import Subwords
    from inlay.vectors.wordvectors import WordVectors

# V words, D dimensions, U buckets of n-grams

_DTYPES: dict[str, np.dtype[Any]] = {
    "I64": np.dtype("<i8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
_KINDS: dict[str, tuple[tuple[str, ...], int]] = {
    "matrix": (("F32", "F16", "I8"), 2),
    "scales": (("F32",), 1),
    "norms": (("F32",), 1),
    "counts": (("I64",), 1),
    "context": (("F32",), 2),
    "subwords": (("F32",), 2),
    "met": (("I64",), 1),
    "offsets": (("I64",), 1),
    "words": (("U8",), 1),
}


def write(vectors: "WordVectors", path: Path) -> None:
    """Write everything that the vectors hold."""
    words = Words.pack(vectors.words)
    tables: dict[str, NDArray | None] = {
        "matrix": vectors.table.values,
        "scales": vectors.table.scales if isinstance(vectors.table, Int8) else None,
        "norms": vectors.norms,
        "counts": vectors.counts,
        "context": vectors.context,
        "subwords": None if vectors.subwords is None else vectors.subwords.inputs,
        "met": None if vectors.subwords is None else vectors.subwords.met,
        "offsets": words.offsets,
        "words": words.text,
    }
    tensors = {name: np.ascontiguousarray(table) for name, table in tables.items() if table is not None}
    metadata = {"format": "inlay word vectors 2"}
    metadata |= {f"crc32.{name}": str(zlib.crc32(_bytes(tensor))) for name, tensor in tensors.items()}
    if vectors.subwords is not None:
        metadata |= {name: str(getattr(vectors.subwords, name)) for name in ("min_n", "max_n", "buckets")}
    write_tensors(path, tensors, metadata)


def read(path: Path, *, verify: bool) -> "WordVectors":
    """The vectors in a file, memory-mapped and read-only; `verify` reads it all once, checksums and numbers.

    Without it only the header is read: what the tensors are and that they fill the file.
    """
    from inlay.vectors.wordvectors import WordVectors

    tensors, metadata = _map_tensors(path)
    _refuse_other_kinds(path, tensors)
    if verify:
        for name, tensor in tensors.items():
            if f"crc32.{name}" in metadata and str(zlib.crc32(_bytes(tensor))) != metadata[f"crc32.{name}"]:
                raise InputError(f"{path}: the bytes of {name!r} changed since they were written; copy the file again")
    words = _words(path, tensors)
    for name in ("matrix", "scales", "norms", "counts", "context"):
        table = tensors.get(name)
        if table is not None and len(table) != len(words):
            raise InputError(f"{path}: {name!r} has {len(table)} rows for {len(words)} words; the file is damaged")
    try:
        vectors = WordVectors(
            words, _table(path, tensors), tensors.get("counts"), tensors.get("context"), _subwords(tensors, metadata)
        )
        if verify:
            _ = vectors.index  # every word can be decoded, and none stands twice
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if verify:
        refuse_infinite_vectors(path, vectors)
    if "norms" in tensors:
        vectors.norms = tensors["norms"]
    return vectors


def _bytes(tensor: NDArray) -> memoryview:
    return np.ascontiguousarray(tensor).reshape(-1).view(np.uint8).data


def write_tensors(path: Path, tensors: dict[str, NDArray], metadata: dict[str, str]) -> None:
    """A safetensors file of the tensors: the same bytes for the same numbers."""
    kinds = {name: (_CODES[tensor.dtype.newbyteorder("<")], tensor.shape) for name, tensor in tensors.items()}
    with open(path, "wb") as file:
        for name in write_header(file, kinds, metadata):
            tensor = tensors[name]
            file.write(_bytes(tensor.astype(tensor.dtype.newbyteorder("<"), copy=False)))


def _map_tensors(path: Path) -> tuple[dict[str, NDArray], dict[str, str]]:
    """(tensors, metadata) of a file, memory-mapped; what is neither of our names nor types is left out."""
    try:
        entries, metadata = read_header(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); name a safetensors file") from None
    whole = np.memmap(path, np.uint8, "r")
    tensors = {}
    for name, entry in entries.items():
        if entry.code in _DTYPES:
            tensors[name] = np.asarray(whole[entry.begin : entry.end]).view(_DTYPES[entry.code]).reshape(entry.shape)
        elif name in _KINDS:
            raise _wrong_kind(path, name, f"{entry.code} {entry.shape}")
    return tensors, metadata


def _refuse_other_kinds(path: Path, tensors: dict[str, NDArray]) -> None:
    if missing := {"matrix", "words"} - tensors.keys():
        held = ", ".join(sorted(tensors)) or "nothing"
        raise InputError(f"{path}: no tensor {sorted(missing)[0]!r}; it holds {held}")
    for name, (codes, n_dims) in _KINDS.items():
        table = tensors.get(name)
        if table is None:
            continue
        if _CODES.get(table.dtype) not in codes or table.ndim != n_dims:
            raise _wrong_kind(path, name, f"{table.dtype} {table.shape}")
        if 0 in table.shape and name not in ("words", "met"):  # words may be empty, and no n-gram may have been met
            raise InputError(f"{path}: {name!r} has the shape {table.shape}; it must hold a word and a number at least")


def _wrong_kind(path: Path, name: str, found: str) -> InputError:
    codes, n_dims = _KINDS[name]
    kinds = " or ".join(_DTYPES[code].name for code in codes)
    return InputError(f"{path}: {name!r} must be {kinds} with {n_dims} dimensions, not {found}")


def _words(path: Path, tensors: dict[str, NDArray]) -> Sequence[str]:
    if "offsets" in tensors:
        try:
            return Words(tensors["words"], tensors["offsets"])
        except InputError as error:
            raise InputError(f"{path}: {error}; the file is damaged") from None
    try:
        words = json.loads(tensors["words"].tobytes())
    except (ValueError, RecursionError):
        words = None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise InputError(f"{path}: 'words' must be a JSON list of strings in UTF-8; the file is of another kind")
    return words


def _table(path: Path, tensors: dict[str, NDArray]) -> Table:
    matrix = tensors["matrix"]
    if matrix.dtype == np.float32:
        return Full(matrix)
    if matrix.dtype == np.float16:
        return Half(matrix)
    if "scales" not in tensors:
        raise InputError(f"{path}: 'matrix' of int8 needs 'scales', a number for each row; the file is damaged")
    return Int8(matrix, tensors["scales"])


def _subwords(tensors: dict[str, NDArray], metadata: dict[str, str]) -> "Subwords | None":
    from inlay.vectors.subwords import Subwords

    if "subwords" not in tensors:
        return None
    try:
        min_n, max_n, buckets = (int(metadata[name]) for name in ("min_n", "max_n", "buckets"))
    except (KeyError, ValueError):
        raise InputError("the header lacks min_n, max_n or buckets of the n-grams; the file is damaged") from None
    return Subwords(min_n=min_n, max_n=max_n, buckets=buckets, inputs=tensors["subwords"], met=tensors.get("met"))
