"""A packed batch is its texts, one after another."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inlay.batch import Batch


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
    with pytest.raises(ValueError, match="ids"):
        Batch(ids=ids, lengths=two, cut=one)


def test_a_batch_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        pack([[1]]).ids = np.zeros(1, np.int32)  # type: ignore[misc]
