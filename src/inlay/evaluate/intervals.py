"""How sure a figure is: 95 % intervals for a share of right answers, and for a rank correlation."""

import math

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
    from scipy.stats import rankdata

    if len(a) < 3:
        return math.nan, math.nan, math.nan
    rng = np.random.default_rng(seed)
    resampled = []
    step = max(1, _NUMBERS // len(a))
    for first in range(0, n, step):
        chosen = rng.integers(0, len(a), (min(step, n - first), len(a)))  # (R, P)
        resampled.append(_correlations(rankdata(a[chosen], axis=1), rankdata(b[chosen], axis=1)))
    score = float(_correlations(rankdata(a)[None], rankdata(b)[None])[0])
    finite = np.concatenate(resampled)
    finite = finite[np.isfinite(finite)]
    if math.isnan(score) or not len(finite):
        return score, math.nan, math.nan
    low, high = np.percentile(finite, (2.5, 97.5))
    return score, float(low), float(high)


def _correlations(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """(R,) Pearson's correlation of each row of a and b, (R, P); NaN where a row is constant."""
    a, b = (x - x.mean(axis=1, keepdims=True) for x in (a, b))
    scale = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return np.divide((a * b).sum(axis=1), scale, out=np.full(len(a), math.nan), where=scale > 0)
