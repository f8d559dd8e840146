"""The cross-entropy of rows against a token table, in pieces: no more logits are held than a piece of rows has.

A piece's gradient is made while its logits are at hand, so that nothing is computed twice and nothing of size (M, V) is
kept: with V in the tens of thousands that matrix is the largest of a whole training step.

M rows, E numbers a row, V tokens.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_PIECE = {"cpu": 1 << 23, "cuda": 1 << 26}
"""Logits of a piece: on a CPU the size was measured, fewer make products slow and more leave the cache."""
_MOST_HALF = 65_504
"""The largest number of float16, and the largest norm of so many tokens."""


def cross_entropy(rows: Tensor, table: Tensor, bias: Tensor | None, tokens: Tensor) -> Tensor:
    """The sum of -log softmax(rows · table + bias)[token] in nats, over rows (M, E) and tokens (M,); float32 at least.

    The products are in autocast's type where it is on, or in that of low weights; all sums are in float32. Second
    derivatives are not there.
    """
    low = rows.dtype
    if torch.is_autocast_enabled(rows.device.type):
        low = torch.get_autocast_dtype(rows.device.type)
    with torch.autocast(rows.device.type, enabled=False):
        return _CrossEntropy.apply(rows, table, bias, tokens, low)


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, table: Tensor, bias: Tensor | None, tokens: Tensor, low: torch.dtype) -> Tensor:
        need_rows, need_table, need_bias, *_ = ctx.needs_input_grad
        rows, table = rows.to(low), table.to(low)
        # What many pieces add to is wide: in halves a frequent token's row would stop moving, as the parts that follow
        # are too small beside the sum. The engine gives each gradient its weight's type.
        wide = torch.promote_types(low, torch.float32)
        d_rows = torch.empty_like(rows, dtype=wide) if need_rows else None
        d_table = torch.zeros_like(table, dtype=wide) if need_table else None
        d_bias = torch.zeros_like(bias, dtype=wide) if bias is not None and need_bias else None
        total = torch.zeros((), dtype=wide, device=rows.device)
        add = None if bias is None else bias.to(low)
        size = max(_PIECE.get(rows.device.type, _PIECE["cuda"]) // len(table), 16)
        for start in range(0, len(rows), size):
            piece, wanted = rows[start : start + size], tokens[start : start + size, None]
            logits = (piece @ table.T if add is None else torch.addmm(add, piece, table.T)).to(wide)  # (m, V)
            most = logits.amax(1, keepdim=True)
            total -= (logits.gather(1, wanted) - most).sum()
            power = logits.sub_(most).exp_()
            norm = power.sum(1, keepdim=True)  # (m, 1)
            total += norm.log().sum()
            if not (need_rows or need_table or need_bias):
                continue
            # The softmax is power / norm; norm divides what is small, (m, E), instead of what is large, (m, V).
            if low is torch.float16 and len(table) > _MOST_HALF:
                power, norm = power.div_(norm), torch.ones_like(norm)
            power.scatter_add_(1, wanted, -norm)
            if d_bias is not None:
                d_bias.addmv_(power.T, 1 / norm[:, 0])
            power = power.to(low)
            if d_rows is not None:
                d_rows[start : start + size] = (power @ table) / norm
            if d_table is not None:
                part = (piece / norm).to(low)
                if low == wide:
                    d_table.addmm_(power.T, part)
                else:
                    d_table += power.T @ part
        ctx.save_for_backward(*(d for d in (d_rows, d_table, d_bias) if d is not None))
        ctx.had = (d_rows is not None, d_table is not None, d_bias is not None)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_total: Tensor) -> tuple[Tensor | None, ...]:
        saved = iter(ctx.saved_tensors)
        return (*(next(saved) * d_total if had else None for had in ctx.had), None, None)
