"""`inlay shards`: what it prints, what it keeps, and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from inlay.cli import run
from inlay.text.shardfile import Shards

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def tokenizer(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "tokenizer"
    assert run(["-q", "tokenizer", "train", str(corpus), "--size", "300", "--out", str(folder)]) == 0
    return folder


def shards(source: Path, tokenizer: Path, out: Path, *flags: str) -> list[str]:
    return ["-q", "shards", str(source), "--tokenizer", str(tokenizer), "--out", str(out), *flags]


def test_it_counts_what_it_made_and_does_it_once(
    corpus: Path, tokenizer: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "shards"
    assert run(shards(corpus, tokenizer, out, "--held-out", "0.2", "--json")) == 0
    tree = json.loads(capsys.readouterr().out)
    assert tree["train"]["documents"] + tree["heldout"]["documents"] == 90
    assert tree["tokens_per_s"] > 0
    assert tree["unknown"] == 0
    facts = Shards.open(out).facts
    assert (facts.train.tokens, facts.held_out, facts.words) == (tree["train"]["tokens"], 0.2, False)
    assert run(shards(corpus, tokenizer, out, "--held-out", "0.2")) == 0
    shown = capsys.readouterr().out
    assert f"{facts.train.tokens:,}" in shown
    assert "tokens/s" not in shown
    assert run(shards(corpus, tokenizer, out, "--held-out", "0.2", "--force")) == 0
    assert "tokens/s" in capsys.readouterr().out


def test_its_flags_are_its_settings(corpus: Path, tokenizer: Path, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    assert (
        run(shards(corpus, tokenizer, out, "--words", "--sentences", "--lang", "en", "--seed", "3", "--workers", "2"))
        == 0
    )
    facts = Shards.open(out).facts
    assert (facts.words, facts.sentences, facts.lang, facts.seed) == (True, True, "en", 3)


def test_what_is_wrong_is_one_line(
    corpus: Path, tokenizer: Path, tmp_path: Path, refused: Callable[[list[str], str], None]
) -> None:
    one, done, full = tmp_path / "one.txt", tmp_path / "done", tmp_path / "full"
    one.write_text("A single document. Of two sentences.")
    full.mkdir()
    (full / "notes.txt").write_text("mine")
    assert run(shards(corpus, tokenizer, done)) == 0
    out = tmp_path / "out"
    refused(shards(one, tokenizer, out), "one document.*unit: paragraph.*held-out: 0")
    refused(shards(tmp_path / "nowhere", tokenizer, out), "no such file")
    refused(shards(corpus, tmp_path / "nowhere", out), "nowhere")
    refused(shards(corpus, tokenizer, out, "--held-out", "2"), "held_out=2 must be a share")
    refused(shards(corpus, tokenizer, out, "--lang", "klingon"), "'klingon' is not known")
    refused(shards(corpus, tokenizer, out, "--lang", "zh"), "none are; add --words")
    refused(shards(Path("python-docs"), tokenizer, one), "one.txt is a file, and shards are a folder")
    refused(shards(corpus, tokenizer, full), "holds no shards; give another --out")
    refused(shards(corpus, tokenizer, full, "--force"), "holds no shards; give another --out")
    refused(shards(corpus, tokenizer, done, "--seed", "1"), "config.seed was 0 and is 1 now")


def test_ctrl_c_says_how_to_go_on(
    corpus: Path, tokenizer: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("inlay.text.shards._finish", interrupted)
    assert run(shards(corpus, tokenizer, tmp_path / "out")) == 130
    assert "give the same command again" in capsys.readouterr().err
    monkeypatch.undo()
    assert run(shards(corpus, tokenizer, tmp_path / "out")) == 0
