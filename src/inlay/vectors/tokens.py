"""Tokens: rows of numbers that may be larger than memory, in an unlinked file that is mapped where they are."""

import mmap
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError

# n tokens

IN_MEMORY = 1 << 22
"""Tokens that are kept in memory: 16 MB; what is more goes to a file in the folder for temporary files (TMPDIR)."""

_PIECE = 1 << 20
"""Tokens that are looked at at a time."""


class Growing:
    """A row of int32 to which tokens are appended; at its end it is handed over by `whole`."""

    def __init__(self) -> None:
        self._room = np.empty(_PIECE, np.int32)
        self._n = 0
        self._file: BinaryIO | None = None
        self.size = 0
        """How many tokens there are."""

    def room(self, size: int) -> NDArray[np.int32]:
        """(≥ size,) places for the next tokens; valid until `add` says how many of them were filled."""
        if self._n > (IN_MEMORY if self._file is None else _PIECE):
            self._flush()
            self._room = np.empty(_PIECE, np.int32)
        if self._n + size > len(self._room):  # by a quarter more at a time; the system moves no bytes for a large one
            self._room.resize(max(self._n + size, len(self._room) * 5 // 4), refcheck=False)
        return self._room[self._n :]

    def add(self, n: int) -> None:
        """Keep the first n of the places that `room` gave."""
        self._n += n
        self.size += n

    def extend(self, tokens: NDArray[np.int32]) -> None:
        """Append all of them."""
        for first in range(0, len(tokens), _PIECE):
            piece = tokens[first : first + _PIECE]
            self.room(len(piece))[: len(piece)] = piece
            self.add(len(piece))

    def whole(self) -> NDArray[np.int32]:
        """(size,) all the tokens, writable; nothing may be appended after."""
        if self._file is None:
            self._room.resize(self._n, refcheck=False)  # gives back what grew too far
            return self._room
        self._flush()
        with self._file, self._placing():
            return np.frombuffer(_Mapped(self._file.fileno(), 0), np.int32)

    def _flush(self) -> None:
        with self._placing():
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 (`whole` closes it)
            self._file.write(self._room[: self._n].data)
            self._file.flush()
        self._n = 0

    @contextmanager
    def _placing(self) -> Iterator[None]:
        """Say in one line where there is no place for the file."""
        try:
            yield
        except OSError as error:
            where = tempfile.tempdir or "temporary files"  # no folder is known where none could be written
            reason = (error.strerror or str(error)).lower()
            raise InputError(
                f"{where}: no place for a corpus of {4 * self.size >> 20} MB ({reason}); "
                "name a folder with more room in TMPDIR"
            ) from None


class _Mapped(mmap.mmap):
    """A mapping of our own, shared with its file: its pages may be given back at any time."""


def pieces(tokens: NDArray[np.int32]) -> Iterator[NDArray[np.int32]]:
    """The tokens in pieces, of which one at a time is in memory where they are mapped."""
    for first in range(0, len(tokens), _PIECE):
        piece = tokens[first : first + _PIECE]
        yield piece
        give_back(piece)


def renumbered(tokens: NDArray[np.int32], numbers: NDArray[np.int32]) -> NDArray[np.int32]:
    """The tokens by their new numbers, in place; -2 drops a token, and sentences that end up empty are dropped too."""
    from inlay.vectors.byte_kernels import renumber

    n = 0
    for first in range(0, len(tokens), _PIECE):
        before, n = n, renumber(tokens, numbers, first, min(first + _PIECE, len(tokens)), n)
        give_back(tokens[before:n])
        give_back(tokens[first : first + _PIECE])
    return tokens[:n]


def copied(tokens: NDArray[np.int32]) -> NDArray[np.int32]:
    """A copy to write into, mapped as `Growing` does it where it is large."""
    copy = Growing()
    for piece in pieces(tokens):
        copy.extend(piece)
    return copy.whole()


def give_back(tokens: NDArray[np.int32]) -> None:
    """Let go of the memory of mapped tokens, which are read from their file when they are used again."""
    base: object = tokens
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    if isinstance(base, _Mapped):
        begin = tokens.ctypes.data - np.frombuffer(base, np.uint8).ctypes.data
        first, last = (place // mmap.PAGESIZE * mmap.PAGESIZE for place in (begin, begin + tokens.nbytes))
        if last > first:
            base.madvise(mmap.MADV_DONTNEED, first, last - first)
