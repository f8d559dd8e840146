"""An index as a folder: `index.json`, `ids.jsonl`, `vectors.npy`, the graph if there is one, and their checksums."""

# N documents, D dimensions

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.files import CHECKSUMS, atomic_folder, contained, read_json, verify_checksums, write_checksums, write_json
from inlay.search.approximate import GRAPH, KEYS, Graph, available

HEADER, IDS, VECTORS = "index.json", "ids.jsonl", "vectors.npy"
CODES = "codes.safetensors"
"""What an index of codes has in place of VECTORS."""
MAX_DIM = 1 << 20
_FORMAT = "inlay-index-1"
_LOCK = ".lock"


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """What `index.json` says, believed only where the other files' sizes agree."""

    format: str = _FORMAT
    metric: str = "cosine"
    dim: int
    count: int
    approximate_above: int
    graph: bool

    @property
    def names(self) -> list[str]:
        """The files that belong to the index, besides the checksums."""
        return [HEADER, IDS, VECTORS] + ([GRAPH, KEYS] if self.graph else [])


def claim(folder: str | Path) -> Path:
    """The folder, once it is certain that nothing but an older index is replaced there."""
    folder = Path(folder)
    ours = {HEADER, IDS, VECTORS, CODES, GRAPH, KEYS, CHECKSUMS, _LOCK}
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; an index is saved as a folder: give another name")
    foreign = sorted({file.name for file in folder.iterdir()} - ours) if folder.exists() else []
    if foreign:
        raise InputError(f"{folder} holds {foreign[0]!r}, which is no part of an index; save into a folder of its own")
    return folder


def write(
    folder: str | Path, ids: Sequence[str], vectors: NDArray[np.float32], approximate_above: int, graph: Graph | None
) -> None:
    """Write ids (N) and vectors (N, D) atomically in place of what was there."""
    header = Header(dim=vectors.shape[1], count=len(ids), approximate_above=approximate_above, graph=graph is not None)
    with atomic_folder(folder) as part:
        with open(part / VECTORS, "wb") as file:
            # Into a plain writer: given a real file, numpy's error on a full disk does not say that it is full.
            np.save(SimpleNamespace(write=file.write), vectors, allow_pickle=False)
        # ASCII, since an id made of an undecodable file name cannot be written as UTF-8.
        (part / IDS).write_text("".join(json.dumps(id) + "\n" for id in ids), encoding="ascii", newline="\n")
        if graph:
            graph.save(part)
        write_json(part / HEADER, asdict(header))
        write_checksums(part)


def read(
    folder: str | Path, *, mmap: bool, verify: bool
) -> tuple[Header, list[str], NDArray[np.float32], Graph | None]:
    """Header, ids (N), vectors (N, D) and graph; read again when a writer put another index there meanwhile.

    Raises InputError when a file is missing, damaged, or does not fit the others; no memory is taken before sizes fit.
    """
    folder = Path(folder)
    while True:
        generation = _generation(folder)
        try:
            result = _read(folder, mmap=mmap, verify=verify)
        except (InputError, OSError):
            if _generation(folder) == generation:
                raise
        else:
            if _generation(folder) == generation:
                return result


def _generation(folder: Path) -> tuple[int, int]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give the folder that Index.save wrote")
    status = folder.stat()
    return status.st_ino, status.st_mtime_ns


def _read(folder: Path, *, mmap: bool, verify: bool) -> tuple[Header, list[str], NDArray[np.float32], Graph | None]:
    header = _header(folder)
    for name in header.names:
        if not contained(folder, name).is_file():
            raise InputError(f"{folder / name}: missing; copy the index again or build it anew")
    if verify and verify_checksums(folder) < len(header.names):
        raise InputError(f"{folder / CHECKSUMS}: does not cover {', '.join(header.names)}; build the index anew")
    shape = (header.count, header.dim)
    vectors = _vectors(folder / VECTORS, shape)
    graph = Graph.load(folder, shape, mmap=mmap) if header.graph and available() else None
    return header, read_ids(folder / IDS, header.count), vectors if mmap else vectors.copy(), graph


def _header(folder: Path) -> Header:
    path = folder / HEADER
    tree = read_json(contained(folder, HEADER))
    if not isinstance(tree, dict) or set(tree) != {field.name for field in fields(Header)}:
        raise InputError(f"{path}: is not the header of an index; give the folder that Index.save wrote")
    if tree["format"] != _FORMAT or tree["metric"] != "cosine":
        raise InputError(
            f"{path}: format {tree['format']!r} must be {_FORMAT!r}; another version wrote it: build it anew"
        )
    for key, low, high in (("dim", 1, MAX_DIM), ("count", 0, 1 << 40), ("approximate_above", 0, 1 << 62)):
        if type(tree[key]) is not int or not low <= tree[key] <= high:
            raise InputError(f"{path}: {key}={tree[key]!r} must be a whole number from {low} to {high}; it is damaged")
    if type(tree["graph"]) is not bool:
        raise InputError(f"{path}: graph={tree['graph']!r} must be true or false; it is damaged")
    return Header(**tree)


def _vectors(path: Path, shape: tuple[int, int]) -> NDArray[np.float32]:
    try:
        # Mapped even when it will be copied: numpy compares the shape with the file's size before anything is read.
        vectors = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (ValueError, TypeError, OSError, EOFError, OverflowError) as error:
        raise InputError(f"{path}: damaged ({error}); copy the index again or build it anew") from None
    if vectors.shape != shape or vectors.dtype != np.float32:
        raise InputError(
            f"{path}: holds {vectors.dtype} {vectors.shape}, but {HEADER} says float32 {shape}; build it anew"
        )
    return vectors


def read_ids(path: Path, count: int) -> list[str]:
    """The `count` different ids in a file, a JSON string a line; InputError where it is damaged."""
    try:
        ids = json.loads(f"[{','.join(path.read_text(encoding='ascii').splitlines())}]")
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: damaged ({error}); copy the index again or build it anew") from None
    if len(ids) != count or len(set(map(str, ids))) != count or not all(type(id) is str for id in ids):
        raise InputError(f"{path}: must hold {count} different ids, as {HEADER} says; build the index anew")
    return ids
