"""First weights, by family, in one place: what each paper's code draws them from.

All draws come from the generator that is given, so a seed is a model; nothing is drawn on the meta device.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from inlay.errors import InputError
from inlay.model.attention import Attention
from inlay.model.characters import CharacterTable
from inlay.model.ffn import FeedForward
from inlay.model.heads import InnerLayer
from inlay.model.input import InputLayer
from inlay.model.relative import T5Bias
from inlay.model.stack import Transformer

# D model, H heads, K head, F ffn


@dataclass(frozen=True, kw_only=True)
class Normal:
    """Every matrix, table and vector of relative positions from a normal distribution, biases 0, gains 1.

    BERT, RoBERTa, ALBERT, ELECTRA, DistilBERT, XLNet as they are; GPT-2 with `residual`; ModernBERT also `cut`.
    """

    std: float = 0.02
    """Standard deviation."""
    residual: bool = False
    """Matrices that write into the rows by √(2·layers) smaller, as many add up (Radford et al. 2019); a head's inner
    layer too, as ModernBERT has it."""
    cut: float = 0.0
    """Draw again what lies more than so many standard deviations out; 0: nothing. BERT's own code takes 2."""

    def __post_init__(self) -> None:
        if not self.std > 0:
            raise InputError(f"std={self.std} must be above 0; 0.02 is usual")
        if self.cut and not self.cut >= 0.1:  # what lies out is drawn until it lies within
            raise InputError(f"cut={self.cut} must be 0 or at least 0.1 standard deviations; 2 is usual")


@dataclass(frozen=True, kw_only=True)
class Scaled:
    """Each matrix by the width that it reads: T5, whose scores are not divided. Raffel et al. 2020, arXiv:1910.10683.

    Token table 1, queries (D·K)^-½, keys, values, the feed-forward's way in and an output table of its own D^-½, ways
    out (H·K)^-½ and F^-½.
    """

    factor: float = 1.0
    """What every standard deviation is multiplied by."""

    def __post_init__(self) -> None:
        if not self.factor > 0:
            raise InputError(f"factor={self.factor} must be above 0; 1 is usual")


@dataclass(frozen=True, kw_only=True)
class Xavier:
    """Uniform by width in and out (Glorot and Bengio 2010), token table normal by D^-½: the original Transformer."""


Init = Normal | Scaled | Xavier


class Undrawn(TorchFunctionMode):
    """While it is entered, torch draws no first weights of its own for the modules that are made.

    Nobody would use them; and on the meta device drawing loads torch's compiler, which takes seconds.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__module__", "") == nn.init.__name__:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def initialise(module: nn.Module, init: Init, rng: torch.Generator) -> None:
    """Draw all weights of a module anew from `rng`, in the order of its parts."""
    for part in module.modules():
        _neutral(part)
    _DRAW[type(init)](module, init, rng)
    for part in module.modules():
        if isinstance(part, CharacterTable):
            part.draw(_table_std(init, part.d), rng)
    for part in module.modules():
        if isinstance(part, nn.Embedding) and part.padding_idx is not None:
            part.weight[part.padding_idx] = 0


def _neutral(part: nn.Module) -> None:
    """Gains one and biases zero: the same in every family."""
    if isinstance(part, nn.LayerNorm | nn.RMSNorm):
        part.weight.fill_(1)
    bias = getattr(part, "bias", None)
    if isinstance(bias, nn.Parameter):
        bias.zero_()


def _matrices(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """All that is drawn: what is no gain and no bias."""
    skip = {
        id(parameter)
        for part in module.modules()
        for name, parameter in part.named_parameters(recurse=False)
        if isinstance(part, nn.LayerNorm | nn.RMSNorm) or name == "bias"
    }
    return [(name, parameter) for name, parameter in module.named_parameters() if id(parameter) not in skip]


def _normal(module: nn.Module, init: Normal, rng: torch.Generator) -> None:
    shrink: dict[int, float] = {}
    for stack in module.modules():
        if init.residual and isinstance(stack, Transformer):
            factor = 1 / math.sqrt(2 * stack.stack.n_layers)
            for part in stack.modules():
                if isinstance(part, Attention):
                    shrink[id(part.out.weight)] = factor
                elif isinstance(part, FeedForward):
                    shrink[id(part.down.weight)] = factor
            for part in module.modules():
                if isinstance(part, InnerLayer):
                    shrink[id(part.dense.weight)] = factor
    for _, weight in _matrices(module):
        draw(weight, init.std * shrink.get(id(weight), 1.0), rng, init.cut)


def _scaled(module: nn.Module, init: Scaled, rng: torch.Generator) -> None:
    done: set[int] = set()

    def fill(weight: Tensor, std: float) -> None:
        draw(weight, init.factor * std, rng)

    for part in module.modules():
        if isinstance(part, Attention):
            inner, d = part.n_heads * part.d_head, part.qkv.in_features
            fill(part.qkv.weight[:inner], (d * part.d_head) ** -0.5)
            fill(part.qkv.weight[inner:], d**-0.5)
            fill(part.out.weight, inner**-0.5)
            done |= {id(part.qkv.weight), id(part.out.weight)}
        elif isinstance(part, FeedForward):
            fill(part.up.weight, part.up.in_features**-0.5)
            fill(part.down.weight, part.down.in_features**-0.5)
            done |= {id(part.up.weight), id(part.down.weight)}
        elif isinstance(part, Transformer):
            for bias in (*part.relatives, *part.local_relatives):
                if isinstance(bias, T5Bias):
                    fill(bias.table.weight, part.stack.d_model**-0.5)
                    done.add(id(bias.table.weight))
    for name, weight in _matrices(module):
        if id(weight) not in done:
            # An output table of its own is drawn by width too: at 1, what a new model says would be wildly sure.
            fill(weight, 1.0 if name.endswith("token.weight") else weight.size(-1) ** -0.5)


def _table_std(init: Init, d: int) -> float:
    """What a token table of D numbers a row is drawn with."""
    match init:
        case Normal():
            return init.std
        case Scaled():
            return init.factor
        case Xavier():
            return d**-0.5


def _xavier(module: nn.Module, init: Xavier, rng: torch.Generator) -> None:
    layers = [part for part in module.modules() if isinstance(part, InputLayer)]
    tables = {id(part.token.weight) for part in layers if isinstance(part.token, nn.Embedding)}
    for part in module.modules():
        if isinstance(part, Attention):  # three matrices in one: each has its own width out
            for one in part.qkv.weight.chunk(3):
                _uniform(one, rng)
            tables.add(id(part.qkv.weight))
    for name, weight in _matrices(module):
        if id(weight) in tables:
            if name.endswith("token.weight"):
                draw(weight, weight.size(-1) ** -0.5, rng)
        else:
            _uniform(weight, rng)


def _uniform(weight: Tensor, rng: torch.Generator) -> None:
    bound = math.sqrt(6 / (weight.size(0) + weight.size(-1)))
    _fill(weight, lambda shape: (2 * torch.rand(shape, generator=rng) - 1) * bound)


def draw(weight: Tensor, std: float, rng: torch.Generator, cut: float = 0.0) -> None:
    """Fill `weight` from a normal distribution of that spread, drawn on the generator's device."""

    def normal(shape: torch.Size) -> Tensor:
        drawn = torch.randn(shape, generator=rng, device=rng.device)
        while cut and bool((outside := drawn.abs() > cut).any()):
            drawn[outside] = torch.randn(int(outside.sum()), generator=rng, device=rng.device)
        return drawn * std

    _fill(weight, normal)


def _fill(weight: Tensor, drawn: Callable[[torch.Size], Tensor]) -> None:
    if not weight.is_meta:
        weight.copy_(drawn(weight.shape))


_DRAW: dict[type, Callable] = {Normal: _normal, Scaled: _scaled, Xavier: _xavier}
