"""Backend: packed tokens to the rows of an encoder's layers; NumPy or torch stands behind it, and nobody above asks."""

# N tokens, D numbers of a row, L layers

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from inlay.batch import Batch
from inlay.errors import InputError, did_you_mean

Array = NDArray[np.float32]
Name = Literal["auto", "lean", "torch"]
NAMES: tuple[Name, ...] = ("auto", "lean", "torch")


class Backend(Protocol):
    """An encoder that is asked and never changed; what a text's rows are does not depend on the texts beside it."""

    @property
    def name(self) -> str:
        """lean or torch."""
        ...

    @property
    def dim(self) -> int:
        """D"""
        ...

    @property
    def n_layers(self) -> int:
        """L"""
        ...

    @property
    def most_tokens(self) -> int | None:
        """Tokens of a text at most, special ones included: rows of the position table; None: no limit."""
        ...

    def states(self, batch: Batch, layers: Sequence[int]) -> list[Array]:
        """The rows (N, D) float32 of each of these layers: 0 is the input layer, L the last one.

        A batch without tokens has rows (0, D). Raises InputError for ids without a row, texts beyond `most_tokens`,
        and weights that give what is not finite.
        """
        ...


def open_backend(folder: str | Path, name: Name = "auto", *, device: str | None = None) -> Backend:
    """The encoder in a folder (or on the hub) by the named backend; `auto` is lean on a CPU where it knows the family.

    Otherwise `auto` is torch: `backend.name` says which it became. Raises InputError for an unknown name, a device that
    lean cannot use, a part that lean does not know where it was asked for, and folders that hold no sound encoder.
    """
    if name not in NAMES:
        raise InputError(f"backend={name!r} is unknown{did_you_mean(name, NAMES)}")
    on_cpu = device in (None, "cpu")
    if name == "lean" and not on_cpu:
        raise InputError(f'device={device!r} is none of backend="lean", which runs on the CPU; take backend="torch"')
    if name == "lean" or (name == "auto" and on_cpu):
        from inlay.embed.lean import Lean
        from inlay.embed.lean_plan import UnknownPart

        try:
            return Lean.load(folder)
        except UnknownPart:
            if name == "lean":
                raise
    from inlay.embed.torch_backend import TorchBackend

    return TorchBackend.load(folder, device=device)
