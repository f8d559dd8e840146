"""A model's folder: its files by name, none of them outside it, and never one that must be unpickled."""

import os
from pathlib import Path
from typing import Any

from inlay.errors import InputError
from inlay.files import contained, read_json

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
MODULES = "modules.json"
MOST_BYTES = 16 << 20
"""Of the largest file of settings that is read: a label for each of 200,000 classes."""

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_OTHERS = (".h5", ".msgpack", ".onnx", ".ot", ".gguf", ".npz")
_SAVE = "from_pretrained(FOLDER) of its class, then save_pretrained(OUT)"


def member(folder: str | Path, name: str) -> Path:
    """The file `name` of the folder; InputError where that leads out of it, as a path or as a link, or is no file.

    The files of a snapshot in the hub's cache are links to the blobs beside it: these are taken.
    """
    folder = Path(folder)
    path = folder / name
    if not _is_blob(folder, path):
        contained(folder, name)
    if not path.is_file():
        why = "a model folder has one" if folder.is_dir() else f"{folder} is no folder"
        raise InputError(f"{path.absolute()}: no such file; {why}")
    return path


def _is_blob(folder: Path, path: Path) -> bool:
    if not path.is_symlink():
        return False
    target = Path(os.path.realpath(path))
    for snapshots in folder.resolve().parents:  # the folder is a snapshot, or a part of one
        if snapshots.name == "snapshots" and snapshots.parent.name.startswith("models--"):
            # The blobs of this model, and the store that all models of the cache may share.
            return any(target.is_relative_to(home / "blobs") for home in snapshots.parents[:2])
    return False


def weight_file(place: str | Path) -> Path:
    """The file that holds the weights, or the index of their shards: what was named, or what the folder has.

    As other libraries do, it takes model.safetensors first, then its index, then the one .safetensors that there is.
    """
    place = Path(place)
    if place.is_file():
        if place.name.endswith((".safetensors", ".safetensors.index.json")):
            return place
        raise _foreign(place.parent, [place.name])
    if not place.is_dir():
        raise InputError(f"{place}: no such folder or file")
    names = sorted(path.name for path in place.iterdir())
    for name in (SINGLE, INDEX):
        if name in names:
            return member(place, name)
    found = [name for name in names if name.endswith(".safetensors")]
    if len(found) > 1:
        raise InputError(
            f"{place}: holds {len(found)} weight files ({_some(found)}) and no {INDEX}; "
            "name the one to read, or fetch the index that goes with the shards"
        )
    if not found:
        raise _foreign(place, [name for name in names if name.endswith(_PICKLES + _OTHERS)])
    return member(place, found[0])


def transformer_folder(folder: Path) -> Path:
    """The folder with the weights: itself, or the part that a folder of sentence-transformers names as Transformer."""
    parts = parts_of(folder)
    paths = [path for kind, path in parts if kind == "Transformer"]
    if not parts and not (folder / MODULES).is_file():
        return folder
    if len(paths) != 1 or not isinstance(paths[0], str):
        shown = ", ".join(kind if kind.isidentifier() else repr(kind) for kind, _ in parts[:8]) or "nothing"
        raise InputError(
            f"{folder / MODULES}: names {shown}, but it is one Transformer with a path that is read; "
            "a model of word vectors is opened by inlay.load"
        )
    return contained(folder, paths[0]) if paths[0] else folder


def parts_of(folder: Path) -> list[tuple[str, Any]]:
    """The kinds of the parts of a folder of sentence-transformers, and their paths; none where it is none."""
    if not (folder / MODULES).is_file():
        return []
    tree = read_json(member(folder, MODULES), most=MOST_BYTES)
    parts = [part for part in tree if isinstance(part, dict)] if isinstance(tree, list) else []
    return [(str(part.get("type")).rpartition(".")[2][:40], part.get("path")) for part in parts]


def _foreign(folder: Path, names: list[str]) -> InputError:
    for name in names:
        if name.endswith(_PICKLES):
            return InputError(
                f"{folder / name}: a pickle, which can run code when it is opened, so it was not; get the model in "
                f"safetensors, or convert it where you trust it, with transformers: {_SAVE}"
            )
    if names:
        return InputError(
            f"{folder / names[0]}: in a format that is not read; weights must be .safetensors: get the model in that "
            f"format, or convert it with transformers: {_SAVE}"
        )
    return InputError(f"{folder}: holds no weights; there must be a {SINGLE}, or shards and their {INDEX}")


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
