"""Checkpoints: all that a run is at one step, in a folder that is there whole or not at all.

    checkpoints/step-120/  model.safetensors  optimizer.safetensors  state.json  checksums.json

Nothing is pickled. Nothing random is kept, since all that is random follows from the seed and the step.
"""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inlay.convert import weights as files
from inlay.errors import InputError
from inlay.files import atomic_folder, contained, read_json, verify_checksums, write_checksums, write_json
from inlay.train.shares import shared

STATE = "state.json"
LEFT = ".part"
"""How names end of what is not yet whole, or no longer."""
_NAME = re.compile(r"step-(\d+)")


def write(folder: Path, parts: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]) -> None:
    """Write a checkpoint: `parts` are the tensors of the model, its average and the optimiser, `state` plain JSON."""
    with atomic_folder(folder) as new:
        for name, tensors in parts.items():
            (new / name).mkdir()
            files.write(tensors, new / name)
        write_json(new / STATE, state)
        write_checksums(new)


def read(folder: Path, *, verify: bool = True) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """(parts, state) of a checkpoint; InputError where a byte of it changed or something is missing.

    Numbers are read from the disk when they are used, and all of them beforehand to `verify` them.
    """
    if not (folder / STATE).is_file():
        raise InputError(f"{folder} is no checkpoint (it has no {STATE}); name a folder such as checkpoints/step-100")
    if verify and not verify_checksums(folder):
        raise InputError(f"{folder}: its checksums.json is missing; the checkpoint is damaged, take an earlier one")
    state = read_json(folder / STATE)
    if not isinstance(state, dict):
        raise InputError(f"{folder / STATE}: must be a table; the checkpoint is damaged, take an earlier one")
    parts = {}
    for name in sorted(path.name for path in folder.iterdir() if path.is_dir()):
        weights = files.read(contained(folder, name))
        parts[name] = {key: weights[key] for key in weights}
    return parts, state


def steps(folder: Path) -> list[tuple[int, Path]]:
    """The checkpoints in a folder, by step."""
    found = [(int(match[1]), path) for path in folder.glob("step-*") if (match := _NAME.fullmatch(path.name))]
    return sorted(found)


def prune(folder: Path, keep: int, best: int | None = None) -> None:
    """Remove all but the last `keep` checkpoints and the best one."""
    for step, path in steps(folder)[:-keep]:
        if step != best:
            remove(path)


def remove(folder: Path) -> None:
    """Remove a checkpoint: killed meanwhile, it is there whole or not at all."""
    gone = folder.with_name(f".{folder.name}.gone{LEFT}")
    folder.rename(gone)
    shutil.rmtree(gone)


def sweep(folder: Path) -> None:
    """Remove what killed writers left in a folder, of which nobody may be writing now."""
    for path in folder.glob(f".*{LEFT}"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def of_optimizers(optimizers: list[torch.optim.Optimizer], names: Mapping[Any, str]) -> dict[str, Tensor]:
    """Every tensor that optimisers remember, by `<number>.<what>.<weight>`."""
    return {
        f"{number}.{key}.{names[weight]}": value
        for number, optimizer in enumerate(optimizers)
        for weight, state in optimizer.state.items()
        for key, value in state.items()
        if isinstance(value, Tensor)
    }


def into_optimizers(
    optimizers: list[torch.optim.Optimizer], weights: Mapping[str, Tensor], tensors: Mapping[str, Tensor]
) -> None:
    """Give optimisers back what `of_optimizers` took, each tensor in the dtype that it had."""
    for optimizer in optimizers:
        optimizer.state.clear()
    for name, value in tensors.items():
        number, key, weight = name.split(".", 2)
        parameter = weights[weight]
        if value.shape == parameter.shape and value.ndim:
            here = shared(value, parameter)
        else:
            here = value.to(parameter.device) if value.ndim else value
        # A copy, for what is read from a file keeps all of the file for as long as it lives.
        optimizers[int(number)].state[parameter][key] = here.clone()
