"""Rotary positions: the turn of the reference library, and what turning must leave alone."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from inlay.model.relative import Relative, Rotary

PLACES = torch.arange(40).roll(7) * 13


def build(scheme: Rotary, d_head: int = 8) -> Relative:
    return scheme.build(SimpleNamespace(d_model=24, n_heads=3, d_key=d_head, causal=False, scale_scores=True))


def rows(d_head: int = 8) -> Tensor:
    """(N, H, K)."""
    return torch.randn(40, 3, d_head, generator=torch.Generator().manual_seed(0))


def test_the_first_pair_turns_by_one_radian_per_position() -> None:
    turned = build(Rotary(), 2).rotate(torch.tensor([[[1.0, 0.0]]]).expand(3, 1, 2), torch.arange(3))
    torch.testing.assert_close(turned[:, 0], torch.stack([torch.arange(3.0).cos(), torch.arange(3.0).sin()], 1))


@pytest.mark.parametrize("theta", [10_000.0, 160_000.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", ["llama", "modernbert"])
def test_the_turn_is_that_of_the_reference_library(family: str, theta: float, dtype: torch.dtype) -> None:
    module = pytest.importorskip(f"transformers.models.{family}.modeling_{family}")
    frequency = 1 / theta ** (torch.arange(0, 8, 2).float() / 8)
    angle = (PLACES.float()[:, None] * frequency).repeat(1, 2)[None]  # (1, N, K)
    q, k = rows().to(dtype), rows().flip(0).to(dtype)
    theirs = module.apply_rotary_pos_emb(q[None].float(), k[None].float(), angle.cos(), angle.sin(), unsqueeze_dim=2)
    ours = build(Rotary(theta=theta))
    for x, expected in zip((q, k), theirs, strict=True):
        turned = ours.rotate(x, PLACES)
        assert turned.dtype == dtype
        torch.testing.assert_close(turned, expected[0].to(dtype), atol=1e-6, rtol=1e-5)


def test_position_zero_is_left_alone_and_no_length_changes() -> None:
    x = rows()
    assert torch.equal(build(Rotary()).rotate(x, torch.zeros(40, dtype=torch.int64)), x)
    torch.testing.assert_close(build(Rotary()).rotate(x, PLACES).norm(dim=-1), x.norm(dim=-1))


def test_turning_by_a_fraction_leaves_the_other_coordinates_alone() -> None:
    x = rows()
    part = build(Rotary(fraction=0.5)).rotate(x, PLACES)
    assert torch.equal(part[..., 4:], x[..., 4:])
    assert torch.equal(part[..., :4], build(Rotary(), 4).rotate(x[..., :4], PLACES))


def test_queries_and_keys_may_be_turned_in_one_call_or_two() -> None:
    q, k, module = rows(), rows().flip(0), build(Rotary())
    both = module.rotate(torch.cat([q, k], 1), PLACES)
    assert torch.equal(both, torch.cat([module.rotate(q, PLACES), module.rotate(k, PLACES)], 1))


def test_in_half_precision_far_neighbours_are_still_told_apart() -> None:
    x = torch.ones(2, 1, 8, dtype=torch.bfloat16)
    a, b = build(Rotary()).rotate(x, torch.tensor([4000, 4001]))
    assert (a - b).abs().max() > 0.1


def test_what_is_given_is_not_changed() -> None:
    x = rows()
    before = x.clone()
    build(Rotary()).rotate(x, PLACES)
    assert torch.equal(x, before)
