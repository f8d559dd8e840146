"""`inlay adapt` from end to end: one folder to use in the end, and every mistake a line."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import inlay
from inlay.cli import run
from inlay.convert import save_model
from inlay.files import verify_checksums
from inlay.model.presets import preset, resize
from inlay.tokenize.kinds import WordPiece
from inlay.tokenize.tokenizer import Tokenizer
from inlay.train.trainer import Trainer

SHORT = ["threads=1", "tuning.steps=3", "tuning.batch=4", "shares=[1.0]", "max_length=16", "gate.questions=10"]
OPEN = ["gate.p=1", "gate.gain=0", "gate.agreement=-1", "tuning.lr=1e-2", "tuning.steps=12", "tuning.batch=16"]


@pytest.fixture(scope="module")
def encoder(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A very small encoder with weights at random."""
    place = tmp_path_factory.mktemp("encoder") / "base"
    tokenizer = Tokenizer.train(inlay.Corpus(corpus).texts(), WordPiece(size=300))
    config = resize(preset("bert-tiny"), 1, 16, 2, 32, vocab_size=tokenizer.size)
    save_model(replace(config, heads=()).build(seed=0), place, tokenizer=tokenizer)
    return place


def adapt(encoder: Path, corpus: Path, out: Path, *more: str) -> int:
    settings = [
        part for one in SHORT for part in ("--set", one) if not any(s.startswith(one.split("=")[0]) for s in more)
    ]
    return run(["-q", "adapt", str(encoder), str(corpus), "--out", str(out), *settings, *more])


def test_what_is_refused_leaves_a_copy_of_the_base_and_says_why(
    encoder: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tuned"
    assert adapt(encoder, corpus, out, "--set", "tuning.lr=1e-9") == 0
    told = capsys.readouterr().out
    assert "the base is kept: no point on the way to the tuned weights passes" in told
    assert "is refused: " in told
    assert (out / "model.safetensors").read_bytes() == (encoder / "model.safetensors").read_bytes()
    assert verify_checksums(out)
    tree = json.loads((out / "adapt.json").read_text())
    assert tree["kept"] is False
    assert tree["documents"] == 90
    assert not out.with_name("tuned.part").exists()
    assert np.array_equal(inlay.load(out).encode(["the sailor"]), inlay.load(encoder).encode(["the sailor"]))


def test_what_passes_is_left_with_its_figures(
    encoder: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tuned"
    code = adapt(encoder, corpus, out, *(part for one in OPEN for part in ("--set", one)), "--json")
    assert code == 0
    tree = json.loads(capsys.readouterr().out)
    assert tree == json.loads((out / "adapt.json").read_text())
    assert tree["kept"], tree["why"]
    assert tree["share"] == 1.0
    assert verify_checksums(out)
    assert not np.allclose(inlay.load(out).encode(["a sailor"]), inlay.load(encoder).encode(["a sailor"]), atol=1e-4)


def test_a_run_that_was_interrupted_goes_on(
    encoder: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    update: Callable = Trainer._update

    def broken(self: Trainer, *given: object) -> object:
        if self.step == 1:
            raise KeyboardInterrupt
        return update(self, *given)

    out = tmp_path / "tuned"
    monkeypatch.setattr(Trainer, "_update", broken)
    assert adapt(encoder, corpus, out) == 130
    assert "give the same command with --resume to go on" in capsys.readouterr().err
    assert not out.exists()
    monkeypatch.setattr(Trainer, "_update", update)
    assert adapt(encoder, corpus, out) == 1
    assert "is an unfinished run; --resume goes on with it, --force begins anew" in capsys.readouterr().err
    assert adapt(encoder, corpus, out, "--resume") == 0
    assert (out / "adapt.json").is_file()


def test_recipes_pairs_and_judgements_come_from_files(encoder: Path, corpus: Path, tmp_path: Path) -> None:
    documents = list(inlay.Corpus(corpus))
    pairs = [{"query": one.title, "positive": one.text, "negative": "nothing"} for one in documents[:60]]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs))
    scored = [{"text1": one.title, "text2": one.text, "score": n % 5} for n, one in enumerate(documents[:30])]
    (tmp_path / "sts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in scored))
    (tmp_path / "recipe.yaml").write_text(
        "tuning: {anchor: 1.0, negatives: {per_pair: 2}}\ntext: {kind: MLM, steps: 1}\n"
    )
    files = ["--pairs", str(tmp_path / "pairs.jsonl"), "--sts", str(tmp_path / "sts.jsonl")]
    out = tmp_path / "tuned"
    assert (
        adapt(encoder, corpus, out, *files, "--recipe", str(tmp_path / "recipe.yaml"), "--quick", "--minutes", "1") == 0
    )
    tree = json.loads((out / "adapt.json").read_text())
    assert 25 <= tree["learnt"]["pairs"] < 48  # a fifth is held out, and so are queries that are asked anyway
    assert tree["learnt"]["negatives"] == 2 * tree["learnt"]["pairs"]
    assert tree["figures"][0]["sts"] is not None


def test_mistakes_are_one_line_and_leave_nothing(
    encoder: Path, corpus: Path, tmp_path: Path, model: Path, refused: Callable[[list[str], str], None]
) -> None:
    out = str(tmp_path / "tuned")
    good = ["adapt", str(encoder), str(corpus), "--out", out]
    (tmp_path / "one.jsonl").write_text('{"query": "a", "positive": "b"}\n')
    (tmp_path / "bad.jsonl").write_text('{"query": "a", "positive": "b"}\n{"query": "c"}\n')
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    (tmp_path / "bare").mkdir()
    shutil.copy(encoder / "config.json", tmp_path / "bare")
    refused(["adapt", str(model), *good[2:]], "is a static model, and an encoder is what is tuned")
    refused(["adapt", str(tmp_path / "none"), *good[2:]], "none")
    refused(["adapt", str(tmp_path / "bare"), *good[2:]], "bare")
    settings = json.loads((encoder / "config.json").read_text()) | {"model_type": "zorg"}
    (tmp_path / "bare" / "config.json").write_text(json.dumps(settings))
    refused(["adapt", str(tmp_path / "bare"), *good[2:]], "model_type='zorg' is not known")
    refused([*good, "--pairs", str(tmp_path / "one.jsonl")], "one.jsonl: holds one pair")
    refused([*good, "--pairs", str(tmp_path / "bad.jsonl")], "bad.jsonl line 2: no field 'positive'")
    refused([*good, "--sts", str(tmp_path / "bad.jsonl")], "bad.jsonl line 2: no field 'positive'")
    refused([*good, "--set", "tuning.step=3"], "did you mean 'steps'")
    refused([*good, "--minutes", "0"], "minutes=0.* must be above 0")
    refused([*good, "--lang", "xx"], "lang='xx' must be auto or one of")
    refused([*good[:-1], str(tmp_path / "taken")], "is a folder that is not empty")
    refused([*good[:-1], str(tmp_path / "taken"), "--force"], "was not made by inlay adapt")
    (tmp_path / "tuned.part").mkdir()
    (tmp_path / "tuned.part" / "mine.txt").write_text("mine")
    refused(good, "tuned.part holds 'mine.txt', but the stages are kept there")
