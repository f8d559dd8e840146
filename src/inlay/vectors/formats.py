"""Files of word vectors: word2vec text and binary, which other tools read too, and safetensors, which keep everything.

Whatever a file claims is held against its size before memory is taken for it, and nothing is ever unpickled.
"""

import json
import math
import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.files import atomic_path, claim_output

if TYPE_CHECKING:
    from inlay.vectors.wordvectors import WordVectors

# V words, D dimensions

_PICKLES = (".kv", ".model", ".pt", ".pth", ".pkl", ".pickle", ".npy", ".npz")
_DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "I64": np.dtype("<i8"), "U8": np.dtype("u1")}
_LONGEST_HEADER = 64


def load(path: str | Path, *, verify: bool = True) -> "WordVectors":
    """The word vectors in a file: .safetensors (memory-mapped, read-only), or word2vec text or binary, told apart by
    content.

    Raises InputError, naming the line or the entry, for a file that is cut, does not hold what its header promises,
    has a word twice, a word that is not UTF-8, or a number that is not finite; and for any kind of pickle.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file of word vectors")
    with open(path, "rb") as file:
        beginning = file.read(_LONGEST_HEADER)
    if path.suffix == ".safetensors":
        return _load_safetensors(path)
    if path.suffix in _PICKLES or beginning[:1] == b"\x80" or beginning[:2] == b"PK":
        raise InputError(
            f"{path}: a pickle or archive can run code when read, so it is refused; "
            "write the vectors with gensim's save_word2vec_format or as .safetensors"
        )
    if beginning[:2] in (b"\x1f\x8b", b"BZ", b"\xfd7"):
        raise InputError(f"{path}: compressed; unpack it first (gunzip, bunzip2, unxz)")
    return _load_word2vec(path, beginning)


def save(vectors: "WordVectors", path: str | Path, *, format: str | None = None, force: bool = False) -> None:
    """Write the vectors atomically, in the format that the suffix names: .txt or .vec, .bin, .safetensors.

    The first two hold words and matrix alone. Raises InputError for another suffix, a file that exists (without
    `force`), vectors that are not finite, and words that the format cannot hold.
    """
    path = claim(path, force=force)
    if path.suffix != ".safetensors":
        for word in vectors.words:
            if not word or word.split() != [word]:
                raise InputError(f"{path}: {word!r} is empty or holds white space; only .safetensors can keep it")
    for name in ("matrix", "context"):
        if (table := getattr(vectors, name)) is not None:
            _refuse_infinite(path, table, _rows_of(name, vectors.words))
    with atomic_path(path) as temporary:
        _WRITERS[path.suffix](vectors, temporary)


def claim(path: str | Path, *, force: bool) -> Path:
    """The path, once it is certain that `save` can write there: a suffix that names a format, nothing to overwrite."""
    path = Path(path)
    if path.suffix not in _WRITERS:
        raise InputError(f"{path}: the suffix must be one of {', '.join(_WRITERS)}, which names the format")
    return claim_output(path, force=force)


def _save_text(vectors: "WordVectors", path: Path) -> None:
    numbers = " %.9g" * vectors.dim + "\n"  # nine digits bring back the same float
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write(f"{len(vectors)} {vectors.dim}\n")
        for word, row in zip(vectors.words, vectors.matrix, strict=True):
            file.write(word + numbers % tuple(row.tolist()))


def _save_binary(vectors: "WordVectors", path: Path) -> None:
    with open(path, "wb") as file:
        file.write(f"{len(vectors)} {vectors.dim}\n".encode())
        for word, row in zip(vectors.words, vectors.matrix, strict=True):
            file.write(word.encode() + b" " + row.astype("<f4").tobytes() + b"\n")


def _save_safetensors(vectors: "WordVectors", path: Path) -> None:
    from safetensors.numpy import save_file

    words = np.frombuffer(json.dumps(vectors.words, ensure_ascii=False).encode(), np.uint8)
    tables = {"matrix": vectors.matrix, "words": words, "counts": vectors.counts, "context": vectors.context}
    tensors = {name: np.ascontiguousarray(table) for name, table in tables.items() if table is not None}
    sums = {f"crc32.{name}": str(zlib.crc32(tensor.data)) for name, tensor in tensors.items()}
    save_file(tensors, path, metadata={"format": "inlay word vectors 1", **sums})


_WRITERS: dict[str, Callable[["WordVectors", Path], None]] = {
    ".txt": _save_text,
    ".vec": _save_text,
    ".bin": _save_binary,
    ".safetensors": _save_safetensors,
}


def _load_safetensors(path: Path) -> "WordVectors":
    from safetensors import SafetensorError, safe_open

    from inlay.vectors.wordvectors import WordVectors

    try:
        with safe_open(path, "numpy") as file:  # checks that the parts fill the file without holes or overlaps
            sums = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a sound safetensors file ({error}); write it again") from None
    tensors = _map_tensors(path)
    if missing := {"matrix", "words"} - tensors.keys():
        raise InputError(
            f"{path}: no tensor {sorted(missing)[0]!r}; it holds {', '.join(sorted(tensors)) or 'nothing'}"
        )
    for name, tensor in tensors.items():
        if f"crc32.{name}" in sums and str(zlib.crc32(tensor.data)) != sums[f"crc32.{name}"]:
            raise InputError(f"{path}: the bytes of {name!r} changed since they were written; copy the file again")
    try:
        words = json.loads(tensors["words"].tobytes())
    except (ValueError, RecursionError):
        words = None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise InputError(f"{path}: 'words' must be a JSON list of strings in UTF-8; the file is of another kind")
    kinds = {"matrix": (np.float32, 2), "counts": (np.int64, 1), "context": (np.float32, 2)}
    for name, (dtype, n_dims) in kinds.items():
        table = tensors.get(name)
        if table is not None and (table.dtype != dtype or table.ndim != n_dims):
            raise InputError(f"{path}: {name!r} must be {np.dtype(dtype)} with {n_dims} dimensions, not {table.dtype}")
        if table is not None and 0 in table.shape:
            raise InputError(f"{path}: {name!r} has the shape {table.shape}; it must hold a word and a number at least")
        if table is not None and len(table) != len(words):
            raise InputError(f"{path}: {name!r} has {len(table)} rows for {len(words)} words; the file is damaged")
        if table is not None and dtype == np.float32:
            _refuse_infinite(path, table, _rows_of(name, words))
    try:
        return WordVectors(words, tensors["matrix"], tensors.get("counts"), tensors.get("context"))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _map_tensors(path: Path) -> dict[str, NDArray]:
    """The tensors of a safetensors file that is known to be sound, memory-mapped; unknown types are left out."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header: dict[str, Any] = json.loads(file.read(size))
    header.pop("__metadata__", None)
    whole = np.memmap(path, np.uint8, "r")
    tensors = {}
    for name, entry in header.items():
        if entry["dtype"] in _DTYPES:
            begin, end = (8 + size + offset for offset in entry["data_offsets"])
            tensors[name] = np.asarray(whole[begin:end]).view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors


def _load_word2vec(path: Path, beginning: bytes) -> "WordVectors":
    from inlay.vectors.wordvectors import WordVectors

    line, _, _ = beginning.partition(b"\n")
    fields = line.split()
    numbers = all(field.removeprefix(b"-").isdigit() for field in fields)
    if len(fields) != 2 or not numbers or len(line) == len(beginning):
        raise InputError(f"{path} line 1: {line[:40]!r} is not `words dimensions`, so this is no word2vec file")
    n_words, dim = int(fields[0]), int(fields[1])
    if n_words < 1 or dim < 1:
        raise InputError(f"{path} line 1: {n_words} words of {dim} dimensions; both must be at least 1")
    size, begin = path.stat().st_size, len(line) + 1
    if n_words * (2 + 2 * dim - 1) > size - begin + 1:  # a letter, a space, and digits with spaces between
        raise _broken_promise(path, n_words, dim, size)
    data = np.asarray(np.memmap(path, np.uint8, "r"))
    is_text = path.suffix in (".txt", ".vec") or _is_text(data[begin : begin + 64 * dim + 4096].tobytes(), dim)
    if not is_text and n_words * (2 + 4 * dim) > size - begin:
        raise _broken_promise(path, n_words, dim, size)
    spans = np.zeros((n_words, 2), np.int64)
    matrix = np.empty((n_words, dim), np.float32)
    where = (_read_text if is_text else _read_binary)(path, data, begin, spans, matrix)
    words = _words(path, data, spans, where)
    _refuse_infinite(path, matrix, where)
    try:
        return WordVectors(words, matrix)
    except InputError:
        seen: dict[str, int] = {}
        row = next(row for row, word in enumerate(words) if seen.setdefault(word, row) != row)
        first = seen[words[row]]
        raise InputError(
            f"{path} {where(row)}: the word {words[row]!r} stands already in {where(first)}; remove one of them"
        ) from None


def _broken_promise(path: Path, n_words: int, dim: int, size: int) -> InputError:
    return InputError(
        f"{path} line 1: promises {n_words} words of {dim} dimensions, but {size} bytes cannot hold them; "
        "the file is cut or damaged"
    )


def _is_text(beginning: bytes, dim: int) -> bool:
    """Whether the first entry is a line of numbers."""
    try:
        return len([float(field) for field in beginning.split(b"\n")[0].split()[1:]]) == dim
    except ValueError:
        return False


def _read_text(
    path: Path, text: NDArray[np.uint8], begin: int, spans: NDArray[np.int64], matrix: NDArray[np.float32]
) -> Callable[[int], str]:
    """Fill `spans` and `matrix` from lines; returns the name of a row's place."""
    from inlay.vectors.byte_kernels import LONG_ROW, NOT_A_NUMBER, OK, SHORT_ROW, read_rows

    def where(row: int) -> str:
        return f"line {row + 2}"

    n_words, dim = matrix.shape
    found, at, row, column = read_rows(text, begin, 0, 0, spans, matrix)
    while found == NOT_A_NUMBER:  # or one with so many digits that Python must read it
        field = re.split(rb"[ \t\r\n]", text[at : at + 400].tobytes(), maxsplit=1)[0]  # the kernel's white space
        try:
            matrix[row, column] = float(field)
        except (ValueError, OverflowError):
            raise InputError(f"{path} {where(row)}: {field[:40]!r} is not a number") from None
        found, at, row, column = read_rows(text, at + len(field), row, column + 1, spans, matrix)
    if found == SHORT_ROW:
        raise InputError(f"{path} {where(row)}: {column} numbers where {dim} must stand")
    if found == LONG_ROW:
        raise InputError(
            f"{path} {where(row)}: more than {dim} numbers, or a word with a space; {dim} must stand there"
        )
    if found != OK:
        raise InputError(f"{path} {where(row)}: the file ends here, but its header promises {n_words} words; it is cut")
    if text[at:].tobytes().strip():
        raise InputError(f"{path} {where(n_words)}: more lines than the {n_words} that its header promises")
    return where


def _read_binary(
    path: Path, data: NDArray[np.uint8], begin: int, spans: NDArray[np.int64], matrix: NDArray[np.float32]
) -> Callable[[int], str]:
    """Fill `spans` and `matrix` from binary entries; returns the name of a row's place."""
    from inlay.vectors.byte_kernels import split_rows

    def where(row: int) -> str:
        return f"entry {row + 1}"

    rows, at = split_rows(data, begin, spans, matrix.view(np.uint8))
    if rows < len(matrix):
        raise InputError(f"{path} {where(rows)}: the file ends here, but its header promises {len(matrix)}; it is cut")
    if data[at:].tobytes().strip():
        raise InputError(f"{path}: {len(data) - at} bytes after the {rows} entries that its header promises")
    return where


def _words(path: Path, data: NDArray[np.uint8], spans: NDArray[np.int64], where: Callable[[int], str]) -> list[str]:
    words = []
    for row, (start, end) in enumerate(spans.tolist()):
        word = data[start:end].tobytes()
        try:
            words.append(word.decode("utf-8"))
        except UnicodeDecodeError:
            raise InputError(f"{path} {where(row)}: {word[:40]!r} is not UTF-8; convert the file") from None
        if start == end:
            raise InputError(f"{path} {where(row)}: no word before the numbers")
    return words


def _rows_of(name: str, words: Sequence[str]) -> Callable[[int], str]:
    return lambda row: f"{name} of {words[row]!r}"


def _refuse_infinite(path: Path, table: NDArray[np.float32], where: Callable[[int], str]) -> None:
    """Raise an InputError that names the first row with a NaN or an infinity."""
    for first in range(0, len(table), 1 << 14):
        block = table[first : first + (1 << 14)]
        if not math.isfinite(float(block.sum(dtype=np.float64))):
            row = first + int(np.flatnonzero(~np.isfinite(block).all(axis=1))[0])
            raise InputError(f"{path} {where(row)}: NaN or infinity; every number must be finite")
