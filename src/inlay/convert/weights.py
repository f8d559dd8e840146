"""Weights on disk: safetensors, in one file or in shards with an index; read lazily, written whole or not at all."""

import json
import math
import mmap
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from inlay.convert.entries import read_entries
from inlay.convert.folder import INDEX, SINGLE
from inlay.errors import InputError
from inlay.files import atomic_path, fsync_folder, write_text
from inlay.tensorfile import Entry, scaled, write_header

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3": torch.float8_e4m3fn,
    "C64": torch.complex64,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_CODES = {dtype: code for code, dtype in DTYPES.items()}
_FINITE_AT_ONCE = 1 << 22
_SHARD = re.compile(r"model(-v\d+)?-\d{5,}-of-\d{5,}\.safetensors")


class Weights(Mapping[str, Tensor]):
    """Tensors by name, in the order of the names; the numbers of one are read from the disk when they are used.

    A tensor is a private view of the mapped file: writing to it changes neither the file nor what is read next. It
    stays as it is while the file is replaced by `write`. An int8 tensor that has scales beside it is float32 here.
    """

    def __init__(self, files: Mapping[str, Path], entries: Mapping[str, Entry], metadata: Mapping[str, str]) -> None:
        self._files, self._entries, self.metadata = files, dict(sorted(entries.items())), dict(metadata)
        self._scales = scaled(self._entries)
        beside = set(self._scales.values())
        self._names = [name for name in self._entries if name not in beside]
        self._maps: dict[Path, mmap.mmap] = {}
        for path in dict.fromkeys(files.values()):
            with open(path, "rb") as file:
                self._maps[path] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)

    def __getitem__(self, name: str) -> Tensor:
        if (scale := self._scales.get(name)) is None:
            return self._raw(name)
        codes = self._raw(name)
        return codes * self._raw(scale).reshape(-1, *[1] * (codes.dim() - 1))

    def _raw(self, name: str) -> Tensor:
        entry = self._entries[name]
        data = torch.frombuffer(self._maps[self._files[name]], dtype=torch.uint8)[entry.begin : entry.end]
        dtype = DTYPES[entry.code]
        if entry.begin % dtype.itemsize:
            data = data.clone()  # numbers must start where their size divides the address
        if dtype is torch.bool:
            return (data != 0).reshape(entry.shape)  # a byte may hold anything, a truth value only 0 and 1
        return data.view(dtype).reshape(entry.shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, known without reading it."""
        return self._entries[name].shape

    def dtype(self, name: str) -> torch.dtype:
        """The dtype of a tensor, known without reading it."""
        return torch.float32 if name in self._scales else DTYPES[self._entries[name].code]

    def file(self, name: str) -> Path:
        """The file that a tensor stands in, to be named in messages."""
        return self._files[name]


def read(place: str | Path) -> Weights:
    """The weights of a model's folder, of a .safetensors file or of an index of shards, not one number read yet.

    Every header is checked: InputError where `read_entries` raises one, and for a dtype that torch has not.
    """
    found = read_entries(place)
    for name, entry in found.entries.items():
        if entry.code not in DTYPES:
            raise InputError(
                f"{found.files[name]}: {name!r} has the dtype {entry.code}; readable are {', '.join(DTYPES)}"
            )
    return Weights(found.files, found.entries, found.metadata)


def write(
    tensors: Mapping[str, Tensor],
    folder: str | Path,
    *,
    shard_mb: float = 5000,
    metadata: Mapping[str, str] | None = None,
    force: bool = False,
) -> None:
    """Write model.safetensors into the folder, or shards of at most `shard_mb` (10^6 bytes) and their index.

    The same tensors give the same bytes. Tensors that are one memory are written once, under the name that comes first
    in the mapping. What else is in the folder is left alone; the weights in it are replaced with `force`, and are whole
    until the new ones are, also when we are killed: `read` and other libraries find the old ones or the new ones. Takes
    the memory of one tensor at most. `metadata` goes beside {"format": "pt"}, which transformers asks for.
    """
    folder = Path(folder)
    given = _once({name: tensors[name] for name in tensors})
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; name the folder that the weights go into")
    old = _old_weights(folder)
    if old and not force:
        raise InputError(f"{folder / old[0]} exists; give another folder, or force to replace the weights")
    shards = _split(given, shard_mb * 1e6)
    about = {"format": "pt", **(metadata or {})}
    if len(shards) == 1:
        _write_file(given, shards[0], folder / SINGLE, about)
        new = {SINGLE}
    else:
        new = {INDEX, *_write_shards(given, shards, folder, about)}
    # Until here the old model is the one that is found. SINGLE goes before INDEX in `old`: it is what readers prefer.
    for name in old:
        if name not in new:
            (folder / name).unlink(missing_ok=True)
    fsync_folder(folder)


def check_finite(tensors: Mapping[str, Tensor], place: str | Path) -> None:
    """InputError naming the first tensor with NaN or infinity in it, and where; a few MB of memory at a time."""
    for name in tensors:
        tensor = tensors[name]
        if not (tensor.is_floating_point() or tensor.is_complex()):
            continue
        flat = tensor.detach().reshape(-1)
        for start in range(0, flat.numel(), _FINITE_AT_ONCE):
            part = flat[start : start + _FINITE_AT_ONCE]
            wrong = ~torch.isfinite(part.float() if part.dtype.itemsize == 1 else part)
            if wrong.any():
                at, where = start + int(wrong.nonzero()[0]), []
                for size in reversed(tensor.shape):
                    at, index = divmod(at, size)
                    where.append(index)
                raise InputError(
                    f"{place}: {name!r} is {part[wrong][0].item()} at {where[::-1]}; "
                    "such weights compute nothing: get the model again, or an earlier checkpoint of the training"
                )


def _once(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, each memory once. They are all held meanwhile: an address of what is gone would mean nothing."""
    seen, kept = set(), {}
    for name, tensor in tensors.items():
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta or tensor.dtype not in _CODES:
            kind = "meta" if tensor.is_meta else f"{tensor.dtype}, {tensor.layout}"
            raise InputError(f"{name!r} is {kind}; weights to be written must be plain numbers: {', '.join(DTYPES)}")
        signs = tensor.is_conj(), tensor.is_neg()
        memory = (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride(), *signs)
        if tensor.numel() == 0 or memory not in seen:
            kept[name] = tensor
        seen.add(memory)
    if not kept:
        raise InputError("there are no weights to write")
    return kept


def _old_weights(folder: Path) -> list[str]:
    """The files in the folder that new weights take the place of: SINGLE, INDEX, and shards named as ours."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    return [name for name in (SINGLE, INDEX) if name in names] + sorted(filter(_SHARD.fullmatch, names))


def _split(tensors: Mapping[str, Tensor], limit: float) -> list[list[str]]:
    """Names in order, cut where the next tensor would go over the limit; one that is larger has a shard alone."""
    shards: list[list[str]] = [[]]
    size = 0
    for name in sorted(tensors):
        if shards[-1] and size + tensors[name].nbytes > limit:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += tensors[name].nbytes
    return shards


def _write_file(tensors: Mapping[str, Tensor], names: list[str], path: Path, metadata: Mapping[str, str]) -> None:
    kinds = {name: (_CODES[tensors[name].dtype], tuple(tensors[name].shape)) for name in names}
    # One buffer for all tensors that do not lie in memory as in the file: one each would leave the heap in pieces.
    staged = [tensors[name].nbytes for name in names if not _lies_plain(tensors[name])]
    stage = torch.empty(max(staged, default=0), dtype=torch.uint8)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        for name in write_header(file, kinds, metadata):
            tensor = tensors[name].detach()
            if not _lies_plain(tensor):
                tensor = stage[: tensor.nbytes].view(tensor.dtype).reshape(tensor.shape).copy_(tensor)
            file.write(tensor.reshape(-1).view(torch.uint8).numpy().data)


def _lies_plain(tensor: Tensor) -> bool:
    return tensor.is_contiguous() and tensor.device.type == "cpu" and not tensor.is_conj() and not tensor.is_neg()


def _write_shards(
    tensors: Mapping[str, Tensor], shards: list[list[str]], folder: Path, metadata: Mapping[str, str]
) -> list[str]:
    """Write shards under names that are free, then the index that makes them the model; returns their names."""
    taken = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    for version in range(len(taken) + 2):
        stem = f"model-v{version}" if version else "model"
        files = [f"{stem}-{number:05}-of-{len(shards):05}.safetensors" for number in range(1, len(shards) + 1)]
        if not taken & set(files):
            break
    for file, names in zip(files, shards, strict=True):
        _write_file(tensors, names, folder / file, metadata)
    table = {name: file for file, names in zip(files, shards, strict=True) for name in names}
    total = {
        "total_parameters": sum(math.prod(tensor.shape) for tensor in tensors.values()),
        "total_size": sum(tensor.nbytes for tensor in tensors.values()),
    }
    write_text(folder / INDEX, json.dumps({"metadata": total, "weight_map": table}, indent=2, sort_keys=True) + "\n")
    return files
