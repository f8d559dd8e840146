"""`inlay evaluate lm`: the figures of the library, of model and run folders, and one line for what has none."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from inlay.cli import run
from inlay.convert import load_pair, save_model
from inlay.evaluate.language import evaluate
from inlay.model.presets import preset
from inlay.tokenize.kinds import ByteBPE, WordPiece
from inlay.tokenize.tokenizer import Tokenizer

Capture = pytest.CaptureFixture[str]

TEXTS = ["The sea was calm, and the ship lay at anchor.", "猫在海边看船。"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a causal model, a masked one, and a text of two documents."""
    folder = tmp_path_factory.mktemp("language")
    tokenizer = Tokenizer.train(TEXTS, ByteBPE(size=300, specials=("<|endoftext|>",)))
    save_model(preset("gpt2-tiny").build(), folder / "run" / "model", tokenizer=tokenizer)
    pieces = Tokenizer.train(TEXTS[:1], WordPiece(size=100, min_count=1))
    save_model(preset("bert-tiny").build(), folder / "bert", tokenizer=pieces)
    save_model(preset("t5-tiny").build(), folder / "t5", tokenizer=pieces)
    (folder / "text.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    return folder


@pytest.mark.parametrize("name", ["run", "run/model", "bert"])
def test_the_figures_are_those_of_the_library(name: str, folder: Path, capsys: Capture) -> None:
    words = ["-q", "evaluate", "lm", str(folder / name), "--on", str(folder / "text.jsonl")]
    assert run([*words, "--json", "--length", "16", "--stride", "4"]) == 0
    found = json.loads(capsys.readouterr().out)
    expected = evaluate(*load_pair(folder / name.replace("run/model", "run").replace("run", "run/model")), TEXTS)
    assert found["tokens"] == expected.tokens
    assert (found["length"], found["stride"]) == (16, 4)
    assert run([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == pytest.approx(expected.tree())
    assert run([*words, "--json", "--max-tokens", "5"]) == 0
    assert json.loads(capsys.readouterr().out)["tokens"] == 5


def test_a_runs_model_reads_texts_as_long_as_it_was_trained_on(
    folder: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model").symlink_to(folder / "run" / "model")
    (tmp_path / "config.yaml").write_text("data: {packing: {kind: Rows, length: 24}}\n")
    monkeypatch.chdir(tmp_path)
    for name, more, length in ((".", [], 24), ("model", [], 24), ("model", ["--length", "40"], 40)):
        words = ["-q", "evaluate", "lm", name, "--on", str(folder / "text.jsonl"), "--json", *more]
        assert run(words) == 0
        assert json.loads(capsys.readouterr().out)["length"] == length


@pytest.mark.parametrize(
    ("name", "inside", "family", "layers"),
    [("run", "model", "gpt2", "2"), ("bert", "", "bert", "2"), ("t5", "", "t5", "2 + 2")],
)
def test_info_says_what_a_transformer_is(
    name: str, inside: str, family: str, layers: str, folder: Path, capsys: Capture
) -> None:
    assert run(["info", str(folder / name), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["path"] == str(folder / name / inside)
    assert (found["family"], found["layers"]) == (family, layers)
    assert found["parameters"] == sum(weight.numel() for weight in load_pair(folder / name / inside)[0].parameters())
    assert found["checksums"].endswith("files as written")


def test_info_finds_weights_that_changed(
    folder: Path, tmp_path: Path, refused: Callable[[list[str], str], None]
) -> None:
    shutil.copytree(folder / "bert", tmp_path / "bert")
    with (tmp_path / "bert" / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    refused(["info", str(tmp_path / "bert")], r"model\.safetensors: .*changed")


def test_a_person_reads_what_was_measured(folder: Path, capsys: Capture) -> None:
    assert run(["evaluate", "lm", str(folder / "bert"), "--on", str(folder / "text.jsonl")]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("pseudo-perplexity  ")
    assert "2 documents, " in out
    assert "0 of 2 documents come back" in out  # it writes small letters
    assert "note: 7 of " in err
    assert "tokens are unknown" in err


@pytest.mark.parametrize(
    ("name", "more", "expected"),
    [
        ("t5", [], "t5 writes one text from another, and gives a text alone no probability"),
        ("bert", ["--length", "600"], "length=600 must be at least 2 and at most 512, the model's positions"),
        ("run", ["--length", "20", "--stride", "20"], "stride=20 must be at least 1 and below the length, 20"),
        ("run", ["--length", "0"], "length=0 must be at least 2"),
        ("none", [], "none"),
    ],
)
def test_what_has_no_figures_is_one_line(
    name: str, more: list[str], expected: str, folder: Path, refused: Callable[[list[str], str], None]
) -> None:
    refused(["evaluate", "lm", str(folder / name), "--on", str(folder / "text.jsonl"), *more], expected)
