"""A model made smaller opens as it did, is as small as it should be, and gives nearly the same vectors."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import inlay
from inlay.convert.convert import load_model, save_model
from inlay.convert.weights import read
from inlay.embed.compress import (
    Depth,
    Dimensions,
    Half,
    Heads,
    Int8Weights,
    Magnitude,
    Vocabulary,
    Way,
    compress,
)
from inlay.embed.context import ContextEmbedder
from inlay.embed.quantise import quantise_rows
from inlay.embed.static import StaticEmbedder
from inlay.errors import InputError
from inlay.files import verify_checksums
from inlay.model.presets import preset, resize
from inlay.tensorfile import read_header
from inlay.tokenize.kinds import WordPiece
from inlay.tokenize.tokenizer import Tokenizer

TEXTS = [
    "knead the dough until it is smooth and elastic",
    "a hot oven and a cold plate",
    "salt, pepper; a pinch of sugar",
    "the sauce is thick and dark",
    "leave it to rest over night, then bake",
] * 4


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`bert` and `static`, with weights that are large enough for context and heads to matter."""
    place = tmp_path_factory.mktemp("models")
    tokenizer = Tokenizer.train(
        [*TEXTS, "words that no recipe has: quantum, lattice, fermion, boson"] * 2, WordPiece(size=200)
    )
    config = resize(preset("bert-tiny"), 4, 32, 4, 64, vocab_size=tokenizer.size)
    model = replace(config, heads=()).build(seed=3)
    for weight in model.parameters():
        if weight.ndim == 2:
            weight.data *= 5
    save_model(model, place / "bert", tokenizer=tokenizer)
    table = np.random.default_rng(0).standard_normal((tokenizer.size, 64)).astype(np.float32)
    (place / "static").mkdir()
    StaticEmbedder(tokenizer, table).save(place / "static")
    return place


def weight_bytes(folder: Path) -> int:
    return (folder / "model.safetensors").stat().st_size


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum(1).min())


@pytest.mark.parametrize("kind", ["bert", "static"])
@pytest.mark.parametrize(
    ("ways", "least", "most_share"),
    [
        ((), 1 - 1e-6, 1.01),
        ((Half(),), 0.9999, 0.56),
        ((Int8Weights(),), 0.999, 0.40),
        ((Vocabulary(),), 1 - 1e-6, 0.99),
        ((Magnitude(share=0.1),), 0.98, 1.01),
        ((Vocabulary(characters=False), Int8Weights()), 0.999, 0.35),
    ],
)
def test_each_way_makes_it_as_small_as_it_says_and_keeps_the_vectors(
    kind: str, ways: tuple[Way, ...], least: float, most_share: float, models: Path, tmp_path: Path
) -> None:
    compress(models / kind, tmp_path / "out", ways, texts=TEXTS)
    before, after = inlay.load(models / kind), inlay.load(tmp_path / "out")
    assert likeness(before.encode(TEXTS), after.encode(TEXTS)) >= least
    assert weight_bytes(tmp_path / "out") <= most_share * weight_bytes(models / kind) + 3000
    assert verify_checksums(tmp_path / "out") >= 5
    about = json.loads((tmp_path / "out" / "inlay.json").read_text())
    assert [way["kind"] for way in about["compressed"]["ways"]] == [type(way).__name__ for way in ways]


def test_both_backends_read_int8_weights_alike_and_the_file_says_how_they_lie(models: Path, tmp_path: Path) -> None:
    compress(models / "bert", tmp_path / "out", [Int8Weights()])
    entries, _ = read_header(tmp_path / "out" / "model.safetensors")
    names = [name for name, entry in entries.items() if entry.code == "I8"]
    assert names
    assert all(entries[f"{name}.scale"].shape == entries[name].shape[:1] for name in names)
    lean, torch = (ContextEmbedder.load(tmp_path / "out", backend=name) for name in ("lean", "torch"))
    assert (lean.backend.name, torch.backend.name) == ("lean", "torch")
    assert np.abs(lean.encode(TEXTS) - torch.encode(TEXTS)).max() < 1e-5
    weights = read(tmp_path / "out")
    assert not [name for name in weights if name.endswith(".scale")]
    before = read(models / "bert")
    for name in names:
        scale = np.abs(before[name].numpy()).max(axis=1, keepdims=True) / 127
        assert (np.abs(weights[name].numpy() - before[name].numpy()) <= scale * 0.5001).all()


def test_rows_keep_their_largest_number_and_rows_of_zeros_stay() -> None:
    codes, scales = quantise_rows(np.array([[0.5, -2.0, 1.0], [0, 0, 0]], np.float32))
    assert codes.tolist() == [[32, -127, 64], [0, 0, 0]]
    assert np.isclose(scales[0], 2 / 127)


def test_the_smallest_share_of_each_matrix_is_zero(models: Path, tmp_path: Path) -> None:
    compress(models / "bert", tmp_path / "out", [Magnitude(share=0.5)])
    model = load_model(tmp_path / "out")
    matrices = [w for n, w in model.named_parameters() if w.dim() == 2 and not n.startswith("input.")]
    assert matrices
    for matrix in matrices:
        assert abs(float((matrix == 0).float().mean()) - 0.5) < 0.01
        assert float(matrix.detach()[matrix != 0].abs().min()) > 0


def test_heads_go_that_matter_least_and_each_layer_keeps_one(models: Path, tmp_path: Path) -> None:
    model = load_model(models / "bert")
    assert model.encoder is not None
    out = model.encoder.block(2).attention.out.weight
    out.data[:, 8:24] = 0  # of layer 2, heads 1 and 2 say nothing
    save_model(model, tmp_path / "dull", tokenizer=Tokenizer.load(models / "bert"))
    compress(tmp_path / "dull", tmp_path / "out", [Heads(share=2 / 16)], texts=TEXTS)
    stack = load_model(tmp_path / "out").config.encoder
    assert stack is not None
    assert stack.pruned == ((), (), (1, 2), ())
    before, after = inlay.load(tmp_path / "dull"), inlay.load(tmp_path / "out")
    assert likeness(before.encode(TEXTS), after.encode(TEXTS)) > 1 - 1e-5
    compress(tmp_path / "dull", tmp_path / "few", [Heads(share=0.99)], texts=TEXTS)
    few = load_model(tmp_path / "few").config.encoder
    assert few is not None
    assert [len(cut) for cut in few.pruned] == [3, 3, 3, 3]


def test_heads_of_a_model_that_reads_little_are_judged_by_what_it_reads(models: Path, tmp_path: Path) -> None:
    config = load_model(models / "bert").config
    position = replace(config.input.position, max_len=8)  # type: ignore[type-var]
    narrow = replace(config, input=replace(config.input, position=position)).build(seed=1)
    save_model(narrow, tmp_path / "narrow", tokenizer=Tokenizer.load(models / "bert"))
    compress(tmp_path / "narrow", tmp_path / "out", [Heads(share=2 / 16)], texts=TEXTS)
    stack = load_model(tmp_path / "out").config.encoder
    assert stack is not None
    assert sum(map(len, stack.pruned)) == 2


def test_layers_that_are_left_are_those_of_the_model(models: Path, tmp_path: Path) -> None:
    import torch

    compress(models / "bert", tmp_path / "out", [Depth(layers=2)])
    before, after = load_model(models / "bert"), load_model(tmp_path / "out")
    assert before.encoder is not None
    assert after.encoder is not None
    assert after.encoder.stack.n_layers == 2
    for ours, theirs in ((0, 0), (1, 3)):
        assert torch.equal(after.encoder.block(ours).ffn.up.weight, before.encoder.block(theirs).ffn.up.weight)


@pytest.mark.parametrize("kind", ["bert", "static"])
def test_dimensions_are_the_first_ones_at_length_one(kind: str, models: Path, tmp_path: Path) -> None:
    compress(models / kind, tmp_path / "out", [Dimensions(dim=7)])
    small = inlay.load(tmp_path / "out")
    assert small.dim == 7
    assert np.abs(small.encode(TEXTS) - inlay.load(models / kind).encode(TEXTS, dim=7)).max() < 1e-6


def test_transformers_reads_a_trimmed_model_of_half_precision(models: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    import torch

    compress(models / "bert", tmp_path / "out", [Vocabulary(), Half()], texts=TEXTS)
    peer = transformers.AutoModel.from_pretrained(tmp_path / "out", dtype=torch.float32).eval()
    words = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")(TEXTS[0], return_tensors="pt")
    with torch.inference_mode():
        mean = peer(**words).last_hidden_state[0].mean(0).numpy()
    assert np.abs(mean / np.linalg.norm(mean) - inlay.load(tmp_path / "out").encode(TEXTS[:1])[0]).max() < 1e-5


@pytest.mark.parametrize(
    ("kind", "ways", "message"),
    [
        ("static", [Heads()], "static model: it has no heads"),
        ("static", [Depth(layers=1)], "static model: it has no depth"),
        ("bert", [Depth(layers=9)], "n_layers=9"),
        ("bert", [Dimensions(dim=33)], "dim=33 must lie between 1 and 32"),
        ("static", [Dimensions(dim=0)], "dim=0"),
        ("bert", [Heads()], "give the corpus"),
        ("bert", [Vocabulary()], "no text"),
        ("bert", [Half(), Vocabulary()], "comes last"),
        ("bert", [Half(), Int8Weights()], "comes last"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_written(
    kind: str, ways: list[Way], message: str, models: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as error:
        compress(models / kind, tmp_path / "out", ways)
    assert message in str(error.value)
    assert not list(tmp_path.iterdir())


def test_shares_out_of_range_and_numbers_beyond_half_precision_are_refused(models: Path, tmp_path: Path) -> None:
    for share in (0.0, 1.0, -1.0):
        with pytest.raises(InputError, match="share="):
            Magnitude(share=share)
    model = load_model(models / "bert")
    model.input.token.weight.data[3, 3] = 1e6  # type: ignore[union-attr, operator]
    save_model(model, tmp_path / "large", tokenizer=Tokenizer.load(models / "bert"))
    with pytest.raises(InputError, match="take int8"):
        compress(tmp_path / "large", tmp_path / "out", [Half()])
    with pytest.raises(InputError, match="--force"):
        compress(models / "bert", tmp_path / "large", [])
    compress(models / "bert", tmp_path / "large", [], force=True)
    assert likeness(inlay.load(tmp_path / "large").encode(TEXTS), inlay.load(models / "bert").encode(TEXTS)) > 0.99999
