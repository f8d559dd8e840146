"""The rows that words are composed of while they are trained: the same words as from the finished table."""

import numpy as np
import pytest

from inlay.vectors.parts import parts as find_parts
from inlay.vectors.wordvectors import WordVectors

WORDS = ["there", "the", "</s>", "猫", "lalala"]


@pytest.fixture
def parts():
    return find_parts(WORDS, min_n=2, max_n=4, buckets=30)


@pytest.fixture
def table(parts):
    return np.random.default_rng(0).normal(size=(len(parts), 6)).astype(np.float32)


def test_words_are_composed_as_from_the_finished_table(parts, table):
    subwords = parts.subwords(table)
    assert len(subwords.inputs) == len(parts) == len(WORDS) + len(subwords.met)
    np.testing.assert_allclose(parts.compose(table, np.arange(len(WORDS))), subwords.compose(WORDS), atol=1e-6)
    np.testing.assert_array_equal(table[parts.own], subwords.inputs[: len(WORDS)])
    np.testing.assert_array_equal(parts.compose(table, np.array([2])), table[parts.own[[2]]])


def test_a_pinned_word_is_composed_to_its_vector_and_its_ngrams_stay(parts, table, monkeypatch):
    monkeypatch.setattr("inlay.vectors.parts._BLOCK", 2)
    before = table.copy()
    given = WordVectors(["a", "b", "c"], np.random.default_rng(1).normal(size=(3, 6)).astype(np.float32))
    words, there = np.array([0, 2, 4]), np.array([2, 0, 1])
    parts.pin(table, words, given, there)
    np.testing.assert_allclose(parts.compose(table, words), given.matrix[there], atol=1e-5)
    others = np.setdiff1d(np.arange(len(parts)), parts.own[words])
    np.testing.assert_array_equal(table[others], before[others])


@pytest.mark.parametrize("dense", [False, True], ids=["met buckets", "all buckets"])
def test_ngrams_are_carried_over_to_other_words(parts, table, dense):
    given = parts.subwords(table)
    more = find_parts(["thereby", *WORDS], min_n=2, max_n=4, buckets=30)
    fresh = np.full((len(more), 6), 7, np.float32)
    more.carry(fresh, given.dense() if dense else given)
    old = more.places[:, None] - 1 == parts.places  # a word more, so that buckets come one later
    buckets = more.places >= more.n_words
    known = np.flatnonzero(buckets & old.any(axis=1))
    np.testing.assert_array_equal(fresh[known], table[old[known].argmax(axis=1)])
    assert (fresh[~buckets] == 7).all()
