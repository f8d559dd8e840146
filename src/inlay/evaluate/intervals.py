"""How sure a figure is: 95 % intervals for a share of right answers, a correlation, and whatever can be resampled."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

# P pairs, R resamples

_Z = 1.959963984540054
"""The normal distribution holds 95 % within so many deviations."""

_NUMBERS = 1 << 22
"""Numbers of resamples that are held at a time: 32 MB."""


def wilson(right: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share, `right` of `n` (Wilson 1927), which stays inside 0 … 1; NaN where n is 0."""
    if n == 0:
        return math.nan, math.nan
    share, z2 = right / n, _Z * _Z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    reach = _Z * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(middle - reach, 0.0), min(middle + reach, 1.0)


def spearman(
    a: NDArray[np.float64], b: NDArray[np.float64], *, seed: int | np.random.Generator = 0, n: int = 1000
) -> tuple[float, float, float]:
    """(correlation, low, high): Spearman's rank correlation of two lists of P, and its 95 % interval from n resamples.

    NaN where one of the lists is constant, or there are fewer than three pairs.
    """
    if len(a) < 3:
        return math.nan, math.nan, math.nan
    rng = np.random.default_rng(seed)
    drawn = []
    step = max(1, _NUMBERS // len(a))
    for first in range(0, n, step):
        chosen = rng.integers(0, len(a), (min(step, n - first), len(a)))  # (R, P)
        drawn.append(rank_correlations(a[chosen], b[chosen]))
    score = float(rank_correlations(a[None], b[None])[0])
    finite = np.concatenate(drawn)
    finite = finite[np.isfinite(finite)]
    if math.isnan(score) or not len(finite):
        return score, math.nan, math.nan
    low, high = np.percentile(finite, (2.5, 97.5))
    return score, float(low), float(high)


def pearson(
    a: NDArray[np.float64], b: NDArray[np.float64], *, seed: int | np.random.Generator = 0, n: int = 1000
) -> tuple[float, float, float]:
    """(correlation, low, high): Pearson's correlation of two lists of P, and its 95 % interval from n resamples.

    NaN where one of the lists is constant, or there are fewer than three pairs.
    """
    if len(a) < 3:
        return math.nan, math.nan, math.nan
    x, y = (np.asarray(values, np.float64) - np.mean(values) for values in (a, b))
    score = float(_correlations(x[None], y[None])[0])
    sums = np.column_stack([x, y, x * x, y * y, x * y])  # (P, 5)

    def correlations(counts: NDArray[np.float64]) -> NDArray[np.float64]:
        mx, my, xx, yy, xy = (counts @ sums / len(x)).T
        scale = np.sqrt(np.maximum(xx - mx * mx, 0) * np.maximum(yy - my * my, 0))
        return np.divide(xy - mx * my, scale, out=np.full(len(counts), math.nan), where=scale > 1e-15)

    return (score, math.nan, math.nan) if math.isnan(score) else (score, *resampled(correlations, len(x), seed, n))


def resampled(
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    size: int,
    seed: int | np.random.Generator = 0,
    n: int = 1000,
) -> tuple[float, float]:
    """The 95 % interval of a statistic over n resamples of P = `size` things.

    The statistic is shown counts (R, P): how often each thing was drawn, each row P draws; it answers (R,), NaN where
    it is undefined, which is left out.
    """
    rng = np.random.default_rng(seed)
    values = []
    step = max(1, _NUMBERS // size)
    for first in range(0, n, step):
        draws = rng.integers(0, size, (min(step, n - first), size))
        draws += size * np.arange(len(draws))[:, None]
        counts = np.bincount(draws.ravel(), minlength=draws.size).reshape(draws.shape)
        values.append(np.asarray(statistic(counts.astype(np.float64)), np.float64))
    found = np.concatenate(values)
    found = found[np.isfinite(found)]
    if not len(found):
        return math.nan, math.nan
    low, high = np.percentile(found, (2.5, 97.5))
    return float(low), float(high)


def rank_correlations(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """(R,) Spearman's correlation of each row of a and b, (R, P); NaN where a row is constant."""
    from scipy.stats import rankdata

    return _correlations(rankdata(a, axis=1), rankdata(b, axis=1))


def _correlations(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """(R,) Pearson's correlation of each row of a and b, (R, P); NaN where a row is constant."""
    a, b = (x - x.mean(axis=1, keepdims=True) for x in (a, b))
    scale = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return np.divide((a * b).sum(axis=1), scale, out=np.full(len(a), math.nan), where=scale > 0)
