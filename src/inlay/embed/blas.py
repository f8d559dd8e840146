"""How many threads NumPy multiplies with: OpenBLAS, which its wheels bring, is asked; any other is left alone."""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock

import numpy as np

_PREFIXES, _SUFFIXES = ("scipy_openblas_", "openblas_"), ("64_", "")
_lock = Lock()
_holders = 0
_before = 0


def blas_threads() -> int | None:
    """The threads of one product of matrices; None where the library cannot be asked."""
    found = _functions()
    return found[0]() if found else None


@contextmanager
def one_thread() -> Iterator[bool]:
    """Within the block each product runs in the thread that asks for it; yields False where that cannot be said.

    The number is the whole process's: the first block to begin sets it, the last one to end puts it back.
    """
    global _holders, _before
    found = _functions()
    if found is None:
        yield False
        return
    get, put = found
    with _lock:
        if not _holders:
            _before = get()
            put(1)
        _holders += 1
    try:
        yield True
    finally:
        with _lock:
            _holders -= 1
            if not _holders:
                put(_before)


@cache
def _functions() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    for path in _libraries():
        try:
            library = ctypes.CDLL(str(path))  # it is loaded already: this is its handle
        except OSError:
            continue
        for prefix in _PREFIXES:
            for suffix in _SUFFIXES:
                get = getattr(library, f"{prefix}get_num_threads{suffix}", None)
                put = getattr(library, f"{prefix}set_num_threads{suffix}", None)
                if get is not None and put is not None:
                    get.restype, put.argtypes, put.restype = ctypes.c_int, [ctypes.c_int], None
                    return get, put
    return None


def _libraries() -> list[Path]:
    """Where NumPy's wheels keep OpenBLAS: beside the package on Linux and Windows, in it on macOS."""
    package = Path(np.__file__).parent
    folders = (package.parent / "numpy.libs", package / ".dylibs")
    return [
        path for folder in folders if folder.is_dir() for path in sorted(folder.iterdir()) if "openblas" in path.name
    ]
