"""The recipes of examples/configs: each trains from raw text, goes on where it was, and one at its full size learns."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from inlay.cli import run
from inlay.config import load_yaml
from inlay.convert import load_pair
from inlay.model.budget import count
from inlay.train.log import read_log
from inlay.train.recipe import Pretrain, of_paper

CONFIGS = sorted((Path(__file__).parents[1] / "examples" / "configs").glob("*.yaml"))
NAMES = ["albert", "bart", "bert", "distilbert", "electra", "gpt2", "modern", "roberta", "t5", "transformer", "xlnet"]
SMALL = "data.packing.length=48 data.batch=4 model.d_model=64 model.n_heads=2 model.n_layers=2 model.d_ffn=128"

EVERY = pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)


def test_every_architecture_has_one() -> None:
    assert [path.stem for path in CONFIGS] == NAMES


@EVERY
def test_it_trains_from_raw_text_and_goes_on(path: Path, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ["-q", "pretrain", str(path), f"data.source={corpus}", f"out={out}", *SMALL.split(), "seed=0"]
    words += ["train.checkpoint_every=2", "train.threads=1"]
    assert run([*words, "train.steps=2"]) == 0
    assert run([*words, "train.steps=4", "--resume", "auto"]) == 0
    rows = [row for row in read_log(out / "log.jsonl") if "loss" in row]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert all(row["loss"] > 0 and row["tokens_per_s"] > 0 for row in rows)
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["heldout_loss"] > 0
    model, tokenizer = load_pair(out / "model")
    assert model.config.vocab_size == tokenizer.size


@EVERY
def test_it_says_what_its_paper_did_and_is_small(path: Path) -> None:
    recipe = load_yaml(Pretrain, path)
    config = recipe.architecture()
    assert recipe.objective is not None
    assert type(recipe.objective) is type(of_paper(config))
    assert count(replace(config, input=replace(config.input, vocab_size=8000))) < 7e6


def test_one_at_its_full_size_learns_and_a_run_in_two_parts_is_that_in_one(corpus: Path, tmp_path: Path) -> None:
    out, parts = tmp_path / "run", tmp_path / "parts"
    path = next(path for path in CONFIGS if path.stem == "bert")
    words = f"-q pretrain {path} data.source={corpus} train.checkpoint_every=20 train.threads=1 seed=0".split()
    assert run([*words, "train.steps=60", f"out={out}"]) == 0
    losses = [row["loss"] for row in read_log(out / "log.jsonl") if "loss" in row]
    assert sum(losses[-10:]) < sum(losses[:10]) - 4
    assert [path.name for path in sorted((out / "checkpoints").iterdir())] == ["step-40", "step-60"]
    shutil.copytree(out, parts)
    shutil.rmtree(parts / "checkpoints" / "step-60")
    shutil.rmtree(parts / "model")
    assert run([*words, "train.steps=60", f"out={parts}", "--resume", "auto"]) == 0
    weights = [(folder / "model" / "model.safetensors").read_bytes() for folder in (out, parts)]
    assert weights[0] == weights[1]
