"""Visits: every pair once, by stripes of the vocabulary, those of one word in a row, with their logs and weights."""

import errno

import numpy as np
import pytest

from inlay.errors import InputError
from inlay.vectors import visits
from inlay.vectors.cooccurrence import RECORD, Counts
from inlay.vectors.visits import arrange

STRIPE = 70


def counts(n=30_000, n_words=500, seed=0):
    rng = np.random.default_rng(seed)
    pairs = np.unique(rng.integers(0, n_words, (n, 2)), axis=0)
    records = np.empty(len(pairs), RECORD)
    records["i"], records["j"] = pairs.T
    records["x"] = rng.lognormal(0, 2, len(pairs))
    return Counts(records=records, n_words=n_words, symmetric=False)


@pytest.fixture
def made(monkeypatch):
    monkeypatch.setattr(visits, "_VISIT", 500)
    monkeypatch.setattr(visits, "_BLOCK", 1000)
    return counts(), arrange(counts(), stripe=STRIPE, x_max=10, exponent=0.75, seed=3)


def test_every_record_is_in_one_visit_with_its_log_and_its_weight(made):
    records, pairs = made[0].records, made[1].pairs
    order = np.lexsort((pairs["other"], pairs["anchor"]))
    np.testing.assert_array_equal(pairs["anchor"][order], 2 * records["i"])
    np.testing.assert_array_equal(pairs["other"][order], 2 * records["j"] + 1)
    np.testing.assert_allclose(pairs["log"][order], np.log(records["x"]), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(pairs["weight"][order], np.minimum(1, (records["x"] / 10) ** 0.75), rtol=1e-5)


def test_a_visit_has_one_stripe_and_the_pairs_of_a_word_in_a_row(made):
    pairs, ends = made[1].pairs, made[1].ends
    assert (ends[0], ends[-1]) == (0, len(pairs))
    assert len(ends) - 1 > len(pairs) / 500
    for begin, end in zip(ends[:-1], ends[1:], strict=True):
        visit = pairs[begin:end]
        assert len(set(visit["other"] // 2 // STRIPE)) <= 1
        changes = np.count_nonzero(np.diff(visit["anchor"]))
        assert len(set(visit["anchor"].tolist())) == changes + (end > begin)


def test_a_seed_gives_its_own_visits_always_the_same(made):
    again = arrange(counts(), stripe=STRIPE, x_max=10, exponent=0.75, seed=3)
    other = arrange(counts(), stripe=STRIPE, x_max=10, exponent=0.75, seed=4)
    np.testing.assert_array_equal(made[1].pairs, again.pairs)
    assert (made[1].pairs != other.pairs).any()


def test_a_full_disk_is_an_input_error(monkeypatch, tmp_path):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(visits.os, "posix_fallocate", full)
    with pytest.raises(InputError, match=f"{tmp_path}: the disk is full"):
        arrange(counts(), stripe=STRIPE, x_max=10, exponent=0.75, seed=3, folder=tmp_path)
    assert not list(tmp_path.iterdir())
