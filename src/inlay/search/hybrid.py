"""Fused ranking: lexical and dense scores as per-query z-scores, one pass of pseudo-relevance feedback, smoothing."""

# Q queries, N documents, V terms, D dimensions, T top documents

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from inlay.embed.static import unit
from inlay.errors import InputError
from inlay.search.index import Index
from inlay.search.lexical import Lexical
from inlay.search.quantised import QuantisedIndex

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Array = NDArray[np.float32]
Mode = Literal["hybrid", "dense", "lexical"]
MODES: tuple[Mode, ...] = ("hybrid", "dense", "lexical")

_CANDIDATES = 200
"""Documents whose neighbours smoothing looks at."""
_RRF = 60
"""Rank at which reciprocal rank fusion has halved a document's share (Cormack et al. 2009)."""


@dataclass(frozen=True, kw_only=True)
class ZSum:
    """Lexical z-score + `weight` × dense z-score: strong where one member is much better than the other."""

    weight: float = 0.75
    """Share of the dense member beside the lexical one's 1; 0 leaves it out."""


@dataclass(frozen=True, kw_only=True)
class ReciprocalRank:
    """Sum of 1 / (60 + rank): knows no scores, so that a weak member counts as much as a strong one."""


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """The best documents of a first ranking enrich the query for the second (Rocchio 1971; Lavrenko & Croft 2001)."""

    strength: float = 1.0
    """Weight of what is added, beside the query's own 1; 0 is no second pass."""
    documents: int = 10
    """Documents looked at, each weighed by 1 / rank."""
    terms: int = 50
    """Their strongest BM25 terms, added to the lexical query."""


@dataclass(frozen=True, kw_only=True)
class Fusion:
    """How a ranking is made from the lexical and the dense one."""

    rule: ZSum | ReciprocalRank = ZSum()
    feedback: Feedback = Feedback()
    smoothing: float = 0.0
    """Share of a document's score that its nearest neighbours among the best 200 documents give it."""

    def __post_init__(self) -> None:
        if isinstance(self.rule, ZSum) and not 0 <= self.rule.weight <= 100:
            raise InputError(f"weight={self.rule.weight} must lie between 0 and 100; 0.75 is usual")
        if not 0 <= self.feedback.strength <= 10 or self.feedback.documents < 1 or self.feedback.terms < 1:
            raise InputError(f"{self.feedback} must have strength 0 to 10, and at least 1 document and 1 term")
        if not 0 <= self.smoothing < 1:
            raise InputError(f"smoothing={self.smoothing} must lie between 0 and 1; 0.3 is usual")


class Ranker:
    """Scores of all documents for a query, in one of three modes; the lexical and dense index hold the same documents
    in the same order."""

    def __init__(self, lexical: Lexical, index: Index | QuantisedIndex, fusion: Fusion) -> None:
        if len(lexical) != len(index):
            raise InputError(
                f"{len(lexical)} documents in the lexical index, {len(index)} in the dense one; build both anew"
            )
        self.lexical, self.index, self.fusion = lexical, index, fusion

    def scores(self, texts: Sequence[str], vectors: Array, mode: Mode = "hybrid") -> Array:
        """(Q, N) scores of the queries, given as texts and as vectors (Q, D); higher is better."""
        if not len(self.index):
            return np.zeros((len(texts), 0), np.float32)
        if mode == "dense":
            return self.index.scores(vectors)
        terms = self.lexical.queries(texts)
        if mode == "lexical":
            return self.lexical.scores(terms)
        vectors = unit(np.asarray(vectors, np.float32))
        fused = self._fuse(terms, vectors)
        if self.fusion.feedback.strength:
            fused = self._fuse(*self._enriched(terms, vectors, fused))
        if self.fusion.smoothing:
            fused = np.stack([self._smoothed(row) for row in fused])
        return fused

    def _fuse(self, terms: "csr_matrix", vectors: Array) -> Array:
        lexical = self.lexical.scores(terms)
        if isinstance(self.fusion.rule, ReciprocalRank):
            return reciprocal_ranks(lexical) + reciprocal_ranks(self.index.scores(vectors))
        if not self.fusion.rule.weight:
            return z_scores(lexical)
        return z_scores(lexical) + np.float32(self.fusion.rule.weight) * z_scores(self.index.scores(vectors))

    def _enriched(self, terms: "csr_matrix", vectors: Array, fused: Array) -> tuple["csr_matrix", Array]:
        """Both queries with what the best documents of the first ranking add to them."""
        from scipy.sparse import csr_matrix, vstack

        feedback = self.fusion.feedback
        best = top(fused, feedback.documents)  # (Q, T)
        shares = 1 / np.arange(1, best.shape[1] + 1, dtype=np.float32)
        shares /= shares.sum()
        rows, means = [], np.empty_like(vectors)
        ids = self.index.ids
        for at, chosen in enumerate(best):
            query = terms[at]
            found = (csr_matrix(shares) @ self.lexical.documents[chosen]).tocsr()  # (1, V)
            found.sort_indices()  # so that ties fall by term, whatever the order in which scipy multiplies
            strongest = np.argsort(-found.data, kind="stable")[: feedback.terms]
            added = found.data[strongest]
            # As much weight as the query has itself, spread over the terms.
            added *= feedback.strength * query.sum() / max(float(added.sum()), 1e-12)
            columns = found.indices[strongest]
            extra = csr_matrix((added, (np.zeros(len(columns), int), columns)), shape=query.shape)
            rows.append((query + extra).tocsr())
            means[at] = shares @ self.index.vectors([ids[row] for row in chosen])
        return vstack(rows, format="csr"), unit(vectors + np.float32(feedback.strength) * unit(means))

    def _smoothed(self, scores: Array) -> Array:
        """(N,) scores; the best documents get a share of their scores from those among them that are most alike."""
        best = top(scores[None], min(_CANDIDATES, len(scores)))[0]
        ids = self.index.ids
        vectors = self.index.vectors([ids[row] for row in best])
        alike = np.maximum(vectors @ vectors.T, 0)
        np.fill_diagonal(alike, 0)
        alike *= alike >= -np.sort(-alike, axis=1)[:, min(10, len(best) - 1)][:, None]
        alike /= np.maximum(alike.sum(axis=1, keepdims=True), 1e-12)
        smoothed = scores.copy()
        share = np.float32(self.fusion.smoothing)
        smoothed[best] = (1 - share) * scores[best] + share * (alike @ scores[best])
        # What was not looked at must not rise above what was.
        smoothed[best] += max(0.0, float(scores.max() - smoothed.max()))
        return smoothed


def z_scores(scores: Array) -> Array:
    """Each query's scores (Q, N) with mean 0 and deviation 1; equal scores become 0."""
    deviation = scores.std(axis=1, keepdims=True)
    return np.asarray((scores - scores.mean(axis=1, keepdims=True)) / np.where(deviation > 0, deviation, 1), np.float32)


def reciprocal_ranks(scores: Array) -> Array:
    """1 / (60 + rank) of each document (Q, N), by the order of its score."""
    order = np.argsort(-scores, axis=1, kind="stable")
    shares = np.empty_like(scores)
    places = np.broadcast_to(1 / (_RRF + np.arange(1, scores.shape[1] + 1, dtype=np.float32)), scores.shape)
    np.put_along_axis(shares, order, places, axis=1)
    return shares


def top(scores: Array, k: int) -> NDArray[np.int64]:
    """(Q, min(k, N)) the rows of the best documents, best first; equals in the order of the documents."""
    k = min(k, scores.shape[1])
    best = np.empty((len(scores), k), np.int64)
    for at, row in enumerate(scores):
        if k < len(row):
            # All that equal the k-th score are kept, so that ties fall by document and not by chance.
            border = np.partition(row, len(row) - k)[len(row) - k] if k else np.inf
            candidates = np.flatnonzero(row >= border)
        else:
            candidates = np.arange(len(row))
        best[at] = candidates[np.argsort(-row[candidates], kind="stable")[:k]]
    return best
