"""The cross-entropy in pieces is the one of torch: value, gradients, precisions."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from inlay.objective import crossentropy
from inlay.objective.crossentropy import cross_entropy


def drawn(m: int = 50, e: int = 12, v: int = 31, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    rng = torch.Generator().manual_seed(0)
    rows, table, bias = (torch.randn(shape, generator=rng, dtype=dtype) for shape in ((m, e), (v, e), (v,)))
    for one in (rows, table, bias):
        one.requires_grad_()
    return rows, table, bias, torch.randint(0, v, (m,), generator=rng)


@pytest.mark.parametrize("piece", [31, 31 * 16, 31 * 20, 1 << 20])
@pytest.mark.parametrize("biased", [True, False])
def test_value_and_gradients_are_those_of_torch(piece: int, biased: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(crossentropy._PIECE, "cpu", piece)
    rows, table, bias, tokens = drawn()
    wanted = F.cross_entropy(F.linear(rows, table, bias if biased else None), tokens, reduction="sum")
    found = cross_entropy(rows, table, bias if biased else None, tokens)
    asked = (rows, table, bias) if biased else (rows, table)
    assert torch.allclose(found, wanted, rtol=1e-12)
    pairs = zip(torch.autograd.grad(found * 0.3, asked), torch.autograd.grad(wanted * 0.3, asked), strict=True)
    assert all(torch.allclose(ours, theirs, rtol=1e-10, atol=1e-12) for ours, theirs in pairs)


def test_only_what_learns_gets_a_gradient() -> None:
    rows, table, bias, tokens = drawn()
    cross_entropy(rows, table.detach(), bias.detach(), tokens).backward()
    assert rows.grad is not None
    assert table.grad is None
    rows.grad = None
    cross_entropy(rows.detach(), table, None, tokens).backward()
    assert rows.grad is None
    assert table.grad is not None


def test_large_logits_do_not_overflow() -> None:
    rows, table, _, tokens = drawn(dtype=torch.float32)
    rows = (rows.detach() * 1e3).requires_grad_()
    found = cross_entropy(rows, table, None, tokens)
    found.backward()
    assert torch.allclose(found, F.cross_entropy(rows @ table.T, tokens, reduction="sum"), rtol=1e-5)
    assert rows.grad is not None
    assert bool(torch.isfinite(rows.grad).all())


def gradients(dtype: torch.dtype, found: Tensor, *asked: Tensor) -> list[Tensor]:
    made = torch.autograd.grad(found, asked)
    assert all(one.dtype == dtype for one in made)
    return [one.float() for one in made]


def off(ours: Tensor, wanted: Tensor) -> float:
    return float((ours - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("low", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [True, False])
def test_low_products_cost_no_more_than_their_rounding(
    low: torch.dtype, autocast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One token comes so often that a sum in halves would stop growing long before its end."""
    monkeypatch.setitem(crossentropy._PIECE, "cpu", 31 * 100)
    rows, table, bias, tokens = (one.detach() for one in drawn(m=4000, dtype=torch.float32))
    asked = (rows + 1, table, bias)
    tokens[: len(tokens) // 2] = 3
    exact = gradients(torch.float32, cross_entropy(*(w.requires_grad_() for w in asked), tokens), *asked)
    if not autocast:
        asked = tuple(one.detach().to(low).requires_grad_() for one in asked)  # type: ignore[assignment]
    with torch.autocast("cpu", low, enabled=autocast):
        found = cross_entropy(*asked, tokens)
    assert found.dtype == torch.float32
    rounding = 2.0 ** (-8 if low is torch.bfloat16 else -10)
    for ours, wanted in zip(gradients(asked[0].dtype, found, *asked), exact, strict=True):
        assert off(ours, wanted) < 4 * rounding
    assert off(gradients(asked[0].dtype, cross_entropy(*asked, tokens), asked[1])[0][3], exact[1][3]) < 4 * rounding


def test_a_vocabulary_beyond_what_a_half_can_count_has_finite_gradients() -> None:
    rows, table, _, tokens = (one.detach() for one in drawn(m=16, e=4, v=70_000, dtype=torch.float32))
    asked = (rows * 1e-3).requires_grad_(), table.requires_grad_()
    exact = gradients(torch.float32, cross_entropy(*asked, None, tokens), *asked)
    with torch.autocast("cpu", torch.float16):
        found = cross_entropy(*asked, None, tokens)
    for ours, wanted in zip(gradients(torch.float32, found, *asked), exact, strict=True):
        assert off(ours, wanted) < 0.01


def test_no_rows_are_an_error_of_nothing() -> None:
    _, table, bias, tokens = drawn()
    assert float(cross_entropy(table.new_zeros(0, 12), table, bias, tokens[:0])) == 0
