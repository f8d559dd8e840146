"""Pooling: the rows of a text's tokens to one vector; the same arithmetic whatever backend made the rows."""

# N tokens, B texts, D numbers of a row

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class CLS:
    """The first token's row: [CLS] in BERT and its kin. Devlin et al. 2019."""


@dataclass(frozen=True, kw_only=True)
class Mean:
    """The mean of all rows: what most sentence encoders use. Reimers & Gurevych 2019."""


@dataclass(frozen=True, kw_only=True)
class Max:
    """The highest number in each dimension."""


@dataclass(frozen=True, kw_only=True)
class MeanSqrt:
    """The sum of all rows over the square root of their number: long texts are longer vectors."""


@dataclass(frozen=True, kw_only=True)
class Weighted:
    """The mean, row i weighing i + 1: a causal model's later rows have seen more. Muennighoff 2022, SGPT."""


@dataclass(frozen=True, kw_only=True)
class Last:
    """The last token's row: a causal model's only one that has seen the whole text."""


Pool = CLS | Mean | Max | MeanSqrt | Weighted | Last


def pool(rows: Array, lengths: NDArray[np.int64], how: Pool) -> Array:
    """(B, D) float32 from rows (N, D), text after text; a text without tokens has the vector zero."""
    found = np.zeros((len(lengths), rows.shape[1]), np.float32)
    filled = np.flatnonzero(lengths)
    if not len(filled):
        return found
    ends = np.cumsum(lengths)[filled]
    size = lengths[filled]
    starts = ends - size
    match how:
        case CLS():
            found[filled] = rows[starts]
        case Last():
            found[filled] = rows[ends - 1]
        case Max():
            found[filled] = np.maximum.reduceat(rows, starts, axis=0)
        case Mean():
            found[filled] = np.add.reduceat(rows, starts, axis=0) / size[:, None].astype(np.float32)
        case MeanSqrt():
            found[filled] = np.add.reduceat(rows, starts, axis=0) / np.sqrt(size[:, None]).astype(np.float32)
        case Weighted():
            place = (np.arange(len(rows)) - np.repeat(starts, size) + 1).astype(np.float32)
            total = (size * (size + 1) / 2).astype(np.float32)
            found[filled] = np.add.reduceat(rows * place[:, None], starts, axis=0) / total[:, None]
    return found
