"""Pooling: the rows of a text's tokens to one vector; the same arithmetic whatever backend made the rows."""

# N tokens, B texts (groups of tokens), S segments: runs of tokens of one group, K pools, D numbers of a row

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Ints = NDArray[np.int64]


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


@dataclass(frozen=True, slots=True)
class Segments:
    """S runs of tokens, those of a group in their order: segment s belongs to group `groups[s]`, which never falls.

    A group's rows may be made at different times, by different windows: each run is summed up on its own.
    """

    groups: Ints
    """(S,) which group."""
    sizes: Ints
    """(S,) tokens of the run, at least 1."""
    places: Ints
    """(S,) the first token's place in its text, from 0: what `Weighted` counts."""


def pool(rows: Array, lengths: Ints, how: Pool) -> Array:
    """(B, D) float32 from rows (N, D), text after text; a text without tokens has the vector zero."""
    filled = np.flatnonzero(lengths)
    segments = Segments(groups=filled, sizes=lengths[filled], places=np.zeros(len(filled), np.int64))
    return merged(summaries(rows, segments.sizes, segments.places, [how]), segments, [how], len(lengths))


def summaries(rows: Array, sizes: Ints, places: Ints, pools: Sequence[Pool]) -> Array:
    """(S, K · D): what the pools need to know of each run; rows (N, D) are the runs, one after another."""
    if not len(sizes):
        return np.zeros((0, len(pools) * rows.shape[1]), np.float32)
    starts = np.cumsum(sizes) - sizes
    found = []
    for how in pools:
        match how:
            case CLS():
                found.append(rows[starts])
            case Last():
                found.append(rows[starts + sizes - 1])
            case Max():
                found.append(np.maximum.reduceat(rows, starts, axis=0))
            case Mean() | MeanSqrt():
                found.append(np.add.reduceat(rows, starts, axis=0))
            case Weighted():
                weights = np.arange(1, len(rows) + 1) - np.repeat(starts - places, sizes)
                found.append(np.add.reduceat(rows * weights[:, None].astype(np.float32), starts, axis=0))
    return found[0] if len(found) == 1 else np.concatenate(found, axis=1)


def merged(found: Array, segments: Segments, pools: Sequence[Pool], n_groups: int) -> Array:
    """(B, K · D) float32 from the summaries (S, K · D) of all runs; a group without a run has the vector zero."""
    vectors = np.zeros((n_groups, found.shape[1]), np.float32)
    if not len(segments.groups):
        return vectors
    starts = np.flatnonzero(np.diff(segments.groups, prepend=-1))
    filled, ends = segments.groups[starts], np.append(starts[1:], len(segments.groups)) - 1
    size = segments.sizes.astype(np.float64)
    counts = np.add.reduceat(size, starts)[:, None]
    weights = np.add.reduceat(size * (segments.places + (size + 1) / 2), starts)[:, None]
    one: NDArray[np.floating]
    for at, (how, part) in enumerate(zip(pools, np.split(found, len(pools), axis=1), strict=True)):
        match how:
            case CLS():
                one = part[starts]
            case Last():
                one = part[ends]
            case Max():
                one = np.maximum.reduceat(part, starts, axis=0)
            case Mean():
                one = _sums(part, starts) / counts
            case MeanSqrt():
                one = _sums(part, starts) / np.sqrt(counts)
            case Weighted():
                one = _sums(part, starts) / weights
        vectors[filled, at * part.shape[1] : (at + 1) * part.shape[1]] = one
    return vectors


def _sums(part: Array, starts: Ints) -> NDArray[np.float64]:
    # A text of ten million characters has thousands of windows: float32 would lose what is to be summed.
    return np.add.reduceat(part, starts, axis=0, dtype=np.float64)
