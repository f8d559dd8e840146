"""Files on disk: written whole or not at all, checked by sha256, kept inside their folder, locked for one writer."""

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import json
import math
import os
import reprlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from inlay.errors import InputError

CHECKSUMS = "checksums.json"
DEPTH = 64
"""Levels of the deepest JSON that is read."""
_MOST_SUMS = 64 << 20  # of half a million files

# To read the mask is to set it, for every thread of the process; so it is read once, before there are others.
_UMASK = os.umask(0o077)
os.umask(_UMASK)


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that replaces it when the block ends well, and is removed when it does not.

    The content is fsynced before the rename and the folder after it: a reader, or a machine that loses power, finds the
    old file or the new one, never a mix. A full disk is an InputError that names the path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        with disk_errors(path):
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_UMASK)
            os.replace(temporary, path)
            fsync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `path` when the block ends well; an existing `path` is replaced whole.

    On Linux old and new change places in one step, so that there is no moment without a whole folder at `path`.
    """
    path = Path(path)
    _refuse_fixed(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    try:
        with disk_errors(path):
            yield temporary
            for file in sorted(temporary.rglob("*")):
                if file.is_file():
                    with open(file, "rb+") as opened:
                        os.fsync(opened.fileno())
                        # Some writers leave files that only their owner may read.
                        os.fchmod(opened.fileno(), 0o666 & ~_UMASK)
                elif file.is_dir():
                    fsync_folder(file)
            os.chmod(temporary, 0o777 & ~_UMASK)
            fsync_folder(temporary)
            if os.path.lexists(path):
                _exchange(temporary, path)
            else:
                os.replace(temporary, path)
            fsync_folder(path.parent)
    finally:
        _remove(temporary)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | Path, tree: Any) -> None:
    """Write a JSON tree atomically; NaN is refused, since no other reader of JSON would take it."""
    write_text(path, json.dumps(tree, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def read_json(path: str | Path, *, most: int | None = None) -> Any:
    """The tree in a JSON file; a file that is missing or is no JSON is an InputError that says where it breaks.

    So is one of more than `most` bytes, of which nothing is read.
    """
    path = Path(path)
    try:
        if most is not None and (size := path.stat().st_size) > most:
            raise InputError(
                f"{path}: {size} bytes, where at most {most} are read; the file is damaged or not this one"
            )
        return parse_json(path.read_bytes(), path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder, and must be a file") from None


def parse_json(data: bytes, place: str | Path) -> Any:
    """The tree in JSON bytes: in UTF-8, each key once in a table, finite numbers; else an InputError naming `place`.

    A tree of more than DEPTH levels is refused too, so that it can be walked and shown without a thought.
    """
    try:
        text = data.decode("utf-8")
        tree = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse_constant, parse_float=_finite)
        if "\\ud" in text or "\\uD" in text:
            json.dumps(tree, ensure_ascii=False).encode()  # half a character, such as \\ud800 alone, is no text
        level, below = 0, [tree]
        while below := [part for one in below for part in _parts(one)]:
            level += 1
            if level >= DEPTH:
                raise ValueError(f"more than {DEPTH} levels deep")
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: not JSON ({error}); the file is damaged or of another kind") from None
    return tree


def _parts(tree: Any) -> list[Any]:
    return list(tree.values()) if isinstance(tree, dict) else tree if isinstance(tree, list) else []


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {reprlib.repr(twice)} stands twice in a table")
    return table


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{reprlib.repr(digits)} is too large a number")
    return number


def sha256(path: str | Path) -> str:
    """The file's sha256 in hexadecimal, read in blocks of 1 MB."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_checksums(folder: str | Path) -> None:
    """Record the sha256 of every file under the folder in its `checksums.json`."""
    folder = Path(folder)
    files = sorted(f for f in folder.rglob("*") if f.is_file() and f.name != CHECKSUMS)
    write_json(folder / CHECKSUMS, {f.relative_to(folder).as_posix(): sha256(f) for f in files})


def verify_checksums(folder: str | Path) -> int:
    """Check every file against `checksums.json` and return how many were checked; 0 where there is no such file.

    Raises InputError naming the first file that is missing or whose bytes changed.
    """
    folder = Path(folder)
    if not (folder / CHECKSUMS).exists():
        return 0
    expected = read_json(folder / CHECKSUMS, most=_MOST_SUMS)
    if not isinstance(expected, dict):
        raise InputError(f"{folder / CHECKSUMS}: must be a table of file names and sha256 sums; the folder is damaged")
    for name, digest in expected.items():
        file = contained(folder, name)
        if not file.is_file():
            raise InputError(f"{file}: missing, but listed in {CHECKSUMS}; copy the folder again or fit it anew")
        if sha256(file) != digest:
            raise InputError(f"{file}: its bytes changed since it was written (sha256 differs); copy it again")
    return len(expected)


def contained(root: str | Path, name: str) -> Path:
    """The path of `name` inside `root`; a name that leads out of it (`..`, absolute, a link) is an InputError."""
    base = Path(root).resolve()
    try:
        path = (base / name).resolve()
        path.exists()  # a name that is too long is found out here
    except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL in it, a link to itself
        raise InputError(f"{name[:80]!r} is no name of a file in {root} ({error})") from None
    if path != base and base not in path.parents:
        raise InputError(f"{name!r} leads out of {root}; names must stay inside the folder")
    return Path(root) / name


def claim_output(path: str | Path, *, force: bool, whole: bool = False) -> Path:
    """The path, once it is certain that it can be written, and that nothing is overwritten unasked.

    So it is absent, an empty folder, or `force` is given; and a file can be made there, which is tried: beside it where
    it is to be a folder that comes there as a `whole`, by `atomic_folder`.
    """
    path = Path(path)
    if whole:
        _refuse_fixed(path)
    taken = any(path.iterdir()) if path.is_dir() else path.exists()
    if taken and not force:
        kind = "is a folder that is not empty" if path.is_dir() else "exists"
        raise InputError(f"{path} {kind}; give another --out, or --force to replace it")
    folder = (
        path if path.is_dir() and not whole else next(parent for parent in path.absolute().parents if parent.exists())
    )
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"{path} cannot be written ({folder}: {reason}); give another --out") from None
    return path


@contextlib.contextmanager
def lock(folder: str | Path) -> Iterator[None]:
    """Hold the folder for one writer; a second writer gets an InputError at once. The system frees it when we die."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{folder} is being written by another process; wait for it, or name another folder"
            ) from None
        except OSError as error:  # a file system without locks; the error names no place itself
            error.filename = str(folder)
            raise
        yield
    finally:
        os.close(handle)


def fsync_folder(folder: Path) -> None:
    """Make a rename in the folder last."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refuse_fixed(path: Path) -> None:
    """InputError for a folder in whose place no other can come."""
    if path.is_dir() and (path.samefile(".") or path.is_mount()):
        kind = "the folder that you are in" if path.samefile(".") else "where a disk is mounted"
        raise InputError(f"{path} is {kind}, so that no other folder can take its place; name one below it")


def _exchange(new: Path, path: Path) -> None:
    """Put `new` in the place of `path`: in one step where the system and the file system know how to exchange names."""
    exchange = getattr(ctypes.CDLL(None), "renameat2", None)
    here, swap = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of the Linux headers
    if exchange and exchange(here, os.fsencode(new), here, os.fsencode(path), swap) == 0:
        return
    aside = new.with_suffix(".old")
    os.replace(path, aside)
    try:
        os.replace(new, path)
    except OSError:
        os.replace(aside, path)
        raise
    _remove(aside)


def _remove(path: Path) -> None:
    if path.is_file() or path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk into an InputError that names the path."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(f"{path}: the disk is full; what was there before is kept; free some space") from error
        raise
