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


def cross_entropy(rows: Tensor, table: Tensor, bias: Tensor | None, tokens: Tensor) -> Tensor:
    """The sum of -log softmax(rows · table + bias)[token] in nats, over rows (M, E) and tokens (M,); float32.

    The products are in autocast's type where it is on, everything else in float32. Second derivatives are not there.
    """
    if torch.is_autocast_enabled(rows.device.type):
        low = torch.get_autocast_dtype(rows.device.type)
        rows, table = rows.to(low), table.to(low)
    with torch.autocast(rows.device.type, enabled=False):
        return _CrossEntropy.apply(rows, table, bias, tokens)


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, table: Tensor, bias: Tensor | None, tokens: Tensor) -> Tensor:
        need_rows, need_table, need_bias, _ = ctx.needs_input_grad
        d_rows = torch.empty_like(rows) if need_rows else None
        d_table = torch.zeros_like(table) if need_table else None
        d_bias = torch.zeros_like(bias) if bias is not None and need_bias else None
        total = torch.zeros((), dtype=torch.promote_types(rows.dtype, torch.float32), device=rows.device)
        add = None if bias is None else bias.to(rows.dtype)
        size = max(_PIECE.get(rows.device.type, _PIECE["cuda"]) // len(table), 16)
        for start in range(0, len(rows), size):
            piece, wanted = rows[start : start + size], tokens[start : start + size, None]
            logits = (piece @ table.T if add is None else torch.addmm(add, piece, table.T)).to(total.dtype)  # (m, V)
            most = logits.amax(1, keepdim=True)
            total -= (logits.gather(1, wanted) - most).sum()
            power = logits.sub_(most).exp_()
            norm = power.sum(1, keepdim=True)  # (m, 1)
            total += norm.log().sum()
            if not (need_rows or need_table or need_bias):
                continue
            # The softmax is power / norm; norm divides what is small, (m, E), instead of what is large, (m, V), and
            # the one that is taken away at the wanted token is taken from the results.
            if d_bias is not None:
                d_bias.addmv_(power.T, (1 / norm[:, 0]).to(d_bias.dtype))
                d_bias.index_add_(0, wanted[:, 0], d_bias.new_full((1,), -1.0).expand(len(piece)))
            power = power.to(rows.dtype)
            weight = (1 / norm).to(rows.dtype)
            if d_rows is not None:
                d_rows[start : start + size] = (power @ table) * weight - table[wanted[:, 0]]
            if d_table is not None:
                d_table.addmm_(power.T, piece * weight)
                d_table.index_add_(0, wanted[:, 0], piece, alpha=-1)
        ctx.save_for_backward(*(d for d in (d_rows, d_table, d_bias) if d is not None))
        ctx.had = (d_rows is not None, d_table is not None, d_bias is not None)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_total: Tensor) -> tuple[Tensor | None, ...]:
        saved = iter(ctx.saved_tensors)
        return (*(next(saved) * d_total if had else None for had in ctx.had), None)
