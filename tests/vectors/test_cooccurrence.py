"""Counting neighbours: as a plain triple loop does, the same in any memory, and nothing is left on the disk."""

import errno
from collections import Counter
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inlay.errors import InputError
from inlay.vectors import cooccurrence
from inlay.vectors.cooccurrence import Flat, Harmonic, count
from inlay.vectors.vocabulary import Encoded, Vocabulary, read


def corpus(seed, n_words, n_tokens):
    """Numbers by a law like Zipf's, in sentences of about ten words."""
    rng = np.random.default_rng(seed)
    shares = 1 / np.arange(1, n_words + 1)
    tokens = rng.choice(n_words, n_tokens, p=shares / shares.sum()).astype(np.int32)
    tokens[rng.random(n_tokens) < 0.1] = -1
    vocabulary = Vocabulary(words=[f"w{n}" for n in range(n_words)], counts=np.ones(n_words, np.int64))
    return Encoded(vocabulary=vocabulary, tokens=tokens)


def twin(corpus, window, symmetric, weight):
    """{(i, j): x} by three loops."""
    x = Counter()
    for at, i in enumerate(corpus.tokens.tolist()):
        if i < 0:
            continue
        for step in (-1, 1) if symmetric else (-1,):
            for distance in range(1, window + 1):
                place = at + step * distance
                if not 0 <= place < len(corpus.tokens) or corpus.tokens[place] < 0:
                    break
                j = int(corpus.tokens[place])
                if j <= i or not symmetric:
                    x[i, j] += 1 / distance if isinstance(weight, Harmonic) else 1
    return x


def as_dict(counts):
    pairs = zip(counts.records["i"].tolist(), counts.records["j"].tolist(), strict=True)
    return dict(zip(pairs, counts.records["x"].tolist(), strict=True))


def least_memory(n_words):
    return (n_words * 40 + 6000) / 2**20


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    n_words=st.sampled_from([1, 2, 63, 64, 65, 300]),
    n_tokens=st.integers(0, 3000),
    window=st.sampled_from([1, 2, 3, 10, 40]),
    symmetric=st.booleans(),
    weight=st.sampled_from([Harmonic(), Flat()]),
    short_of_memory=st.booleans(),
)
def test_counts_are_those_of_a_triple_loop(seed, n_words, n_tokens, window, symmetric, weight, short_of_memory):
    text = corpus(seed, n_words, n_tokens)
    memory = {"memory_mb": least_memory(n_words)} if short_of_memory else {}
    counts = count(text, window=window, symmetric=symmetric, weight=weight, **memory)
    expected = twin(text, window, symmetric, weight)
    found = as_dict(counts)
    assert list(found) == sorted(expected)
    np.testing.assert_allclose(
        [found[pair] for pair in sorted(expected)], [expected[p] for p in sorted(expected)], 1e-6
    )


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("window", [4, 15, 100])
def test_memory_does_not_decide_a_single_bit(window, symmetric):
    text = corpus(0, 5000, 60_000)
    at_once = count(text, window=window, symmetric=symmetric)
    for memory in (least_memory(5000), 0.3, 0.4):
        spilled = count(text, window=window, symmetric=symmetric, memory_mb=memory)
        np.testing.assert_array_equal(spilled.records, at_once.records)


def test_a_sentence_by_hand():
    counts = count(read([["the", "cat", "sat", "on", "the", "mat"]], min_count=1), window=2)
    words = ["the", "cat", "mat", "on", "sat"]
    assert {(words[i], words[j]): x for (i, j), x in as_dict(counts).items()} == {
        ("cat", "the"): 1,
        ("sat", "the"): 0.5 + 0.5,
        ("sat", "cat"): 1,
        ("on", "cat"): 0.5,
        ("sat", "on"): 1,
        ("on", "the"): 1,
        ("mat", "the"): 1,
        ("on", "mat"): 0.5,
    }


def test_no_window_reaches_over_the_end_of_a_sentence():
    apart = count(read([["a", "b"], ["c", "d"]], min_count=1), window=10)
    assert as_dict(apart) == {(1, 0): 1, (3, 2): 1}


def test_a_word_is_its_own_neighbour_from_both_sides_and_one_side_looks_back():
    both = count(read([["a", "a", "b"]], min_count=1), window=2)
    assert as_dict(both) == {(0, 0): 2, (1, 0): 1.5}
    before = count(read([["a", "a", "b"]], min_count=1), window=2, symmetric=False)
    assert as_dict(before) == {(0, 0): 1, (1, 0): 1.5}


def test_sums_are_exact_thirds_and_sevenths():
    counts = count(read([["a", "x", "x", "b", "x", "x", "x", "x", "c"]], min_count=1), window=8, symmetric=False)
    found = as_dict(counts)
    assert found[2, 1] == 1 / 3
    assert found[3, 1] == 1 / 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window": 0}, "window=0 must lie between 1 and 10000; 15 is usual"),
        ({"window": 10_001}, "window=10001 must lie between"),
        ({"weight": "flat"}, "weight='flat' must be Harmonic"),
        ({"memory_mb": 0.1}, r"memory_mb=0.1 is too little to count 5000 words; give at least 0\.18"),
        ({"memory_mb": -1}, "memory_mb=-1 is too little"),
        ({"memory_mb": float("nan")}, "memory_mb=nan is too little"),
        ({"folder": "/no/such/folder"}, "/no/such/folder: no temporary file can be made there"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_what_cannot_be_counted_is_refused_in_one_line(change, message):
    with pytest.raises(InputError, match=message):
        count(corpus(0, 5000, 100), **change)


@pytest.mark.parametrize("memory", [least_memory(300), 100])
def test_nothing_is_left_in_the_folder_not_even_while_it_counts(tmp_path, memory, monkeypatch):
    seen = []
    monkeypatch.setattr(cooccurrence.Live, "at", lambda *_: seen.extend(tmp_path.iterdir()))
    counts = count(corpus(0, 300, 5000), memory_mb=memory, folder=tmp_path)
    assert len(counts.records)
    assert not seen
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("memory", [least_memory(300), 100])
def test_a_full_disk_is_an_input_error_that_names_the_folder(memory, monkeypatch, tmp_path):
    full = partial(open, "/dev/full", "wb", 0)
    monkeypatch.setattr(cooccurrence, "unnamed_file", lambda folder: full())
    with pytest.raises(InputError, match=f"{tmp_path}: the disk is full") as caught:
        count(corpus(0, 300, 5000), memory_mb=memory, folder=tmp_path)
    assert caught.value.__cause__.errno == errno.ENOSPC
