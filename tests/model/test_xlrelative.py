"""Transformer-XL's scores: those of the reference library's XLNet, for short texts and those of several blocks."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from inlay.model.relative import At, XLRelative
from inlay.model.xlrelative import _BLOCK, XLBias

N_HEADS, D_HEAD, D_MODEL, B = 2, 4, 8, 2


def build(*, scale_scores: bool = True) -> XLBias:
    stack = SimpleNamespace(d_model=D_MODEL, n_heads=N_HEADS, d_key=D_HEAD, causal=False, scale_scores=scale_scores)
    module, generator = XLRelative().build(stack), torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, generator=generator)
    return module


def heads(t: int, seed: int) -> Tensor:
    """(b, H, T, K)."""
    return torch.randn(B, N_HEADS, t, D_HEAD, generator=torch.Generator().manual_seed(seed))


def theirs(module: XLBias, q: Tensor, k: Tensor, segment: Tensor | None) -> Tensor:
    """(b, H, T, T): what XLNet weighs the values by, with the parameters of our module."""
    transformers = pytest.importorskip("transformers")
    xlnet = pytest.importorskip("transformers.models.xlnet.modeling_xlnet")
    config = transformers.XLNetConfig(
        vocab_size=3, d_model=D_MODEL, n_layer=1, n_head=N_HEADS, d_inner=4, dropout=0.0, attn_type="bi"
    )
    attention, t = xlnet.XLNetRelativeAttention(config).eval(), q.size(2)
    with torch.no_grad():
        attention.r.copy_(module.r.weight.T.unflatten(1, (N_HEADS, D_HEAD)))
        for name, parameter in (("w", module.u), ("r", module.v), ("s", module.s)):
            getattr(attention, f"r_{name}_bias").copy_(parameter)
        attention.seg_embed.copy_(module.segment)
    waves = xlnet.XLNetModel(config).relative_positional_encoding(t, t, bsz=B)
    other = None
    if (
        segment is not None
    ):  # (T, T, b, 2): column 1 where the segments differ, as the model makes it of segment numbers
        other = torch.nn.functional.one_hot((segment.T[:, None] != segment.T[None]).long(), 2).float()
    _, weights = attention.rel_attn_core(
        q.permute(2, 0, 1, 3),
        k.permute(2, 0, 1, 3),
        k.permute(2, 0, 1, 3),
        torch.einsum("ibh,hnd->ibnd", waves, attention.r),
        seg_mat=other,
        output_attentions=True,
    )
    return weights.permute(2, 3, 0, 1)  # it gives (T, S, b, H)


@pytest.mark.parametrize("consecutive", [False, True])
@pytest.mark.parametrize("segments", [False, True])
@pytest.mark.parametrize("t", [1, 7, _BLOCK + 30])
def test_the_weights_are_those_of_xlnet(t: int, segments: bool, consecutive: bool) -> None:
    module, q, k, place = build(), heads(t, 0), heads(t, 1), torch.arange(t)
    segment = torch.randint(0, 2, (B, t), generator=torch.Generator().manual_seed(2)) if segments else None
    bias = module.bias(q, k, At(place, place, segment, segment, consecutive=consecutive))
    weights = (q @ k.transpose(-1, -2) * D_HEAD**-0.5 + bias).softmax(-1)
    torch.testing.assert_close(weights, theirs(module, q, k, segment), atol=2e-6, rtol=1e-4)


@pytest.mark.parametrize("t", [1, _BLOCK - 1, _BLOCK, 2 * _BLOCK + 1])
def test_the_blocks_of_a_long_text_meet(t: int) -> None:
    module, s = build(), 2 * _BLOCK + 5
    q, k, place = heads(t, 0), heads(s, 1), torch.arange(s)
    whole = module.bias(q, k, At(place[s - t :], place))
    torch.testing.assert_close(module.bias(q, k, At(place[s - t :], place, consecutive=True)), whole)


def test_segments_alone_decide_where_all_else_is_silent() -> None:
    module, place = build(), torch.arange(3)
    with torch.no_grad():
        for parameter in (module.r.weight, module.u, module.v, module.s):
            parameter.zero_()
    q, segment = heads(3, 0), torch.tensor([[0, 1, 1], [5, 5, 5]])
    bias = module.bias(q, q, At(place, place, segment, segment))
    same, other = (torch.einsum("bhtk,hk->bht", q, row)[..., None] * D_HEAD**-0.5 for row in module.segment)
    expected = torch.where((segment[:, :, None] == segment[:, None])[:, None], same, other)
    torch.testing.assert_close(bias, expected)


def test_where_scores_are_not_divided_no_term_is() -> None:
    q, k, place, segment = heads(4, 0), heads(4, 1), torch.arange(4), torch.tensor([[0, 1, 1, 0], [5, 5, 5, 5]])
    divided, plain = (
        build(scale_scores=scaled).bias(q, k, At(place, place, segment, segment)) for scaled in (True, False)
    )
    torch.testing.assert_close(plain, divided * D_HEAD**0.5)


def test_queries_and_keys_of_different_sets_have_their_own_segments() -> None:
    module, place = build(), torch.arange(6)
    q, k = heads(6, 0), heads(6, 1)
    segment = torch.randint(0, 2, (B, 6), generator=torch.Generator().manual_seed(2))
    whole = module.bias(q, k, At(place, place, segment, segment))
    some = torch.tensor([4, 1])
    part = module.bias(q[:, :, some], k, At(some, place, segment[:, some], segment))
    torch.testing.assert_close(part, whole[:, :, some])


def test_what_is_given_is_not_changed() -> None:
    module, q, k, place = build(), heads(5, 0), heads(5, 1), torch.arange(5)
    copies = q.clone(), k.clone()
    module.bias(q, k, At(place, place, consecutive=True))
    assert torch.equal(q, copies[0])
    assert torch.equal(k, copies[1])
