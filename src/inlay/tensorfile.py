"""Safetensors files: a header that is checked to the last byte before anything is made of it, and how one is written.

The layout: 8 bytes with the length of the header, the header in JSON (`{name: {dtype, shape, data_offsets}}`), and the
tensors' bytes one after the other, without a hole. Nothing here knows arrays: `vectors` maps the bytes with numpy,
`convert` with torch.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from reprlib import repr as short
from typing import IO, Any

from inlay.errors import InputError
from inlay.files import parse_json

BITS = {"BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64}
BITS |= {"F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8}
BITS |= {"F8_E5M2FNUZ": 8, "F8_E4M3FNUZ": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4}
"""How many bits a number of each dtype takes."""

MOST_HEADER = 32 << 20
"""Bytes of the longest header that is read: some 300,000 tensors."""

SCALE = ".scale"
"""What is put after the name of an int8 tensor for that of its scales: float32, one for each row."""

_MOST_NUMBERS = 1 << 60  # so that no product of sizes leaves 64 bits
_MOST_DIMS = 16
_ALIGN = 64
_POINTER = b"version https://git-lfs"


@dataclass(frozen=True, slots=True)
class Entry:
    """A tensor in a file: its dtype as safetensors calls it, its shape, and where its bytes stand in the file."""

    code: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read_header(path: str | Path) -> tuple[dict[str, Entry], dict[str, str]]:
    """(tensors by name, metadata) of a file whose tensors fill it without holes or overlaps; else an InputError.

    No more is read, and no more memory taken, than the header's own length, which the file must really have.
    """
    with open(path, "rb") as file:
        whole = os.fstat(file.fileno()).st_size
        first = file.read(len(_POINTER))
        if first == _POINTER:
            raise InputError(
                f"{path}: is a pointer of Git LFS, not the weights themselves; fetch them with: git lfs pull"
            )
        try:
            length = int.from_bytes(first[:8], "little")
            if whole < 8 or length > whole - 8:
                raise ValueError(f"a header of {length} bytes in a file of {whole}" if whole >= 8 else f"{whole} bytes")
            if length > MOST_HEADER:
                raise ValueError(f"a header of {length} bytes; {MOST_HEADER} are allowed")
            file.seek(8)
            tree = parse_json(file.read(length), "its header")
            if not isinstance(tree, dict):
                raise ValueError("its header is no table")
            metadata = tree.pop("__metadata__", None) or {}
            if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
                raise ValueError("__metadata__ must be a table of texts")
            entries = {name: _entry(name, value, 8 + length) for name, value in tree.items()}
            _refuse_gaps(entries, 8 + length, whole)
        except ValueError as error:
            raise InputError(
                f"{path}: not a sound safetensors file ({error}); copy it again, or write it again"
            ) from None
    return entries, metadata


def write_header(
    file: IO[bytes], tensors: Mapping[str, tuple[str, Sequence[int]]], metadata: Mapping[str, str]
) -> list[str]:
    """Write the header of tensors given as (dtype, shape); returns the order in which their bytes must follow it.

    The wider numbers come first, so that each tensor is aligned, and then it goes by name.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    order = sorted(tensors, key=lambda name: (-BITS[tensors[name][0]], name))
    end = 0
    for name in order:
        assert name != "__metadata__"
        code, shape = tensors[name]
        begin, end = end, end + BITS[code] * prod(shape) // 8
        header[name] = {"dtype": code, "shape": list(shape), "data_offsets": [begin, end]}
    head = json.dumps(header, separators=(",", ":"), sort_keys=True).encode()
    head += b" " * (-(8 + len(head)) % _ALIGN)
    file.write(len(head).to_bytes(8, "little") + head)
    return order


def scaled(entries: Mapping[str, Entry]) -> dict[str, str]:
    """Where weights are kept as int8: the name of each such tensor, and that of its scales."""
    found = {}
    for name, entry in entries.items():
        scale = entries.get(name + SCALE)
        if entry.code == "I8" and scale is not None and scale.code == "F32" and scale.shape == entry.shape[:1]:
            found[name] = name + SCALE
    return found


def _entry(name: str, value: Any, start: int) -> Entry:
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{short(name)} needs dtype, shape and data_offsets, and has {short(value)}")
    code, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(code, str) or code not in BITS:
        raise ValueError(f"{short(name)} has the dtype {short(code)}, which is none")
    if not _are_sizes(shape) or len(shape) > _MOST_DIMS or prod(max(size, 1) for size in shape) > _MOST_NUMBERS:
        raise ValueError(f"{short(name)} has the shape {short(shape)}, which no tensor has")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise ValueError(f"{short(name)} has the data_offsets {short(offsets)}; they must be two whole numbers")
    begin, end = offsets
    if BITS[code] * prod(shape) != 8 * (end - begin):
        raise ValueError(f"{short(name)}, {code} {tuple(shape)}, cannot lie in {end - begin} bytes")
    return Entry(code, tuple(shape), start + begin, start + end)


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(size) is int and size >= 0 for size in value)


def _refuse_gaps(entries: Mapping[str, Entry], start: int, whole: int) -> None:
    at = start
    for name, entry in _by_place(entries.items()):
        if entry.begin != at:
            kind = "overlaps what is before it" if entry.begin < at else f"leaves a hole of {entry.begin - at} bytes"
            raise ValueError(f"{short(name)} {kind}")
        at = entry.end
    if at != whole:
        kind = "is cut off" if at > whole else "goes on behind the last tensor"
        raise ValueError(f"the file {kind}: {whole} bytes, its tensors need {at}")


def _by_place(entries: Iterable[tuple[str, Entry]]) -> list[tuple[str, Entry]]:
    return sorted(entries, key=lambda item: (item[1].begin, item[1].end))
