"""word2vec's binary: a line `words dimensions`, then for each word its bytes, a space and D little-endian floats."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from inlay.errors import InputError
from inlay.vectors import storage
from inlay.vectors.gather import Gathered
from inlay.vectors.pieces import Pieces

if TYPE_CHECKING:
    from inlay.vectors.wordvectors import WordVectors


def write(vectors: "WordVectors", path: Path) -> None:
    """Write words and matrix, each entry with a line end as word2vec does."""
    words = iter(vectors.words)
    with open(path, "wb") as file:
        file.write(f"{len(vectors)} {vectors.dim}\n".encode())
        for _, block in storage.blocks(vectors.table):
            for row in block.astype("<f4", copy=False):
                file.write(next(words).encode() + b" " + row.tobytes() + b"\n")


def read(pieces: Pieces, dim: int, promised: int, begin: int) -> "WordVectors":
    """The vectors of D dimensions in the entries from byte `begin` on, as many as promised."""
    from inlay.vectors.byte_kernels import split_rows

    path = pieces.path
    found = Gathered(path, dim, lambda row: f"entry {row + 1}")
    at = begin
    for data, last in pieces:
        rows = min(promised - len(found.words), (len(data) - at) // (2 + 4 * dim) + 1)
        spans, matrix = found.room(rows)
        rows, at = split_rows(data, at, spans, matrix.view(np.uint8))
        found.took(data, spans[:rows])
        if len(found.words) == promised:
            if (rest := data[at:].tobytes()).strip():
                raise InputError(f"{path}: {len(rest)} bytes after the {promised} entries that its header promises")
            at = len(data)
        if not last:
            pieces.keep(data[at:])
        at = 0
    if len(found.words) < promised:
        place = found.where(len(found.words))
        raise InputError(f"{path} {place}: the file ends here, but its header promises {promised}; it is cut")
    return found.vectors()
