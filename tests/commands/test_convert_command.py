"""inlay convert: another layout, another precision, what it tells and what it refuses."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from inlay.cli import run
from inlay.convert import load_model, load_pair, save_model
from inlay.convert import weights as files
from inlay.files import CHECKSUMS, write_json
from inlay.model.model import Model
from inlay.model.presets import preset
from inlay.tokenize.tokenizer import Tokenizer

Capture = pytest.CaptureFixture[str]
Refused = Callable[[list[str], str], None]


@pytest.fixture(scope="module")
def bert() -> Model:
    config = preset("bert-tiny")
    return replace(config, input=replace(config.input, vocab_size=300)).build(seed=3)


@pytest.fixture
def folder(bert: Model, tmp_path: Path) -> Path:
    tokenizer = Tokenizer.from_vocabulary(["water", "stone"], lowercase=True)
    save_model(bert, tmp_path / "bert", tokenizer=tokenizer)
    return tmp_path / "bert"


def told(capsys: Capture, *arguments: object) -> Any:
    capsys.readouterr()
    assert run(["-q", "convert", *map(str, arguments), "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def equal(one: Model, other: Model) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(tensor, theirs[name]) for name, tensor in mine.items())


def test_a_model_goes_to_our_layout_and_back_bit_for_bit(
    folder: Path, bert: Model, tmp_path: Path, capsys: Capture
) -> None:
    there = told(capsys, folder, tmp_path / "own", "--to", "inlay")
    assert there["layout"] == "inlay"
    back = told(capsys, tmp_path / "own", tmp_path / "back", "--to", "bert")
    assert back["layout"] == "bert"
    assert (there["read"], back["read"]) == (str(folder), str(tmp_path / "own"))
    assert back["heads"] == ["pooler", "language", "pair"]
    assert back["parameters"] == sum(parameter.numel() for parameter in bert.parameters())
    model, tokenizer = load_pair(tmp_path / "back")
    assert equal(model, bert)
    assert tokenizer.size == there["tokens"] == Tokenizer.load(folder).size
    # Other files say where it came from.
    for name in ("model.safetensors", "tokenizer.json"):
        assert (tmp_path / "back" / name).read_bytes() == (folder / name).read_bytes()


def test_the_precision_is_kept_or_the_one_that_is_asked_for(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    assert told(capsys, folder, tmp_path / "half", "--dtype", "bfloat16")["dtype"] == "bfloat16"
    assert told(capsys, tmp_path / "half", tmp_path / "kept")["dtype"] == "bfloat16"
    assert set(files.read(tmp_path / "kept").dtype(name) for name in files.read(tmp_path / "kept")) == {torch.bfloat16}
    assert told(capsys, tmp_path / "half", tmp_path / "whole", "--dtype", "float32")["dtype"] == "float32"


def test_what_is_left_out_is_told(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    tensors = dict(files.read(folder)) | {"visual.bias": torch.ones(2)}
    files.write(tensors, folder, force=True)
    (folder / CHECKSUMS).unlink()
    write_json(folder / "modules.json", [{"path": "", "type": "x.Transformer"}, {"path": "1", "type": "x.Pooling"}])
    found = told(capsys, folder, tmp_path / "out", "--head", "language", "--ignore", "visual.*")
    assert found["heads"] == ["language"]
    assert {"visual.bias", "Pooling", "bert.pooler.dense.weight"} <= set(found["left out"])
    assert told(capsys, tmp_path / "out", tmp_path / "bare", "--head", "none")["heads"] == []
    assert not load_model(tmp_path / "bare").heads


def test_people_are_told_the_same_in_lines(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / CHECKSUMS).unlink()
    assert run(["convert", str(folder), str(tmp_path / "out")]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["layout"] == "bert"
    assert lines["heads"] == "pooler, language, pair"
    assert lines["tokens"] == "no tokenizer"
    assert lines["left"] == "out    nothing"


def test_a_model_may_take_its_own_place_with_force(folder: Path, bert: Model, capsys: Capture) -> None:
    assert told(capsys, folder, folder, "--dtype", "float16", "--force")["dtype"] == "float16"
    assert load_model(folder).input.token.weight.shape == bert.input.token.weight.shape


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["{out}", "--to", "brt"], "'brt' is not built in; did you mean 'bert'"),
        (["{out}", "--to", "roberta"], "no class of roberta has the heads language . pair . pooler"),
        (
            ["{out}", "--to", "roberta", "--head", "none"],
            "roberta cannot hold input.token.padding=none .there it would be 0.",
        ),
        (["{out}", "--head", "spam"], "has no head 'spam'; choose from pooler, language, pair"),
        (["{out}", "--head", "none", "--head", "pooler"], "none keeps no head, beside 1 to be kept"),
        (["{in}"], "is a folder that is not empty; give another --out, or --force"),
    ],
    ids=str,
)
def test_mistakes_are_one_line_and_write_nothing(
    more: list[str], said: str, folder: Path, tmp_path: Path, refused: Refused
) -> None:
    filled = [word.format(out=tmp_path / "out", **{"in": folder}) for word in more]
    refused(["convert", str(folder), *filled], said)


def test_folders_that_are_no_models_are_refused(tmp_path: Path, refused: Refused) -> None:
    refused(["convert", str(tmp_path / "none"), str(tmp_path / "out")], "no such folder")
    (tmp_path / "empty").mkdir()
    refused(["convert", str(tmp_path / "empty"), str(tmp_path / "out")], "config.json: no such file")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("x")
    save_model(replace(preset("bert-tiny"), heads=()).build(), tmp_path / "m")
    refused(["convert", str(tmp_path / "m"), str(tmp_path / "notes"), "--force"], "is no model")
