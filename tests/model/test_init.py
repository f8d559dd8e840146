"""First weights: each kind of matrix is drawn as wide as the reference library draws it, family by family."""

import math
import re
from typing import Any

import pytest
import torch
from torch import Tensor

from inlay.errors import InputError
from inlay.model.init import Normal, Scaled, draw, initialise
from inlay.model.model import Model
from inlay.model.presets import preset, resize
from inlay.model.relative import T5Buckets
from inlay.model.stack import Local, Stack

SIZE = {"num_hidden_layers": 6, "hidden_size": 128, "num_attention_heads": 4, "intermediate_size": 256}
IDS = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"))
T5 = {"d_model": 128, "d_kv": 24, "d_ff": 256, "num_layers": 6, "num_heads": 4}
XLNET = {"d_model": 128, "n_layer": 6, "n_head": 4, "d_inner": 256}
GPT2 = {"n_embd": 128, "n_layer": 6, "n_head": 4, "n_inner": 256}

# What each family's reference is, and each kind of matrix as a pattern in our names and in theirs.
_BERT = {
    "token": ("token.weight", "word_embeddings"),
    "position": ("position.table", "position_embeddings"),
    "query": ("qkv.weight/0", "query.weight"),
    "value": ("qkv.weight/2", "value.weight"),
    "out": ("attention.out.weight", r"attention.output.dense.weight"),
    "up": ("ffn.up.weight", "intermediate.dense.weight"),
    "down": ("ffn.down.weight", r"\d.output.dense.weight"),
}
_T5 = {
    "token": ("token.weight", "shared.weight"),
    "bias by distance": ("table.weight", "relative_attention_bias"),
    "query": (r"attention.qkv.weight/0", r"SelfAttention.q.weight"),
    "key": (r"attention.qkv.weight/1", r"SelfAttention.k.weight"),
    "value": (r"attention.qkv.weight/2", r"SelfAttention.v.weight"),
    "out": ("attention.out.weight", "SelfAttention.o.weight"),
    "query across": (r"cross.qkv.weight/0", r"EncDecAttention.q.weight"),
    "key across": (r"cross.qkv.weight/1", r"EncDecAttention.k.weight"),
    "out across": ("cross.out.weight", "EncDecAttention.o.weight"),
    "up": ("ffn.up.weight", r"\.wi(_0|_1)?\.weight"),
    "down": ("ffn.down.weight", r"\.wo\.weight"),
}
FAMILIES: dict[str, tuple[str, dict[str, Any], dict[str, tuple[str, str]]]] = {
    "bert-base": (
        "BertForPreTraining",
        SIZE,
        _BERT
        | {"pooler": ("pooler.dense.weight", "pooler.dense.weight")}
        | {"head": ("inner.dense.weight", "transform.dense.weight")},
    ),
    "roberta-base": (
        "RobertaForMaskedLM",
        SIZE | {"type_vocab_size": 1},
        _BERT | {"head": ("inner.dense.weight", "lm_head.dense")},
    ),
    "electra-base": (
        "ElectraForPreTraining",
        SIZE | {"embedding_size": 128},
        _BERT | {"head": ("inner.dense.weight", "predictions.dense.weight")},
    ),
    "albert-base": (
        "AlbertForPreTraining",
        SIZE | {"embedding_size": 64},
        {
            "token": ("token.weight", "word_embeddings"),
            "project": ("project.weight", "embedding_hidden_mapping_in.weight"),
            "qkv": ("qkv.weight", "(query|key|value).weight"),
            "out": ("attention.out.weight", "attention.dense.weight"),
            "up": ("ffn.up.weight", "ffn.weight"),
            "down": ("ffn.down.weight", "ffn_output.weight"),
        },
    ),
    "distilbert-base": (
        "DistilBertForMaskedLM",
        {"n_layers": 6, "dim": 128, "n_heads": 4, "hidden_dim": 256},
        {
            "token": ("token.weight", "word_embeddings"),
            "qkv": ("qkv.weight", "[qkv]_lin.weight"),
            "out": ("attention.out.weight", "out_lin.weight"),
            "up": ("ffn.up.weight", "lin1.weight"),
            "head": ("inner.dense.weight", "vocab_transform.weight"),
        },
    ),
    "xlnet-base": (
        "XLNetLMHeadModel",
        XLNET,
        {
            "token": ("token.weight", "word_embedding"),
            "qkv": ("qkv.weight", r"rel_attn.[qkv]$"),
            "out": ("attention.out.weight", r"rel_attn.o$"),
            "distance": (r"r.weight$", r"rel_attn.r$"),
            "vectors": (r"\.[uvs]$", r"_bias$"),
            "segments": (r"\.segment$", "seg_embed"),
            "up": ("ffn.up.weight", "layer_1.weight"),
        },
    ),
    "t5-base": ("T5ForConditionalGeneration", T5, _T5),
    "t5-v1.1-base": ("T5ForConditionalGeneration", T5 | {"feed_forward_proj": "gated-gelu"}, _T5),
    "bart-base": (
        "BartForConditionalGeneration",
        {"d_model": 128, "encoder_layers": 6, "decoder_layers": 6, "encoder_ffn_dim": 256, "decoder_ffn_dim": 256}
        | {"encoder_attention_heads": 4, "decoder_attention_heads": 4},
        {
            "token": ("token.weight", "shared.weight"),
            "position": ("position.table", "embed_positions"),
            "query": ("attention.qkv.weight/0", "self_attn.q_proj.weight"),
            "key across": ("cross.qkv.weight/1", "encoder_attn.k_proj.weight"),
            "out": ("attention.out.weight", "self_attn.out_proj.weight"),
            "up": ("ffn.up.weight", "fc1.weight"),
            "down": ("ffn.down.weight", "fc2.weight"),
        },
    ),
    "gpt2": (
        "GPT2LMHeadModel",
        GPT2 | IDS,
        {
            "token": ("token.weight", "wte"),
            "position": ("position.table", "wpe"),
            "qkv": ("qkv.weight", "c_attn.weight"),
            "out": ("attention.out.weight", "attn.c_proj.weight"),
            "up": ("ffn.up.weight", "c_fc.weight"),
            "down": ("ffn.down.weight", "mlp.c_proj.weight"),
        },
    ),
    "modernbert-base": (
        "ModernBertForMaskedLM",
        SIZE | IDS,
        {
            "token": ("token.weight", "tok_embeddings"),
            "qkv": ("qkv.weight", "Wqkv.weight"),
            "out": ("attention.out.weight", "attn.Wo.weight"),
            "up": ("ffn.up.weight", "Wi.weight"),
            "down": ("ffn.down.weight", "mlp.Wo.weight"),
            "head": ("inner.dense.weight", "head.dense.weight"),
        },
    ),
}


def kind(weights: dict[str, Tensor], pattern: str) -> Tensor:
    """All weights of the names that the pattern finds, in one row; `/1` takes the second third of each (the keys)."""
    pattern, _, third = pattern.partition("/")
    found = [weight for name, weight in weights.items() if re.search(pattern, name)]
    assert found, f"{pattern} finds nothing in {list(weights)}"
    return torch.cat([(weight.chunk(3)[int(third)] if third else weight).flatten() for weight in found])


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request: pytest.FixtureRequest) -> tuple[Model, dict[str, Tensor], dict[str, tuple[str, str]]]:
    """Our first weights of a family at a small size, the reference library's, and their kinds."""
    transformers = pytest.importorskip("transformers")
    name = request.param
    reference, settings, kinds = FAMILIES[name]
    own = {"d_head": 24} if name.startswith("t5") else {"d_embed": 64} if name.startswith("albert") else {}
    ours = resize(preset(name), 6, 128, 4, 256, vocab_size=3000, **own).build(seed=1)
    cls = getattr(transformers, reference)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        theirs = cls(cls.config_class(vocab_size=3000, **settings))
    return ours, {name: p.detach() for name, p in theirs.named_parameters()}, kinds


def test_each_kind_of_matrix_is_as_wide_as_the_reference_librarys(pair) -> None:
    model, theirs, kinds = pair
    ours = {name: p.detach() for name, p in model.named_parameters()}
    for what, (pattern, pattern_there) in kinds.items():
        one, other = kind(ours, pattern), kind(theirs, pattern_there)
        chance = 4 / math.sqrt(2 * min(len(one), len(other)))  # few numbers tell their spread less exactly
        assert float(one.std() / other.std()) == pytest.approx(1, abs=max(0.05, chance)), what
        assert abs(float(one.mean())) < 5 * float(one.std()) / math.sqrt(len(one)), what


def test_gains_are_one_and_biases_zero(pair) -> None:
    for name, parameter in pair[0].named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif "norm" in name:
            assert bool((parameter == 1).all()), name


@pytest.mark.parametrize("name", ["bert", "t5", "gpt2", "transformer", "modernbert"])
def test_building_leaves_the_global_random_state_alone(name: str) -> None:
    before = torch.get_rng_state()
    resize(preset(name), 2, 64, 4, 128, vocab_size=100).build(seed=3)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_lies_beyond_the_cut_is_drawn_again() -> None:
    weight = torch.empty(300, 300)
    draw(weight, 0.02, torch.Generator().manual_seed(0), cut=2.0)
    assert float(weight.abs().max()) <= 0.04
    assert float(weight.abs().max()) > 0.0399
    assert float(weight.std()) == pytest.approx(0.02 * 0.8796, rel=0.02)  # of a normal cut at 2


@torch.no_grad()
def test_original_transformer_is_uniform_by_width_and_its_table_normal() -> None:
    model = resize(preset("transformer"), 2, 128, 4, 256, vocab_size=3000).build(seed=1)
    block = model.decoder.blocks[0]
    thirds = [(third, 128) for third in block.attention.qkv.weight.chunk(3)]  # each counts its own way out
    for weight, out in ((block.ffn.up.weight, 256), (block.cross.out.weight, 128), *thirds):
        bound = math.sqrt(6 / (128 + out))
        assert float(weight.abs().max()) == pytest.approx(bound, rel=0.01)
        assert float(weight.std()) == pytest.approx(bound / math.sqrt(3), rel=0.03)
    assert float(model.input.token.weight.std()) == pytest.approx(128**-0.5, rel=0.02)


@torch.no_grad()
def test_t5s_tables_of_distances_are_drawn_alike_in_local_layers() -> None:
    scheme = T5Buckets(n_buckets=400, max_distance=1000)
    stack = Stack(n_layers=2, d_model=64, n_heads=8, d_ffn=8, relative=scheme, local=Local(relative=scheme))
    built = stack.build()
    initialise(built, Scaled(), torch.Generator().manual_seed(0))
    for bias in (*built.relatives, *built.local_relatives):
        assert float(bias.table.weight.std()) == pytest.approx(64**-0.5, rel=0.05)


@pytest.mark.parametrize("make", [lambda: Normal(std=0), lambda: Normal(std=math.nan), lambda: Normal(cut=1e-9)])
def test_spreads_that_cannot_be_drawn_are_refused(make) -> None:
    with pytest.raises(InputError, match="must be"):
        make()
    with pytest.raises(InputError, match=r"factor=0 must be above 0"):
        Scaled(factor=0)


def test_weights_drawn_anew_do_not_remember_what_was_there() -> None:
    model = resize(preset("bert"), 1, 32, 2, 64, vocab_size=50).build(seed=1)
    first = {name: p.clone() for name, p in model.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7)
    initialise(model, Normal(), torch.Generator().manual_seed(1))
    assert all(torch.equal(p, first[name]) for name, p in model.state_dict().items())
