"""How well rankings find what was judged relevant: nDCG@10, recall, MRR@10 and MAP, with bootstrap intervals."""

# Q queries, R length of the longest ranking, B bootstrap resamples

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError, did_you_mean

Qrels = Mapping[str, Mapping[str, int]]
"""For each query the grade of every judged document; above 0 is relevant, anything else is not."""

_DEPTH = 10
_DRAWS = 1 << 20
"""Queries drawn at a time: what is gathered stays in the processor's cache."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """The metrics of one ranking method, for each query; `scores["ndcg@10"]` is the mean."""

    queries: list[str]
    """(Q) the judged queries, in the order of the judgements."""
    values: dict[str, NDArray[np.float64]]
    """Metric name -> (Q,) its value for each query, from 0 to 1."""

    def __getitem__(self, metric: str) -> float:
        return float(self._of(metric).mean())

    def interval(self, metric: str, *, seed: int | np.random.Generator = 0, n: int = 1000) -> tuple[float, float]:
        """The 95 % bootstrap interval of the mean, from `n` resamples of the queries."""
        low, high = np.percentile(_resampled_means(self._of(metric), seed, n), (2.5, 97.5))
        return float(low), float(high)

    def tree(self, *, seed: int = 0) -> dict[str, Any]:
        """A plain tree for JSON: the number of queries, and the mean and interval of each metric."""
        tree: dict[str, Any] = {"queries": len(self.queries)}
        for metric in self.values:
            low, high = self.interval(metric, seed=seed)
            tree[metric] = {"mean": self[metric], "low": low, "high": high}
        return tree

    def _of(self, metric: str) -> NDArray[np.float64]:
        if metric not in self.values:
            raise InputError(f"metric {metric!r} was not measured{did_you_mean(metric, self.values)}")
        return self.values[metric]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How much better one method is than another on the same queries."""

    mean: float
    """Mean over the queries of first minus second."""
    low: float
    high: float
    """The 95 % bootstrap interval of the mean."""
    p: float
    """Two-sided bootstrap p: twice the share of resamples whose mean falls on the other side of 0."""


def measure(run: Mapping[str, Sequence[str]], qrels: Qrels, *, ks: Sequence[int] = (10, 100)) -> Scores:
    """Score ranked document ids, best first, against judgements, with the values of trec_eval.

    Metrics: `ndcg@10` (linear gain, log2 discount, ideal over all judgements), `mrr@10`, `map` (over whole rankings)
    and `recall@k` for each of `ks`. Every judged query counts: one that the run lacks, or that has no relevant
    document, scores 0. Queries of the run without judgements are not looked at. Raises InputError for a document that
    stands twice in a ranking, and when run and judgements share no query.
    """
    if not ks or min(ks) < 1:
        raise InputError(f"ks={tuple(ks)} must be one or more numbers from 1")
    queries = list(qrels)
    if not any(query in run for query in queries):
        raise InputError(
            f"none of the {len(queries)} judged queries is among the {len(run)} of the run; compare their ids"
        )
    found = _grades([_ranking(run.get(query, ()), query) for query in queries], qrels)  # (Q, R)
    judged = np.zeros((len(queries), max(_DEPTH, *map(len, qrels.values()))))
    for row, grades in zip(judged, qrels.values(), strict=True):
        row[: len(grades)] = sorted((max(grade, 0) for grade in grades.values()), reverse=True)
    hit = found > 0
    n_relevant = (judged > 0).sum(axis=1)
    rank = np.arange(1, found.shape[1] + 1)
    values = {
        "ndcg@10": _share(_dcg(found), _dcg(judged)),
        "mrr@10": (hit / rank)[:, :_DEPTH].max(axis=1),
        "map": _share((hit * hit.cumsum(axis=1) / rank).sum(axis=1), n_relevant),
    }
    for k in ks:
        values[f"recall@{k}"] = _share(hit[:, :k].sum(axis=1), n_relevant)
    return Scores(queries=queries, values=values)


def paired(a: Scores, b: Scores, metric: str, *, seed: int | np.random.Generator = 0, n: int = 10_000) -> Difference:
    """`a` minus `b` query by query, with interval and p from `n` resamples of the queries.

    Raises InputError when the two were measured on different queries.
    """
    if a.queries != b.queries:
        raise InputError("the two methods were measured on different queries; measure both with the same judgements")
    difference = a._of(metric) - b._of(metric)
    means = _resampled_means(difference, seed, n)
    low, high = np.percentile(means, (2.5, 97.5))
    # One is added so that p is never 0: n resamples cannot show less than 1 in n.
    tail = min((means <= 0).sum(), (means >= 0).sum()) + 1
    return Difference(
        mean=float(difference.mean()), low=float(low), high=float(high), p=min(1.0, float(2 * tail / (n + 1)))
    )


def _ranking(ids: Sequence[str], query: str) -> Sequence[str]:
    if isinstance(ids, str):
        raise InputError(f"query {query!r}: its ranking is one text; give a list of document ids")
    if len(set(ids)) < len(ids):
        twice = next(id for at, id in enumerate(ids) if id in ids[:at])
        raise InputError(f"query {query!r}: document {twice!r} stands twice in its ranking; rank each document once")
    return ids


def _grades(rankings: Sequence[Sequence[str]], qrels: Qrels) -> NDArray[np.float64]:
    """(Q, R) the grade of each ranked document; 0 where it is not relevant, not judged, or the ranking has ended."""
    found = np.zeros((len(rankings), max(_DEPTH, *map(len, rankings))))
    for row, ids, grades in zip(found, rankings, qrels.values(), strict=True):
        row[: len(ids)] = [max(grades.get(id, 0), 0) for id in ids]
    return found


def _dcg(grades: NDArray[np.float64]) -> NDArray[np.float64]:
    """(Q, R) grades in ranked order -> (Q,) discounted gain of the first 10 (Järvelin and Kekäläinen 2002)."""
    return grades[:, :_DEPTH] @ (1 / np.log2(np.arange(2, _DEPTH + 2)))


def _share(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def _resampled_means(values: NDArray[np.float64], seed: int | np.random.Generator, n: int) -> NDArray[np.float64]:
    """(Q,) values -> (B,) means of Q draws with replacement."""
    if n < 1:
        raise InputError(f"n={n} resamples must be 1 or more")
    return np.concatenate([values[draws].mean(axis=1) for draws in _draws(len(values), np.random.default_rng(seed), n)])


def _draws(size: int, rng: np.random.Generator, n: int) -> Iterator[NDArray[Any]]:
    """Blocks of (b, Q) positions, n rows in all; 16 bits each where they do, since drawing is half of the work."""
    dtype = np.uint16 if size <= 1 << 16 else np.uint32
    block = max(1, _DRAWS // size)
    for start in range(0, n, block):
        yield rng.integers(0, size, (min(block, n - start), size), dtype=dtype)
