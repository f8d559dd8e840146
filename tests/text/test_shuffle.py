"""Shuffling without memory: a permutation for every key, that looks like one drawn by chance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inlay.text.shuffle import Order, shuffled


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.integers(1, 50), st.integers(4000, 9000)), st.integers(0, 2**63), st.integers(0, 1000))
def test_every_number_comes_once_and_alone_where_it_comes_in_the_whole(n: int, seed: int, epoch: int) -> None:
    whole = shuffled(np.arange(n), n, (seed, epoch))
    assert np.array_equal(np.sort(whole), np.arange(n))
    some = np.random.default_rng(0).integers(n, size=5)
    assert np.array_equal(shuffled(some, n, (seed, epoch)), whole[some])


@pytest.mark.parametrize("n", [2**40 + 7, 2**62])
def test_numbers_beyond_memory_are_shuffled_too(n: int) -> None:
    some = np.arange(n - 1000, n)
    found = shuffled(some, n, (0,))
    assert len(set(found.tolist())) == 1000
    assert found.min() >= 0
    assert found.max() < n
    assert found.std() == pytest.approx(n / 12**0.5, rel=0.1)


@pytest.mark.parametrize(("n", "epochs"), [(2, 600), (3, 600), (100, 300), (4097, 40), (70_000, 4)])
def test_each_place_is_as_likely_as_any_other(n: int, epochs: int) -> None:
    parts = min(n, 16)
    counts = np.zeros((parts, parts))
    for epoch in range(epochs):
        goes = shuffled(np.arange(n), n, (7, epoch))
        np.add.at(counts, (np.arange(n) * parts // n, goes * parts // n), 1)
    expected = np.outer(counts.sum(1), counts.sum(0)) / counts.sum()
    chi = ((counts - expected) ** 2 / expected).sum()
    freedom = (parts - 1) ** 2
    assert abs(chi - freedom) < 5 * (2 * freedom) ** 0.5 + 5


def test_all_orders_of_four_come_equally_often() -> None:
    seen: dict[tuple[int, ...], int] = {}
    for epoch in range(2400):
        order = tuple(shuffled(np.arange(4), 4, (1, epoch)).tolist())
        seen[order] = seen.get(order, 0) + 1
    assert len(seen) == 24
    assert all(55 < count < 150 for count in seen.values())  # 100 expected, with a deviation of 10


def test_neighbours_do_not_stay_neighbours_and_epochs_differ() -> None:
    n = 20_000
    first, second = (shuffled(np.arange(n), n, (0, epoch)) for epoch in (0, 1))
    for a, b in ((first[:-1], first[1:]), (first, second), (first, np.arange(n)), (first[:-2], first[2:])):
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.03
    assert np.count_nonzero(np.abs(np.diff(first)) == 1) < 10  # 2 expected
    assert np.count_nonzero(first == second) < 8  # 1 expected


@pytest.mark.parametrize(("texts", "per_batch"), [(10, 3), (9, 3), (1, 5), (1000, 7)])
def test_an_epoch_has_every_text_once(texts: int, per_batch: int) -> None:
    order = Order(texts=texts, per_batch=per_batch, key=(3,))
    for epoch in range(3):
        batches = [order.at(epoch * order.per_epoch + place) for place in range(order.per_epoch)]
        assert {found for found, _ in batches} == {epoch}
        assert sorted(np.concatenate([numbers for _, numbers in batches])) == list(range(texts))
        assert [len(numbers) for _, numbers in batches[:-1]] == [per_batch] * (order.per_epoch - 1)


def test_without_a_key_every_epoch_is_the_first_one_in_order() -> None:
    order = Order(texts=5, per_batch=2, key=None)
    for number in range(9):
        epoch, texts = order.at(number)
        assert epoch == 0
        assert texts.tolist() == [[0, 1], [2, 3], [4]][number % 3]
