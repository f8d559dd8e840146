"""TorchBackend: the rows of inlay's own Model, on any device that torch knows."""

# N tokens, D numbers of a row

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from inlay.batch import Batch
from inlay.embed.backend import Array
from inlay.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from inlay.model.model import Model

DType = Literal["float32", "bfloat16", "float16"]
DTYPES: tuple[DType, ...] = ("float32", "bfloat16", "float16")


class TorchBackend:
    """A Model's encoder, or its decoder where it has no encoder. `dtype` below float32 computes by autocast.

    The rows are float32 whatever the dtype, and nothing is kept for a gradient.
    """

    name = "torch"

    def __init__(self, model: "Model", *, dtype: DType = "float32") -> None:
        from inlay.model.position import Learned

        if dtype not in DTYPES:
            raise InputError(f"dtype={dtype!r} is unknown{did_you_mean(str(dtype), DTYPES)}")
        self.model, self.dtype = model.eval(), dtype
        config = model.config
        stack = config.encoder or config.decoder
        assert stack is not None
        self.dim: int = stack.d_model
        self.n_layers: int = stack.n_layers
        position = config.input.position
        # Of the schemes only a learned table ends somewhere.
        self.most_tokens: int | None = position.max_len - position.offset if isinstance(position, Learned) else None

    @classmethod
    def load(cls, folder: str | Path, *, device: str | None = None, dtype: DType = "float32") -> Self:
        """The encoder in a folder or on the hub, without its heads; a device that is not there is an InputError."""
        from inlay.convert.convert import load_model

        if dtype not in DTYPES:
            raise InputError(f"dtype={dtype!r} is unknown{did_you_mean(str(dtype), DTYPES)}")
        check_device(device)
        model = load_model(folder, heads=[])
        return cls(model if device is None else model.to(device), dtype=dtype)

    def states(self, batch: Batch, layers: Sequence[int]) -> list[Array]:
        """The rows (N, D) of each of these layers; 0 is the input layer."""
        import torch

        if not all(0 <= layer <= self.n_layers for layer in layers):
            raise InputError(f"layers={list(layers)} must lie between 0 and {self.n_layers}")
        if not batch.n_tokens or not layers:
            return [np.zeros((batch.n_tokens, self.dim), np.float32) for _ in layers]
        found: list[torch.Tensor] = []
        with torch.inference_mode(), self._precision():
            model = self.model
            whole = set(layers) == {self.n_layers}
            if model.config.encoder is not None:
                rows = model.encode(batch, states=None if whole else found).rows
            else:
                rows = model.decode(batch, states=None if whole else found)
        if not bool(torch.isfinite(rows).all()):
            raise InputError(
                "the rows of a text are not all finite numbers: there is a NaN or an infinity in the weights, or a "
                f"number too large for {self.dtype}; get the model again, or take dtype='float32'"
            )
        chosen = [rows if layer == self.n_layers else found[layer] for layer in layers]
        return [one.float().cpu().numpy() for one in chosen]

    def _precision(self) -> Any:
        """The context in which products are computed."""
        import torch

        if self.dtype == "float32":
            return nullcontext()
        return torch.autocast(self.model.device.type, dtype=getattr(torch, self.dtype))


def check_device(device: str | None) -> None:
    """InputError for a device that this machine does not have, before anything is loaded for it."""
    import torch

    if device is None:
        return
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, ValueError) as error:
        why = next(iter(str(error).splitlines()), "")[:160]
        raise InputError(f"device={device!r} cannot be used ({why}); leave it out to encode on the CPU") from None
