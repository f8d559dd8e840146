"""Optimisers: which weights move how. Matrices decay, gains and biases do not; lower layers may move less."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from inlay.errors import InputError

_INPUT = re.compile(r"(?:model|objective\.\w+)\.input\.")
_BLOCK = re.compile(r"(?:model|objective\.\w+)\.(?:encoder|decoder)\.blocks\.(\d+)\.")


@dataclass(frozen=True, kw_only=True)
class AdamW:
    """Adam with decoupled weight decay. Loshchilov and Hutter 2019, arXiv:1711.05101."""

    lr: float = 5e-4
    """The largest step size."""
    betas: tuple[float, float] = (0.9, 0.98)
    """How long gradients and their squares are remembered."""
    eps: float = 1e-6
    """What keeps the division finite."""
    weight_decay: float = 0.01
    """How much matrices shrink, times the step size."""

    def __post_init__(self) -> None:
        _check(self.lr, self.weight_decay, *self.betas)
        if not self.eps > 0:
            raise InputError(f"eps={self.eps} must be above 0; 1e-6 is usual")


@dataclass(frozen=True, kw_only=True)
class Adafactor:
    """Squares of gradients kept as a row and a column: less memory. Shazeer and Stern 2018, arXiv:1804.04235."""

    lr: float = 1e-2
    """The largest step size, relative to the weights' own size."""
    weight_decay: float = 0.0
    """How much matrices shrink, times the step size."""

    def __post_init__(self) -> None:
        _check(self.lr, self.weight_decay)


@dataclass(frozen=True, kw_only=True)
class Muon:
    """Orthogonalised momentum for the matrices of the blocks, AdamW for all else. Jordan et al. 2024."""

    lr: float = 1e-2
    """The largest step size of the blocks' matrices."""
    momentum: float = 0.95
    """How long gradients are remembered."""
    weight_decay: float = 0.01
    """How much matrices shrink, times the step size."""
    rest: AdamW = field(default_factory=AdamW)
    """How tables, heads, gains and biases move."""

    def __post_init__(self) -> None:
        _check(self.lr, self.weight_decay, self.momentum)


Optimizer = AdamW | Adafactor | Muon


def build(config: Optimizer, learner: nn.Module, *, layer_decay: float = 1.0) -> list[torch.optim.Optimizer]:
    """The optimisers of a learner's weights; each group has `scale`, its share of the step size by depth, and `lr`,
    the largest one. A layer's share is `layer_decay` times that of the layer above it."""
    named = dict(learner.named_parameters())
    if not 0 < layer_decay <= 1:
        raise InputError(f"layer_decay={layer_decay} must be above 0 and at most 1")
    depth = _depths(named)

    def groups(names: Iterable[str], weight_decay: float) -> list[dict[str, Any]]:
        return _groups({name: named[name] for name in names}, depth, layer_decay, weight_decay)

    if isinstance(config, Adafactor):
        return [_with_largest(torch.optim.Adafactor(groups(named, config.weight_decay), lr=config.lr), config.lr)]
    if isinstance(config, AdamW):
        return [_adamw(config, groups(named, config.weight_decay))]
    matrices = [name for name, weight in named.items() if _BLOCK.match(name) and weight.ndim == 2]
    if not matrices:
        raise InputError("Muon moves the matrices of a model's blocks, and this one has none; take AdamW")
    rest = [name for name in named if name not in set(matrices)]
    muon = torch.optim.Muon(groups(matrices, config.weight_decay), lr=config.lr, momentum=config.momentum)
    return [_with_largest(muon, config.lr), _adamw(config.rest, groups(rest, config.rest.weight_decay))]


def _adamw(config: AdamW, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    adam = torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=True)
    return _with_largest(adam, config.lr)


def _with_largest(optimizer: torch.optim.Optimizer, lr: float) -> torch.optim.Optimizer:
    for group in optimizer.param_groups:
        group["largest"] = lr * group["scale"]
    return optimizer


def _groups(
    named: Mapping[str, nn.Parameter], depth: Mapping[str, int], decay: float, shrink: float
) -> list[dict[str, Any]]:
    found: dict[tuple[float, float], list[nn.Parameter]] = {}
    top = max(depth.values(), default=0)
    for name, weight in named.items():
        key = (decay ** (top - depth[name]), shrink if weight.ndim >= 2 else 0.0)
        found.setdefault(key, []).append(weight)
    return [{"params": weights, "scale": scale, "weight_decay": wd} for (scale, wd), weights in found.items()]


def _depths(named: Mapping[str, nn.Parameter]) -> dict[str, int]:
    """0 for the input layer, 1 for the first block, …, one more than the last block for heads and all else."""
    blocks = {name: int(match[1]) + 1 for name in named if (match := _BLOCK.match(name))}
    top = max(blocks.values(), default=0) + 1
    return {name: 0 if _INPUT.match(name) else blocks.get(name, top) for name in named}


def _check(lr: float, weight_decay: float, *shares: float) -> None:
    if not lr > 0:
        raise InputError(f"lr={lr} must be above 0")
    if not weight_decay >= 0:
        raise InputError(f"weight_decay={weight_decay} must be at least 0")
    for share in shares:
        if not 0 <= share < 1:
            raise InputError(f"betas and momentum must be at least 0 and below 1, not {share}")
