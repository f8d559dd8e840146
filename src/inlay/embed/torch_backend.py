"""TorchBackend: the rows of inlay's own Model, on any device that torch knows."""

# N tokens, D numbers of a row

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from inlay.batch import Batch
from inlay.embed.backend import Array
from inlay.errors import InputError

if TYPE_CHECKING:
    from inlay.model.model import Model


class TorchBackend:
    """A Model's encoder, or its decoder where it has no encoder."""

    name = "torch"

    def __init__(self, model: "Model") -> None:
        from inlay.model.position import Learned

        self.model = model.eval()
        config = model.config
        stack = config.encoder or config.decoder
        assert stack is not None
        self.dim: int = stack.d_model
        self.n_layers: int = stack.n_layers
        position = config.input.position
        # Of the schemes only a learned table ends somewhere.
        self.most_tokens: int | None = position.max_len - position.offset if isinstance(position, Learned) else None

    @classmethod
    def load(cls, folder: str | Path, *, device: str | None = None) -> Self:
        """The encoder in a folder or on the hub, without its heads."""
        from inlay.convert.convert import load_model

        model = load_model(folder, heads=[])
        return cls(model if device is None else model.to(device))

    def states(self, batch: Batch, layers: Sequence[int]) -> list[Array]:
        """The rows (N, D) of each of these layers; 0 is the input layer."""
        import torch

        if not all(0 <= layer <= self.n_layers for layer in layers):
            raise InputError(f"layers={list(layers)} must lie between 0 and {self.n_layers}")
        if not batch.n_tokens:
            return [np.zeros((0, self.dim), np.float32) for _ in layers]
        found: list[torch.Tensor] = []
        with torch.inference_mode():
            model = self.model
            whole = tuple(layers) == (self.n_layers,)
            if model.config.encoder is not None:
                rows = model.encode(batch, states=None if whole else found).rows
            else:
                rows = model.decode(batch, states=None if whole else found)
            chosen = [rows] if whole else [rows if layer == self.n_layers else found[layer] for layer in layers]
            return [one.float().cpu().numpy() for one in chosen]
