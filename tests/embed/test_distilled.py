"""Distilled static models: an encoder's word for each token, and equal vectors from model2vec and its peers."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from inlay.embed.context import ContextEmbedder
from inlay.embed.distilled import Distil, distil_static, principal
from inlay.embed.embedder import load
from inlay.embed.static import StaticEmbedder, is_static
from inlay.embed.tune import Tune
from inlay.errors import InputError
from inlay.text.pairs import Pair
from inlay.tokenize.kinds import WordPiece
from inlay.tokenize.tokenizer import Tokenizer

TEXTS = [
    "the oven is hot, and the bread is brown",
    "",
    "☃ snow ☃",
    "a loaf of sourdough bread; a hot pan!",
    "unseen 嵌入 words",
    "the " * 700 + "pan",
]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> ContextEmbedder:
    pytest.importorskip("torch")
    from inlay.convert import save_model
    from inlay.model.presets import preset

    tokenizer = Tokenizer.train(TEXTS[:1] * 5, WordPiece(size=120))
    bert = preset("bert-tiny")
    config = replace(bert, input=replace(bert.input, vocab_size=tokenizer.size), heads=())
    folder = tmp_path_factory.mktemp("encoder")
    save_model(config.build(seed=0), folder, tokenizer=tokenizer, force=True)
    return ContextEmbedder.load(folder)


def model2vec() -> Any:
    return pytest.importorskip("model2vec").StaticModel


# --- distilling


def test_a_row_is_the_encoders_vector_of_its_token(encoder: ContextEmbedder) -> None:
    static = distil_static(encoder, Distil(dim=encoder.dim, sif=1 - 1e-9))
    whole = [token for token in encoder.tokenizer.vocabulary if token.isalpha()]
    alone = encoder.changed(normalize=False).encode(whole).astype(np.float64)
    rows = static.table[[static.tokenizer.id(token) for token in whole]]
    # Turning all vectors alike changes no distance between them.
    ours, theirs = (np.linalg.norm(v[:, None] - v[None], axis=-1) for v in (rows, alone))
    share = np.linalg.norm(ours) / np.linalg.norm(theirs)
    assert 0.9 < share < 1.1  # weights of nearly 1
    spread = np.abs(ours - theirs).max() / theirs.max()
    assert spread < 0.1


def test_specials_have_no_row_and_dimensions_fall_in_strength(encoder: ContextEmbedder) -> None:
    static = distil_static(encoder, Distil(dim=16))
    for token in encoder.tokenizer.roles.values():
        assert not static.table[static.tokenizer.id(token)].any()
    vectors = np.random.default_rng(0).standard_normal((50, 8), np.float32) * np.arange(1, 9, dtype=np.float32)
    turned = principal(vectors, 5)
    assert (np.diff(turned.var(axis=0)) < 0).all()
    np.testing.assert_allclose(turned.mean(axis=0), 0, atol=1e-5)
    assert turned.tobytes() == principal(vectors, 5).tobytes()


def test_words_are_whole_tokens_and_others_fall_into_the_encoders_pieces(encoder: ContextEmbedder) -> None:
    static = distil_static(encoder, Distil(dim=8), words=["sourdough", "嵌入"])
    assert static.tokenizer.tokens("Sourdough bread") == ["sourdough", *static.tokenizer.tokens("bread")]
    assert static.table[static.tokenizer.id("sourdough")].any()
    assert static.table[static.tokenizer.id("嵌入")].shape == (8,)


def test_frequent_tokens_weigh_less(encoder: ContextEmbedder) -> None:
    plain, weighed = distil_static(encoder, Distil(dim=8)), distil_static(encoder, Distil(dim=8), texts=["the the the"])
    at, other = (plain.tokenizer.id(token) for token in ("the", "bread"))
    lengths = np.linalg.norm(weighed.table, axis=1)
    assert lengths[at] < 0.01 * lengths[other]


def test_tuning_moves_the_table_and_not_the_unknown_token(encoder: ContextEmbedder) -> None:
    pairs = [Pair(query=f"bread {i}", positive=f"loaf {i} ☃", document=i, kind="title") for i in range(8)]
    config = Distil(dim=8, tune=Tune(steps=3, batch=4))
    tuned = distil_static(encoder, config, pairs=pairs)
    assert not np.allclose(tuned.table, distil_static(encoder, replace(config, tune=None)).table)
    assert not tuned.table[tuned.tokenizer.id("[UNK]")].any()
    assert np.array_equal(tuned.table, distil_static(encoder, config, pairs=pairs).table)


@pytest.mark.parametrize("dim", [0, 100_000])
def test_a_dim_out_of_range_is_told(encoder: ContextEmbedder, dim: int) -> None:
    with pytest.raises(InputError, match=f"dim={dim} must"):
        distil_static(encoder, Distil(dim=dim))


# --- folders of others


@pytest.mark.parametrize("words", [(), ("sourdough", "oven", "嵌入")])
def test_all_three_libraries_give_equal_vectors(encoder: ContextEmbedder, words: Any, tmp_path: Path) -> None:
    ours = distil_static(encoder, Distil(dim=24), words=words)
    ours.save(tmp_path)
    expected = ours.encode(TEXTS)
    np.testing.assert_array_equal(load(tmp_path).encode(TEXTS), expected)
    np.testing.assert_allclose(model2vec().from_pretrained(tmp_path).encode(TEXTS), expected, atol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = pytest.importorskip("sentence_transformers")
        theirs = peer.SentenceTransformer(str(tmp_path), device="cpu")
    np.testing.assert_allclose(theirs.encode(TEXTS), expected, atol=1e-6)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("modules", [True, False])
def test_we_read_what_model2vec_writes(normalize: bool, shared: bool, modules: bool, tmp_path: Path) -> None:
    tokenizer = Tokenizer.train(TEXTS[:1] * 5, WordPiece(size=120))
    rng = np.random.default_rng(0)
    rows = 30 if shared else tokenizer.size
    theirs = model2vec()(
        rng.standard_normal((rows, 12), np.float32),
        tokenizer._engine,
        normalize=normalize,
        weights=rng.random(tokenizer.size).astype(np.float32) if shared else None,
        token_mapping=rng.integers(0, rows, tokenizer.size) if shared else None,
        max_length=None,
    )
    theirs.config |= {"model_type": "model2vec", "architectures": ["StaticModel"]}
    theirs.save_pretrained(tmp_path)
    if not modules:
        (tmp_path / "modules.json").unlink()
    assert is_static(tmp_path)
    ours = StaticEmbedder.load(tmp_path)
    np.testing.assert_allclose(ours.encode(TEXTS), theirs.encode(TEXTS), atol=1e-6)
    assert ours.encode(TEXTS, report=True)[1].unknown > 0
    ours.save(tmp_path / "again")
    np.testing.assert_array_equal(StaticEmbedder.load(tmp_path / "again").encode(TEXTS), ours.encode(TEXTS))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mapping", np.full(9, 999)),
        ("mapping", np.zeros((2, 2), int)),
        ("mapping", np.zeros(9)),
        ("weights", np.ones(3)),
    ],
)
def test_a_damaged_mapping_is_told(name: str, value: Any, tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_vocabulary(["a", "b"])
    StaticEmbedder(tokenizer, np.ones((tokenizer.size, 4), np.float32), skip_unknown=True).save(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    save_file(tensors | {name: value}, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=f"its '{name}'"):
        StaticEmbedder.load(tmp_path)
