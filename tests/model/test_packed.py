"""Packed rows: every row is in one group once, rectangles give rows back, and sorting loses nothing."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inlay.batch import Batch
from inlay.errors import InputError
from inlay.model import packed
from inlay.model.packed import Layout, Packed, groups

CALLS = st.sampled_from([1, 100, 1 << 14])
LENGTHS = st.lists(st.integers(0, 70), min_size=1, max_size=40)


@pytest.fixture(autouse=True)
def _calls_as_they_were() -> Iterator[None]:
    was = dict(packed._CALL)
    yield
    packed._CALL.update(was)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LENGTHS, CALLS)
def test_every_row_is_in_one_group_and_comes_back_in_order(lengths: list[int], call: int) -> None:
    layout = Layout(lengths)
    packed._CALL["cpu"] = call
    x = torch.arange(layout.n_rows)
    found = groups(layout, layout)
    assert torch.equal(torch.cat([x[:0], *(group.queries.rows(group.queries.take(x)) for group in found)]), x)
    assert [text for group in found for text in group.texts.tolist()] == [t for t, n in enumerate(lengths) if n]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LENGTHS, CALLS)
def test_a_rectangle_holds_each_text_from_its_left_and_padding_after(lengths: list[int], call: int) -> None:
    layout = Layout(lengths)
    packed._CALL["cpu"] = call
    for group in groups(layout, layout):
        rectangle = group.queries.take(layout.texts)
        position = group.queries.take(layout.position)
        for row, text in enumerate(group.texts.tolist()):
            assert rectangle[row, : lengths[text]].tolist() == [text] * lengths[text]
            assert position[row, : lengths[text]].tolist() == list(range(lengths[text]))
            if group.queries.keep is not None:
                kept = [place < lengths[text] for place in range(group.queries.length)]
                assert group.queries.keep[row].tolist() == kept


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LENGTHS)
def test_sorting_puts_texts_by_length_and_can_be_undone(lengths: list[int]) -> None:
    layout = Layout(lengths)
    found = layout.sorted()
    if found is None:
        assert lengths == sorted(lengths)
        return
    by_length, numbers, rows = found
    assert list(by_length.lengths) == sorted(lengths)
    assert [lengths[number] for number in numbers] == sorted(lengths)
    assert layout.texts[rows].tolist() == np.repeat(numbers, by_length.lengths).tolist()
    assert layout.position[rows].tolist() == by_length.position.tolist()
    later = Layout(lengths, position=np.arange(layout.n_rows) * 2).sorted()
    assert later is not None
    assert later[0].position.tolist() == (2 * rows).tolist()


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 30)), min_size=1, max_size=20), st.randoms(), CALLS)
def test_texts_that_look_at_others_are_paired_by_number(pairs: list[tuple[int, int]], random, call: int) -> None:
    packed._CALL["cpu"] = call
    numbers = list(range(len(pairs)))
    random.shuffle(numbers)
    queries, keys = Layout([q for q, _ in pairs]), Layout([k for _, k in pairs])
    for group in groups(queries, keys, numbers=numbers):
        assert group.keys is not None
        seen = group.keys.take(keys.texts)
        for row, text in enumerate(group.texts.tolist()):
            assert seen[row, : keys.lengths[numbers[text]]].eq(numbers[text]).all()


def test_texts_of_one_length_are_taken_as_they_lie() -> None:
    layout = Layout([7] * 5)
    (group,) = groups(layout, layout)
    x = torch.randn(35, 3)
    assert group.queries.take(x).data_ptr() == x.data_ptr()
    assert group.queries.keep is None


def test_few_long_texts_of_very_different_length_are_not_padded_to_the_longest() -> None:
    packed._CALL["cpu"] = 1 << 14
    layout = Layout([10, 400])
    assert len(groups(layout, layout)) == 2


def test_a_text_that_looks_at_nothing_is_an_error() -> None:
    with pytest.raises(InputError, match="text 1 has 3 tokens that look at an empty text"):
        groups(Layout([2, 3]), Layout([4, 0]))


def test_the_first_row_of_an_empty_text_is_an_error() -> None:
    with pytest.raises(InputError, match="text 1 has no tokens"):
        _ = Layout([2, 0]).first


def test_a_batch_without_tokens_is_an_error() -> None:
    for batch in (Batch.of([]), Batch.of([[], []])):
        with pytest.raises(InputError, match="no tokens"):
            Packed.of(batch)
