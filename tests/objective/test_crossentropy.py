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


def test_under_autocast_products_are_low_and_the_sum_is_float32() -> None:
    rows, table, bias, tokens = drawn(dtype=torch.float32)
    exact = torch.autograd.grad(cross_entropy(rows, table, bias, tokens), (rows, table, bias))
    with torch.autocast("cpu", torch.bfloat16):
        found = cross_entropy(rows, table, bias, tokens)
    assert found.dtype == torch.float32
    low = torch.autograd.grad(found, (rows, table, bias))
    for ours, wanted in zip(low, exact, strict=True):
        assert ours.dtype == torch.float32
        assert float((ours - wanted).norm() / wanted.norm()) < 0.02


def test_no_rows_are_an_error_of_nothing() -> None:
    _, table, bias, tokens = drawn()
    assert float(cross_entropy(table.new_zeros(0, 12), table, bias, tokens[:0])) == 0
