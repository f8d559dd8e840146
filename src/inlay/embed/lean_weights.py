"""The weights of `Lean`: mapped from their files, joined where ours is one matrix of several of theirs.

D model, H heads, K head size.
"""

import mmap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inlay.convert.entries import Entries, canonical, read_entries
from inlay.embed.lean_families import Family
from inlay.embed.lean_plan import Plan, shapes
from inlay.errors import InputError
from inlay.tensorfile import scaled

Array = NDArray[np.float32]
Tensors = Mapping[str, Array]

_ELSE = "take config.json and weights from one folder"
_CODES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}
_MOST = 8


class Files:
    """Tensors by name in mapped files: float32 as it lies there, halves and int8 with scales widened; read when they
    are asked for."""

    def __init__(self, entries: Entries, place: Path) -> None:
        self._found, self.place = entries, place
        self._scales = scaled(entries.entries)
        self._maps: dict[Path, NDArray[np.uint8]] = {}

    @classmethod
    def open(cls, folder: Path) -> "Files":
        """The weights in a folder; InputError as `read_entries` raises it."""
        return cls(read_entries(folder), folder)

    @property
    def names(self) -> list[str]:
        beside = set(self._scales.values())
        return [name for name in self._found.entries if name not in beside]

    def shape(self, name: str) -> tuple[int, ...]:
        return self._found.entries[name].shape

    def __getitem__(self, name: str) -> Array:
        entry, path = self._found.entries[name], self._found.files[name]
        if name in self._scales:
            scales = self[self._scales[name]]
            codes = self._bytes(path)[entry.begin : entry.end].view(np.int8).reshape(entry.shape)
            return codes * scales.reshape(-1, *[1] * (codes.ndim - 1))
        if entry.code not in _CODES:
            raise InputError(
                f"{path}: {name} is {entry.code}, which is not computed with here; save the model as "
                f"{', '.join(_CODES)}"
            )
        raw = self._bytes(path)[entry.begin : entry.end]
        if entry.begin % 4 and entry.code == "F32":
            raw = raw.copy()  # numbers must start where their size divides the address
        numbers = raw.view(_CODES[entry.code]).reshape(entry.shape)
        if entry.code == "BF16":
            return (numbers.astype(np.uint32) << 16).view(np.float32)  # a bfloat16 is the upper half of a float32
        return numbers.astype(np.float32, copy=False)

    def _bytes(self, path: Path) -> NDArray[np.uint8]:
        if path not in self._maps:
            # A private mapping: it stays as it is while a new file takes the name.
            with open(path, "rb") as file:
                self._maps[path] = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
        return self._maps[path]


def own(files: Files, plan: Plan, stack: str) -> Tensors:
    """The tensors of a plan in inlay's own layout, where `stack` is encoder or decoder."""
    wanted = {ours: (ours if ours.startswith("input.") else f"{stack}.{ours}",) for ours in shapes(plan)}
    used = {name for (name,) in wanted.values()}
    begins = (stack + ".", "input.")
    # A second stack's own positions, and the row of a second stream, take no part.
    beside = ("input.target.", "input.query", f"{stack}.relatives.")
    rest = [name for name in files.names if name.startswith(begins) and name not in used]
    _refuse(files, [name for name in rest if not name.startswith(beside)])
    return _filled(files, plan, wanted, {name: name for name in files.names}, None)


def foreign(files: Files, plan: Plan, family: Family) -> Tensors:
    """The tensors of a plan under the names of another library."""
    there = canonical(files.names, family.base)
    names = family.gated if plan.gated and family.gated else family.names
    wanted = {ours: _theirs(ours, names) for ours in shapes(plan)}
    for ours, theirs in wanted.items():
        wanted[ours] = tuple(family.other[one] if one not in there and one in family.other else one for one in theirs)
    used = {one for theirs in wanted.values() for one in theirs}
    _refuse(files, [there[name] for name in there if name not in used and not family.is_beside(name)])
    return _filled(files, plan, wanted, there, family)


def _theirs(ours: str, names: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    number = next((part for part in ours.split(".") if part.isdigit()), "")
    first, last = ours.rsplit(".", 1)
    for template, values in ((ours, {}), (f"{first}.{{w}}", {"{w}": last})):
        if number:
            template, values = template.replace(f".{number}.", ".{i}.", 1), {**values, "{i}": number}
        if template in names:
            return tuple(_fill(one, values) for one in names[template])
    raise AssertionError(f"{ours} is in no table")


def _fill(template: str, values: Mapping[str, str]) -> str:
    for key, value in values.items():
        template = template.replace(key, value)
    return template


def _refuse(files: Files, left: Sequence[str]) -> None:
    if left:
        more = f" and {len(left) - _MOST} more" if len(left) > _MOST else ""
        raise InputError(
            f"{files.place}: {', '.join(map(repr, left[:_MOST]))}{more} have no place in the model that config.json "
            f"describes; {_ELSE}"
        )


def _filled(
    files: Files, plan: Plan, wanted: Mapping[str, Sequence[str]], there: Mapping[str, str], family: Family | None
) -> Tensors:
    missing = [name for theirs in wanted.values() for name in theirs if name not in there]
    if missing:
        more = f" and {len(missing) - _MOST} more" if len(missing) > _MOST else ""
        raise InputError(f"{files.place}: lacks {', '.join(missing[:_MOST])}{more}; {_ELSE}")
    found: dict[str, Array] = {}
    expected = shapes(plan)
    for ours, theirs in wanted.items():
        parts = [_laid(files[there[name]], ours, family) for name in theirs]
        each = (expected[ours][0] // len(parts), *expected[ours][1:])
        if any(part.shape != each for part in parts):
            shown = ", ".join(f"{there[name]} {files.shape(there[name])}" for name in theirs)
            raise InputError(f"{files.place}: {shown} where config.json makes them {each}; {_ELSE}")
        found[ours] = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return found


def _laid(theirs: Array, ours: str, family: Family | None) -> Array:
    """As ours lie: (out, in)."""
    if family is None or theirs.ndim < 2 or "norm" in ours or ours.startswith("input."):
        return theirs
    if family.transposed:
        return theirs.T
    if family.by_head and theirs.ndim == 3 and not ours.endswith("segment"):
        flat = theirs.reshape(len(theirs), -1)  # (D, H, K) -> (D, H·K)
        return flat if "attention.out" in ours else flat.T
    return theirs
