"""Lean against the models of torch: the same rows for every preset, whatever its parts."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from inlay.batch import Batch
from inlay.convert import save_model
from inlay.embed.lean import Lean
from inlay.embed.lean_kernels import activate
from inlay.embed.lean_plan import Buckets, UnknownPart
from inlay.embed.lean_relative import bucket
from inlay.embed.torch_backend import TorchBackend
from inlay.errors import InputError
from inlay.model.characters import CharacterCNN
from inlay.model.ffn import activation
from inlay.model.input import Concat
from inlay.model.model import Model, ModelConfig
from inlay.model.norm import RMSNorm
from inlay.model.position import Learned, Sinusoidal
from inlay.model.presets import PRESETS
from inlay.model.relative import Alibi, Rotary, Shaw, T5Bias, T5Buckets, XLRelative
from inlay.model.stack import Local

TINY = [name for name in PRESETS if "-tiny" in name]
_BERT, _XLNET, _MODERN = (replace(PRESETS[f"{name}-tiny"], family="", heads=()) for name in ("bert", "xlnet", "modern"))
_ENCODER = _MODERN.encoder
assert _ENCODER is not None
assert _BERT.encoder is not None
assert _XLNET.encoder is not None
PARTS: dict[str, ModelConfig] = {
    "alibi": replace(_MODERN, encoder=replace(_ENCODER, relative=Alibi(), local=None, n_heads=3, d_head=8)),
    "shaw": replace(_MODERN, encoder=replace(_ENCODER, relative=Shaw(max_distance=5), local=None)),
    "buckets in local layers": replace(
        _MODERN, encoder=replace(_ENCODER, relative=None, local=Local(reach=3, every=2, relative=T5Buckets()))
    ),
    "causal buckets": replace(_MODERN, encoder=replace(_ENCODER, relative=T5Buckets(), local=None, causal=True)),
    "a part of each head turns": replace(_MODERN, encoder=replace(_ENCODER, relative=Rotary(fraction=0.5))),
    "causal and local": replace(_MODERN, encoder=replace(_ENCODER, local=Local(reach=4, every=2), causal=True)),
    "pruned": replace(_BERT, encoder=replace(_BERT.encoder, pruned=((1,), ()))),
    "pruned, relative": replace(_XLNET, encoder=replace(_XLNET.encoder, pruned=((0, 2), (3,)))),
    "pruned, buckets": replace(
        _MODERN, encoder=replace(_ENCODER, relative=T5Buckets(), pruned=((0,), (), (1, 2), ()), local=None)
    ),
    "relative, norm first": replace(_MODERN, encoder=replace(_ENCODER, relative=XLRelative(), local=None)),
    "side by side": replace(
        _BERT, input=replace(_BERT.input, combine=Concat(d_position=24, d_segment=8), norm=RMSNorm())
    ),
    "sines in halves": replace(_BERT, input=replace(_BERT.input, position=Sinusoidal(layout="halves"), scale=3.0)),
    "tanh, shared": replace(_BERT, encoder=replace(_BERT.encoder, activation="tanh", n_layers=4, n_unique=2)),
    "no bias": replace(_BERT, encoder=replace(_BERT.encoder, bias=False, attention_bias=False, gated=True)),
}


def _built(config: ModelConfig) -> Model:
    """Few tokens, and weights far from those that training starts from, so that every part has its say."""
    config = replace(config, input=replace(config.input, vocab_size=99))
    model, generator = config.build(seed=3), torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return model


def _batch(config: ModelConfig, lengths: list[int], *, segments: bool = False) -> Batch:
    rng = np.random.default_rng(5)
    ids = [rng.integers(0, config.vocab_size, n).tolist() for n in lengths]
    return Batch.of(ids, [(np.arange(n) > n // 2).astype(int).tolist() for n in lengths] if segments else None)


def _compare(model: Model, folder: Path, batch: Batch) -> None:
    lean, theirs = Lean.load(folder), TorchBackend(model)
    assert (lean.dim, lean.n_layers, lean.most_tokens) == (theirs.dim, theirs.n_layers, theirs.most_tokens)
    layers = list(range(lean.n_layers + 1))
    for layer, ours, expected in zip(layers, lean.states(batch, layers), theirs.states(batch, layers), strict=True):
        scale = np.linalg.norm(expected, axis=1, keepdims=True)
        assert np.abs(ours / scale - expected / scale).max() < (1e-6 if layer == lean.n_layers else 1e-5), layer
        assert ours.dtype == np.float32


@pytest.mark.parametrize("name", TINY)
def test_every_layer_of_every_preset_is_that_of_torch(name: str, tmp_path: Path) -> None:
    model = _built(PRESETS[name])
    save_model(model, tmp_path / "model")
    _compare(model, tmp_path / "model", _batch(model.config, [7, 1, 150, 33, 7, 2, 1, 90]))


@pytest.mark.parametrize("name", PARTS)
def test_every_part_is_that_of_torch(name: str, tmp_path: Path) -> None:
    model = _built(PARTS[name])
    save_model(model, tmp_path / "model")
    _compare(model, tmp_path / "model", _batch(model.config, [7, 1, 40, 7]))


@pytest.mark.parametrize("name", ["bert-tiny", "xlnet-tiny"])
def test_segments_are_those_of_torch(name: str, tmp_path: Path) -> None:
    model = _built(PRESETS[name])
    save_model(model, tmp_path / "model")
    _compare(model, tmp_path / "model", _batch(model.config, [7, 1, 30, 7], segments=True))


@pytest.mark.parametrize("name", ["modernbert-tiny", "xlnet-tiny", "t5-tiny", "gpt2-tiny"])
def test_long_texts_in_several_tiles_are_those_of_torch(name: str, tmp_path: Path) -> None:
    model = _built(PRESETS[name])
    save_model(model, tmp_path / "model")
    _compare(model, tmp_path / "model", _batch(model.config, [600, 3]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_are_widened(dtype: torch.dtype, tmp_path: Path) -> None:
    model = _built(PRESETS["bert-tiny"]).to(dtype)
    save_model(model, tmp_path / "model")
    _compare(model.float(), tmp_path / "model", _batch(model.config, [3, 8]))


def test_shards_are_read_as_one_file_is(tmp_path: Path) -> None:
    from inlay.convert.weights import read, write

    model = _built(PRESETS["albert-tiny"])
    save_model(model, tmp_path / "model")
    tensors = {name: tensor.clone() for name, tensor in read(tmp_path / "model").items()}
    write(tensors, tmp_path / "model", shard_mb=0.05, force=True)
    (tmp_path / "model" / "checksums.json").unlink()
    assert (tmp_path / "model" / "model.safetensors.index.json").exists()
    _compare(model, tmp_path / "model", _batch(model.config, [3, 8]))


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "silu", "relu", "tanh"])
def test_activations_are_within_2e7_and_never_nan(name: str) -> None:
    x = np.concatenate([np.linspace(-12, 12, 200_001), [-1e6, -200, 0, 200, 1e6]]).astype(np.float32)
    expected = activation(name)(torch.from_numpy(x).double()).numpy()
    bias = np.zeros(1, np.float32)
    with np.errstate(all="ignore"):
        found = activate(x[:, None].copy(), bias, name, False)[:, 0]
    assert (np.abs(found - expected) / np.maximum(1, np.abs(expected))).max() < 2e-7


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("n", "most"), [(32, 128), (8, 20), (64, 300)])
def test_every_distance_has_the_bucket_that_torch_gives_it(n: int, most: int, causal: bool) -> None:
    distance = np.arange(-2000, 2000)
    stack = replace(_ENCODER, causal=causal)
    expected = T5Bias(T5Buckets(n_buckets=n, max_distance=most), stack).bucket(torch.from_numpy(distance))
    found = bucket(distance, Buckets(n_buckets=n, max_distance=most), causal=causal)
    assert np.array_equal(found, expected.numpy())


def test_a_part_that_needs_torch_is_named_with_the_way_out(tmp_path: Path) -> None:
    config = replace(_BERT, input=replace(_BERT.input, token=CharacterCNN(), position=Learned(max_len=40)))
    save_model(config.build(), tmp_path / "model")
    with pytest.raises(UnknownPart, match=r'CharacterCNN.*backend="torch"'):
        Lean.load(tmp_path / "model")


def test_ids_segments_and_lengths_without_a_row_are_errors_that_name_them(tmp_path: Path) -> None:
    save_model(replace(_BERT, input=replace(_BERT.input, vocab_size=99)).build(), tmp_path / "model")
    lean = Lean.load(tmp_path / "model")
    with pytest.raises(InputError, match="token id 99"):
        lean.states(Batch.of([[1, 99]]), [1])
    with pytest.raises(InputError, match="token id -1"):
        lean.states(Batch.of([[-1]]), [1])
    with pytest.raises(InputError, match="segment 2"):
        lean.states(Batch.of([[1]], [[2]]), [1])
    with pytest.raises(InputError, match="513 tokens.*end at 512"):
        lean.states(Batch.of([[1] * 513]), [1])
    with pytest.raises(InputError, match="layers="):
        lean.states(Batch.of([[1]]), [3])


def test_no_tokens_have_no_rows_and_empty_texts_take_none(tmp_path: Path) -> None:
    save_model(replace(_BERT, input=replace(_BERT.input, vocab_size=99)).build(), tmp_path / "model")
    lean = Lean.load(tmp_path / "model")
    assert lean.states(Batch.of([[], []]), [0, 2])[1].shape == (0, 128)
    (with_empty,) = lean.states(Batch.of([[], [5, 6], [], [7]]), [2])
    (without,) = lean.states(Batch.of([[5, 6], [7]]), [2])
    assert np.array_equal(with_empty, without)
