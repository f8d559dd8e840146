"""What a cross-encoder makes of an encoder's rows: one number for each pair, in NumPy or by a model's own head."""

# N tokens, B pairs, D numbers of a row

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from inlay.convert.entries import canonical
from inlay.embed.backend import Array
from inlay.embed.dense import Activation, Dense
from inlay.embed.lean_names import FAMILIES
from inlay.embed.lean_weights import Files
from inlay.errors import InputError

if TYPE_CHECKING:
    from inlay.model.model import Model

_INNER: Mapping[str, tuple[str, Activation]] = {
    "bert": ("bert.pooler.dense", "tanh"),
    "albert": ("albert.pooler", "tanh"),
    "electra": ("classifier.dense", "gelu"),
    "distilbert": ("pre_classifier", "relu"),
    "roberta": ("classifier.dense", "tanh"),
    "xlm-roberta": ("classifier.dense", "tanh"),
    "camembert": ("classifier.dense", "tanh"),
}
"""The layer between a text's first row and the answer."""
_OUT = ("classifier.out_proj", "classifier")


class Head(Protocol):
    """Rows (N, D) of pairs of these lengths (B,) to numbers (B,), before any function is put on them."""

    def __call__(self, rows: Array, lengths: NDArray[np.int64]) -> Array: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class FirstRow:
    """Dense layers on the first row of each pair; the last one gives one number."""

    layers: tuple[Dense, ...]

    def __call__(self, rows: Array, lengths: NDArray[np.int64]) -> Array:
        found = rows[np.cumsum(lengths) - lengths]  # (B, D)
        for layer in self.layers:
            found = layer(found)
        return found[:, 0]

    @classmethod
    def of(cls, folder: Path, family: str) -> "FirstRow | None":
        """The head in a folder of transformers; None for a family whose head is not of this kind.

        InputError where its tensors are missing, or fit neither each other nor one number.
        """
        if family not in _INNER:
            return None
        files = Files.open(folder)
        there = canonical(files.names, FAMILIES[family].base)
        inner, activation = _INNER[family]
        out = next((name for name in _OUT if f"{name}.weight" in there), _OUT[-1])
        wanted = [f"{name}.{kind}" for name in (inner, out) for kind in ("weight", "bias")]
        if missing := [name for name in wanted if name not in there]:
            raise InputError(
                f"{folder}: lacks {missing[0]}, which answers for a pair; a model that was never trained to answer is "
                "no reranker (inlay reranker train makes one of it)"
            )
        arrays = {name: np.ascontiguousarray(files[there[name]]) for name in wanted}
        try:
            layers = (
                Dense(weight=arrays[f"{inner}.weight"], bias=arrays[f"{inner}.bias"], activation=activation),
                Dense(weight=arrays[f"{out}.weight"], bias=arrays[f"{out}.bias"], activation="identity"),
            )
        except InputError as error:
            raise InputError(f"{folder}: {error}") from None
        if layers[0].size[1] != layers[1].size[0] or layers[1].size[1] != 1:
            shown = ", ".join(f"{name} {arrays[name].shape}" for name in wanted[::2])
            raise InputError(f"{folder}: {shown} do not lead to one number; get the model again")
        return cls(layers=layers)


class TextHead:
    """The head of a Model, whatever it is made of."""

    def __init__(self, model: "Model") -> None:
        self.model = model.eval()

    def __call__(self, rows: Array, lengths: NDArray[np.int64]) -> Array:
        import torch

        from inlay.model.packed import Layout

        device = self.model.device
        with torch.inference_mode():
            found = self.model.read("text", torch.from_numpy(rows).to(device), Layout(lengths.tolist(), device))
        return found[:, 0].float().cpu().numpy()
