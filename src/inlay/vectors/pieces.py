"""The bytes of a file of vectors: mapped whole where it lies plain, unpacked piece by piece where it is compressed."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.text.decode import File, blocks

_MAGIC = {b"\x1f\x8b": ".gz", b"\xfd7zXZ\0": ".xz", b"\x28\xb5\x2f\xfd": ".zst", b"BZh": ".bz2"}
_PIECE = 1 << 23
LONGEST = 1 << 26
"""Bytes that a line or an entry may have in a compressed file."""


class Pieces:
    """A file as pieces of bytes, each with whether it is the last; a plain file is one piece, memory-mapped.

    What a reader cannot use yet, a line or an entry that is cut, it gives back by `keep`, and finds again at the front
    of the next piece. Compression is told by content. InputError for damaged compressed data, and for a decompression
    bomb.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._rest = path, b""
        with open(path, "rb") as file:
            start = file.read(6)
        self.compression = next((suffix for magic, suffix in _MAGIC.items() if start.startswith(magic)), "")

    @property
    def size(self) -> int | None:
        """The number of bytes; None for a compressed file, where it shows at the end."""
        return None if self.compression else self.path.stat().st_size

    def beginning(self, n_bytes: int) -> bytes:
        """The first bytes, unpacked."""
        found = b""
        for block in blocks(self._file()):
            found += block
            if len(found) >= n_bytes:
                break
        return found[:n_bytes]

    def keep(self, rest: NDArray[np.uint8]) -> None:
        """Put bytes back, to come again at the front of the next piece."""
        if len(rest) > LONGEST:
            raise InputError(f"{self.path}: a line or entry is longer than {LONGEST >> 20} MB; this is no vector file")
        self._rest = rest.tobytes()

    def __iter__(self) -> Iterator[tuple[NDArray[np.uint8], bool]]:
        if not self.compression:
            empty = self.size == 0  # which cannot be mapped
            yield np.zeros(0, np.uint8) if empty else np.asarray(np.memmap(self.path, np.uint8, "r")), True
            return
        source, more = blocks(self._file()), True
        while more:
            parts, size = [self._rest], 0
            while more and size < _PIECE:
                block = next(source, b"")
                more = bool(block)
                parts.append(block)
                size += len(block)
            self._rest = b""
            yield np.frombuffer(b"".join(parts), np.uint8), not more

    def _file(self) -> File:
        return File(
            path=self.path, name=self.path.name, where=str(self.path), kind="vectors", compression=self.compression
        )
