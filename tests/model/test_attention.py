"""Attention: the worked example by hand, and each of its rules against the formula written out step by step."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from inlay.model.attention import Attention
from inlay.model.packed import Group, Layout, groups
from inlay.model.relative import Alibi, Rotary, Shaw, T5Buckets, XLRelative
from inlay.model.sight import View, self_groups, view
from inlay.model.stack import Dropout, Stack

# N rows of all texts, T queries, S keys, D model, H heads, K head

STACK = Stack(n_layers=1, d_model=12, n_heads=3, d_ffn=4, dropout=Dropout(hidden=0, attention=0))
SCHEMES = [None, Rotary(), T5Buckets(), XLRelative(), Shaw(max_distance=3), Alibi()]

QUERY = [[0.1, 0.2, 0.3]]
KEYS = [[0.4, 0.1, 0.2], [0.2, 0.3, 0.1], [0.1, 0.5, 0.3]]
VALUES = [[0.6, 0.2, 0.1], [0.3, 0.4, 0.2], [0.1, 0.7, 0.5]]


def single(q: Tensor, k: Tensor, v: Tensor, *, scaled: bool) -> tuple[Tensor, Tensor]:
    """(T, 3), (S, 3), (S, 3) -> weights (T, S) and output (T, 3) of one head that projects nothing.

    Rows of six numbers carry a query or a key in the first half, a value in the second.
    """
    stack = Stack(n_layers=1, d_model=6, n_heads=1, d_head=3, d_ffn=1, scale_scores=scaled, attention_bias=False)
    attention = Attention(replace(stack, dropout=Dropout(attention=0)))
    eye, none = torch.eye(3), torch.zeros(3, 3)
    attention.qkv.weight.data = torch.cat(
        [torch.cat([eye, none], 1), torch.cat([eye, none], 1), torch.cat([none, eye], 1)]
    )
    attention.out.weight.data = torch.cat([eye, none])
    queries, keys = Layout([len(q)]), Layout([len(k)])
    x, context = torch.cat([q, torch.zeros_like(q)], 1), torch.cat([k, v], 1)
    seen = view(queries, keys, groups(queries, keys))
    (weights,) = attention.weights(x, seen, context=context)
    return weights[0, 0], attention(x, seen, context=context)[:, :3]


@torch.no_grad()
@pytest.mark.parametrize(
    ("scaled", "weights", "output"),
    [
        (False, [0.325379, 0.322142, 0.352479], [0.327118, 0.440668, 0.273206]),
        (True, [0.328784, 0.326891, 0.344326], [0.329770, 0.437541, 0.270419]),
    ],
)
def test_worked_example_of_one_query_and_three_keys(scaled: bool, weights: list[float], output: list[float]) -> None:
    found, y = single(torch.tensor(QUERY), torch.tensor(KEYS), torch.tensor(VALUES), scaled=scaled)
    torch.testing.assert_close(found, torch.tensor([weights]), atol=1e-6, rtol=0)
    torch.testing.assert_close(y, torch.tensor([output]), atol=1e-6, rtol=0)


@torch.no_grad()
def test_softmax_runs_over_keys_not_over_queries() -> None:
    rng = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(n, 3, generator=rng) for n in (2, 5, 5))
    weights, _ = single(q, k, v, scaled=True)
    torch.testing.assert_close(weights.sum(1), torch.ones(2))
    assert (weights.sum(0) - 1).abs().min() > 1e-3


class Hide:
    """A rule by which the last key may not be seen."""

    def dense(self, group: Group) -> Tensor:
        assert group.keys is not None
        visible = torch.ones(group.queries.count, group.queries.length, group.keys.length, dtype=torch.bool)
        visible[..., -1] = False
        return visible


def by_hand(attention: Attention, x: Tensor, *, causal: bool = False, last: int | None = None) -> Tensor:
    """(T, D) -> (T, D) of one text: the formula, head by head, in plain steps; keys from `last` on do not exist."""
    k, width = attention.d_head, attention.n_heads * attention.d_head
    q, key, value = (x @ attention.qkv.weight.T + attention.qkv.bias).split(width, -1)
    heads = []
    for h in range(attention.n_heads):
        at = slice(h * k, (h + 1) * k)
        rows = []
        for i in range(len(x)):
            end = min(i + 1 if causal else len(x), len(x) if last is None else last)
            scores = torch.stack([q[i, at] @ key[j, at] / math.sqrt(k) for j in range(end)])
            weights = scores.exp() / scores.exp().sum()
            rows.append(sum(w * value[j, at] for j, w in enumerate(weights)))
        heads.append(torch.stack(rows))
    return torch.cat(heads, 1) @ attention.out.weight.T + attention.out.bias


def attention_and_rows(n: int) -> tuple[Attention, Tensor]:
    torch.manual_seed(1)
    attention = Attention(STACK).double().requires_grad_(False)
    return attention, torch.randn(n, 12, dtype=torch.float64)


@pytest.mark.parametrize("causal", [False, True])
def test_many_heads_and_texts_are_the_formula_of_each(causal: bool) -> None:
    attention, x = attention_and_rows(9)
    layout = Layout([4, 2, 3])
    y = attention(x, view(layout, layout, self_groups(layout), causal=causal))
    expected = torch.cat([by_hand(attention, part, causal=causal) for part in x.split([4, 2, 3])])
    torch.testing.assert_close(y, expected)


def test_masks_come_before_the_softmax_so_that_the_rest_still_sums_to_one() -> None:
    attention, x = attention_and_rows(5)
    layout = Layout([5])
    seen = view(layout, layout, self_groups(layout), rule=Hide())
    torch.testing.assert_close(attention(x, seen), by_hand(attention, x, last=4))
    (weights,) = attention.weights(x, seen)
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 3, 5, dtype=torch.float64))
    assert not weights[..., -1].any()


def test_cross_attention_has_its_queries_here_and_its_keys_and_values_there() -> None:
    attention, x = attention_and_rows(5)
    memory = torch.randn(9, 12, dtype=torch.float64)
    here, there = Layout([2, 3]), Layout([5, 4])
    y = attention(x, view(here, there, groups(here, there)), context=memory)
    for text, (rows, source) in enumerate(zip(x.split([2, 3]), memory.split([5, 4]), strict=True)):
        q = (rows @ attention.qkv.weight[:12].T + attention.qkv.bias[:12]).unflatten(1, (3, 4))
        k, v = (source @ attention.qkv.weight[12:].T + attention.qkv.bias[12:]).unflatten(1, (2, 3, 4)).unbind(1)
        weights = torch.einsum("thk,shk->hts", q / 2, k).softmax(-1)
        expected = attention.out(torch.einsum("hts,shk->thk", weights, v).flatten(1))
        torch.testing.assert_close(y.split([2, 3])[text], expected)


def test_a_query_stream_has_rows_of_its_own_number_and_reads_the_content() -> None:
    attention, content = attention_and_rows(9)
    queries = torch.randn(3, 12, dtype=torch.float64)
    stream, layout = Layout([2, 1], position=[1, 3, 0]), Layout([5, 4])
    found = attention(queries, view(stream, layout, groups(stream, layout)), context=content)
    assert found.shape == (3, 12)
    one = Layout([1]), Layout([5])
    alone = attention(queries[1:2], view(*one, groups(*one)), context=content[:5])
    torch.testing.assert_close(found[1:2], alone)


@torch.no_grad()
@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: type(scheme).__name__)
def test_a_query_stream_of_a_causal_stack_sees_the_past_of_where_it_stands(scheme) -> None:
    torch.manual_seed(2)
    stack = replace(STACK, relative=scheme, causal=True)
    attention, relative = Attention(stack).double(), scheme and scheme.build(stack).double()
    for parameter in relative.parameters() if relative else ():
        parameter.normal_()
    x, layout = torch.randn(9, 12, dtype=torch.float64), Layout([5, 4])
    whole = attention(x, view(layout, layout, self_groups(layout), causal=True, relative=relative), relative)
    stream = Layout([2, 1], position=[1, 3, 2])
    seen = view(stream, layout, groups(stream, layout), causal=True, relative=relative)
    torch.testing.assert_close(attention(x[[1, 3, 7]], seen, relative, context=x), whole[[1, 3, 7]])


@torch.no_grad()
@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: type(scheme).__name__)
@pytest.mark.parametrize("causal", [False, True])
def test_weights_for_inspection_are_those_that_make_the_answer(scheme, causal: bool) -> None:
    torch.manual_seed(2)
    stack = replace(STACK, relative=scheme, causal=causal)
    attention, relative = Attention(stack).double(), scheme and scheme.build(stack).double()
    for parameter in relative.parameters() if relative else ():
        parameter.normal_()
    x, layout = torch.randn(10, 12, dtype=torch.float64), Layout([3, 7])
    seen = view(layout, layout, self_groups(layout), causal=causal, relative=relative)
    y = attention(x, seen, relative)
    values = attention.qkv(x).unflatten(-1, (3, 3, 4))[:, 2]  # (N, H, K)
    assert_made_of(y, attention, seen, attention.weights(x, seen, relative), values, causal=causal)


def assert_made_of(
    y: Tensor, attention: Attention, seen: View, weights: list[Tensor], values: Tensor, *, causal: bool
) -> None:
    rows = []
    for group, part in zip(seen.groups, weights, strict=True):
        sums = group.queries.rows(part.sum(-1).transpose(1, 2))  # (n, H)
        torch.testing.assert_close(sums, torch.ones_like(sums))
        assert not causal or not part.triu(1).any()
        assert group.keys is not None
        mixed = part @ group.keys.take(values).transpose(1, 2)  # (b, H, T, K)
        rows.append(group.queries.rows(mixed.transpose(1, 2)))
    torch.testing.assert_close(y, attention.out(torch.cat(rows).flatten(1)))


@torch.no_grad()
def test_a_query_that_may_see_nothing_says_nothing_and_is_no_nan() -> None:
    attention, x = attention_and_rows(1)
    layout = Layout([1])
    seen = view(layout, layout, self_groups(layout), rule=Hide())
    torch.testing.assert_close(attention(x, seen), attention.out.bias[None])
    assert not attention.weights(x, seen)[0].any()
