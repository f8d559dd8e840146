"""What lies where in the files of a model's weights: one file or shards, and names as a family's table has them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as short

from inlay.convert.folder import member, weight_file
from inlay.errors import InputError
from inlay.files import read_json
from inlay.tensorfile import Entry, read_header

_MOST_INDEX = 64 << 20
_OLD_NAMES = re.compile(r"(?<=LayerNorm\.)(gamma|beta)$")
_NEW_NAMES = {"gamma": "weight", "beta": "bias"}


@dataclass(frozen=True, slots=True)
class Entries:
    """The tensors of a model by name, each with its place in a file; none of them is read."""

    files: Mapping[str, Path]
    entries: Mapping[str, Entry]
    metadata: Mapping[str, str]


def read_entries(place: str | Path) -> Entries:
    """The tensors in a model's folder, in a .safetensors file or in the shards of an index, by their headers.

    InputError where a file is damaged, a pickle, or not the weights at all, and where the shards lie outside the
    folder, or they and the index do not hold the same tensors.
    """
    path = weight_file(place)
    if path.name.endswith(".index.json"):
        return _read_shards(path)
    entries, metadata = read_header(path)
    return Entries(dict.fromkeys(entries, path), entries, metadata)


def canonical(names: Iterable[str], base: str) -> dict[str, str]:
    """Names as in a family's table, and under each the name in the file: with `base`, without the oldest spellings."""
    names = list(names)
    bare = base and not any(name.startswith(base) for name in names)
    found: dict[str, str] = {}
    for name in names:
        new = (base if bare else "") + _OLD_NAMES.sub(lambda old: _NEW_NAMES[old[1]], name)
        if new in found:
            raise InputError(f"the file holds {found[new]!r} and {name!r}, which are one; get the model again")
        found[new] = name
    return found


def _read_shards(index: Path) -> Entries:
    tree = read_json(index, most=_MOST_INDEX)
    table = tree.get("weight_map") if isinstance(tree, dict) else None
    if not isinstance(table, dict) or not table or not all(isinstance(name, str) for name in table.values()):
        raise InputError(f"{index}: needs 'weight_map', a table from each tensor's name to its file")
    entries: dict[str, Entry] = {}
    files: dict[str, Path] = {}
    metadata: dict[str, str] = {}
    for shard in sorted(set(table.values())):
        path = member(index.parent, shard)
        if path.suffix != ".safetensors":
            raise InputError(f"{index}: names {shard!r}; shards must be .safetensors")
        held, metadata = read_header(path)
        promised = {name for name, file in table.items() if file == shard}
        if missing := promised - held.keys():
            raise InputError(f"{path}: lacks {_names(missing)}, which {index.name} promises; fetch both files again")
        if left := held.keys() - promised:
            raise InputError(f"{path}: holds {_names(left)}, which {index.name} does not name; fetch both files again")
        entries |= held
        files |= dict.fromkeys(held, path)
    return Entries(files, entries, metadata)


def _names(names: set[str]) -> str:
    return ", ".join(short(name) for name in sorted(names)[:5]) + (f" and {len(names) - 5} more" * (len(names) > 5))
