"""Models, indexes and vectors that are damaged or crafted: one line, exit code 1, and no code of theirs is run."""

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Refused = Callable[[list[str], str], None]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def copied(model: Path, folder: Path) -> Path:
    return Path(shutil.copytree(model, folder / "model"))


def not_a_number(folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    tensors["embedding.weight"][7, 0] = np.nan
    save_file(tensors, folder / "model.safetensors")
    (folder / "checksums.json").unlink()


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "flipped weights": (lambda folder: flip(folder / "model.safetensors"), r"model\.safetensors: its bytes changed"),
    "flipped tokenizer": (lambda folder: flip(folder / "tokenizer.json"), r"tokenizer\.json: its bytes changed"),
    "flipped index": (lambda folder: flip(folder / "search/index/vectors.npy"), "vectors.npy: .*changed"),
    "flipped lexical": (lambda folder: flip(next((folder / "search/lexical").glob("*.safetensors"))), "changed"),
    "flipped documents": (lambda folder: flip(folder / "search/documents.jsonl"), r"documents\.jsonl: .*changed"),
    "index cut short": (lambda folder: os.truncate(folder / "search/index/vectors.npy", 200), r"vectors\.npy: "),
    "index missing": (lambda folder: (folder / "search/index/ids.jsonl").unlink(), r"ids\.jsonl: missing"),
    "weights missing": (lambda folder: (folder / "model.safetensors").unlink(), r"model\.safetensors: missing"),
    "NaN weights": (not_a_number, "row 7 of the token table is not finite"),
    "no model": (lambda folder: shutil.rmtree(folder), "model"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_model_is_refused(name: str, model: Path, tmp_path: Path, refused: Refused) -> None:
    damage, expected = DAMAGE[name]
    folder = copied(model, tmp_path)
    damage(folder)
    refused(["search", str(folder), "baker"], expected)


@pytest.mark.parametrize("name", DAMAGE)
def test_info_finds_what_is_damaged(name: str, model: Path, tmp_path: Path, refused: Refused) -> None:
    damage, expected = DAMAGE[name]
    folder = copied(model, tmp_path)
    damage(folder)
    refused(["info", str(folder)], expected)


def test_info_says_what_an_edited_description_lacks(model: Path, tmp_path: Path, refused: Refused) -> None:
    folder = copied(model, tmp_path)
    (folder / "checksums.json").unlink()
    (folder / "inlay.json").write_text("{}")
    refused(["info", str(folder)], r"inlay\.json: lacks one of lang, data")


class Payload:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


PICKLES = ["x.pkl", "x.pt", "x.pth", "x.bin", "x.kv", "x.model", "x.npy", "x.npz", "x.txt", "x.safetensors"]
READERS = [
    ["info", "FILE"],
    ["embed", "FILE", "CORPUS", "--out", "OUT.npy"],
    ["vectors", "neighbours", "FILE", "baker"],
    ["tokenizer", "encode", "FILE", "baker"],
    ["evaluate", "FILE", "--on", "BEIR"],
]


@pytest.mark.parametrize("name", PICKLES)
@pytest.mark.parametrize("command", READERS, ids=" ".join)
def test_a_pickle_is_never_opened(
    name: str, command: list[str], corpus: Path, beir: Path, tmp_path: Path, refused: Refused
) -> None:
    payload = Payload(tmp_path / "owned")
    if name.endswith(".npy"):
        np.save(tmp_path / name, np.array([payload], object), allow_pickle=True)
    elif name.endswith(".npz"):
        np.savez(tmp_path / name, x=np.array([payload], object))
    else:
        (tmp_path / name).write_bytes(pickle.dumps(payload))
    names = {"FILE": str(tmp_path / name), "CORPUS": str(corpus), "BEIR": str(beir), "OUT.npy": str(tmp_path / "o.npy")}
    refused([names.get(word, word) for word in command], name.replace(".", r"\."))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pkl", "model.pt"])
def test_a_folder_with_pickled_weights_is_refused(name: str, model: Path, tmp_path: Path, refused: Refused) -> None:
    folder = copied(model, tmp_path)
    (folder / "model.safetensors").unlink()
    (folder / "checksums.json").unlink()
    (folder / name).write_bytes(pickle.dumps(Payload(tmp_path / "owned")))
    refused(["info", str(folder)], "a pickle can run code and is never opened")


VECTORS = {
    "NaN": ("2 2\na 1 nan\nb 1 2\n", "line 2"),
    "infinity": ("2 2\na 1 2\nb inf 2\n", "line 3"),
    "short row": ("2 2\na 1\nb 1 2\n", "line 2"),
    "fewer rows": ("3 2\na 1 2\nb 1 2\n", "x.txt"),
    "double word": ("2 2\na 1 2\na 1 2\n", "'a'"),
    "huge header": ("3000000000 300\na 1\n", "x.txt"),
    "negative header": ("-5 -300\na 1\n", "x.txt"),
    "no header": ("hello there\n", "x.txt"),
    "empty": ("", "x.txt"),
}


@pytest.mark.parametrize("name", VECTORS)
@pytest.mark.parametrize("command", [["info", "FILE"], ["vectors", "similarity", "FILE", "a", "b"]], ids=" ".join)
def test_bad_vectors_are_named(name: str, command: list[str], tmp_path: Path, refused: Refused) -> None:
    text, expected = VECTORS[name]
    (tmp_path / "x.txt").write_text(text)
    refused([word.replace("FILE", str(tmp_path / "x.txt")) for word in command], expected)
