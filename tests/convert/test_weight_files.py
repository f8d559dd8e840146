"""Weight files: read lazily and strictly, written so that others read them, old or new but never a mix of both."""

import json
import os
import random
import resource
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from inlay.convert import weights
from inlay.convert.folder import INDEX, SINGLE
from inlay.errors import InputError

KINDS = sorted(weights.DTYPES)


def some(seed: int = 0) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    tensors = {f"layer.{n}.weight": torch.randn(5, 3, generator=g) for n in (10, 2, 1)}
    return tensors | {
        "half": torch.randn(4, generator=g).half(),
        "brain": torch.randn(2, 2, generator=g).bfloat16(),
        "one": torch.tensor(3.5, dtype=torch.float64),
        "none": torch.zeros(0, 7),
        "whole": torch.arange(3),
        "byte": torch.tensor([255], dtype=torch.uint8),
        "truth": torch.tensor([True, False, True]),
    }


def same(found: dict, expected: dict) -> bool:
    return found.keys() == expected.keys() and all(
        found[name].dtype == expected[name].dtype and torch.equal(found[name], expected[name]) for name in expected
    )


def made(head: object, body: bytes = b"", length: int | None = None) -> bytes:
    line = head if isinstance(head, bytes) else json.dumps(head).encode()
    return (len(line) if length is None else length).to_bytes(8, "little") + line + body


def entry(shape: list, begin: int, end: int, dtype: str = "F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize("shard_mb", [5000, 1e-4], ids=["one file", "shards"])
def test_everything_comes_back_here_and_in_the_library(shard_mb: float, tmp_path: Path) -> None:
    weights.write(some(), tmp_path, shard_mb=shard_mb)
    found = weights.read(tmp_path)
    assert same(found, some())
    assert list(found) == sorted(some())
    assert found.metadata == {"format": "pt"}
    for name, tensor in some().items():
        assert (found.shape(name), found.dtype(name)) == (tuple(tensor.shape), tensor.dtype)
    files = sorted(tmp_path.glob("*.safetensors"))
    assert (len(files) > 1) == (shard_mb < 1)
    loaded: dict[str, torch.Tensor] = {}
    for file in files:
        loaded |= load_file(file)
    assert same(loaded, some())


@pytest.mark.parametrize("code", KINDS)
def test_every_dtype_comes_back_and_is_called_as_the_library_calls_it(code: str, tmp_path: Path) -> None:
    data = torch.randint(0, 2, (16,), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    tensor = (data != 0) if code == "BOOL" else data.view(weights.DTYPES[code])
    save_file({"x": tensor}, tmp_path / "theirs.safetensors")
    weights.write({"x": tensor}, tmp_path / "ours")
    for place in (tmp_path / "theirs.safetensors", tmp_path / "ours"):
        assert torch.equal(weights.read(place)["x"].view(torch.uint8), tensor.view(torch.uint8))
    assert load_file(tmp_path / "ours" / SINGLE)["x"].dtype == tensor.dtype


def test_numbers_that_do_not_start_at_their_size_are_read(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    body = b"\1" + torch.tensor([1.5, -2.0]).numpy().tobytes() + b"\2"
    file.write_bytes(made({"a": entry([1], 0, 1, "U8"), "b": entry([2], 1, 9), "t": entry([1], 9, 10, "BOOL")}, body))
    found = weights.read(file)
    assert found["b"].tolist() == [1.5, -2.0]
    assert found["t"].view(torch.uint8).tolist() == [1]  # a byte of 2 is no truth value


def test_transformers_loads_what_is_written_and_its_shards_are_read(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=30, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16
    )
    torch.manual_seed(0)
    model = transformers.BertModel(config)
    model.save_pretrained(tmp_path / "theirs", max_shard_size="4KB")
    theirs = weights.read(tmp_path / "theirs")
    assert len({theirs.file(name) for name in theirs}) > 1
    assert same(theirs, model.state_dict())
    for shard_mb in (5000, 0.004):
        ours = tmp_path / f"ours{shard_mb}"
        config.save_pretrained(ours)
        weights.write(theirs, ours, shard_mb=shard_mb)
        assert same(transformers.BertModel.from_pretrained(ours).state_dict(), model.state_dict())
    mine, other = (json.loads((tmp_path / folder / INDEX).read_text()) for folder in ("ours0.004", "theirs"))
    assert mine["metadata"] == other["metadata"]
    assert mine["weight_map"].keys() == other["weight_map"].keys()


@pytest.mark.parametrize("shard_mb", [5000, 1e-4], ids=["one file", "shards"])
def test_the_same_tensors_are_the_same_bytes(shard_mb: float, tmp_path: Path) -> None:
    turned = dict(reversed(some().items()))
    weights.write(some(), tmp_path / "a", shard_mb=shard_mb, metadata={"x": "1", "b": "2"})
    weights.write(turned, tmp_path / "b", shard_mb=shard_mb, metadata={"b": "2", "x": "1"})
    weights.write(weights.read(tmp_path / "a"), tmp_path / "c", shard_mb=shard_mb, metadata={"b": "2", "x": "1"})
    first, *others = ({file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in "abc")
    assert others == [first, first]


def test_a_tensor_in_another_order_of_memory_and_one_under_two_names_are_written_once_and_right(tmp_path: Path) -> None:
    table = torch.arange(12.0).reshape(3, 4)
    square = torch.arange(9.0).reshape(3, 3)
    given = {"z": table, "a": table.view(3, 4), "t": table.T, "row": table[1], "c": torch.tensor([1 + 2j]).conj()}
    given |= {"square": square, "square.t": square.T}  # one memory and one shape, but other numbers
    weights.write(given, tmp_path)
    found = weights.read(tmp_path)
    assert list(found) == ["c", "row", "square", "square.t", "t", "z"]
    for name in found:
        assert torch.equal(found[name], given[name])
        assert found[name].is_contiguous()


@pytest.mark.parametrize("tensor", [torch.eye(2).to_sparse(), torch.empty(2, device="meta")], ids=["sparse", "meta"])
def test_what_is_no_plain_tensor_is_not_written(tensor: torch.Tensor, tmp_path: Path) -> None:
    for given, message in (({"x": tensor}, "'x' is .*must be plain numbers"), ({}, "no weights to write")):
        with pytest.raises(InputError, match=message):
            weights.write(given, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_writing_to_a_tensor_changes_no_file(tmp_path: Path) -> None:
    weights.write(some(), tmp_path)
    found = weights.read(tmp_path)
    found["layer.1.weight"].zero_()
    assert same(weights.read(tmp_path), some())


HEAD = {"a": entry([2], 0, 8)}
BODY = bytes(8)
HOSTILE = {
    "nothing in it": (b"", "0 bytes"),
    "less than a length": (b"\1\0\0", "3 bytes"),
    "a header of 2**40 bytes": (made(b"{}", length=1 << 40), "a header of 1099511627776 bytes in a file of 10"),
    "a length below zero": (made(b"{}", length=(1 << 64) - 1), "a header of 18446744073709551615 bytes"),
    "no JSON": (made(b"abcd"), "its header: not JSON"),
    "a list": (made([1]), "its header is no table"),
    "not UTF-8": (made(b'{"\xb0": 1}'), "not JSON .*utf-8"),
    "half a character": (made(b'{"\\ud800": 1}'), "surrogates not allowed"),
    "deep": (made(b'{"a":' * 60_000 + b"1" + b"}" * 60_000), "not JSON"),
    "the same name twice": (made(b'{"a": 1, "b": 2, "a": 3}'), "the key 'a' stands twice"),
    "NaN as an offset": (made(b'{"a": {"dtype": "F32", "shape": [NaN], "data_offsets": [0, 8]}}'), "NaN is no number"),
    "a hole": (made({"a": entry([2], 4, 12)}, bytes(12)), "'a' leaves a hole of 4 bytes"),
    "an overlap": (made(HEAD | {"b": entry([2], 4, 12)}, bytes(12)), "'b' overlaps"),
    "cut off": (made(HEAD, BODY[:-1]), "the file is cut off"),
    "more at the end": (made(HEAD, BODY + b"x"), "goes on behind the last tensor"),
    "a size that does not fit": (made({"a": entry([3], 0, 8)}, BODY), "cannot lie in 8 bytes"),
    "an end before the beginning": (made({"a": entry([2], 8, 0)}, BODY), "cannot lie in -8 bytes"),
    "a negative size": (made({"a": entry([-2], 0, 8)}, BODY), "shape .-2., which no tensor has"),
    "a size of 2**64 and 0": (made({"a": entry([1 << 64, 0], 0, 0)}), "which no tensor has"),
    "sizes that multiply beyond 64 bits": (made({"a": entry([1 << 33, 1 << 33, 0], 0, 0)}), "which no tensor has"),
    "a truth value for a size": (made({"a": entry([True, 2], 0, 8)}, BODY), "which no tensor has"),
    "too many dimensions": (made({"a": entry([1] * 70 + [2], 0, 8)}, BODY), "which no tensor has"),
    "an unknown dtype": (made({"a": entry([2], 0, 8, "Q32")}, BODY), "the dtype 'Q32', which is none"),
    "a dtype that torch has not": (made({"a": entry([16], 0, 8, "F4")}, BODY), "'a' has the dtype F4; readable are"),
    "a dtype that is a list": (made({"a": entry([2], 0, 8) | {"dtype": []}}, BODY), "dtype .., which is none"),
    "no shape": (made({"a": {"dtype": "F32", "data_offsets": [0, 8]}}, BODY), "needs dtype, shape and data_offsets"),
    "three offsets": (made({"a": entry([2], 0, 8) | {"data_offsets": [0, 8, 8]}}, BODY), "two whole numbers"),
    "an entry that is a number": (made({"a": 3}, BODY), "needs dtype, shape and data_offsets"),
    "metadata that is no text": (made({"__metadata__": {"a": 1}} | HEAD, BODY), "__metadata__ must be"),
    "a pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
    "a zip archive": (b"PK\x03\x04" + bytes(50), "a header of"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_damaged_file_is_refused_in_a_line_and_with_little_memory(name: str, tmp_path: Path) -> None:
    content, message = HOSTILE[name]
    (tmp_path / SINGLE).write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=message) as error:
        weights.read(tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KB
    assert str(tmp_path / SINGLE) in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


def test_a_file_cut_anywhere_is_refused_and_a_flipped_bit_of_the_header_ends_in_no_crash(tmp_path: Path) -> None:
    file = tmp_path / SINGLE
    weights.write({"a": torch.ones(2, 3), "b": torch.ones(4).half()}, tmp_path)
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(InputError, match="not a sound safetensors file"):
            weights.read(tmp_path)
    read, rng = 0, random.Random(0)
    for place in range(8 + int.from_bytes(whole[:8], "little")):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << rng.randrange(8))]) + whole[place + 1 :])
        try:
            found = weights.read(tmp_path)
        except InputError:
            continue
        read += 1
        assert sum(found[name].nbytes for name in found) == 32
    assert read  # a letter of a name, a blank at the end


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tree: tree["weight_map"].pop("byte"), "holds 'byte', which model.safetensors.index.json does not name"),
        (lambda tree: tree["weight_map"].update(more=tree["weight_map"]["byte"]), "lacks 'more', which .* promises"),
        (lambda tree: tree["weight_map"].update(more="model-9.safetensors"), "model-9.safetensors: no such file"),
        (lambda tree: tree["weight_map"].update(more="../out.safetensors"), "leads out of"),
        (lambda tree: tree["weight_map"].update(more="/etc/passwd"), "leads out of"),
        (lambda tree: tree["weight_map"].update(more="link.safetensors"), "leads out of"),
        (lambda tree: tree["weight_map"].update(more="a\0b"), "is no name of a file"),
        (lambda tree: tree["weight_map"].update(more="pytorch_model.bin"), "shards must be .safetensors"),
        (lambda tree: tree["weight_map"].update(more=3), "needs 'weight_map'"),
        (lambda tree: tree.update(weight_map={}), "needs 'weight_map'"),
        (lambda tree: tree.update(weight_map=[]), "needs 'weight_map'"),
    ],
    ids=range(11),
)
def test_an_index_and_its_shards_must_agree_and_stay_in_the_folder(change, message: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    weights.write(some(), folder, shard_mb=1e-4)
    save_file({"more": torch.ones(1)}, tmp_path / "out.safetensors")
    (folder / "link.safetensors").symlink_to("../out.safetensors")
    (folder / "pytorch_model.bin").write_bytes(b"x")
    tree = json.loads((folder / INDEX).read_text())
    change(tree)
    (folder / INDEX).write_text(json.dumps(tree))
    with pytest.raises(InputError, match=message) as error:
        weights.read(folder)
    assert "\n" not in str(error.value)


def test_the_links_of_a_hub_cache_are_followed_and_others_that_lead_out_are_not(tmp_path: Path) -> None:
    home = tmp_path / "cache" / "models--a--b"
    snapshot = home / "snapshots" / "0123"
    weights.write(some(), home / "blobs")
    weights.write(some(), tmp_path / "elsewhere")
    snapshot.mkdir(parents=True)
    (snapshot / SINGLE).symlink_to(f"../../blobs/{SINGLE}")
    assert same(weights.read(snapshot), some())
    weights.write(some(), tmp_path / "blobs")  # so called, but not of this cache
    for outside in ("blobs", "elsewhere"):
        (snapshot / SINGLE).unlink()
        (snapshot / SINGLE).symlink_to(tmp_path / outside / SINGLE)
        with pytest.raises(InputError, match="leads out of"):
            weights.read(snapshot)
    assert same(weights.read(snapshot / SINGLE), some())  # what the user names is the user's choice


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["pytorch_model.bin"], "pytorch_model.bin: a pickle, which can run code .* save_pretrained.OUT."),
        (["model.ckpt", "tf_model.h5"], "model.ckpt: a pickle"),
        (["flax_model.msgpack"], "in a format that is not read; weights must be .safetensors"),
        (["config.json"], "holds no weights"),
        ([], "holds no weights"),
        (["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"], "2 weight files .* the index"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "+".join(value) or "nothing",
)
def test_a_folder_without_weights_that_can_be_read_says_the_way_out(
    files: list[str], message: str, tmp_path: Path
) -> None:
    for name in files:
        os.mkfifo(tmp_path / name)  # were one opened, the test would hang
    with pytest.raises(InputError, match=message):
        weights.read(tmp_path)
    with pytest.raises(InputError, match="no such folder or file"):
        weights.read(tmp_path / "none")


@pytest.mark.parametrize("at_once", [5, 1 << 22])
def test_numbers_that_are_not_finite_are_found_with_their_place(
    at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "_FINITE_AT_ONCE", at_once)
    weights.check_finite(some(), tmp_path)
    for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.float8_e5m2):
        wrong = torch.ones(3, 4)
        wrong[1, 2] = float("inf")
        with pytest.raises(InputError, match=r"place: 'w' is inf at \[1, 2\]; such weights compute nothing"):
            weights.check_finite(some() | {"w": wrong.to(dtype)}, "place")
    with pytest.raises(InputError, match=r"'w' is nan at \[\]"):
        weights.check_finite({"w": torch.tensor(float("nan"))}, "place")
