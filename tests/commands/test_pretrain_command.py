"""inlay pretrain: raw text in, a trained model out; what is wrong is one line, and nothing is lost by it."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from inlay.cli import run
from inlay.convert import load_model
from inlay.convert.weights import write
from inlay.text.corpus import Corpus
from inlay.text.shards import ShardsConfig, write_shards
from inlay.tokenize.kinds import WordPiece
from inlay.tokenize.tokenizer import Tokenizer

Capture = pytest.CaptureFixture[str]
Refused = Callable[[list[str], str], None]

RECIPE = """
data: {packing: {kind: Rows, length: 32}, batch: 4, held_out: 0.1}
tokenizer: {kind: WordPiece, size: 300}
model: {preset: gpt2-tiny, n_layers: 1}
train: {steps: 4, checkpoint_every: 2, threads: 1}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def done(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run; for reading only."""
    folder = tmp_path_factory.mktemp("done")
    (folder / "recipe.yaml").write_text(RECIPE)
    words = ["-q", "pretrain", str(folder / "recipe.yaml"), f"data.source={corpus}", f"out={folder / 'run'}"]
    assert run(words) == 0
    return folder / "run"


def test_it_says_what_was_measured_and_what_to_do_next(
    recipe: Path, corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "run"
    words = ["pretrain", str(recipe), f"data.source={corpus}", f"out={out}"]
    assert run(words) == 0
    printed, err = capsys.readouterr()
    metrics = json.loads((out / "metrics.json").read_text())
    assert f"{metrics['heldout_loss']:.4f}" in printed
    assert f"inlay show {out}/model" in printed
    assert "4 steps" in err
    assert "loss" in err.splitlines()[-1]
    assert "tokens/s" in err.splitlines()[-1]
    assert run([*words, "--resume", "auto", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == metrics


def test_a_dry_run_says_what_it_would_be_and_writes_nothing(
    recipe: Path, corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    before = sorted(tmp_path.iterdir())
    words = ["-q", "pretrain", str(recipe), f"data.source={corpus}", f"out={tmp_path / 'run'}", "--dry-run"]
    assert run([*words, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["steps"] == 4
    assert plan["tokens"] == pytest.approx(4 * 4 * 32, rel=0.05)
    assert plan["seconds"] > 0
    assert plan["memory"]["training"] > 4 * plan["memory"]["weights"] == 16 * plan["parameters"]
    assert plan["objective_parameters"] == 0
    assert plan["config"]["objective"] == {"kind": "CausalLM"}
    assert run([*words, "model.n_layers=2"]) == 0
    printed = capsys.readouterr().out
    config, _, facts = printed.partition("\n\n")
    assert yaml.safe_load(config)["model"]["n_layers"] == 2
    for name in ("parameters", "memory", "steps", "tokens", "speed", "time"):
        assert f"\n{name} " in "\n" + facts
    assert sorted(tmp_path.iterdir()) == before


def test_parameters_of_a_dry_run_are_those_of_the_run(recipe: Path, corpus: Path, done: Path, capsys: Capture) -> None:
    size = Tokenizer.load(done / "tokenizer").size
    words = ["-q", "pretrain", str(recipe), f"data.source={corpus}", f"tokenizer.size={size}", "--dry-run", "--json"]
    assert run(words) == 0
    assert json.loads(capsys.readouterr().out)["parameters"] == sum(
        w.numel() for w in load_model(done / "model").parameters()
    )


def test_a_dry_run_counts_what_the_objective_the_optimizer_and_the_average_hold(
    recipe: Path, corpus: Path, capsys: Capture
) -> None:
    def told(*more: str) -> dict[str, Any]:
        words = ["-q", "pretrain", str(recipe), f"data.source={corpus}", "model.preset=bert-tiny", "train.steps=2"]
        assert run([*words, "data.packing.kind=Sentences", *more, "--dry-run", "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    plain, own = told("objective.kind=MaskedLM"), told("objective.kind=TSDAE")
    assert own["parameters"] == plain["parameters"]
    size = 4 * own["objective_parameters"]
    assert size > 0
    grown = own["memory"]["training"] - plain["memory"]["training"]
    assert grown == pytest.approx(4 * size, rel=0.05)  # heads that TSDAE does not read have no moments
    averaged = told("objective.kind=MaskedLM", "train.ema=0.9")["memory"]["training"]
    assert averaged - plain["memory"]["training"] == pytest.approx(4 * plain["parameters"], rel=0.01)
    factored = told("objective.kind=MaskedLM", "train.optimizer.kind=Adafactor")["memory"]["training"]
    assert factored < plain["memory"]["training"] - 4 * plain["parameters"]


def test_force_begins_anew(recipe: Path, corpus: Path, tmp_path: Path) -> None:
    words = ["-q", "pretrain", str(recipe), f"data.source={corpus}", f"out={tmp_path / 'run'}"]
    assert run(words) == 0
    assert run([*words, "train.steps=2", "--force"]) == 0
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["steps"] == 2
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-2"]


def test_resuming_where_there_is_nothing_begins(recipe: Path, corpus: Path, done: Path, tmp_path: Path) -> None:
    words = ["-q", "pretrain", str(recipe), f"data.source={corpus}", f"out={tmp_path / 'run'}", "--resume", "auto"]
    assert run(words) == 0
    weights = [(folder / "model" / "model.safetensors").read_bytes() for folder in (done, tmp_path / "run")]
    assert weights[0] == weights[1]


def test_a_checkpoint_of_one_folder_is_gone_on_with_in_another(
    recipe: Path, corpus: Path, done: Path, tmp_path: Path
) -> None:
    words = ["-q", "pretrain", str(recipe), f"data.source={corpus}", f"out={tmp_path / 'run'}"]
    assert run([*words, "--resume", str(done / "checkpoints" / "step-2")]) == 0
    weights = [(folder / "model" / "model.safetensors").read_bytes() for folder in (done, tmp_path / "run")]
    assert weights[0] == weights[1]


MISTAKES = [
    (["train.step=3"], r"unknown key 'train\.step' for RunConfig; did you mean 'steps'\?"),
    (["model.decoder.n_layer=3"], r"unknown key 'model\.decoder\.n_layer' for Stack; did you mean 'n_layers'\?"),
    (["modle.n_layers=3"], r"unknown key 'modle' for Pretrain; did you mean 'model'\?"),
    (["objective.kind=CasualLM"], r"'objective\.kind' is 'CasualLM'; did you mean 'CausalLM'\?"),
    (["train.steps=null"], "train needs an end: set steps, minutes or tokens"),
    (["train.keep=0"], "keep=0 must be at least 1"),
    (["model.preset=gtp2"], "no architecture is called 'gtp2'; did you mean 'gpt2'"),
    (["model.preset=null"], "model.preset is missing; set it"),
    (["model.d_model=65"], "d_model=65 is not a multiple of n_heads=4"),
    (["model.encoder.n_layers=2"], "model.encoder is set, but gpt2-tiny has none"),
    (["objective.kind=MaskedLM"], "MaskedLM reads a text both ways, and gpt2 looks back only; take CausalLM"),
    (["model.preset=bert-tiny", "objective.kind=CausalLM"], "CausalLM .*MaskedLM"),
    (["model.preset=t5-tiny", "objective.kind=MaskedLM"], "MaskedLM is for an encoder alone.*SpanCorruption"),
    (["model.preset=bert-tiny", "objective.kind=PermutedLM"], "PermutedLM needs a second stream"),
    (["model.preset=bert-tiny"], "NextSentence asks about pairs .*data.packing={kind: SentencePairs, other: document}"),
    (
        ["model.preset=bert-tiny", "objective.kind=MaskedLM", "tokenizer.specials=['[UNK]']"],
        "needs a mask token",
    ),
    (
        ["model.preset=bert-tiny", "objective.kind=Contrastive"],
        "Contrastive is given pairs.*positives={kind: Drop",
    ),
    (
        ["model.preset=bert-tiny", "objective={kind: Contrastive, positives: {kind: Dropout}}", "data.batch=1"],
        "tells each text from the others of its batch; set data.batch to 2 or more",
    ),
    (
        ["model.preset=bert-tiny", "objective.kind=TSDAE", "data.packing.specials=false"],
        r"data\.packing\.specials=false leaves it out; take objective\.pool=mean",
    ),
    (["--resume", "auto", "--force"], "--resume goes on with a run, --force begins anew; leave one out"),
    (["model.input.position.max_len=16"], "max_len=16 is too short for texts of 32 tokens; it takes 32"),
    (["model.input.vocab_size=10"], "vocab_size=10 is less than the 261 ids of the tokenizer"),
    (["data.source=/nowhere.txt"], "/nowhere.txt: no such file"),
    (["data.source=null"], "data.source is missing"),
    (["tokenizer={kind: Given, path: /nowhere}"], "/nowhere/tokenizer.json: no such file"),
    (["init.model=/nowhere", "tokenizer=null"], "/nowhere"),
    (["init.token={path: /nowhere.txt}"], "/nowhere.txt: no such file"),
    (["init.model=x", "init.token={}"], "init.token and init.model are two ways to begin"),
    (["data.shards=x"], "source and shards are two ways to give the text"),
    (["out=null"], "out is missing; name the run folder: out=DIR"),
    (["--resume", "/nowhere"], "/nowhere is no checkpoint"),
    (["train.device=cuda"], "device=cuda, but torch finds no GPU here"),
    (["train.precision=fp8"], "choose from fp32, bf16, fp16"),
]


@pytest.mark.parametrize(
    ("words", "expected"), MISTAKES, ids=lambda part: " ".join(part) if isinstance(part, list) else ""
)
def test_what_does_not_go_together_is_one_line_before_anything_is_written(
    words: list[str], expected: str, recipe: Path, corpus: Path, tmp_path: Path, refused: Refused
) -> None:
    if "train.device=cuda" in words and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    given = {word.partition("=")[0] for word in words}
    usual = {"data.source": str(corpus), "out": str(tmp_path / "run")}
    assign = [f"{key}={value}" for key, value in usual.items() if key not in given]
    refused(["pretrain", str(recipe), *assign, *words], expected)


def test_a_recipe_that_is_none_is_one_line(tmp_path: Path, refused: Refused) -> None:
    refused(["pretrain", str(tmp_path / "no.yaml")], r"no\.yaml: no such file")
    (tmp_path / "bad.yaml").write_text("train: {steps: 3")
    refused(["pretrain", str(tmp_path / "bad.yaml")], r"bad\.yaml: not YAML")
    (tmp_path / "typo.yaml").write_text("train: {stepz: 3}")
    refused(["pretrain", str(tmp_path / "typo.yaml")], "did you mean 'steps'")


def test_a_text_shorter_than_a_batch_is_refused_with_the_number_that_fits(
    recipe: Path, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "text.txt").write_text(
        "One sentence stands here.\n\nAnd another one follows it.\n\nA third is the last."
    )
    words = ["-q", "pretrain", str(recipe), f"data.source={tmp_path / 'text.txt'}", f"out={tmp_path / 'run'}"]
    assert run([*words, "data.unit=paragraph", "data.held_out=0.3", "tokenizer.min_count=1"]) == 1
    assert "fewer than a batch of 4; set the batch to" in capsys.readouterr().err
    assert run([*words, "data.unit=paragraph", "tokenizer.min_count=1", "data.batch=1", "--force"]) == 0


def test_a_folder_that_holds_something_is_kept(recipe: Path, corpus: Path, tmp_path: Path, refused: Refused) -> None:
    out = tmp_path / "precious"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    for more in ([], ["--force"], ["--resume", "auto"]):
        refused(
            ["pretrain", str(recipe), f"data.source={corpus}", f"out={out}", *more],
            "precious is a folder that is not empty, and holds no run; name another folder: out=DIR",
        )
    refused(
        ["pretrain", str(recipe), f"data.source={corpus}", f"out={out / 'thesis.txt'}", "--force"], "is a file; name"
    )
    (out / "run.json").write_text('{"inlay": "0.1.0", "config": {"kind": "of fit"}}')  # other long work has one too
    for more in ([], ["--force"], ["--resume", "auto"]):
        refused(
            ["pretrain", str(recipe), f"data.source={corpus}", f"out={out}", *more],
            "precious holds other work than training, which is left alone; name another folder: out=DIR",
        )
    assert (out / "thesis.txt").read_text() == "years of work"


def test_a_begun_run_is_neither_overwritten_nor_mixed_with_another(
    recipe: Path, corpus: Path, done: Path, tmp_path: Path, refused: Refused
) -> None:
    out = tmp_path / "run"
    shutil.copytree(done, out)
    words = ["pretrain", str(recipe), f"data.source={corpus}", f"out={out}"]
    refused(words, "is a run that was begun; --resume auto goes on with it, --force begins anew")
    again = [*words, "--resume", "auto"]
    refused([*again, "model.n_layers=2"], r"cannot resume .*config\.model\.n_layers was 1 and is 2 now")
    refused([*again, "seed=1"], r"cannot resume .*config\.seed was 0 and is 1 now")
    refused([*again, "train.optimizer.lr=0.1"], r"cannot resume .*config\.train\.optimizer\.lr was 0\.0005 and is 0\.1")
    refused([*again, "train.steps=2"], r"step-4 is beyond train\.steps=2")


def test_a_folder_that_cannot_be_written_is_one_line(
    recipe: Path, corpus: Path, tmp_path: Path, refused: Refused
) -> None:
    if os.geteuid() == 0:
        out = Path("/proc/run")  # where even root writes nothing
    else:
        out = tmp_path / "locked" / "run"
        out.parent.mkdir(mode=0o500)
    refused(["pretrain", str(recipe), f"data.source={corpus}", f"out={out}"], "cannot be written")


def test_damaged_parts_of_a_run_are_named(
    recipe: Path, corpus: Path, done: Path, tmp_path: Path, capsys: Capture
) -> None:
    words = ["-q", "pretrain", str(recipe), f"data.source={corpus}", "--resume", "auto"]
    for name in ("tokenizer/tokenizer.json", "shards/counts.bin", "shards/shards/00000/train.tokens"):
        out = tmp_path / name.replace("/", "-")
        shutil.copytree(done, out)
        (out / name).write_bytes((out / name).read_bytes()[:-2])
        assert run([*words, f"out={out}"]) == 1
        err = capsys.readouterr().err
        assert len(err.splitlines()) == 1
        assert name in err
        assert (out / "model" / "model.safetensors").is_file()


def test_shards_of_another_vocabulary_are_refused(recipe: Path, corpus: Path, tmp_path: Path, capsys: Capture) -> None:
    texts = Corpus(str(corpus))
    ours, other = (Tokenizer.train(texts.texts(), WordPiece(size=size)) for size in (200, 220))
    write_shards(texts, ours, tmp_path / "shards", ShardsConfig(held_out=0.1))
    other.save(tmp_path / "other")
    words = ["-q", "pretrain", str(recipe), f"data.shards={tmp_path / 'shards'}", f"out={tmp_path / 'run'}"]
    assert run([*words, f"tokenizer={{kind: Given, path: {tmp_path / 'other'}}}"]) == 1
    assert "its vocabulary of 200 tokens is another than this tokenizer's of 220" in capsys.readouterr().err
    assert run([*words, "tokenizer={kind: WordPiece, size: 200}"]) == 1
    assert "data.shards has a tokenizer of its own, and another is to be trained" in capsys.readouterr().err


def test_weights_with_nan_are_not_begun_with(
    recipe: Path, corpus: Path, done: Path, tmp_path: Path, capsys: Capture
) -> None:
    planted = tmp_path / "planted"
    shutil.copytree(done / "model", planted)
    (planted / "checksums.json").unlink()
    tensors = {name: value.clone() for name, value in load_tensors(planted).items()}
    next(iter(tensors.values())).view(-1)[3] = np.nan
    write(tensors, planted, force=True)
    words = ["-q", "pretrain", str(recipe), f"data.source={corpus}", f"out={tmp_path / 'run'}", f"init.model={planted}"]
    assert run([*words, "tokenizer=null", "model={preset: null}"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "is nan at" in line
    assert not (tmp_path / "run" / "model").exists()


def load_tensors(folder: Path) -> dict[str, torch.Tensor]:
    from inlay.convert.weights import read

    weights = read(folder)
    return {name: weights[name] for name in weights}
