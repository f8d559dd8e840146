"""WordVectors: words and their vectors; lookup, neighbours, analogies, and what to do about unseen words."""

import difflib
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.vectors.unseen import Mean, NGrams, Refuse, Unk, Unseen, Zero

if TYPE_CHECKING:
    from inlay.vectors.subwords import Subwords

# V words, D dimensions, N words looked up, Q queries

_SCORES = 1 << 24
"""Scores that are held at a time: 64 MB."""

_REFUSE = Refuse()


class WordVectors:
    """V words and their vectors, `matrix` (V, D) float32.

    `counts` (V,) says how often each word occurred in the training text, `context` (V, D) holds the vectors of the
    words as predicted words, `subwords` the n-grams that make vectors for unseen words; all three may be None. The
    arrays may be memory-mapped and are never changed.
    """

    def __init__(
        self,
        words: Sequence[str],
        matrix: NDArray[np.float32],
        counts: NDArray[np.int64] | None = None,
        context: NDArray[np.float32] | None = None,
        subwords: "Subwords | None" = None,
    ) -> None:
        self.words, self.matrix, self.counts, self.context = list(words), matrix, counts, context
        self.subwords = subwords
        if matrix.ndim != 2 or matrix.dtype != np.float32 or len(matrix) != len(self.words):
            raise InputError(
                f"{len(self.words)} words need a matrix of as many rows of float32, not {matrix.shape} {matrix.dtype}"
            )
        if counts is not None and counts.shape != (len(self),):
            raise InputError(f"{len(self)} words need as many counts, not {counts.shape}")
        if context is not None and (context.shape != matrix.shape or context.dtype != np.float32):
            raise InputError(f"context must be float32 of shape {matrix.shape}, not {context.shape} {context.dtype}")
        if len(self.index) != len(self.words):
            double = next(word for place, word in enumerate(self.words) if self.index[word] != place)
            raise InputError(f"the word {double!r} stands twice; each word has one vector")

    @classmethod
    def load(cls, path: str | Path) -> "WordVectors":
        """Read word2vec text or binary, or safetensors (memory-mapped); see `inlay.vectors.formats`."""
        from inlay.vectors.formats import load

        return load(path)

    def save(self, path: str | Path, *, format: str | None = None, force: bool = False) -> None:
        """Write .safetensors (everything), .txt/.vec or .bin (words and matrix); see `inlay.vectors.formats`."""
        from inlay.vectors.formats import save

        save(self, path, format=format, force=force)

    @property
    def dim(self) -> int:
        """D"""
        return int(self.matrix.shape[1])

    @cached_property
    def index(self) -> dict[str, int]:
        """The row of each word."""
        return {word: row for row, word in enumerate(self.words)}

    @cached_property
    def norms(self) -> NDArray[np.float32]:
        """(V,) the vectors' lengths."""
        return np.sqrt(np.einsum("vd,vd->v", self.matrix, self.matrix))

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self.index

    def __getitem__(self, word: str) -> NDArray[np.float32]:
        """(D,) the vector of a word; an unseen one is an InputError."""
        return self.matrix[self._row(word)]

    def __repr__(self) -> str:
        return f"WordVectors({len(self)} words, {self.dim} dimensions)"

    def rows(self, words: Iterable[str], unseen: Unseen = _REFUSE) -> NDArray[np.float32]:
        """(N, D) the vectors of the words, in order; unseen words as the policy says."""
        if not isinstance(unseen, Unseen):
            raise InputError(f"unseen={unseen!r} must be Refuse(), Zero(), Mean(), NGrams() or Unk(word)")
        words = list(words)
        strict, way_out = isinstance(unseen, Refuse), "; rows(..., Zero()) or rows(..., Mean()) take unseen words"
        places = np.array([self._row(word, way_out) if strict else self.index.get(word, -1) for word in words], int)
        vectors = self.matrix[places] if len(self) else np.zeros((len(places), self.dim), np.float32)
        missing = np.flatnonzero(places < 0)
        if isinstance(unseen, NGrams):
            if self.subwords is None:
                raise InputError("these vectors have no n-grams for unseen words; train with fasttext, or take Zero()")
            for place in missing:
                vectors[place] = self.subwords.vector(words[place])
        elif len(missing):
            vectors[missing] = self._instead(unseen)
        return vectors

    def similarity(self, a: str, b: str) -> float:
        """The cosine of two words' vectors; 0 where one of them is zero."""
        return float(self._unit(self._row(a)) @ self._unit(self._row(b)))

    def most_similar(
        self, positive: str | Sequence[str] = (), negative: str | Sequence[str] = (), k: int = 10
    ) -> list[tuple[str, float]]:
        """The k words nearest by cosine to the sum of the positive words minus the negative ones, which are left out.

        Each word counts with length 1; the score is the cosine with the sum. Equal scores stand in order of frequency.
        """
        plus = [positive] if isinstance(positive, str) else list(positive)
        minus = [negative] if isinstance(negative, str) else list(negative)
        if not plus and not minus:
            raise InputError("most_similar needs a word to compare with; give at least one")
        query = np.zeros(self.dim, np.float32)
        for sign, words in ((1, plus), (-1, minus)):
            for word in words:
                query += sign * self._unit(self._row(word))
        rows = [self._row(word) for word in plus + minus]
        found, scores = self.nearest(query[None], k, without=np.array([rows]))
        return [(self.words[row], float(score)) for row, score in zip(found[0], scores[0], strict=True)]

    def analogy(self, a: str, b: str, c: str, k: int = 10) -> list[tuple[str, float]]:
        """The k words that are to c what b is to a: nearest to b - a + c (3CosAdd, Levy & Goldberg 2014)."""
        return self.most_similar([b, c], [a], k)

    def nearest(
        self,
        queries: NDArray[np.float32],
        k: int,
        without: NDArray[np.int64] | None = None,
        restrict: int | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """((Q, k) rows, (Q, k) cosines) of the words nearest to each query, exactly, the nearest first.

        `without` (Q, n) are rows left out of each query's answer; `restrict` looks at the first words only. Fewer
        than k columns come back where there are fewer words.
        """
        if k < 1:
            raise InputError(f"k={k} must be at least 1")
        if restrict is not None and restrict < 1:
            raise InputError(f"restrict={restrict} must be at least 1, or None for all words")
        n_words = len(self) if restrict is None else min(len(self), restrict)
        n_left = n_words - (0 if without is None else without.shape[1])
        k = max(min(k, n_left), 0)
        found, cosines = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
        lengths = np.maximum(self.norms[:n_words], np.float32(1e-30))
        units = queries / np.maximum(np.linalg.norm(queries, axis=1, keepdims=True), np.float32(1e-30))
        step = max(1, _SCORES // max(n_words, 1))
        for first in range(0, len(queries), step):
            scores = units[first : first + step] @ self.matrix[:n_words].T
            scores /= lengths
            if without is not None:
                left_out = without[first : first + step]
                query, column = np.nonzero(left_out < n_words)
                scores[query, left_out[query, column]] = -np.inf
            found[first : first + step] = top = _largest(scores, k)
            cosines[first : first + step] = np.take_along_axis(scores, top, axis=1)
        return found, cosines

    def _instead(self, unseen: Unseen) -> NDArray[np.float32]:
        """(D,) the one vector of all unseen words."""
        match unseen:
            case Unk(word):
                return self[word]
            case Mean():
                return self.matrix.mean(axis=0, dtype=np.float64).astype(np.float32)
            case Zero() | _:
                return np.zeros(self.dim, np.float32)

    def _unit(self, row: int) -> NDArray[np.float32]:
        return self.matrix[row] / max(self.norms[row], np.float32(1e-30))

    def _row(self, word: str, way_out: str = "") -> int:
        row = self.index.get(word)
        if row is None:
            raise InputError(f"{word!r} is not among the {len(self)} words{self._guess(word) or way_out}")
        return row

    def _guess(self, word: str) -> str:
        """`; did you mean 'x'?`: another case of the word, or a close one with its first letter, or nothing."""
        cases = [case for case in (word.lower(), word.title(), word.upper()) if case in self.index]
        alike = islice((other for other in self.words if other[:1] == word[:1]), 5000)
        close = cases or difflib.get_close_matches(word, alike, n=1)
        return f"; did you mean {close[0]!r}?" if close else ""


def _largest(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """(Q, k) columns of each row's k largest scores, the largest first, equal ones by column."""
    if k == 0:
        return np.empty((len(scores), 0), np.int64)
    if k == 1:
        return scores.argmax(axis=1)[:, None]
    if k < scores.shape[1]:
        columns = np.sort(np.argpartition(-scores, k - 1, axis=1)[:, :k], axis=1)
    else:
        columns = np.broadcast_to(np.arange(k), scores.shape)
    order = np.argsort(-np.take_along_axis(scores, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)
