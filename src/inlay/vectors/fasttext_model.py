"""What a fastText model file holds, and what must agree in it."""

import math
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.vectors.product import Quantized

# V words, L labels, B buckets of n-grams, D dimensions

_ROWS = 1 << 14
"""Rows that are looked at at a time."""

Matrix = NDArray[np.float32] | Quantized


class Model(IntEnum):
    """What a file was trained for."""

    CBOW = 1
    SKIPGRAM = 2
    SUPERVISED = 3


class Loss(IntEnum):
    """How the outputs are turned into a loss."""

    HIERARCHICAL = 1
    NEGATIVE = 2
    SOFTMAX = 3
    ONE_VS_ALL = 4


@dataclass(frozen=True, kw_only=True)
class Args:
    """The settings that a file carries, in its order."""

    dim: int
    window: int = 5
    epochs: int = 5
    min_count: int = 5
    negative: int = 5
    word_ngrams: int = 1
    loss: Loss = Loss.NEGATIVE
    model: Model = Model.SKIPGRAM
    buckets: int = 2_000_000
    """B"""
    min_n: int = 3
    max_n: int = 6
    update_rate: int = 100
    sample: float = 1e-4

    def __post_init__(self) -> None:
        grams = self.max_n > 0 or self.word_ngrams > 1
        rules = [
            ("dim", self.dim >= 1, "must be at least 1"),
            ("buckets", self.buckets >= (1 if grams else 0), "must be positive where there are n-grams"),
            ("word_ngrams", 0 <= self.word_ngrams <= 1000, "must lie between 0 and 1000"),
            ("min_n", self.min_n >= 0, "must not be negative"),
            ("max_n", 0 <= self.max_n <= 100, "must lie between 0 and 100"),
            ("sample", math.isfinite(self.sample), "must be finite"),
        ]
        for name, holds, rule in rules:
            if not holds:
                raise InputError(f"{name}={getattr(self, name)} {rule}")


@dataclass(frozen=True, kw_only=True, eq=False)
class FastTextFile:
    """All that a model file holds. The arrays of one that was read are mapped and read-only."""

    args: Args
    words: list[str]
    """V; bytes that are no UTF-8 are kept as Python's surrogate escapes."""
    labels: list[str]
    """L, with their prefix."""
    counts: NDArray[np.int64]
    """(V + L,) how often each word occurred, then each label."""
    tokens: int
    """Words, labels and line ends of the training text together."""
    pruned: NDArray[np.int32] | None = None
    """(P, 2): of a pruned classifier the buckets that are left, and which row after the words each has."""
    inputs: Matrix
    """(V + B, D), or (V + P, D) of a pruned classifier."""
    outputs: Matrix
    """(V, D), or (L, D) of a classifier."""
    segmenter: str = ""
    """Which of our segmenters cut the training text into words: a mark behind the last byte that fastText reads."""

    def rows_of(self, buckets: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of the buckets in `inputs`; -1 for one that was pruned away."""
        if self.pruned is None:
            return len(self.words) + buckets
        if not len(self.pruned):
            return np.full(len(buckets), -1)
        left, rows = self.pruned[np.argsort(self.pruned[:, 0])].T
        at = np.minimum(np.searchsorted(left, buckets), len(left) - 1)
        return np.where(left[at] == buckets, len(self.words) + rows[at].astype(np.int64), -1)


def check(model: FastTextFile, path: Path) -> None:
    """Raise an InputError where the parts do not fit each other, or a number is not finite."""
    args, n_words, n_labels = model.args, len(model.words), len(model.labels)
    n_grams = args.buckets if model.pruned is None else len(model.pruned)
    n_outputs = n_labels if args.model == Model.SUPERVISED else n_words
    for name, matrix, rows in (("input", model.inputs, n_words + n_grams), ("output", model.outputs, n_outputs)):
        if matrix.shape != (rows, args.dim):
            raise InputError(f"{path}: the {name} matrix is {matrix.shape}, but {(rows, args.dim)} fits the dictionary")
        if rows < 1:
            raise InputError(f"{path}: the {name} matrix has no rows; a model needs a word, and a classifier a label")
        _refuse_infinite(matrix, f"{path} {name} matrix")
    if model.pruned is not None:
        if not isinstance(model.inputs, Quantized):
            raise InputError(f"{path}: pruned, but its input is not quantised; fastText reads no such model")
        buckets, rows = model.pruned.T
        sound = len(np.unique(buckets)) == len(np.unique(rows)) == n_grams and (model.pruned >= 0).all()
        if not sound or (buckets >= args.buckets).any() or (rows >= n_grams).any():
            raise InputError(f"{path}: the pruned n-grams must be different buckets in different rows; it is damaged")


def _refuse_infinite(matrix: Matrix, where: str) -> None:
    if isinstance(matrix, Quantized):
        for table in (matrix.centroids, matrix.norms):
            if table is not None and not np.isfinite(table).all():
                raise InputError(f"{where}: NaN or infinity among its centroids; every number must be finite")
        return
    for first in range(0, len(matrix), _ROWS):
        block = matrix[first : first + _ROWS]
        if not math.isfinite(float(block.sum(dtype=np.float64))):
            row = first + int(np.flatnonzero(~np.isfinite(block).all(axis=1))[0])
            raise InputError(f"{where} row {row}: NaN or infinity; every number must be finite")
