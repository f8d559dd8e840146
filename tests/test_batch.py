"""A packed batch is its texts, one after another."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inlay.batch import Batch
from inlay.errors import InputError


def pack(texts: list[list[int]]) -> Batch:
    return Batch(
        ids=np.array([number for text in texts for number in text], dtype=np.int32),
        lengths=np.array([len(text) for text in texts], dtype=np.int64),
        cut=np.zeros(len(texts), dtype=np.int64),
    )


@given(st.lists(st.lists(st.integers(0, 1000), max_size=5), max_size=8))
def test_starts_and_rows_find_every_text(texts: list[list[int]]) -> None:
    batch = pack(texts)
    assert len(batch) == len(texts)
    for b, text in enumerate(texts):
        assert batch.ids[batch.starts[b] : batch.starts[b] + batch.lengths[b]].tolist() == text
        assert batch.ids[batch.rows == b].tolist() == text


def test_lengths_that_do_not_fit_are_refused() -> None:
    ids, two, one = np.zeros(3, np.int32), np.array([1, 2]), np.array([0])
    with pytest.raises(ValueError, match="lengths sum to 3, but there are 2 ids"):
        Batch(ids=ids[:2], lengths=two, cut=two)
    with pytest.raises(InputError, match="cut has 1 numbers for 2 texts"):
        Batch(ids=ids, lengths=two, cut=one)
    with pytest.raises(InputError, match="a text has a length of -1"):
        Batch(ids=ids, lengths=np.array([4, -1]), cut=two)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ([1.5], "ids must be whole numbers of 32 bits, not float64"),
        ([2**40], "not 1099511627776"),
        (np.array([3, 2**32 + 5]), "not 4294967301"),
        ([-(2**31) - 1], "not -2147483649"),
        (7, "ids of text 1 are 7, which is no list of whole numbers"),
        ("abc", "ids of text 1 are 'abc'"),
        ([[1, 2]], "no list of whole numbers"),
    ],
)
def test_ids_that_are_no_whole_numbers_are_refused_rather_than_changed(text, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Batch.of([[1], text])
    if np.ndim(text) == 1:
        with pytest.raises(InputError, match=message):
            Batch.from_padded(np.array([text]), np.ones((1, len(text)), bool))
        with pytest.raises(InputError, match=message.replace("ids", "segments")):
            Batch.of([[1], [1] * len(text)], segments=[[0], text])


def test_a_padded_batch_is_the_same_as_its_lists_wherever_the_padding_stands() -> None:
    ids, keep = np.array([[9, 1, 2], [3, 9, 9], [9, 9, 9]]), np.array([[0, 1, 1], [1, 0, 0], [0, 0, 0]], bool)
    padded, plain = Batch.from_padded(ids, keep, ids + 1), Batch.of([[1, 2], [3], []], [[2, 3], [4], []])
    for name in ("ids", "lengths", "cut", "segments"):
        one, other = getattr(padded, name), getattr(plain, name)
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    with pytest.raises(InputError, match="segments must be as long"):
        Batch.of([[1, 2], [3]], segments=[[0], [0, 0]])


def test_a_batch_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        pack([[1]]).ids = np.zeros(1, np.int32)  # type: ignore[misc]
