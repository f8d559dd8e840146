"""Embedding into a file by an encoder: a row for each document, the same after any break; drops are said."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inlay.convert import save_model
from inlay.embed import store
from inlay.embed.context import ContextEmbedder, EmbedConfig
from inlay.embed.embedder import load
from inlay.embed.folder_save import save_embedder
from inlay.embed.long import Windows
from inlay.embed.store import embed_file
from inlay.errors import InputError
from inlay.model.presets import preset
from inlay.text.document import Document
from inlay.tokenize.kinds import WordPiece
from inlay.tokenize.tokenizer import Tokenizer

ROWS = 700  # two full shards of 256 rows and a short one
DIM = 16
WORDS = ["river", "stone", "fire", "rain", "cold", "warm", "水", "石头", "the", "of"]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two narrow layers that reads 24 tokens, with a prompt, as a folder of sentence-transformers."""
    place = tmp_path_factory.mktemp("narrow")
    tokenizer = Tokenizer.train([" ".join(WORDS)] * 9, WordPiece(size=300))
    bert = preset("bert-tiny")
    stack = replace(bert.encoder, d_model=DIM, n_heads=2, d_ffn=24, n_layers=2)
    config = replace(bert, input=replace(bert.input, vocab_size=tokenizer.size), encoder=stack, heads=())
    save_model(config.build(seed=4), place / "bert", tokenizer=tokenizer)
    bare = load(place / "bert")
    assert isinstance(bare, ContextEmbedder)
    made = ContextEmbedder(bare.tokenizer, bare.backend, EmbedConfig(max_length=24, prompts={"query": "fire of "}))
    made.source = bare.source
    save_embedder(made, place / "model")
    return place / "model"


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_SHARD_FLOATS", 1)


def documents(n: int = ROWS, *, long: bool = False) -> list[Document]:
    """Texts of 0 to 12 words, or with some that are longer than fits."""
    rng = random.Random(5)
    sizes = [rng.choice((0, 1, 3, 12, 40 if long else 12)) for _ in range(n)]
    return [Document(id=f"d{i}", text=" ".join(rng.choices(WORDS, k=size))) for i, size in enumerate(sizes)]


def vectors(out: Path) -> np.ndarray:
    if out.suffix == ".npy":
        return np.load(out, allow_pickle=False)
    if out.suffix == ".jsonl":
        return np.array([json.loads(line)["vector"] for line in out.read_text().splitlines()], np.float32)
    parquet = pytest.importorskip("pyarrow.parquet")
    return np.array(parquet.read_table(out)["vector"].to_pylist(), np.float32)


def everything(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def breaking(given: list[Document], after: int) -> Iterator[Document]:
    yield from given[:after]
    raise KeyboardInterrupt


@pytest.mark.parametrize(("suffix", "batch_size"), [(".npy", 3), (".parquet", 64), (".jsonl", 1024)])
def test_each_document_has_the_vector_that_it_has_alone(
    suffix: str, batch_size: int, model: Path, tmp_path: Path
) -> None:
    embedder, given = load(model), documents(300)
    report = embed_file(embedder, given, tmp_path / f"x{suffix}", batch_size=batch_size)
    expected = np.concatenate([embedder.encode([document.full]) for document in given])
    np.testing.assert_allclose(vectors(tmp_path / f"x{suffix}"), expected, atol=1e-6)
    assert report.texts == 300
    assert report.dropped == 0


def test_exact_rows_have_the_same_bits_whatever_the_batch(model: Path, tmp_path: Path) -> None:
    embedder, given = load(model), documents(300)
    for batch_size in (7, 300):
        embed_file(embedder, given, tmp_path / f"{batch_size}.npy", batch_size=batch_size, exact=True)
    assert (tmp_path / "7.npy").read_bytes() == (tmp_path / "300.npy").read_bytes()


@pytest.mark.parametrize(("suffix", "after"), [(".npy", 100), (".parquet", 256), (".jsonl", 600)])
def test_a_run_that_was_cancelled_leaves_valid_parts_and_goes_on_to_the_same_bytes(
    suffix: str, after: int, model: Path, tmp_path: Path
) -> None:
    embedder, given = load(model), documents(long=True)
    whole, broken = tmp_path / "whole" / f"x{suffix}", tmp_path / "broken" / f"x{suffix}"
    expected = embed_file(embedder, given, whole, batch_size=50, prompt="query")
    with pytest.raises(KeyboardInterrupt):
        embed_file(embedder, breaking(given, after), broken, batch_size=50, prompt="query")
    parts = sorted(broken.parent.rglob("*.f32"))
    assert len(parts) == after // 256
    kept = np.concatenate([np.fromfile(part, "<f4").reshape(-1, DIM) for part in parts] or [np.zeros((0, DIM))])
    np.testing.assert_allclose(kept, vectors(whole)[: len(kept)], atol=1e-6)
    assert embed_file(load(model), given, broken, batch_size=50, prompt="query", resume=True) == expected
    assert everything(broken.parent) == everything(whole.parent)


@pytest.mark.parametrize("backend", ["lean", "torch"])
def test_another_batch_size_and_backend_go_on_with_the_same_work(backend: Any, model: Path, tmp_path: Path) -> None:
    given, out = documents(), tmp_path / "x.npy"
    with pytest.raises(KeyboardInterrupt):
        embed_file(load(model), breaking(given, 600), out, batch_size=50)
    embed_file(load(model, backend=backend), given, out, batch_size=7, resume=True)
    np.testing.assert_allclose(vectors(out), load(model).encode([one.full for one in given]), atol=1e-6)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"prompt": "query"}, "the model gives other vectors than it gave"),
        ({"dim": 4}, "vectors have 4 dimensions now, and had 16"),
    ],
)
def test_what_is_asked_otherwise_cannot_be_resumed(
    asked: dict[str, Any], message: str, model: Path, tmp_path: Path
) -> None:
    given, out = documents(), tmp_path / "x.npy"
    with pytest.raises(KeyboardInterrupt):
        embed_file(load(model), breaking(given, 600), out)
    before = everything(tmp_path)
    with pytest.raises(InputError, match=message):
        embed_file(load(model), given, out, resume=True, **asked)
    assert everything(tmp_path) == before


def test_a_prompt_and_fewer_dimensions_are_those_of_encode(model: Path, tmp_path: Path) -> None:
    given = documents(40)
    embed_file(load(model), given, tmp_path / "x.npy", prompt="query", dim=5)
    expected = load(model).encode([one.full for one in given], prompt="query", dim=5)
    np.testing.assert_allclose(vectors(tmp_path / "x.npy"), expected, atol=1e-6)
    for asked, message in (({"prompt": "qery"}, "prompt='qery' is unknown"), ({"dim": 17}, "dim=17 must lie between")):
        with pytest.raises(InputError, match=message):
            embed_file(load(model), given, tmp_path / "y.npy", **asked)  # type: ignore[arg-type]
        assert not (tmp_path / "y.npy").exists()


def test_dropped_tokens_are_counted_or_end_the_work_with_the_documents_name(model: Path, tmp_path: Path) -> None:
    given = documents(300, long=True)
    report = embed_file(load(model), given, tmp_path / "x.npy")
    too_long = [one.id for one in given if len(one.text.split()) == 40]
    assert report.shortened == len(too_long)
    assert report.dropped >= 16 * len(too_long)
    with pytest.raises(InputError, match=r"^document 'd\d+' has \d+ tokens, \d+ more than the 22 that fit") as caught:
        embed_file(load(model), given, tmp_path / "y.npy", on_drop="error")
    assert str(caught.value).split("'")[1] in too_long
    assert not (tmp_path / "y.npy").exists()
    bare = load(model)
    assert isinstance(bare, ContextEmbedder)
    whole = ContextEmbedder(bare.tokenizer, bare.backend, replace(bare.config, long=Windows()))
    assert embed_file(whole, given, tmp_path / "z.npy", on_drop="error").dropped == 0


SLOW = """
import sys, time
sys.path.insert(0, {tests!r})
from test_store_encoder import documents, store, load, embed_file
store._SHARD_FLOATS = 1
def slowly():
    for document in documents(900, long=True):
        time.sleep(0.0005)
        yield document
embed_file(load({model!r}), slowly(), sys.argv[1], batch_size=16, resume=True)
"""


def test_kills_at_random_moments_leave_every_row_exactly_once(model: Path, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole" / "x.jsonl", tmp_path / "killed" / "x.jsonl"
    embed_file(load(model), documents(900, long=True), whole, batch_size=16)
    script = SLOW.format(tests=str(Path(__file__).parent), model=str(model))
    rng = random.Random()
    for _ in range(2):
        with subprocess.Popen([sys.executable, "-c", script, str(out)], stderr=subprocess.DEVNULL) as process:
            seen = shards(out)
            while process.poll() is None and shards(out) <= seen:
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 0.1))
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        assert not out.exists()
    embed_file(load(model), documents(900, long=True), out, batch_size=16, resume=True)
    ids = [json.loads(line)["id"] for line in out.read_text().splitlines()]
    assert ids == [f"d{i}" for i in range(900)]
    np.testing.assert_allclose(vectors(out), vectors(whole), atol=1e-6)


def shards(out: Path) -> int:
    try:
        return len(json.loads((out.parent / f".{out.name}.parts" / "ledger.json").read_text())["shards"])
    except FileNotFoundError:
        return 0
