"""Folders of XLNet, T5, BART, GPT-2 and ModernBERT: old layouts, presets, refusals; and XLNet's second stream."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from inlay.batch import Batch
from inlay.config import override
from inlay.convert import load_model, save_model
from inlay.convert.families import FAMILIES
from inlay.errors import InputError
from inlay.files import CHECKSUMS
from inlay.model.mask import Permutation
from inlay.model.model import Model, ModelConfig, Queries
from inlay.model.packed import Layout
from inlay.model.presets import PRESETS, preset

transformers = pytest.importorskip("transformers")

# B texts, T tokens, P predicted tokens of a text, N and M all of both

TINY = [name for name in PRESETS if "tiny" in name and preset(name).family in FAMILIES]
TABLE = "shared.weight"
Tree = dict[str, Any]
Tensors = dict[str, torch.Tensor]


def rows(model: Model) -> list[torch.Tensor]:
    """What the model and its heads say of two texts."""
    batch = Batch.of([[5, 6, 7, 8, 9], [10, 11]])
    target = Batch.of([[3, 4], [5, 6, 7]]) if model.encoder and model.decoder else None
    packed = model.pack(target or batch)
    found = model(batch, target)
    return [found, *(model.read(head, found, packed.layout) for head in model.heads)]


@pytest.mark.parametrize("name", TINY)
@torch.no_grad()
def test_a_preset_is_saved_as_its_family_s_own_class_would_be(name: str, tmp_path: Path) -> None:
    model = preset(name).build(seed=1).eval()
    save_model(model, tmp_path / "ours")
    cls = getattr(transformers, json.loads((tmp_path / "ours/config.json").read_text())["architectures"][0])
    theirs, info = cls.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(info.values()), info
    assert sum(p.numel() for p in theirs.parameters()) == sum(p.numel() for p in model.parameters())
    for one, other in zip(rows(load_model(tmp_path / "ours")), rows(model), strict=True):
        assert torch.equal(one, other)


def rewritten(name: str, folder: Path, change: Callable[[Tree, Tensors], None]) -> Model:
    """The tiny preset, saved; then its settings and tensors are changed in the folder."""
    model = preset(name).build(seed=1).eval()
    save_model(model, folder)
    tree, tensors = json.loads((folder / "config.json").read_text()), load_file(folder / "model.safetensors")
    change(tree, tensors)
    (folder / "config.json").write_text(json.dumps(tree), encoding="utf-8")
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, folder / "model.safetensors")
    (folder / CHECKSUMS).unlink()
    return model


def as_gpt2_was_published(tree: Tree, tensors: Tensors) -> None:
    """Names without the prefix though there is a head, masks among the weights, and a copy of the table."""
    for name in list(tensors):
        tensors[name.removeprefix("transformer.")] = tensors.pop(name)
    tensors["h.0.attn.bias"] = torch.ones(1, 1, 8, 8).tril()
    tensors["h.0.attn.masked_bias"] = torch.tensor(-1e4)
    tree |= {"n_ctx": 1024, "task_specific_params": {"text-generation": {"do_sample": True}}}
    del tree["n_inner"]
    tree["n_inner"] = 128


def as_t5_was_published(tree: Tree, tensors: Tensors) -> None:
    """The table three times, a table of distances to the source that nothing reads, few settings."""
    for name in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"):
        tensors[name] = tensors[TABLE].clone()
    unread = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
    tensors[unread] = torch.randn(32, 4)
    for key in ("feed_forward_proj", "tie_word_embeddings", "num_decoder_layers", "relative_attention_max_distance"):
        del tree[key]
    tree |= {"architectures": ["T5WithLMHeadModel"], "n_positions": 512, "output_past": True}


def as_bart_was_published(tree: Tree, tensors: Tensors) -> None:
    """The table three times, the bias of the logits that stays zero, numbers of versions, switches at BART's values."""
    for name in ("model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight"):
        tensors[name] = tensors["model.shared.weight"].clone()
    tensors["final_logits_bias"] = torch.zeros(1, 1000)
    tensors["model.encoder.version"] = torch.tensor([3.0])
    tree |= {"add_final_layer_norm": False, "extra_pos_embeddings": 2, "normalize_embedding": True}
    tree |= {"num_hidden_layers": 2, "classif_dropout": 0.0, "encoder_layerdrop": 0.0}


def spoil_bias(tree: Tree, tensors: Tensors) -> None:
    tensors["final_logits_bias"] = torch.ones(1, 1000)


def as_modernbert_was_published(tree: Tree, tensors: Tensors) -> None:
    """Settings of the first version: the angles by name, the global layers by number."""
    del tree["rope_parameters"], tree["layer_types"]
    tree |= {"global_rope_theta": 160000.0, "local_rope_theta": 10000.0, "global_attn_every_n_layers": 3}
    tree |= {"layer_norm_eps": 1e-5, "position_embedding_type": "absolute", "gradient_checkpointing": False}
    tree |= {"reference_compile": None, "max_position_embeddings": 8192, "sparse_prediction": False}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("gpt2-tiny", as_gpt2_was_published),
        ("t5-tiny", as_t5_was_published),
        ("bart-tiny", as_bart_was_published),
        ("modernbert-tiny", as_modernbert_was_published),
    ],
)
@torch.no_grad()
def test_old_layouts_are_read_as_the_new(name: str, change: Callable[[Tree, Tensors], None], tmp_path: Path) -> None:
    model = rewritten(name, tmp_path / "old", change)
    for one, other in zip(rows(load_model(tmp_path / "old")), rows(model), strict=True):
        assert torch.equal(one, other)


def setting(**changes: Any) -> Callable[[Tree, Tensors], None]:
    return lambda tree, _: tree.update(changes)


def rope(**changes: Any) -> Callable[[Tree, Tensors], None]:
    return lambda tree, _: tree["rope_parameters"]["full_attention"].update(changes)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("modernbert-tiny", rope(rope_type="yarn"), "rope_type='yarn' is not known"),
        ("modernbert-tiny", rope(factor=4.0), "factor=4.0 is not known"),
        ("modernbert-tiny", setting(layer_types=["sliding_attention"] * 4), "at every n-th of 4 layers"),
        ("xlnet-tiny", setting(d_head=8), "d_head must be d_model / n_head = 16, not 8"),
        ("xlnet-tiny", setting(attn_type="uni"), "attn_type='uni' \\(built in: 'bi'\\)"),
        ("xlnet-tiny", setting(clamp_len=100), "clamp_len=100"),
        ("t5-tiny", setting(is_gated_act=True), "is_gated_act must be as feed_forward_proj=relu says"),
        ("t5-tiny", setting(dense_act_fn="silu"), "dense_act_fn must be"),
        ("t5-tiny", setting(feed_forward_proj="gated-rleu"), "did you mean 'gated-relu'"),
        ("bart-tiny", spoil_bias, "final_logits_bias is not zero"),
        ("bart-tiny", setting(normalize_before=True), r"normalize_before=true \(built in: false\)"),
        ("bart-tiny", setting(num_hidden_layers=3), "num_hidden_layers must be as encoder_layers=2 says, not 3"),
        ("bart-tiny", setting(tie_word_embeddings=False), "tie_word_embeddings=false"),
        ("bart-tiny", setting(is_encoder_decoder=False), "is_encoder_decoder must be true"),
        ("gpt2-tiny", setting(scale_attn_by_inverse_layer_idx=True), "scale_attn_by_inverse_layer_idx=true"),
        ("gpt2-tiny", setting(n_layer=3), "lacks 12 tensors"),
    ],
)
def test_what_is_not_built_in_is_refused_by_name(
    name: str, change: Callable[[Tree, Tensors], None], message: str, tmp_path: Path
) -> None:
    rewritten(name, tmp_path / "there", change)
    with pytest.raises(InputError, match=message):
        load_model(tmp_path / "there")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("gpt2-tiny", {"decoder.norm_first": False}, "gpt2 cannot hold decoder.norm_first=False"),
        ("t5-tiny", {"decoder.n_heads": 2}, "t5 cannot hold decoder.n_heads=2"),
        ("bart-tiny", {"decoder.activation": "relu"}, "bart cannot hold decoder.activation='?relu"),
        ("bart-tiny", {"input.twin": False}, "bart cannot hold input.twin=False"),
        ("xlnet-tiny", {"encoder.dropout.ffn": 0.3}, "xlnet cannot hold encoder.dropout.ffn=0.3"),
        ("xlnet-tiny", {"input.query": False}, "xlnet cannot hold input.query=False"),
        ("modernbert-tiny", {"encoder.dropout.hidden": 0.3}, "modernbert cannot hold encoder.dropout.hidden=0.3"),
        ("modernbert-tiny", {"encoder.relative": None}, "modernbert cannot hold encoder.relative"),
    ],
)
def test_what_a_family_cannot_say_is_not_saved_in_it(name: str, change: Tree, message: str, tmp_path: Path) -> None:
    config: ModelConfig = override(preset(name), change)
    with pytest.raises(InputError, match=message):
        save_model(config.build(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


T, P, CONTEXT = 10, 3, 4


@pytest.fixture
def streams(tmp_path: Path) -> tuple[Any, Model, np.random.Generator]:
    """XLNet with its language head, theirs and ours, every weight drawn wide."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        config = transformers.XLNetConfig(vocab_size=37, d_model=16, n_layer=3, n_head=4, d_inner=24, dropout=0.0)
        model = transformers.XLNetLMHeadModel(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += torch.randn(parameter.shape) * 0.2
    model.save_pretrained(tmp_path / "theirs")
    return model.eval(), load_model(tmp_path / "theirs"), np.random.default_rng(4)


@pytest.mark.parametrize("lengths", [[T, T, T], [T, 6, 8]], ids=["even", "padded"])
@pytest.mark.parametrize("segmented", [False, True])
def test_the_second_stream_tells_the_same_tokens_in_any_order(streams, lengths: list[int], segmented: bool) -> None:
    model, ours, rng = streams
    b = len(lengths)
    ids, keep = rng.integers(2, 37, (b, T)), np.arange(T) < np.array(lengths)[:, None]
    ranks = np.zeros((b, T), np.int64)  # the first tokens are given, the others are told in a drawn order
    places = np.zeros((b, P), np.int64)
    for text, n in enumerate(lengths):
        order = CONTEXT + rng.permutation(n - CONTEXT) if n > CONTEXT + P else CONTEXT - 1 + rng.permutation(n - 3)
        ranks[text, order] = 1 + np.arange(len(order))
        places[text] = order[-P:]
    segments = rng.integers(0, 2, (b, T)) if segmented else None
    hidden = ranks[:, None, :] >= ranks[:, :, None]  # of theirs, True may not be seen; a token always sees itself
    hidden &= ~((ranks == 0)[:, None, :] & (ranks == 0)[:, :, None])
    said = model(
        input_ids=torch.tensor(ids),
        attention_mask=torch.tensor(keep).float(),
        perm_mask=torch.tensor(hidden).float(),
        target_mapping=torch.nn.functional.one_hot(torch.tensor(places), T).float(),
        token_type_ids=None if segments is None else torch.tensor(segments),
        output_hidden_states=True,
    )
    batch = Batch.from_padded(ids, keep, segments)
    rank, states = torch.tensor(ranks[keep]), list[torch.Tensor]()
    queries = Queries(ours.input.queries(b * P), [P] * b, places.flatten().tolist(), rule=Permutation(rank, own=False))
    found = ours(batch, rule=Permutation(rank, own=True), queries=queries, states=states)
    logits = ours.read("language", found, Layout([P] * b))
    torch.testing.assert_close(logits, said.logits.flatten(0, 1), rtol=0, atol=1e-5)
    content = [
        state[torch.tensor(keep)] for state in said.hidden_states[:-2:2]
    ]  # theirs come in pairs, of both streams
    for one, other in zip(states[:-1], content, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    for one in (logits, said.logits.flatten(0, 1)):
        torch.nn.functional.cross_entropy(one, torch.tensor(ids[np.arange(b)[:, None], places].flatten())).backward()
    wanted = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    grads = {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in ours.named_parameters()}
    theirs = FAMILIES["xlnet"].names(ours.config).theirs(grads)
    assert wanted["transformer.mask_emb"].any()
    for name, gradient in wanted.items():
        torch.testing.assert_close(
            theirs[name], gradient, rtol=0, atol=1e-5, msg=lambda text, name=name: f"{name} {text}"
        )
