"""inlay tokenizer extend: a tokenizer, a model that grows with it, what it tells and what it refuses."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inlay.cli import run
from inlay.convert import load_pair, save_model
from inlay.model.presets import preset
from inlay.tokenize.kinds import WordPiece
from inlay.tokenize.tokenizer import Tokenizer
from inlay.vectors.wordvectors import WordVectors

Capture = pytest.CaptureFixture[str]
GENERAL = ["the cat sat on the mat abcdefghijklmnopqrstuvwxyz"] * 4
MEDICAL = "\n".join(f"lymphocytes in the myocardium, case {n}: lymphocytes again" for n in range(40))


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    Tokenizer.train(GENERAL, WordPiece(size=100)).save(tmp_path / "tokenizer")
    return tmp_path / "tokenizer"


@pytest.fixture
def model(tokenizer: Path, tmp_path: Path) -> Path:
    config, old = preset("bert-tiny"), Tokenizer.load(tokenizer)
    bert = replace(config, input=replace(config.input, vocab_size=old.size)).build(seed=1)
    save_model(bert.to(torch.bfloat16), tmp_path / "bert", tokenizer=old)
    return tmp_path / "bert"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    (tmp_path / "medical.txt").write_text(MEDICAL)
    return tmp_path / "medical.txt"


@pytest.fixture
def told(capsys: Capture) -> Callable[..., Any]:
    def tell(*arguments: object) -> Any:
        capsys.readouterr()
        assert run(["-q", "tokenizer", "extend", *map(str, arguments), "--json"]) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    return tell


def test_a_tokenizer_gets_the_words_of_the_text(
    tokenizer: Path, text: Path, tmp_path: Path, told: Callable[..., Any]
) -> None:
    out = tmp_path / "out"
    found = told(tokenizer, "--on", text, "--out", out, "--unit", "line")
    assert [one["word"] for one in found["added"]] == ["lymphocytes", "myocardium", "again", "case"]
    assert found["added"][0]["count"] == 2 * 36
    assert found["heldout"]["saved"] > 0.3
    assert "model" not in found
    new = Tokenizer.load(out)
    assert new.tokens("Lymphocytes again") == ["lymphocytes", "again"]
    assert found["size"] == {"before": Tokenizer.load(tokenizer).size, "after": new.size}


def test_a_model_grows_with_its_tokenizer_and_keeps_its_dtype(
    model: Path, text: Path, tmp_path: Path, told: Callable[..., Any]
) -> None:
    found = told(model, "--on", text, "--out", tmp_path / "out", "--words", 2)
    assert found["model"]["started"] == {"pieces": 2}
    (old, before), (grown, after) = load_pair(model, dtype="same"), load_pair(tmp_path / "out", dtype="same")
    assert grown.config.vocab_size == after.size == before.size + 2 == found["model"]["rows"]
    assert torch.equal(grown.input.table()[: before.size], old.input.table())
    assert grown.input.table().dtype is torch.bfloat16


@pytest.mark.parametrize("start", ["mean", "vectors"])
def test_new_rows_start_as_asked(start: str, model: Path, text: Path, tmp_path: Path, told: Callable[..., Any]) -> None:
    names = [*Tokenizer.load(model).vocabulary, "lymphocytes"]
    rows = np.random.default_rng(0).standard_normal((len(names), 3)).astype(np.float32)
    WordVectors(names, rows).save(tmp_path / "words.safetensors")
    more = ["--vectors", tmp_path / "words.safetensors"] if start == "vectors" else []
    found = told(model, "--on", text, "--out", tmp_path / "out", "--words", 2, "--start", start, *more)
    wanted = {"vectors": 1, "pieces": 1} if start == "vectors" else {"mean": 2}
    assert found["model"]["started"] == wanted
    assert (found["model"]["explained"] is not None) == (start == "vectors")


def test_without_json_it_says_what_was_added_and_saved(
    model: Path, text: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert run(["-q", "tokenizer", "extend", str(model), "--on", str(text), "--out", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("4 words added: ")
    assert "lymphocytes" in lines[1]
    assert [line.split("  ")[0] for line in lines[5:9]] == ["this text", "held out", "other words 0 of 44 are cut "
        "differently (0.00% of the text), 0 of them longer, 0 with an unknown piece", "model"]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--vectors", "x.safetensors"], "go together"),
        (["--start", "vectors"], "go together"),
        (["--start", "mean"], "without a model"),
        (["--min-count", "1000"], "lower min_count"),
    ],
)
def test_what_cannot_be_is_one_line_and_nothing_is_written(
    options: list[str], said: str, tokenizer: Path, text: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    code = run(["-q", "tokenizer", "extend", str(tokenizer), "--on", str(text), "--out", str(out), *options])
    err = capsys.readouterr().err
    assert code == 1
    assert said in err
    assert err.count("\n") == 1
    assert not out.exists()


def test_nothing_is_replaced_unasked(tokenizer: Path, text: Path, told: Callable[..., Any], capsys: Capture) -> None:
    arguments = [tokenizer, "--on", text, "--out", tokenizer]
    assert run(["-q", "tokenizer", "extend", *map(str, arguments)]) == 1
    assert "--force" in capsys.readouterr().err
    (tokenizer / "notes.txt").write_text("mine")
    told(*arguments, "--force")
    assert Tokenizer.load(tokenizer).tokens("lymphocytes") == ["lymphocytes"]
    assert (tokenizer / "notes.txt").read_text() == "mine"
