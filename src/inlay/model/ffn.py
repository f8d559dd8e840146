"""The feed-forward layer: the same two or three matrices for every row.

N rows, D model, F ffn.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inlay.errors import InputError, did_you_mean
from inlay.model.linear import Linear

if TYPE_CHECKING:
    from inlay.model.stack import Stack

Activation = Literal["gelu", "gelu_tanh", "relu", "silu", "tanh"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
    "tanh": torch.tanh,
}


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """The function of that name; an InputError where there is none."""
    if name not in ACTIVATIONS:
        raise InputError(f"activation={name!r} is unknown{did_you_mean(name, ACTIVATIONS)}")
    return ACTIVATIONS[name]


class FeedForward(nn.Module):
    """(N, D) -> (N, D); `gated` multiplies by a second projection. Shazeer 2020, arXiv:2002.05202."""

    def __init__(self, stack: "Stack") -> None:
        super().__init__()
        d, f = stack.d_model, stack.d_ffn
        # A gate and what it lets through are one matrix: its first F rows are the gate.
        self.up = Linear(d, 2 * f if stack.gated else f, bias=stack.bias)
        self.down = Linear(f, d, bias=stack.bias)
        self.gated, self.act, self.dropout = stack.gated, activation(stack.activation), nn.Dropout(stack.dropout.ffn)

    def forward(self, x: Tensor) -> Tensor:
        if self.gated:
            gate, h = self.up(x).chunk(2, -1)
            h = self.act(gate) * h
        else:
            h = self.act(self.up(x))
        return self.down(self.dropout(h))
