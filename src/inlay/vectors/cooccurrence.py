"""Which words stand near each other, and how often: the matrix that GloVe is trained on, counted in bounded memory."""

import math
import mmap
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.files import disk_errors
from inlay.live import Live
from inlay.vectors.vocabulary import Encoded

# V words, n tokens, R records

RECORD = np.dtype([("i", "<i4"), ("j", "<i4"), ("x", "<f8")])
"""Word j stands near word i with the weight x in all."""

_FINEST = 1 << 24
"""The finest unit of a weight: whole numbers of it add up exactly until a pair has met half a billion times."""
_BUFFER = 1 << 20
"""Records that are written at a time, where memory allows."""
WIDEST = 10_000
"""The widest window: even there a weight is a thousand units."""


@dataclass(frozen=True)
class Harmonic:
    """A neighbour at distance d counts 1 / d."""


@dataclass(frozen=True)
class Flat:
    """Every neighbour in the window counts 1."""


Weight = Harmonic | Flat


@dataclass(frozen=True, kw_only=True, eq=False)
class Counts:
    """The co-occurrences of V words, in a temporary file that goes when this does, however the process ends."""

    records: NDArray[Any]
    """(R,) RECORD, memory-mapped, by i and then by j; if `symmetric`, each pair once, with j <= i."""
    n_words: int
    symmetric: bool
    """x_ij = x_ji; else word j stands before word i."""


def count(
    corpus: Encoded,
    *,
    window: int = 15,
    symmetric: bool = True,
    weight: Weight = Harmonic(),
    memory_mb: float = 1024,
    folder: str | Path | None = None,
) -> Counts:
    """Count every word's neighbours, up to `window` places before it or, if `symmetric`, on both sides.

    No window reaches over the end of a sentence; a word beside itself counts from both sides. The tokens are read once,
    by parts: a part takes at most `memory_mb` beside the tokens, and if there are several they are kept as sorted runs
    in a file without a name, in `folder` or else in TMPDIR, and merged. Sums are exact, so the memory decides nothing
    but the time. Raises InputError for a value out of range, too little memory for the vocabulary, and a full disk.
    """
    if not 1 <= window <= WIDEST:
        raise InputError(f"window={window} must lie between 1 and {WIDEST}; 15 is usual")
    if not isinstance(weight, Weight):
        raise InputError(f"weight={weight!r} must be Harmonic() or Flat()")
    rows = _Rows(corpus, symmetric, *_weights(window, weight), memory_mb)
    n = len(corpus.tokens)
    parts = [(begin, min(begin + rows.n_tokens, n)) for begin in range(0, n, rows.n_tokens)]
    with disk_errors(Path(folder or tempfile.gettempdir())), Live("counting pairs", n, "tokens") as live:
        if len(parts) == 1:
            with unnamed_file(folder) as file:
                _write(file, rows.counted(*parts[0], rows.unit), live)
                records = mapped(file, RECORD)
        else:
            ends = [0]
            with unnamed_file(folder) as runs, unnamed_file(folder) as file:
                for part in parts:
                    ends.append(ends[-1] + _write(runs, rows.counted(*part, 1.0), live))
                _write(file, rows.merged(mapped(runs, RECORD), np.array(ends)), live)
                records = mapped(file, RECORD)
    return Counts(records=records, n_words=len(corpus.vocabulary), symmetric=symmetric)


def unnamed_file(folder: str | Path | None) -> IO[bytes]:
    """A new file that is gone as soon as nobody holds it: neither a kill nor Ctrl-C leaves anything of it."""
    try:
        return tempfile.TemporaryFile(prefix="inlay-", dir=folder)
    except OSError as error:
        place = folder or tempfile.gettempdir()
        raise InputError(f"{place}: no temporary file can be made there ({error.strerror}); set TMPDIR") from None


def mapped(file: IO[bytes], dtype: np.dtype, *, writable: bool = False) -> NDArray[Any]:
    """The content of a file, not read before it is used; the file may be closed."""
    file.flush()
    if not os.fstat(file.fileno()).st_size:
        return np.empty(0, dtype)
    access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
    return np.frombuffer(mmap.mmap(file.fileno(), 0, access=access), dtype)


def let_go(array: Any) -> None:
    """Take a mapped array out of this process's memory; it is in its file, and comes back where it is used."""
    mapping = getattr(getattr(array, "base", None), "obj", None)
    if isinstance(mapping, mmap.mmap):
        mapping.madvise(mmap.MADV_DONTNEED)


class _Rows:
    """The memory of a count, and the rows that come out of it a few at a time."""

    def __init__(
        self, corpus: Encoded, symmetric: bool, weights: NDArray[np.float64], unit: float, memory_mb: float
    ) -> None:
        self.tokens, self.n_words = corpus.tokens, len(corpus.vocabulary)
        self.symmetric, self.weights, self.unit = symmetric, weights, unit
        free = (memory_mb if memory_mb > 0 else 0) * 2**20 - self.n_words * (8 + 8 + 4 + 1)
        buffer = max(self.n_words, int(min(_BUFFER, free / 4 / RECORD.itemsize)))  # it must hold a whole row
        self.n_tokens = int(min((free - buffer * RECORD.itemsize) / 4, 2**31 - 1))
        if self.n_tokens < 1000:
            needed = (self.n_words * 37 + 4000) / 2**20
            raise InputError(
                f"memory_mb={memory_mb} is too little to count {self.n_words} words; give at least {needed:.2g}"
            )
        self.buffer = np.empty(buffer, RECORD)
        sums = np.zeros(self.n_words + 1)
        sums[-1] = 1
        self.row = (sums, np.empty(self.n_words + 2, np.int32), np.zeros((2, (self.n_words >> 6) + 1), np.uint64))

    def counted(self, begin: int, end: int, unit: float) -> Iterator[tuple[int, NDArray[Any]]]:
        """The rows of tokens[begin:end]: how many of all tokens are done, and the records of some rows."""
        from inlay.vectors.cooccurrence_kernels import count_rows, group

        starts, places = np.zeros(self.n_words + 1, np.int64), np.empty(end - begin, np.int32)
        group(self.tokens, begin, end, starts, places)
        i = 0
        while i < self.n_words:
            i, n = count_rows(
                self.tokens, begin, starts, places, i, self.weights, self.symmetric, self.row, unit, self.buffer
            )
            yield begin + int(starts[i]), self.buffer[:n]

    def merged(self, runs: NDArray[Any], ends: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[Any]]]:
        """The rows of all runs together; run k is runs[ends[k] : ends[k + 1]]."""
        from inlay.vectors.cooccurrence_kernels import merge_rows

        at, i = ends[:-1].copy(), 0
        while i < self.n_words:
            i, n = merge_rows(runs, at, ends[1:], i, self.n_words, self.row, self.unit, self.buffer)
            yield len(self.tokens), self.buffer[:n]
            let_go(runs)


def _weights(window: int, weight: Weight) -> tuple[NDArray[np.float64], float]:
    """(window,) what a neighbour counts at each distance, in whole numbers of a unit, and how many of it are 1."""
    if isinstance(weight, Flat):
        return np.ones(window), 1.0
    unit = min(math.lcm(*range(1, min(window, 32) + 1)), _FINEST)
    return np.rint(unit / np.arange(1, window + 1)), float(unit)


def _write(file: IO[bytes], rows: Iterator[tuple[int, NDArray[Any]]], live: Live) -> int:
    """Append the records to the file; returns how many."""
    total = 0
    for done, records in rows:
        file.write(records.data)
        total += len(records)
        live.at(done)
    return total
