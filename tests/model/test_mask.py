"""Masks against three nested loops, on random cases; and rules, which are masks of packed texts."""

import random
import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from inlay.batch import Batch
from inlay.errors import InputError
from inlay.model.mask import (
    Documents,
    Permutation,
    Prefix,
    Rule,
    causal,
    document,
    padding,
    permutation,
    prefix,
    window,
)
from inlay.model.packed import Group, Layout, groups
from inlay.model.presets import preset
from inlay.model.relative import At

CASES = pytest.mark.parametrize("seed", range(8))


def loop(b: int, t: int, s: int, sees: Callable[[int, int, int], bool]) -> Tensor:
    """(b, t, s), asked one by one."""
    return torch.tensor([[[sees(n, i, j) for j in range(s)] for i in range(t)] for n in range(b)])


def same(mask: Tensor, b: int, t: int, s: int, sees: Callable[[int, int, int], bool]) -> None:
    assert mask.dtype == torch.bool
    assert torch.equal(mask.expand(b, t, s), loop(b, t, s, sees))


@CASES
def test_causal_sees_up_to_itself(seed: int) -> None:
    rng = random.Random(seed)
    t, offset, more = rng.randint(1, 6), rng.randint(0, 4), rng.randint(0, 3)
    same(causal(t), 2, t, t, lambda n, i, j: j <= i)
    same(causal(t, offset=offset), 1, t, offset + t, lambda n, i, j: j <= offset + i)
    s = offset + t + more
    same(causal(t, s, offset), 1, t, s, lambda n, i, j: j <= offset + i)
    assert torch.equal(causal(t, offset=offset), causal(offset + t)[offset:])


@CASES
def test_padding_is_seen_by_no_one(seed: int) -> None:
    keep = torch.rand(3, 5, generator=torch.Generator().manual_seed(seed)) < 0.6
    same(padding(keep), 3, 4, 5, lambda n, i, j: bool(keep[n, j]))


@CASES
def test_a_prefix_is_seen_by_all_and_the_rest_is_causal(seed: int) -> None:
    t = 1 + seed
    lengths = torch.randint(0, t + 1, (4,), generator=torch.Generator().manual_seed(seed))
    same(prefix(lengths, t), 4, t, t, lambda n, i, j: j < lengths[n] or j <= i)


def test_an_empty_prefix_is_causal_and_a_whole_one_is_open() -> None:
    empty, whole = prefix(torch.tensor([0, 5]), 5)
    assert torch.equal(empty, causal(5))
    assert whole.all()


@CASES
@pytest.mark.parametrize("reach", [0, 1, 3, 50])
def test_a_window_reaches_equally_far_to_both_sides(seed: int, reach: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    q, k = torch.randint(0, 12, (5,), generator=generator), torch.randint(0, 12, (7,), generator=generator)
    same(window(q, k, reach), 1, 5, 7, lambda n, i, j: abs(int(q[i]) - int(k[j])) <= reach)
    q, k = torch.randint(0, 12, (2, 5), generator=generator), torch.randint(0, 12, (2, 7), generator=generator)
    same(window(q, k, reach), 2, 5, 7, lambda n, i, j: abs(int(q[n, i]) - int(k[n, j])) <= reach)


def test_a_window_is_that_of_modernbert() -> None:
    config = pytest.importorskip("transformers").ModernBertConfig(local_attention=128)
    masking = pytest.importorskip("transformers.masking_utils")
    sees = masking.sliding_window_bidirectional_overlay(config.sliding_window)
    place = torch.arange(200)
    assert config.sliding_window == 64
    assert torch.equal(window(place, place, reach=64), sees(0, 0, place[:, None], place[None]))
    assert window(place, place, reach=64)[100].sum() == 129


@CASES
def test_documents_see_themselves_alone(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    q, k = torch.randint(0, 3, (2, 6), generator=generator), torch.randint(0, 3, (2, 4), generator=generator)
    same(document(q), 2, 6, 6, lambda n, i, j: q[n, i] == q[n, j])
    same(document(q[0]), 1, 6, 6, lambda n, i, j: q[0, i] == q[0, j])
    same(document(q, k), 2, 6, 4, lambda n, i, j: q[n, i] == k[n, j])


@CASES
def test_a_permutation_sees_what_comes_earlier_in_its_order(seed: int) -> None:
    rank = torch.stack([torch.randperm(6, generator=torch.Generator().manual_seed(seed + n)) for n in range(3)])
    same(permutation(rank, own=False), 3, 6, 6, lambda n, i, j: rank[n, j] < rank[n, i])
    same(permutation(rank, own=True), 3, 6, 6, lambda n, i, j: rank[n, j] < rank[n, i] or i == j)


def test_the_order_of_reading_is_the_causal_mask() -> None:
    rank = torch.arange(5)
    assert torch.equal(permutation(rank, own=True), causal(5))
    assert torch.equal(permutation(rank, own=False), causal(5) & ~torch.eye(5, dtype=torch.bool))


def test_a_given_context_of_one_rank_sees_all_of_itself_and_no_target() -> None:
    rank = torch.tensor([0, 2, 0, 1])  # tokens 3 and then 1 are predicted, 0 and 2 are given
    assert permutation(rank, own=True).int().tolist() == [[1, 0, 1, 0], [1, 1, 1, 1], [1, 0, 1, 0], [1, 0, 1, 1]]
    assert permutation(rank, own=False).int().tolist() == [[0, 0, 0, 0], [1, 0, 1, 1], [0, 0, 0, 0], [1, 0, 1, 0]]


@CASES
def test_masks_combine(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    keep, number = torch.rand(2, 6, generator=generator) < 0.7, torch.randint(0, 2, (2, 6), generator=generator)
    place = torch.arange(6)
    mask = causal(6) & padding(keep) & document(number) & window(place, place, 2)

    def sees(n: int, i: int, j: int) -> bool:
        return bool(j <= i and keep[n, j] and number[n, i] == number[n, j] and i - j <= 2)

    same(mask, 2, 6, 6, sees)


LENGTHS = [3, 4, 5]


def one_group() -> Group:
    """Texts 2 and 0 of three, padded."""
    side, place = Layout(LENGTHS).side([2, 0]), torch.arange(5)
    return Group(torch.tensor([2, 0]), side, side, At(place, place))


TOKENS = [(0, 7, 5), (1, 0, 3)]
"""Of each text in the group: its row in the rectangle, its first packed row, its length."""


def ranks() -> Tensor:
    return torch.cat([torch.randperm(n, generator=torch.Generator().manual_seed(n)) for n in LENGTHS])


def test_a_prefix_rule_knows_the_texts_of_its_group() -> None:
    mask = Prefix(torch.tensor([2, 9, 3])).dense(one_group())
    assert mask.shape == (2, 5, 5)
    assert torch.equal(mask, prefix(torch.tensor([3, 2]), 5))


def test_a_prefix_rule_of_one_query_is_a_row_of_the_whole() -> None:
    texts, side = torch.tensor([0, 1]), Layout([1, 1]).side([0, 1])
    for at in (At(torch.tensor([3]), torch.arange(4)), At(torch.tensor([[3], [3]]), torch.arange(4).expand(2, 4))):
        mask = Prefix(torch.tensor([2, 0])).dense(Group(texts, side, None, at))
        assert torch.equal(mask, prefix(torch.tensor([2, 0]), 4)[:, 3:])


@pytest.mark.parametrize("own", [False, True])
def test_a_permutation_rule_compares_the_ranks_of_one_text(own: bool) -> None:
    mask = Permutation(ranks(), own).dense(one_group())
    for row, start, length in TOKENS:
        expected = permutation(ranks()[start : start + length], own=own)
        assert torch.equal(mask[row, :length, :length], expected)


def test_a_document_rule_compares_the_numbers_of_one_text() -> None:
    number = torch.tensor([0, 0, 1, 0, 1, 1, 1, 4, 4, 5, 4, 5])
    mask = Documents(number).dense(one_group())
    for row, start, length in TOKENS:
        assert torch.equal(mask[row, :length, :length], document(number[start : start + length]))


@pytest.mark.parametrize("places", [[[2], [3, 0], [4, 1, 0]], [[2, 1], [0], [4]]])
def test_rules_hold_for_a_stream_that_queries_a_few_places(places: list[list[int]]) -> None:
    keys, lengths, number = Layout(LENGTHS), [1, 0, 4], ranks() % 2
    queries = Layout([len(some) for some in places], position=[place for some in places for place in some])
    seen = []
    for group in groups(queries, keys):
        masks = [
            rule.dense(group)
            for rule in (Permutation(ranks(), False), Prefix(torch.tensor(lengths)), Documents(number))
        ]
        for row, text in enumerate(group.texts.tolist()):
            length, some = LENGTHS[text], places[text]
            own = slice(keys.starts[text], keys.starts[text] + length)
            whole = (
                permutation(ranks()[own], own=False),
                prefix(torch.tensor([lengths[text]]), length)[0],
                document(number[own]),
            )
            for mask, expected in zip(masks, whole, strict=True):
                assert torch.equal(mask[row, : len(some), :length], expected[some])
            seen.append(text)
    assert sorted(seen) == [0, 1, 2]


def test_padding_in_front_of_a_short_text_does_not_ask_beyond_it() -> None:
    keys = Layout(
        [9, 2, 9, 2]
    )  # the first query stands at place 8, where padding of texts 1 and 3 is said to stand too
    queries = Layout([1, 2, 1, 1], position=[8, 0, 1, 8, 1])
    side = queries.side([1, 3])
    at = At(side.take(queries.position), torch.arange(2))
    assert int(at.q.max()) == 8
    mask = Permutation(torch.arange(22), own=True).dense(Group(torch.tensor([1, 3]), side, keys.side([1, 3]), at))
    assert mask[0].tolist() == [[True, False], [True, True]]
    assert mask[1, 0].tolist() == [True, True]  # its second place is padding, whatever it says


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (Prefix(torch.tensor([1])), r"Prefix.lengths has the shape (1,), but needs (2,): one number for each text"),
        (Permutation(torch.arange(4), own=True), "Permutation.rank has the shape (4,), but needs (5,)"),
        (Permutation(torch.arange(6), own=True), "Permutation.rank has the shape (6,), but needs (5,)"),
        (Documents(torch.zeros(1, 5)), "Documents.number has the shape (1, 5), but needs (5,): one number for each"),
        (Documents([0, 0, 1, 0, 1]), "Documents.number is of list; give a tensor, one number for each token"),  # type: ignore
    ],
)
def test_a_rule_that_is_not_of_this_batch_is_refused(rule: Rule, message: str) -> None:
    model = preset("modernbert-tiny").build(device="meta")
    with pytest.raises(InputError, match=re.escape(message)):
        model(Batch.of([[1, 2, 3], [4, 5]]), rule=rule)


def test_a_prefix_that_a_causal_stack_would_pass_over_is_refused() -> None:
    model, batch = preset("gpt2-tiny").build(device="meta"), Batch.of([[1, 2, 3]])
    with pytest.raises(InputError, match="a causal stack keeps shut; set causal=false"):
        model(batch, rule=Prefix(torch.tensor([2])))
    assert model(batch, rule=Documents(torch.tensor([0, 0, 1]))).shape == (3, 64)


@pytest.mark.parametrize("rule", [Prefix(torch.tensor([1, 2])), Documents(torch.arange(5))])
def test_a_rule_may_lie_on_another_device_than_the_model(rule: Rule) -> None:
    model = preset("bert-tiny").build(device="meta")
    assert model(Batch.of([[1, 2, 3], [4, 5]]), rule=rule).device.type == "meta"
