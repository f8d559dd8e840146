"""Vectors as text, a line `word number ... number` each: word2vec's begins `words dimensions`, GloVe's does not.

fastText's .vec is word2vec's. A word may hold spaces in a file that is read (GloVe's 840B file has some): what stands
before the numbers is the word. Files that are written hold none, since other readers would take them apart.
"""

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.vectors import storage
from inlay.vectors.gather import Gathered
from inlay.vectors.pieces import Pieces

if TYPE_CHECKING:
    from inlay.vectors.wordvectors import WordVectors

# V words, D dimensions

_WHITE = b" \t\r\n\v\f"
_LOOK = 1 << 24
"""Bytes that are looked at together for line ends."""


def write(vectors: "WordVectors", path: Path, *, header: bool) -> None:
    """Write the vectors, with or without the first line; nine digits bring back the same float."""
    numbers = " %.9g" * vectors.dim + "\n"
    words = iter(vectors.words)
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        if header:
            file.write(f"{len(vectors)} {vectors.dim}\n")
        for _, block in storage.blocks(vectors.table):
            for row in block:
                file.write(next(words) + numbers % tuple(row.tolist()))


def dimensions(path: Path, beginning: bytes) -> int:
    """D of a file without a first line that tells it: as many numbers as end most of the first lines.

    InputError where the first line is no word with its numbers.
    """
    lines = beginning.split(b"\n")
    n_numbers = [_numbers_at_end(line) for line in (lines[:-1] or lines)[:50] if line.strip()]
    if not n_numbers or n_numbers[0] < 1:
        raise InputError(
            f"{path} line 1: {lines[0][:40]!r} is not `words dimensions`, nor a word and its numbers, "
            "so this is no file of word vectors"
        )
    return Counter(n_numbers).most_common(1)[0][0]


def _numbers_at_end(line: bytes) -> int:
    n, fields = 0, line.split()
    for field in reversed(fields[1:]):
        try:
            _number(field)
        except ValueError:
            break
        n += 1
    return n


def read(pieces: Pieces, dim: int, promised: int | None, begin: int) -> "WordVectors":
    """The vectors of D dimensions in the lines from byte `begin` on: as many as promised, or all there are (None)."""
    path = pieces.path
    first_line = 1 if promised is None else 2
    found = Gathered(path, dim, lambda row: f"line {row + first_line}")
    at = begin
    for data, last in pieces:
        end = _end(data, last)
        rows = promised
        if rows is None or not last:
            # No more rows than can be full: among more lines than that there is a short one, which is then found.
            rows = min(_lines(data, at, end), (end - at) // (2 * dim + 1) + 1)
        before = len(found.words)
        rows = rows if promised is None else min(rows, promised - before)
        at = _read_lines(found, data[:end], at, rows)
        place = found.where(len(found.words))
        if promised is None and len(found.words) < before + rows:
            raise InputError(f"{path} {place}: the file ends here, before the {dim} numbers that must stand; it is cut")
        if at < end and len(found.words) == promised:
            raise InputError(f"{path} {place}: more lines than the {promised} that its header promises")
        if not last:
            pieces.keep(data[end:])
        at = 0
    if promised is not None and len(found.words) < promised:
        place = found.where(len(found.words))
        raise InputError(f"{path} {place}: the file ends here, but its header promises {promised} words; it is cut")
    return found.vectors()


def _read_lines(found: Gathered, text: NDArray[np.uint8], at: int, rows: int) -> int:
    """Read so many lines from text[at:], or fewer where the text ends in a line; returns the place after them."""
    from inlay.vectors.byte_kernels import LONG_ROW, NOT_A_NUMBER, SHORT_ROW, read_rows

    path, done = found.path, len(found.words)
    spans, matrix = found.room(rows)
    dim = matrix.shape[1]
    result, at, row, column = read_rows(text, at, 0, 0, spans, matrix)
    while result == NOT_A_NUMBER:  # or one with so many digits that Python must read it, or more of a word
        field = _field(text, at)
        try:
            with np.errstate(over="ignore"):  # infinity is refused with its line, when all is read
                matrix[row, column] = _number(field)
            column += 1
        except (ValueError, OverflowError):
            if column > 0 or not field:
                place = found.where(done + row)
                raise InputError(f"{path} {place}: {field[:40]!r} is not a number") from None
            spans[row, 1] = at + len(field)
        result, at, row, column = read_rows(text, at + len(field), row, column, spans, matrix)
    place = found.where(done + row)
    if result == SHORT_ROW:
        raise InputError(f"{path} {place}: {column} numbers where {dim} must stand")
    if result == LONG_ROW:
        raise InputError(f"{path} {place}: more than {dim} numbers; {dim} must stand there")
    found.took(text, spans[:row])
    return at


def _field(text: NDArray[np.uint8], at: int) -> bytes:
    """What stands from `at` on before the kernel's white space."""
    size = 64
    while not (end := re.search(rb"[ \t\r\n]", text[at : at + size].tobytes())) and at + size < len(text):
        size *= 4
    return text[at : at + (end.start() if end else size)].tobytes()


def _number(field: bytes) -> float:
    """The number that the field is; ValueError where it is none: `1_0` is one to Python alone."""
    if b"_" in field:
        raise ValueError
    return float(field)


def _end(data: NDArray[np.uint8], last: bool) -> int:
    """Where the last line ends that is whole: in the last piece, where the white space at the end begins."""
    end = len(data)
    while end:
        tail = data[max(end - _LOOK, 0) : end].tobytes()
        if stripped := len(tail.rstrip(_WHITE)):
            end += stripped - len(tail)
            break
        end -= len(tail)
    return end if last else data[:end].tobytes().rfind(b"\n") + 1


def _lines(data: NDArray[np.uint8], begin: int, end: int) -> int:
    """How many lines data[begin:end] holds, the last one with or without its end."""
    breaks = sum(int(np.count_nonzero(data[at : min(at + _LOOK, end)] == ord("\n"))) for at in range(begin, end, _LOOK))
    return breaks + (end > begin and data[end - 1] != ord("\n"))
