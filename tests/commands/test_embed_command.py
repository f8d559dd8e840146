"""inlay embed and info with encoders: every option reaches the vectors, and what a folder holds is said."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inlay.cli import run
from inlay.convert import save_model
from inlay.embed.context import ContextEmbedder
from inlay.embed.dense import Dense
from inlay.embed.embedder import load
from inlay.embed.folder_save import save_embedder
from inlay.embed.layers import Concat
from inlay.embed.long import LateChunks, Truncate, Windows
from inlay.embed.pool import CLS, Max
from inlay.model.presets import preset
from inlay.tokenize.kinds import WordPiece
from inlay.tokenize.tokenizer import Tokenizer

TEXTS = ["the river is cold", "fire of the rain " * 9, "", "stone"]
DIM = 16
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = Tokenizer.train(TEXTS, WordPiece(size=80))
    bert = preset("bert-tiny")
    stack = replace(bert.encoder, d_model=DIM, n_heads=2, d_ffn=24, n_layers=2)
    config = replace(bert, input=replace(bert.input, vocab_size=tokenizer.size), encoder=stack, heads=())
    place = tmp_path_factory.mktemp("plain") / "bert"
    save_model(config.build(seed=4), place, tokenizer=tokenizer)
    return place


@pytest.fixture(scope="module")
def saved(plain: Path) -> Path:
    opened = load(plain)
    assert isinstance(opened, ContextEmbedder)
    prompts = {"query": "fire ", "document": ""}
    save_embedder(opened.changed(max_length=12, prompts=prompts, default_prompt="query"), plain.parent / "saved")
    return plain.parent / "saved"


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    rows = "".join(json.dumps({"_id": str(number), "text": text}) + "\n" for number, text in enumerate(TEXTS))
    (tmp_path / "texts.jsonl").write_text(rows)
    return tmp_path / "texts.jsonl"


def told(capsys: Capture, *words: object) -> Any:
    capsys.readouterr()
    assert run(["-q", *map(str, words), "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("options", "changes", "asked"),
    [
        ([], {}, {}),
        (["--prompt", "document"], {}, {"prompt": "document"}),
        (["--dim", "5", "--batch-size", "2"], {}, {"dim": 5}),
        (["--long", "tail"], {"long": Truncate(keep="tail")}, {}),
        (["--long", "both", "--exact"], {"long": Truncate(keep="both")}, {"exact": True}),
        (["--long", "windows"], {"long": Windows()}, {}),
        (["--long", "late-chunks", "--on-drop", "error"], {"long": LateChunks()}, {}),
        (["--backend", "torch", "--device", "cpu"], {}, {}),
        (["--backend", "lean"], {}, {}),
    ],
    ids=str,
)
def test_every_option_is_that_of_encode(
    options: list[str],
    changes: dict[str, Any],
    asked: dict[str, Any],
    saved: Path,
    lines: Path,
    tmp_path: Path,
    capsys: Capture,
) -> None:
    found = told(capsys, "embed", saved, lines, "--out", tmp_path / "x.npy", *options)
    embedder = load(saved)
    assert isinstance(embedder, ContextEmbedder)
    expected, report = embedder.changed(**changes).encode(TEXTS, report=True, **asked)
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), expected, atol=1e-6)
    assert {key: found[key] for key in ("texts", "tokens", "dropped", "shortened", "unknown", "empty")} == vars(report)


def test_dropped_tokens_stand_in_the_line_at_the_end(saved: Path, lines: Path, tmp_path: Path, capsys: Capture) -> None:
    assert run(["-q", "embed", str(saved), str(lines), "--out", str(tmp_path / "x.npy")]) == 0
    dropped = load(saved).encode(TEXTS, report=True)[1].dropped
    assert f"{dropped:,} dropped" in capsys.readouterr().out
    assert run(["-q", "embed", str(saved), str(lines), "--out", str(tmp_path / "y.npy"), "--on-drop", "error"]) == 1
    assert "error: document '1' has " in capsys.readouterr().err
    assert not (tmp_path / "y.npy").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--prompt", "qery"], "prompt='qery' is unknown; did you mean 'query'"),
        (["--dim", "17"], "dim=17 must lie between 1 and 16"),
        (["--backend", "lean", "--device", "cuda"], "which runs on the CPU"),
    ],
)
def test_what_cannot_be_asked_is_one_line_before_anything_is_read(
    options: list[str], message: str, saved: Path, lines: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert run(["embed", str(saved), str(lines), "--out", str(tmp_path / "x.npy"), *options]) == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["texts.jsonl"]


def test_info_says_how_an_embedder_reads(saved: Path, plain: Path, tmp_path: Path, capsys: Capture) -> None:
    found = told(capsys, "info", saved)
    expected = {
        "kind": "encoder",
        "layout": "sentence-transformers",
        "family": "bert",
        "layers": "2",
        "dim": DIM,
        "pooling": "Mean",
        "of_layer": "the last",
        "dense": "none",
        "normalized": True,
        "max_length": 12,
        "longer_texts": "cut, head kept",
        "prompts": "query: 'fire '",
        "default_prompt": "query",
        "backend": "lean",
    }
    assert {key: found[key] for key in expected} == expected
    assert found["checksums"].endswith("files as written")
    opened = load(plain)
    assert isinstance(opened, ContextEmbedder)
    rng = np.random.default_rng(0)
    dense = Dense(weight=rng.standard_normal((7, 64)).astype(np.float32), activation="relu")
    config = replace(opened.config, pools=(CLS(), Max()), layer=Concat(layers=(-2, -1)), long=Windows(stride=4))
    other = ContextEmbedder(opened.tokenizer, opened.backend, config, [dense])
    other.source = opened.source
    save_embedder(other, tmp_path / "other")
    found = told(capsys, "info", tmp_path / "other")
    assert (found["dim"], found["pooling"], found["dense"]) == (7, "CLS, Max", "64 to 7, relu")
    assert (found["of_layer"], found["longer_texts"]) == ("Concat(layers=(-2, -1))", "Windows(stride=4)")


def test_info_of_a_transformer_without_a_tokenizer_says_that_it_embeds_nothing(
    plain: Path, tmp_path: Path, capsys: Capture
) -> None:
    from inlay.convert import load_model

    save_model(load_model(plain), tmp_path / "bare")
    found = told(capsys, "info", tmp_path / "bare")
    assert found["kind"] == "Transformer"
    assert found["embeds"].startswith("no: ")
    assert "tokenizer" in found["embeds"]
