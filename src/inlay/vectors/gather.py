"""What the readers of text and binary files share: rows gathered as they are found, words decoded, faults placed."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.vectors import storage
from inlay.vectors.wordvectors import WordVectors

# V words, D dimensions

Where = Callable[[int], str]
"""The name of a row's place in the file."""


class Gathered:
    """The words and the matrix (V, D) of a file, growing as they are read: memory follows what is there, not claims."""

    def __init__(self, path: Path, dim: int, where: Where) -> None:
        self.path, self.where = path, where
        self.words: list[str] = []
        self._matrix = np.empty((0, dim), np.float32)

    def room(self, rows: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """(spans (rows, 2), matrix (rows, D)) to be filled by a kernel, after the rows that are there.

        Both are valid until the next call: the table grows in place, since a copy of it would need twice the memory.
        """
        n = len(self.words)
        self._matrix.resize((n + rows, self._matrix.shape[1]), refcheck=False)
        return np.zeros((rows, 2), np.int64), self._matrix[n:]

    def took(self, data: NDArray[np.uint8], spans: NDArray[np.int64]) -> None:
        """Decode the words at the spans, (start, end) in `data`, of rows whose numbers are in their place."""
        for row, (start, end) in enumerate(spans.tolist(), len(self.words)):
            word = data[start:end].tobytes()
            try:
                self.words.append(word.decode("utf-8"))
            except UnicodeDecodeError:
                raise InputError(
                    f"{self.path} {self.where(row)}: {word[:40]!r} is not UTF-8; convert the file"
                ) from None
            if start == end:
                raise InputError(f"{self.path} {self.where(row)}: no word before the numbers")

    def vectors(self) -> WordVectors:
        """What was gathered; InputError for a number that is not finite, and for a word that stands twice."""
        matrix = self._matrix
        matrix.resize((len(self.words), matrix.shape[1]), refcheck=False)
        refuse_infinite(self.path, [(0, matrix)], self.where)
        try:
            return WordVectors(self.words, matrix)
        except InputError:
            seen: dict[str, int] = {}
            row = next(row for row, word in enumerate(self.words) if seen.setdefault(word, row) != row)
            first = self.where(seen[self.words[row]])
            raise InputError(
                f"{self.path} {self.where(row)}: the word {self.words[row]!r} stands already in {first}; "
                "remove one of them"
            ) from None


def broken_promise(path: Path, n_words: int, dim: int, size: int) -> InputError:
    """The error for a header that claims more than the file can hold."""
    return InputError(
        f"{path} line 1: promises {n_words} words of {dim} dimensions, but {size} bytes cannot hold them; "
        "the file is cut or damaged"
    )


def refuse_infinite_vectors(path: Path, vectors: WordVectors) -> None:
    """Raise an InputError that names the first row with a NaN or an infinity in any table of the vectors."""
    refuse_infinite(path, storage.blocks(vectors.table), lambda row: f"matrix of {vectors.words[row]!r}")
    if vectors.context is not None:
        refuse_infinite(path, [(0, vectors.context)], lambda row: f"context of {vectors.words[row]!r}")
    if vectors.subwords is not None:
        refuse_infinite(path, [(0, vectors.subwords.inputs)], lambda row: f"row {row} of the n-grams")


def refuse_infinite(path: Path, blocks: Iterable[tuple[int, NDArray]], where: Where) -> None:
    """Raise an InputError that names the first row with a NaN or an infinity; each block has its first row."""
    for start, table in blocks:
        for first in range(0, len(table), 1 << 14):
            block = table[first : first + (1 << 14)]
            # The sum of finite numbers can overflow: then each number is looked at.
            with np.errstate(over="ignore", invalid="ignore"):
                total = float(block.sum())
            if not math.isfinite(total) and not (finite := np.isfinite(block).all(axis=-1)).all():
                row = start + first + int(np.flatnonzero(~finite)[0])
                raise InputError(f"{path} {where(row)}: NaN or infinity; every number must be finite")
