"""Clustering: whether k-means over the vectors finds the classes that people gave the texts."""

# N texts, K clusters, C classes, R resamples, S seeds

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from inlay.embed.embedder import Embedder
from inlay.errors import InputError, missing_extra
from inlay.evaluate import intervals
from inlay.evaluate.encoding import Encoder, zero_note
from inlay.evaluate.judged import Labelled
from inlay.evaluate.measured import Figure, Measured


def clusters(
    embedder: Embedder | Encoder, data: Labelled, *, seeds: Sequence[int] = (0, 1, 2, 3, 4), seed: int = 0
) -> Measured:
    """V-measure of k-means with as many clusters as there are labels, the mean over the seeds.

    K-means runs on vectors of length 1, so the length of a vector plays no part. The interval is of the texts drawn,
    not of the seeds, whose own values stand in `facts`. Needs scikit-learn. Raises InputError for a single label, and
    where there are not more texts than labels.
    """
    data.need_two_classes()
    try:
        from sklearn.cluster import KMeans
    except ImportError:
        raise missing_extra("clustering", "scikit-learn", "eval") from None
    if not seeds:
        raise InputError("seeds=() is empty; k-means needs one seed or more")
    names = data.classes()
    if len(names) >= len(data.texts):
        raise InputError(f"{len(data.texts)} texts with {len(names)} labels: no two can be grouped; give more texts")
    rows = Encoder.of(embedder).units(data.texts)
    notes = zero_note(rows, "they stand together")
    number = {name: at for at, name in enumerate(names)}
    truth = np.array([number[label] for label in data.labels])
    k = min(len(names), len(np.unique(rows, axis=0)))
    if k < len(names):
        notes.append(f"only {k:,} of the vectors differ, fewer than the {len(names):,} labels")
    found = [KMeans(n_clusters=k, n_init=1, random_state=one).fit_predict(rows) for one in seeds]
    values = [float(v_measure(truth, one)) for one in found]

    def mean(counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """(R, N) how often each text counts -> (R,) the mean over the seeds"""
        return np.array([np.mean([v_measure(truth, one, row) for one in found]) for row in counts])

    value = float(np.mean(values))
    low, high = _around(value, mean, len(truth), seed)
    figures = {"v-measure": Figure(value=value, low=low, high=high)}
    facts = {"labels": len(names), "seeds": dict(zip(map(str, seeds), values, strict=True))}
    return Measured(kind="clusters", n=len(truth), unit="texts", figures=figures, facts=facts, notes=notes)


def v_measure(classes: NDArray[np.int_], found: NDArray[np.int_], weights: NDArray[np.float64] | None = None) -> float:
    """The harmonic mean of homogeneity and completeness (Rosenberg and Hirschberg 2007) of two lists of numbers (N,);
    `weights` say how often each thing counts."""
    wide = int(found.max()) + 1
    counts = np.bincount(classes * wide + found, weights, (int(classes.max()) + 1) * wide)
    table = np.asarray(counts, np.float64).reshape(-1, wide)  # (C, K)
    joint, of_class, of_cluster = (_entropy(part) for part in (table, table.sum(axis=1), table.sum(axis=0)))
    shared = max(of_class + of_cluster - joint, 0.0)
    homogeneity = shared / of_class if of_class > 0 else 1.0
    completeness = shared / of_cluster if of_cluster > 0 else 1.0
    total = homogeneity + completeness
    return 2 * homogeneity * completeness / total if total > 0 else 0.0


def _entropy(counts: NDArray[np.float64]) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _around(
    value: float, statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]], n: int, seed: int
) -> tuple[float, float]:
    """The 95 % interval by how far resamples lie from their own mean.

    A resample repeats texts, which makes labels and clusters agree more than they do: percentiles alone would lie
    above the value.
    """
    drawn: list[NDArray[np.float64]] = []

    def kept(counts: NDArray[np.float64]) -> NDArray[np.float64]:
        drawn.append(statistic(counts))
        return drawn[-1]

    low, high = intervals.resampled(kept, n, seed, 200)
    middle = float(np.mean(np.concatenate(drawn)))
    return max(value + low - middle, 0.0), min(value + high - middle, 1.0)
