"""Semantic textual similarity, and telling alike pairs from others: what cosines of pairs are worth."""

# N pairs, R resamples

import math

import numpy as np
from numpy.typing import NDArray

from inlay.embed.embedder import Embedder
from inlay.evaluate import intervals
from inlay.evaluate.encoding import Encoder, cosines
from inlay.evaluate.judged import JudgedPairs, ScoredPairs
from inlay.evaluate.measured import Figure, Measured

Values = NDArray[np.float64]


def sts(embedder: Embedder | Encoder, pairs: ScoredPairs, *, seed: int = 0) -> Measured:
    """Spearman's and Pearson's correlation of the cosines with people's scores, with 95 % intervals.

    Both are undefined, and said to be, where all cosines are the same.
    """
    found, notes = cosines(Encoder.of(embedder), pairs.first, pairs.second)
    if found.min() == found.max():
        notes.append(f"all cosines are {found[0]:.3f}: no correlation is defined")
    figures = {
        "spearman": Figure(**_named(intervals.spearman(found, pairs.scores, seed=seed))),
        "pearson": Figure(**_named(intervals.pearson(found, pairs.scores, seed=seed))),
    }
    return Measured(kind="sts", n=len(found), unit="pairs", figures=figures, notes=notes)


def pair_classification(embedder: Embedder | Encoder, pairs: JudgedPairs, *, seed: int = 0) -> Measured:
    """Average precision of the cosines, and accuracy and F1 at thresholds that were chosen on other pairs.

    The other pairs are those of `dev`; without them the pairs are halved by chance, and each half is judged by the
    threshold of the other. Accuracy has Wilson's interval, the others bootstrap intervals.
    """
    encoder = Encoder.of(embedder)
    found, notes = cosines(encoder, pairs.first, pairs.second)
    alike, n = pairs.alike, len(pairs.alike)
    if pairs.dev is not None:
        dev_found, dev_notes = cosines(encoder, pairs.dev.first, pairs.dev.second)
        notes += [f"dev: {note}" for note in dev_notes]
        folds = [(np.ones(n, bool), dev_found, pairs.dev.alike)]
    else:
        half = _halves(alike, seed)
        folds = [(side, found[~side], alike[~side]) for side in (half, ~half)]
        notes.append("no dev pairs: each half is judged by the other half's threshold")
    called = {"accuracy": np.zeros(n, bool), "f1": np.zeros(n, bool)}
    thresholds: dict[str, list[float]] = {"accuracy": [], "f1": []}
    for side, cosine, truth in folds:
        for name in called:
            threshold = best_threshold(cosine, truth, name)
            thresholds[name].append(threshold)
            called[name][side] = found[side] >= threshold
    right = int((called["accuracy"] == alike).sum())
    low, high = intervals.wilson(right, n)
    figures = {
        "ap": _average_precision(found, alike, seed),
        "accuracy": Figure(value=right / n, low=low, high=high),
        "f1": _f1(called["f1"], alike, seed),
    }
    share = float(alike.mean())
    facts = {"thresholds": thresholds, "alike": share, "majority": max(share, 1 - share)}
    return Measured(kind="pairs", n=n, unit="pairs", figures=figures, facts=facts, notes=notes)


def best_threshold(cosine: Values, alike: NDArray[np.bool_], measure: str) -> float:
    """The threshold (at or above it is alike) with the best accuracy or f1, midway between two cosines; of several
    that are best the highest, and above all cosines where calling nothing alike is best."""
    order = np.argsort(-cosine, kind="stable")
    scores, hit = cosine[order], alike[order]
    right = np.concatenate([[0], np.cumsum(hit)])  # alike ones among the k best, k from 0
    k = np.arange(len(scores) + 1)
    if measure == "accuracy":
        value = (right + (len(hit) - hit.sum()) - (k - right)) / len(hit)
    else:
        value = 2 * right / np.maximum(k + hit.sum(), 1)
    # A border inside a run of equal cosines cannot be drawn.
    value[1:-1][scores[1:] == scores[:-1]] = -math.inf
    best = int(np.argmax(value))
    if best == 0:
        return float(np.nextafter(scores[0], math.inf))
    return float(scores[-1] if best == len(scores) else (scores[best - 1] + scores[best]) / 2)


def _average_precision(cosine: Values, alike: NDArray[np.bool_], seed: int) -> Figure:
    """Σ (recall_k − recall_{k−1}) precision_k over the distinct cosines k, best first."""
    order = np.argsort(-cosine, kind="stable")
    scores, hit = cosine[order], alike[order].astype(np.float64)
    ends = np.append(np.flatnonzero(scores[1:] != scores[:-1]), len(scores) - 1)

    def precision(counts: Values) -> Values:
        """(R, N) how often each pair counts -> (R,)"""
        counts = counts[:, order]
        right = np.cumsum(counts * hit, axis=1)[:, ends]
        called = np.cumsum(counts, axis=1)[:, ends]
        gained = np.diff(right, axis=1, prepend=0.0)
        share = np.divide(right, called, out=np.zeros_like(right), where=called > 0)
        total = right[:, -1]
        return np.divide((gained * share).sum(axis=1), total, out=np.full(len(total), math.nan), where=total > 0)

    value = float(precision(np.ones((1, len(scores))))[0])
    low, high = intervals.resampled(precision, len(scores), seed)
    return Figure(value=value, low=low, high=high)


def _f1(called: NDArray[np.bool_], alike: NDArray[np.bool_], seed: int) -> Figure:
    columns = np.column_stack([called & alike, called, alike]).astype(np.float64)

    def f1(counts: Values) -> Values:
        both, ours, theirs = (counts @ columns).T
        return np.divide(2 * both, ours + theirs, out=np.zeros(len(counts)), where=ours + theirs > 0)

    low, high = intervals.resampled(f1, len(alike), seed)
    return Figure(value=float(f1(np.ones((1, len(alike))))[0]), low=low, high=high)


def _halves(alike: NDArray[np.bool_], seed: int) -> NDArray[np.bool_]:
    """(N,) which pairs are in the first half, drawn so that both halves have as many alike ones, within one."""
    rng = np.random.default_rng(seed)
    first = np.zeros(len(alike), bool)
    for truth in (True, False):
        rows = rng.permutation(np.flatnonzero(alike == truth))
        first[rows[: (len(rows) + 1) // 2 if truth else len(rows) // 2]] = True
    return first


def _named(values: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip(("value", "low", "high"), values, strict=True))
