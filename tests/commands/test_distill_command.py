"""`inlay distill` from end to end: what it leaves, that it can be gone on with, and that mistakes are one line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from inlay.cli import run
from inlay.commands.distill import _recipe
from inlay.convert import load_pair, save_model
from inlay.embed.static import StaticEmbedder
from inlay.model.presets import preset, resize
from inlay.text import pydocs
from inlay.tokenize.kinds import WordPiece
from inlay.tokenize.tokenizer import Tokenizer
from inlay.train.optim import AdamW

SHORT = ["train.threads=1", "train.checkpoint_every=3", "data.batch=4", "data.held_out=0.2"]
ROWS = ["data.packing.kind=Rows", "data.packing.length=32"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text, a teacher that reads both ways, and one that looks back."""
    folder = tmp_path_factory.mktemp("distill")
    texts = [document.text[:1500] for document in pydocs.documents(limit=30, packages=False)]
    (folder / "text").mkdir()
    for number, text in enumerate(texts):
        (folder / "text" / f"{number}.txt").write_text(text, encoding="utf-8")
    tokenizer = Tokenizer.train(texts, WordPiece(size=300))
    for name in ("bert", "gpt2"):
        config = resize(preset(f"{name}-tiny"), 4, 16, 2, 32, vocab_size=tokenizer.size)
        save_model(config.build(seed=0), folder / name, tokenizer=tokenizer)
    return folder


def distil(place: Path, out: str, *more: str, teacher: str = "bert", steps: int = 6) -> int:
    command = ["--quiet", "distill", str(place / teacher), "--on", str(place / "text"), "--out", str(place / out)]
    return run([*command, *SHORT, f"train.steps={steps}", *more])


@pytest.mark.parametrize("teacher", ["bert", "gpt2"])
def test_a_run_leaves_a_student_and_both_errors_on_text_held_out(
    place: Path, teacher: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert distil(place, f"run-{teacher}", *ROWS, "--layers", "2", "--json", teacher=teacher) == 0
    told = json.loads(capsys.readouterr().out)
    folder = place / f"run-{teacher}"
    assert told == json.loads((folder / "metrics.json").read_text())
    term = "heldout_mlm" if teacher == "bert" else "heldout_nll"
    assert {term, "heldout_logits", "heldout_cosine", "heldout_loss"} <= told.keys()
    assert told["before"].keys() == {name for name in told if name.startswith("heldout_")}
    assert told["teacher"].keys() == {"name", "weights", term}
    student, tokenizer = load_pair(folder / "model")
    of, same = load_pair(place / teacher)
    stack = student.encoder or student.decoder
    assert stack is not None
    assert stack.stack.n_layers == 2
    assert tokenizer.vocabulary == same.vocabulary
    assert [head.name for head in student.config.heads] == ["language"]
    assert not torch.equal(student.input.table(), of.input.table())
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4, 5, 6]


def test_a_run_from_a_checkpoint_ends_as_the_unbroken_one(place: Path) -> None:
    assert distil(place, "whole", *ROWS, "--layers", "2") == 0
    weights, metrics = ((place / "whole" / name).read_bytes() for name in ("model/model.safetensors", "metrics.json"))
    point = place / "whole" / "checkpoints" / "step-3"
    assert distil(place, "whole", *ROWS, "--layers", "2", "--resume", str(point)) == 0
    assert (place / "whole" / "model" / "model.safetensors").read_bytes() == weights
    again = json.loads((place / "whole" / "metrics.json").read_text())
    assert {**again, "seconds": 0} == {**json.loads(metrics), "seconds": 0}


def test_a_table_is_saved_as_a_static_model_that_has_learned(place: Path) -> None:
    assert distil(place, "table", "objective.kind=TokenTable", steps=20) == 0
    metrics = json.loads((place / "table" / "metrics.json").read_text())
    assert metrics["heldout_vectors"] < 0.9 * metrics["before"]["heldout_vectors"]
    found = StaticEmbedder.load(place / "table" / "model").encode(["a list of names"])
    assert np.linalg.norm(found[0]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("more", "lr"),
    [
        ([], 5e-4),
        (["objective.kind=TokenTable"], 1e-2),
        (["objective={kind: TokenTable}", "train.schedule.kind=Constant"], 1e-2),
        (["objective.kind=TokenTable", "train.optimizer.lr=5.0e-4"], 5e-4),
        (["objective.kind=TokenTable", "train.optimizer={kind: AdamW}"], 5e-4),
    ],
)
def test_a_table_learns_in_larger_steps_unless_it_is_told_otherwise(more: list[str], lr: float) -> None:
    recipe = _recipe("teacher", ["text"], Path("out"), None, more)
    assert recipe.train.optimizer == AdamW(lr=lr)


def test_a_narrow_student_learns_rows_and_attention(place: Path) -> None:
    student = "student={kind: Narrow, n_layers: 2, d_model: 8, n_heads: 2, d_ffn: 16}"
    parts = "objective.parts=[{kind: Hidden}, {kind: Attention}]"
    assert distil(place, "narrow", *ROWS, student, parts, "objective.task={kind: Whole}") == 0
    metrics = json.loads((place / "narrow" / "metrics.json").read_text())
    assert metrics["heldout_loss"] < metrics["before"]["heldout_loss"]
    assert load_pair(place / "narrow" / "model")[0].config.d_model == 8


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--layers", "9"], "n_layers=9"),
        (["objective.part=3"], "did you mean 'parts'"),
        (["objective.kind=TokenTable", "student.kind=EverySecond"], "leave student out"),
        (["objective.task.kind=CausalLM"], "MaskedLM"),
        (["data.packing.kind=Rows", "data.packing.length=9999"], "positions end at 512"),
        (["student.kind=Narrow"], "student.n_layers"),
        (["objective.parts=[]"], "no part"),
        (["objective.teacher="], "objective.teacher"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing(
    place: Path, more: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert distil(place, "bad", *more) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert says in error
    assert not (place / "bad").exists()


def test_a_run_is_gone_on_with_by_its_own_teacher_alone(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert distil(place, "once", *ROWS) == 0
    assert distil(place, "once", *ROWS) == 1
    assert "--resume auto goes on" in capsys.readouterr().err
    model, tokenizer = load_pair(place / "bert")
    with torch.no_grad():
        model.input.table()[7] += 1
    save_model(model, place / "other", tokenizer=tokenizer)
    (place / "bert").rename(place / "kept")
    (place / "other").rename(place / "bert")
    try:
        assert distil(place, "once", *ROWS, "--resume", "auto") == 1
        assert "teacher.weights was" in capsys.readouterr().err
    finally:
        (place / "bert").rename(place / "other")
        (place / "kept").rename(place / "bert")
