"""An exported graph gives our own vectors, for every family, any lengths, and padding on either side."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inlay.batch import Batch
from inlay.convert.convert import save_model
from inlay.embed.context import ContextEmbedder, EmbedConfig
from inlay.embed.dense import Dense
from inlay.embed.export import TOKENS, VECTORS, export_onnx, ours, padded, run_onnx
from inlay.embed.layers import At, Concat, Layer, Mix, Sum
from inlay.embed.onnx_encoder import check, encoder, inputs_of
from inlay.embed.onnx_graph import OPSET, Graph
from inlay.embed.onnx_pool import pooled, rows
from inlay.embed.pool import CLS, Last, Max, Mean, MeanSqrt, Pool, Weighted
from inlay.embed.torch_backend import TorchBackend
from inlay.errors import InputError
from inlay.model.model import Model, ModelConfig
from inlay.model.presets import preset
from inlay.model.prune import prune
from inlay.model.relative import Alibi
from inlay.model.student import Layers, make_student
from inlay.tokenize.kinds import WordPiece
from inlay.tokenize.tokenizer import Tokenizer

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

TEXTS = ["knead the dough until it is smooth", "a hot oven, a cold plate", "salt", "the sauce is thick and dark"] * 5
FAMILIES = ["bert", "roberta", "distilbert", "electra", "albert", "modernbert", "modern", "t5", "gpt2"]
BATCH = Batch.of([[5, 6, 7], [8], list(range(10, 40)), [3, 3, 9, 9, 9, 2, 1]])


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(TEXTS, WordPiece(size=120))


def tiny(name: str) -> ModelConfig:
    config = preset(f"{name}-tiny")
    return replace(config, heads=())


def drawn(config: ModelConfig, seed: int = 1) -> Model:
    """A model whose norms and biases are no ones and zeros, as they are when weights are drawn."""
    import torch

    model = config.build(seed=seed).eval()
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() == 1:
                weight += 0.2 * torch.randn(weight.shape, generator=noise)
    return model


def embedder_of(
    model: Model, tokenizer: Tokenizer, config: EmbedConfig, dense: tuple[Dense, ...] = ()
) -> ContextEmbedder:
    return ContextEmbedder(tokenizer, TorchBackend(model), config, dense)


def through_onnx(embedder: ContextEmbedder, file: Path, batch: Batch) -> list[dict[str, np.ndarray]]:
    """What onnxruntime makes of the batch, padded on the right and on the left."""
    model, config, graph = embedder.backend.model, embedder.config, Graph()  # type: ignore[attr-defined]
    states, tokens = encoder(graph, model)
    found = rows(graph, states, config.layer, tokens)
    vectors = pooled(graph, found, tokens, config.pools, embedder.dense, config.dim, normalize=config.normalize)
    inputs = inputs_of(model.config)
    made = graph.model(
        inputs, {TOKENS: (found, ["b", "t", "d"]), VECTORS: (vectors, ["b", embedder.dim])}, {"dim": embedder.dim}
    )
    file.write_bytes(made.SerializeToString())
    return run_onnx(file, [padded(batch, inputs), padded(batch, inputs, left=True)])


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_gives_our_rows_and_vectors(name: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    embedder = embedder_of(drawn(tiny(name)), tokenizer, EmbedConfig())
    mine, vectors = ours(embedder, BATCH)
    scale = max(1.0, float(np.abs(mine).max()))
    for left, got in zip((False, True), through_onnx(embedder, tmp_path / "m.onnx", BATCH), strict=True):
        keep = padded(BATCH, ["input_ids", "attention_mask"], left=left)["attention_mask"] != 0
        assert np.abs(got[TOKENS][keep] - mine).max() < 1e-5 * scale
        assert np.abs(got[VECTORS] - vectors).max() < 1e-5
        assert not got[TOKENS][~keep].any()


@pytest.mark.parametrize(
    ("pools", "layer", "normalize", "dim", "dense"),
    [
        ((CLS(), Max()), At(layer=-2), True, None, False),
        ((Last(), MeanSqrt()), Sum(layers=(0, -1)), False, None, False),
        ((Weighted(),), Mix(layers=(1, 2), weights=(1.0, 3.0)), True, 24, False),
        ((Mean(),), Concat(layers=(-2, -1)), True, 5, True),
        ((Mean(),), Mix(layers=(0, 1)), False, None, True),
    ],
)
def test_layers_pools_dense_and_dim_are_in_the_graph(
    pools: tuple[Pool, ...], layer: Layer, normalize: bool, dim: int | None, dense: bool, tokenizer: Tokenizer,
    tmp_path: Path,
) -> None:  # fmt: skip
    rng = np.random.default_rng(0)
    wide = 256 if isinstance(layer, Concat) else 128
    more = (Dense(weight=rng.standard_normal((20, wide)).astype(np.float32) / 9, bias=np.ones(20, np.float32)),
            Dense(weight=rng.standard_normal((9, 20)).astype(np.float32), activation="gelu"))  # fmt: skip
    config = EmbedConfig(pools=pools, layer=layer, normalize=normalize, dim=dim)
    embedder = embedder_of(drawn(tiny("bert")), tokenizer, config, more if dense else ())
    _, vectors = ours(embedder, BATCH)
    for got in through_onnx(embedder, tmp_path / "m.onnx", BATCH):
        assert got[VECTORS].shape == vectors.shape
        assert np.abs(got[VECTORS] - vectors).max() < 1e-5 * max(1, np.abs(vectors).max())


def test_pruned_heads_dropped_layers_and_slopes_are_in_the_graph(tokenizer: Tokenizer, tmp_path: Path) -> None:
    config = tiny("modern")
    assert config.encoder is not None
    sloped = replace(config, encoder=replace(config.encoder, relative=Alibi(), local=None, causal=True))
    models = [
        prune(drawn(tiny("bert")), {0: [0], 1: [1]}),
        prune(drawn(sloped), {1: [0, 2]}),
        make_student(drawn(tiny("bert")), Layers(at=(1,))),
    ]
    for at, model in enumerate(models):
        embedder = embedder_of(model, tokenizer, EmbedConfig())
        got = through_onnx(embedder, tmp_path / f"{at}.onnx", BATCH)[0]
        assert np.abs(got[VECTORS] - ours(embedder, BATCH)[1]).max() < 1e-5


def test_a_folder_is_exported_checked_and_dynamic(tokenizer: Tokenizer, tmp_path: Path) -> None:
    config = tiny("bert")
    config = replace(config, input=replace(config.input, vocab_size=tokenizer.size))
    save_model(drawn(config), tmp_path / "bert", tokenizer=tokenizer)
    if importlib.util.find_spec("usearch"):  # loaded before onnxruntime, it makes that crash
        importlib.import_module("usearch.index")
    told = export_onnx(tmp_path / "bert", tmp_path / "bert.onnx")
    assert told.difference is not None
    assert told.difference < 1e-5
    assert (told.opset, told.dim, told.inputs[0]) == (OPSET, 128, "input_ids")
    read = onnx.load(str(tmp_path / "bert.onnx"))
    onnx.checker.check_model(read, full_check=True)
    assert [one.dim_param for one in read.graph.input[0].type.tensor_type.shape.dim] == ["batch", "length"]
    embedder = ContextEmbedder.load(tmp_path / "bert")
    batch = embedder.tokenizer.encode(TEXTS[:4], specials=True)
    feeds = [padded(batch, told.inputs), padded(Batch.of([batch.ids[: batch.lengths[0]].tolist()]), told.inputs)]
    many, one = run_onnx(told.file, feeds)
    assert np.abs(many[VECTORS] - embedder.encode(TEXTS[:4])).max() < 1e-5
    assert np.abs(many[VECTORS][:1] - one[VECTORS]).max() < 1e-5
    with pytest.raises(InputError, match="--force"):
        export_onnx(tmp_path / "bert", told.file)
    with pytest.raises(InputError, match="suffix"):
        export_onnx(tmp_path / "bert", tmp_path / "bert.bin")


def test_a_graph_that_computes_something_else_is_not_written(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny("bert")
    config = replace(config, input=replace(config.input, vocab_size=tokenizer.size))
    save_model(drawn(config), tmp_path / "bert", tokenizer=tokenizer)
    real = Graph.activation
    monkeypatch.setattr(Graph, "activation", lambda self, name, x: real(self, "relu", x))
    with pytest.raises(InputError, match="differ by"):
        export_onnx(tmp_path / "bert", tmp_path / "bert.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bert"]


def test_a_segment_changes_the_rows_as_it_does_in_the_model(tokenizer: Tokenizer, tmp_path: Path) -> None:
    embedder = embedder_of(drawn(tiny("bert")), tokenizer, EmbedConfig())
    pair = Batch.of([[4, 5, 6, 7]], [[0, 0, 1, 1]])
    through_onnx(embedder, tmp_path / "m.onnx", pair)
    feed = padded(pair, ["input_ids", "attention_mask", "token_type_ids"])
    feed["token_type_ids"][0, 2:] = 1
    got = run_onnx(tmp_path / "m.onnx", [feed])[0]
    assert np.abs(got[TOKENS][0] - ours(embedder, pair)[0]).max() < 1e-5


def test_an_architecture_that_cannot_be_written_is_named() -> None:
    with pytest.raises(InputError, match="xlnet: XLRelative positions"):
        check(tiny("xlnet"))
    with pytest.raises(InputError, match="Sinusoidal"):
        check(tiny("transformer"))


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r"pip install 'inlay\[onnx\]'"):
        Graph().op("Relu", "x")


def test_the_weights_stand_in_the_file_once_where_layers_share_them(tokenizer: Tokenizer, tmp_path: Path) -> None:
    embedder = embedder_of(drawn(tiny("albert")), tokenizer, EmbedConfig())
    through_onnx(embedder, tmp_path / "m.onnx", BATCH)
    weights = sum(weight.numel() for weight in embedder.backend.model.parameters())  # type: ignore[attr-defined]
    assert (tmp_path / "m.onnx").stat().st_size < 4.2 * weights + 60_000
