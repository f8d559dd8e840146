"""Intervals: as the formula gives them, as other libraries rank, and as wide as they must be."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest, spearmanr

from inlay.evaluate import intervals
from inlay.evaluate.intervals import spearman, wilson


@pytest.mark.parametrize(("right", "n"), [(0, 10), (3, 10), (10, 10), (181, 1000), (1, 1)])
def test_the_interval_of_a_share_is_that_of_scipy(right, n):
    theirs = binomtest(right, n).proportion_ci(method="wilson")
    assert wilson(right, n) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_nothing_asked_is_nothing_known():
    assert all(map(math.isnan, wilson(0, 0)))
    assert all(map(math.isnan, spearman(np.arange(2.0), np.arange(2.0))))
    assert all(map(math.isnan, spearman(np.zeros(9), np.arange(9.0))))


def test_the_correlation_is_that_of_scipy_with_ties_and_its_interval_repeats(monkeypatch):
    rng = np.random.default_rng(0)
    a = rng.integers(0, 9, 200).astype(float)
    b = a + rng.normal(0, 4, 200)
    score, low, high = spearman(a, b, seed=3)
    assert score == pytest.approx(spearmanr(a, b).statistic)
    assert low < score < high
    assert spearman(a, b, seed=3) == (score, low, high)
    monkeypatch.setattr(intervals, "_NUMBERS", 1000)
    assert spearman(a, b, seed=3) == pytest.approx((score, low, high), abs=1e-12)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    truth = 6 / math.pi * math.asin(0.6 / 2)  # Spearman's for normal numbers that correlate by 0.6
    hits = 0
    for _ in range(60):
        a = rng.standard_normal(120)
        b = 0.6 * a + 0.8 * rng.standard_normal(120)
        _, low, high = spearman(a, b, seed=rng, n=200)
        hits += low <= truth <= high
    assert hits >= 52
