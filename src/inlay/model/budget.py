"""What a model costs: its parameters by part, and the memory of a step, counted on the meta device without computing.

N tokens in all.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from inlay.batch import Batch
from inlay.errors import InputError
from inlay.model.model import Model, ModelConfig

_MOST = 1 << 24
"""Tokens that are counted at most: their places are real numbers, though nothing is computed."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Parameters of one shape that stand at one place of the model, in `count` blocks alike."""

    name: str
    """With {i} for the block's number."""
    shape: tuple[int, ...]
    count: int

    @property
    def numbers(self) -> int:
        """Parameters in all of them."""
        return int(np.prod(self.shape)) * self.count


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Bytes of a batch in float32: what stays, and the peak of what comes and goes."""

    weights: int
    training: int
    """Weights, gradients, AdamW's two moments, and the peak of activations over forward and backward."""
    inference: int
    """Weights and the peak of activations of a forward pass that keeps nothing."""


def parts(model: Model) -> list[Part]:
    """All parameters, those of like blocks in one row."""
    found: dict[tuple[str, tuple[int, ...]], int] = {}
    for name, parameter in model.named_parameters():
        key = (re.sub(r"\b(blocks|relatives|local_relatives)\.\d+\.", r"\1.{i}.", name), tuple(parameter.shape))
        found[key] = found.get(key, 0) + 1
    return [Part(name=name, shape=shape, count=count) for (name, shape), count in found.items()]


def count(config: ModelConfig) -> int:
    """Parameters of the architecture, heads and all; a tied table counts once."""
    return sum(parameter.numel() for parameter in config.build(device="meta").parameters())


def budget(config: ModelConfig, *, texts: int, length: int) -> Budget:
    """The memory of a batch of so many texts of that length, by its allocations on the meta device.

    Attention is counted as its plain form, which keeps the weights (T, T); fused kernels need less. Where there is a
    language head, training takes a loss at every token. Raises InputError for lengths that the model cannot take, and
    for more than sixteen million tokens.
    """
    if texts < 1 or length < 1:
        raise InputError(f"a batch of {texts} texts of {length} tokens is empty; both must be at least 1")
    if texts * length > _MOST:
        raise InputError(f"{texts:,} texts of {length:,} tokens are too many to count; give at most {_MOST:,} in all")
    model = config.build(device="meta")
    weights = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    lengths = np.full(texts, length)
    batch = Batch(ids=np.zeros(texts * length, np.int32), lengths=lengths, cut=np.zeros_like(lengths))

    def forward() -> Tensor:
        target = batch if config.encoder and config.decoder else None
        rows = model(batch, target)
        if "language" in model.heads:
            rows = model.read("language", rows, model.pack(batch).layout)
        return rows

    def train() -> None:
        rows = forward()
        labels = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)
        torch.nn.functional.cross_entropy(rows, labels).backward()

    with torch.no_grad():
        inference = _peak(forward)
    model.train()
    training = _peak(train)  # gradients come to be in it
    return Budget(weights=weights, training=3 * weights + training, inference=weights + inference)


def _peak(run: Callable[[], Any]) -> int:
    """The most bytes that lived at once of what `run` allocated."""
    with _Allocations() as allocations:
        run()
    return allocations.peak


class _Allocations(TorchDispatchMode):
    """Counts the storages that operations make, as long as they live."""

    def __init__(self) -> None:
        super().__init__()
        self.alive = self.peak = 0
        self._seen: WeakIdKeyDictionary = WeakIdKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {x.untyped_storage()._cdata for x in _tensors((args, kwargs))}
        result = func(*args, **(kwargs or {}))
        for tensor in _tensors(result):
            storage = tensor.untyped_storage()
            if storage._cdata not in given and storage not in self._seen:
                self._seen[storage] = _Bytes(self, storage.nbytes())
        return result


class _Bytes:
    """Counts from when it is made until it is forgotten."""

    def __init__(self, allocations: _Allocations, size: int) -> None:
        self.allocations, self.size = allocations, size
        allocations.alive += size
        allocations.peak = max(allocations.peak, allocations.alive)

    def __del__(self) -> None:
        self.allocations.alive -= self.size


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        return [x for one in value.values() for x in _tensors(one)]
    return [x for one in value for x in _tensors(one)] if isinstance(value, list | tuple) else []
