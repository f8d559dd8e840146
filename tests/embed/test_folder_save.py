"""save_embedder: the same vectors for everyone who opens the folder; it is whole, or it is not there."""

import errno
import json
import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inlay.convert import save_model
from inlay.embed.backend import open_backend
from inlay.embed.context import ContextEmbedder, EmbedConfig
from inlay.embed.dense import Dense
from inlay.embed.embedder import load
from inlay.embed.folder import read_folder, save_embedder
from inlay.embed.layers import At, Concat, Mix
from inlay.embed.long import LateChunks, Windows
from inlay.embed.pool import CLS, Last, Max, Mean, MeanSqrt, Weighted
from inlay.embed.static import StaticEmbedder
from inlay.errors import InputError
from inlay.files import verify_checksums
from inlay.model.presets import preset
from inlay.tokenize.kinds import WordPiece
from inlay.tokenize.tokenizer import Tokenizer

TEXTS = ["The river is cold.", "fire in the rain", "", "Warm air of the river " * 20, "水和石头", "water"]
DIM = 32


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = Tokenizer.train(TEXTS, WordPiece(size=100))
    bert = preset("bert-tiny")
    stack = replace(bert.encoder, d_model=DIM, n_heads=2, d_ffn=48, n_layers=3)
    config = replace(bert, input=replace(bert.input, vocab_size=tokenizer.size), encoder=stack, heads=())
    place = tmp_path_factory.mktemp("encoder") / "bert"
    save_model(config.build(seed=2), place, tokenizer=tokenizer)
    return place


def embedder(encoder: Path, backend: Any = "torch", dense: tuple[Dense, ...] = (), **config: Any) -> ContextEmbedder:
    opened = load(encoder, backend=backend)
    assert isinstance(opened, ContextEmbedder)
    made = ContextEmbedder(opened.tokenizer, opened.backend, EmbedConfig(**config), dense)
    made.source = encoder
    return made


def linear(*size: int, activation: Any = "tanh", bias: bool = True) -> Dense:
    rng = np.random.default_rng(size)
    weight = rng.standard_normal(size[::-1]).astype(np.float32) / 4
    return Dense(weight=weight, bias=weight[:, 0].copy() if bias else None, activation=activation)


CONFIGS: dict[str, tuple[tuple[Dense, ...], dict[str, Any]]] = {
    "mean": ((), {}),
    "cls, of any length": ((), {"pools": (CLS(),), "normalize": False, "max_length": 16}),
    "all pools": ((), {"pools": (CLS(), Max(), Mean(), MeanSqrt(), Weighted(), Last()), "max_length": 20}),
    "pools in another order": ((), {"pools": (Mean(), CLS())}),
    "dense": ((linear(DIM, 12), linear(12, 8, activation="identity", bias=False)), {}),
    "gelu, not normalised": ((linear(DIM, 9, activation="gelu"),), {"normalize": False}),
    "prompts": ((), {"prompts": {"query": "fire ", "document": ""}, "default_prompt": "query"}),
    "prompt not pooled": ((), {"prompts": {"q": "fire "}, "default_prompt": "q", "pool_prompt": False}),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_saved_embedder_has_the_same_vectors_everywhere(name: str, encoder: Path, tmp_path: Path) -> None:
    dense, config = CONFIGS[name]
    ours = embedder(encoder, dense=dense, **config)
    save_embedder(ours, tmp_path / "saved")
    expected = ours.encode(TEXTS)
    again = load(tmp_path / "saved")
    np.testing.assert_allclose(again.encode(TEXTS), expected, atol=2e-6 * max(1, np.abs(expected).max()))
    assert again.dim == ours.dim
    pytest.importorskip("sentence_transformers")
    from sentence_transformers import SentenceTransformer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    texts = [text for text in TEXTS if text] if "not pooled" in name else TEXTS
    found = theirs.encode(texts, show_progress_bar=False)
    kept = [at for at, text in enumerate(TEXTS) if text in texts]
    np.testing.assert_allclose(found, expected[kept], atol=2e-6 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize(
    "config",
    [
        {"layer": At(layer=-2)},
        {"layer": Concat(layers=(-2, -1))},
        {"layer": Mix(layers=(0, 3), weights=(0.25, 0.75)), "pools": (Max(), CLS())},
        {"long": Windows(), "max_length": 12},
        {"long": LateChunks(stride=4), "max_length": 12},
        {"dim": 5},
    ],
    ids=str,
)
def test_what_only_inlay_knows_comes_back_too(config: dict[str, Any], encoder: Path, tmp_path: Path) -> None:
    ours = embedder(encoder, **config)
    save_embedder(ours, tmp_path / "saved")
    again = load(tmp_path / "saved")
    assert isinstance(again, ContextEmbedder)
    np.testing.assert_allclose(again.encode(TEXTS), ours.encode(TEXTS), atol=2e-6)
    assert again.config == replace(ours.config, max_length=ours.max_length)
    assert again.encode(TEXTS, report=True)[1] == ours.encode(TEXTS, report=True)[1]


def test_sentence_transformers_refuses_rows_of_another_layer_rather_than_read_the_last(
    encoder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("sentence_transformers")
    from sentence_transformers import SentenceTransformer

    save_embedder(embedder(encoder, layer=At(layer=1)), tmp_path / "saved")
    with pytest.raises(Exception, match=r"inlay\.Pooling|trust_remote_code"):
        SentenceTransformer(str(tmp_path / "saved"), device="cpu")


@pytest.mark.parametrize("backend", ["torch", "lean"])
def test_the_weights_are_those_of_the_folder_whatever_runs_them(backend: Any, encoder: Path, tmp_path: Path) -> None:
    from inlay.convert import weights

    save_embedder(embedder(encoder, backend), tmp_path / "saved")
    before, after = weights.read(encoder), weights.read(tmp_path / "saved")
    assert set(before) == set(after)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    save_embedder(load(tmp_path / "saved", backend=backend), tmp_path / "again")
    assert load(tmp_path / "again").encode(TEXTS).tobytes() == load(tmp_path / "saved").encode(TEXTS).tobytes()


def test_a_model_that_was_trained_is_saved_as_it_is_now(encoder: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    ours = embedder(encoder)
    before = ours.encode(TEXTS)
    with torch.no_grad():
        ours.backend.model.input.token.weight.mul_(1.5)  # type: ignore[attr-defined]
    save_embedder(ours, tmp_path / "saved")
    np.testing.assert_allclose(load(tmp_path / "saved").encode(TEXTS), ours.encode(TEXTS), atol=2e-6)
    assert not np.allclose(load(tmp_path / "saved").encode(TEXTS), before, atol=1e-3)


def test_the_folder_has_the_files_of_the_classic_layout(encoder: Path, tmp_path: Path) -> None:
    save_embedder(embedder(encoder, dense=(linear(DIM, 8),)), tmp_path / "saved")
    names = {file.relative_to(tmp_path / "saved").as_posix() for file in (tmp_path / "saved").rglob("*")}
    assert names >= {
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "modules.json",
        "1_Pooling/config.json",
        "2_Dense/config.json",
        "2_Dense/model.safetensors",
        "3_Normalize/config.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
        "inlay.json",
        "checksums.json",
    }
    assert json.loads((tmp_path / "saved" / "1_Pooling" / "config.json").read_text())["pooling_mode_mean_tokens"]
    assert verify_checksums(tmp_path / "saved") == len([name for name in names if "." in name.rpartition("/")[2]]) - 2
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "saved").rglob("*") if file.is_file()} == {0o644}
    (tmp_path / "saved" / "README.md").write_text("edited")
    load(tmp_path / "saved")


def test_a_static_model_is_saved_with_its_sums(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_vocabulary(["fire", "water"])
    table = np.random.default_rng(0).standard_normal((tokenizer.size, 5)).astype(np.float32)
    ours = StaticEmbedder(tokenizer, table)
    save_embedder(ours, tmp_path / "saved", card="# mine\n")
    assert verify_checksums(tmp_path / "saved") > 3
    assert (tmp_path / "saved" / "README.md").read_text() == "# mine\n"
    assert np.array_equal(load(tmp_path / "saved").encode(TEXTS), ours.encode(TEXTS))


def test_nothing_but_a_model_is_replaced_and_only_by_force(encoder: Path, tmp_path: Path) -> None:
    ours = embedder(encoder)
    save_embedder(ours, tmp_path / "saved")
    with pytest.raises(InputError, match="--force"):
        save_embedder(ours, tmp_path / "saved")
    save_embedder(embedder(encoder, pools=(CLS(),)), tmp_path / "saved", force=True)
    assert read_folder(tmp_path / "saved").config.pools == (CLS(),)
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("x")
    with pytest.raises(InputError, match="is no model .* only a model is replaced"):
        save_embedder(ours, tmp_path / "letters", force=True)
    assert (tmp_path / "letters" / "dear.txt").read_text() == "x"


@pytest.mark.parametrize("fatal", range(0, 30, 5))
def test_a_full_disk_leaves_the_old_model_whole(
    fatal: int, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = embedder(encoder)
    place = tmp_path / "saved"
    save_embedder(embedder(encoder, pools=(CLS(),)), place)
    before = {file: file.read_bytes() for file in place.rglob("*") if file.is_file()}
    fsync, done = os.fsync, 0

    def full(handle: int) -> None:
        nonlocal done
        done += 1
        if done > fatal:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    with monkeypatch.context() as faults:
        faults.setattr(os, "fsync", full)
        with pytest.raises(InputError, match="the disk is full"):
            save_embedder(ours, place, force=True)
    if {file: file.read_bytes() for file in place.rglob("*") if file.is_file()} != before:
        assert read_folder(place).config.pools == (Mean(),), "old or new, never a mix"
    verify_checksums(place)
    load(place)
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_a_saved_folder_may_be_the_one_that_is_open(encoder: Path, tmp_path: Path) -> None:
    save_embedder(embedder(encoder), tmp_path / "saved")
    ours = load(tmp_path / "saved")
    before = ours.encode(TEXTS)
    save_embedder(ours, tmp_path / "saved", force=True)
    assert ours.encode(TEXTS).tobytes() == before.tobytes()
    assert load(tmp_path / "saved").encode(TEXTS).tobytes() == before.tobytes()


def test_an_embedder_without_a_folder_says_so(encoder: Path, tmp_path: Path) -> None:
    opened = load(encoder)
    made = ContextEmbedder(opened.tokenizer, open_backend(encoder, "lean"))  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="was not opened from a folder"):
        save_embedder(made, tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_a_name_on_the_hub_is_opened_from_its_cache_where_files_are_links(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    save_embedder(embedder(encoder, dense=(linear(DIM, 8),), prompts={"q": "fire "}), tmp_path / "saved")
    home, commit = tmp_path / "cache" / "models--someone--small", "0" * 40
    for number, file in enumerate(sorted(path for path in (tmp_path / "saved").rglob("*") if path.is_file())):
        link = home / "snapshots" / commit / file.relative_to(tmp_path / "saved")
        blob = home / "blobs" / f"{number:040}"
        for path in (link, blob):
            path.parent.mkdir(parents=True, exist_ok=True)
        file.rename(blob)
        link.symlink_to(os.path.relpath(blob, link.parent))
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    found = load("someone/small")
    expected = embedder(encoder, dense=(linear(DIM, 8),), prompts={"q": "fire "})
    np.testing.assert_allclose(found.encode(TEXTS, prompt="q"), expected.encode(TEXTS, prompt="q"), atol=2e-6)
    assert read_folder("someone/small").snapshot
    with pytest.raises(InputError, match="HF_HUB_OFFLINE"):
        load("someone/else")
