"""Weights in fewer bytes: files of float16, and of int8 with a scale for each row; both are widened when read."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from inlay.convert.folder import SINGLE
from inlay.errors import InputError
from inlay.tensorfile import SCALE

if TYPE_CHECKING:
    from torch import Tensor

Precision = Literal["float16", "int8"]
LEAST = 1024
"""Numbers of a matrix that becomes int8 at least; what is smaller, and every list of numbers, stays as it is."""
_LARGEST = float(np.finfo(np.float16).max)


def quantise_rows(matrix: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """(codes, scales): row r is `codes[r] * scales[r]` to half a scale, the largest number of each row being ±127."""
    flat = matrix.reshape(len(matrix), -1)
    scales = np.maximum(np.abs(flat).max(axis=1, initial=0) / np.float32(127), np.finfo(np.float32).tiny)
    codes = np.rint(flat / scales[:, None]).astype(np.int8)
    return codes.reshape(matrix.shape), np.asarray(scales, np.float32)


def quantise_file(folder: str | Path, precision: Precision) -> None:
    """Write the weights in a folder anew in a precision, whole or not at all.

    float16 is read by other libraries too. int8 is read by inlay alone: tensor `X` becomes int8 beside `X.scale`.
    Raises InputError for numbers beyond the range of float16.
    """
    from inlay.convert import weights as files

    found = files.read(folder)
    narrowed = _halves(found, folder) if precision == "float16" else _codes(found)
    files.write(narrowed, folder, force=True, metadata={"precision": precision})


def _halves(found: "Mapping[str, Tensor]", folder: str | Path) -> "dict[str, Tensor]":
    narrowed = {}
    for name in found:
        tensor = found[name]
        if tensor.is_floating_point():
            if tensor.numel() and float(tensor.abs().max()) > _LARGEST:
                raise InputError(f"{Path(folder) / SINGLE}: {name!r} has numbers beyond {_LARGEST:g}; take int8")
            tensor = tensor.half()
        narrowed[name] = tensor
    return narrowed


def _codes(found: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    import torch

    narrowed = {}
    for name in found:
        tensor = found[name]
        if not tensor.is_floating_point() or tensor.dim() < 2 or tensor.numel() < LEAST:
            narrowed[name] = tensor
            continue
        assert name + SCALE not in found
        codes, scales = quantise_rows(tensor.float().numpy())
        narrowed[name], narrowed[name + SCALE] = torch.from_numpy(codes), torch.from_numpy(scales)
    return narrowed
