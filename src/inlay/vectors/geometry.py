"""Whole spaces of vectors: common parts taken out, two spaces laid over each other, and words that moved between them.

Vectors share a large mean and a few strong directions that say more of frequency than of sense (Mu & Viswanath 2018,
arXiv:1702.01417). Two trainings differ by a rotation at least, so they are compared after it (Schönemann 1966; Hamilton
et al. 2016, arXiv:1605.09096), or by neighbours, which no rotation changes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.vectors import storage
from inlay.vectors.nearest import largest
from inlay.vectors.storage import Full
from inlay.vectors.wordvectors import WordVectors

# V words, D dimensions, S words that two spaces share

Map = Callable[[NDArray[np.float32]], NDArray]
"""From rows (N, D) to rows (N, D); affine, so that the mean of some rows goes where the mean of their images is."""


def centred(vectors: WordVectors) -> WordVectors:
    """The vectors with their mean taken out, so that the mean is zero; n-grams too, the context table left behind."""
    mean = storage.mean(vectors.table)
    return _mapped(vectors, lambda rows: rows - mean)


def all_but_the_top(vectors: WordVectors, components: int | None = None) -> WordVectors:
    """The vectors without their mean and their strongest directions, by default D / 100 of them as in the paper.

    No variance is left in these directions. N-grams are moved alike; the context table is left behind.
    """
    components = max(vectors.dim // 100, 1) if components is None else components
    if not 0 <= components < vectors.dim:
        raise InputError(f"components={components} must be from 0 to {vectors.dim - 1}, below the dimensions")
    mean = storage.mean(vectors.table)
    scatter = np.zeros((vectors.dim, vectors.dim))
    for _, block in storage.blocks(vectors.table):
        rows = (block - mean).astype(np.float64)
        scatter += rows.T @ rows
    top = np.linalg.eigh(scatter)[1][:, vectors.dim - components :].astype(np.float32)  # (D, components)
    return _mapped(vectors, lambda rows: (rows - mean) - ((rows - mean) @ top) @ top.T)


@dataclass(frozen=True, kw_only=True, eq=False)
class Alignment:
    """The rotation that lays one space over another, and how well it does."""

    rotation: NDArray[np.float32]
    """(D, D), orthogonal: lengths, cosines and neighbours stay as they are."""
    pairs: int
    """Shared words that it was found from."""
    before: float
    """Mean cosine of these words' vectors in the two spaces, as they were."""
    after: float
    """The same after the rotation."""

    def apply(self, vectors: WordVectors) -> WordVectors:
        """The vectors of the first space, with context and n-grams, where the second has them.

        InputError for vectors of other dimensions.
        """
        if vectors.dim != len(self.rotation):
            raise InputError(f"{vectors!r} cannot be turned by a rotation of {len(self.rotation)} dimensions")
        turned = _mapped(vectors, lambda rows: rows @ self.rotation)
        context = None if vectors.context is None else vectors.context @ self.rotation
        return WordVectors(turned.words, turned.table, turned.counts, context, turned.subwords)


def align(source: WordVectors, target: WordVectors, top: int | None = None) -> Alignment:
    """The orthogonal Procrustes rotation from `source` to `target`: of all, that with the largest mean cosine.

    It is found from the shared words, or the `top` most frequent of them, each with length 1. Raises InputError for
    different dimensions, and for fewer shared words than dimensions, which leave the rotation open.
    """
    if source.dim != target.dim:
        raise InputError(f"{source.dim} and {target.dim} dimensions cannot be aligned; train both with the same")
    words = shared(source, target, top)
    if len(words) < source.dim:
        raise InputError(
            f"{len(words)} shared words are too few for a rotation in {source.dim} dimensions; as many are needed"
        )
    a, b = _units(source, words), _units(target, words)  # (S, D)
    left, _, right = np.linalg.svd(a.T.astype(np.float64) @ b)
    rotation = (left @ right).astype(np.float32)
    before, after = (float(np.einsum("sd,sd->s", rows, b).mean()) for rows in (a, a @ rotation))
    return Alignment(rotation=rotation, pairs=len(words), before=before, after=after)


@dataclass(frozen=True, kw_only=True, slots=True)
class Drift:
    """A word, and how its neighbourhood differs between two spaces."""

    word: str
    change: float
    """1 minus the cosine between its similarities to all these neighbours, in one space and the other: 0 … 2."""
    neighbours: tuple[str, ...]
    """Its nearest words in the first space."""
    neighbours_after: tuple[str, ...]
    """Its nearest words in the second."""


def drift(first: WordVectors, second: WordVectors, *, k: int = 10, top: int | None = 10_000) -> list[Drift]:
    """Each shared word with the change of its neighbourhood, the most changed first (Hamilton et al. 2016).

    Neighbours are the k nearest among the `top` most frequent shared words (None: all), which are also those that are
    measured. The spaces need not be aligned, nor have the same dimensions.
    """
    words = shared(first, second, top)
    if len(words) <= k:
        raise InputError(f"{len(words)} shared words are too few for {k} neighbours of each; give a smaller k")
    units = [_units(space, words) for space in (first, second)]
    itself = np.arange(len(words))[:, None]
    ones = np.ones(len(words), np.float32)
    near = [largest(Full(rows), ones, rows[:, None], k, without=itself)[0] for rows in units]
    found = []
    for row, word in enumerate(words):
        union = np.union1d(near[0][row], near[1][row])
        a, b = (rows[union] @ rows[row] for rows in units)
        scale = float(np.linalg.norm(a) * np.linalg.norm(b))
        change = 1 - float(a @ b) / scale if scale else 0.0
        names = [tuple(words[other] for other in neighbours[row]) for neighbours in near]
        found.append(Drift(word=word, change=change, neighbours=names[0], neighbours_after=names[1]))
    return sorted(found, key=lambda one: -one.change)


def shared(first: WordVectors, second: WordVectors, top: int | None = None) -> list[str]:
    """The words of both, those first that are frequent in both; `top` of them, or all."""
    if top is not None and top < 1:
        raise InputError(f"top={top} must be at least 1, or None for all shared words")
    words = [word for word in first.index if word in second.index]
    words.sort(key=lambda word: max(first.index[word], second.index[word]))
    return words[:top]


def _units(vectors: WordVectors, words: list[str]) -> NDArray[np.float32]:
    """(S, D) the words' vectors with length 1."""
    return storage.units(vectors.rows(words))


def _mapped(vectors: WordVectors, move: Map) -> WordVectors:
    """The words with every vector moved, and the n-grams with them; without the context."""
    subwords = vectors.subwords
    if subwords is not None:
        subwords = replace(subwords, inputs=_moved(Full(subwords.inputs), move))
    return WordVectors(vectors.words, _moved(vectors.table, move), vectors.counts, subwords=subwords)


def _moved(table: storage.Table, move: Map) -> NDArray[np.float32]:
    """(V, D) all rows moved, a block at a time: n-grams have tables of gigabytes."""
    moved = np.empty(table.shape, np.float32)
    for first, block in storage.blocks(table):
        moved[first : first + len(block)] = move(block)
    return moved
