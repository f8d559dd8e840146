"""Presets: the published numbers of parameters, exactly; and those of the reference library's own models."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from inlay.errors import InputError
from inlay.model.heads import Pooler
from inlay.model.model import ModelConfig
from inlay.model.papers import PAPERS, paper
from inlay.model.presets import ALIASES, PRESETS, preset, resize

BODY = {  # without heads
    "bert-base": 108_891_648,
    "distilbert-base": 66_362_880,
    "electra-small": 13_483_008,
    "xlnet-base": 116_718_336,
    "xlnet-large": 360_268_800,
    "modernbert-base": 149_014_272,
    "modernbert-large": 394_781_696,
}
POOLED = {  # with a pooler alone, as checkpoints of the bare model are counted
    "bert-tiny": 4_385_920,
    "bert-mini": 11_170_560,
    "bert-small": 28_763_648,
    "bert-medium": 41_373_184,
    "bert-base": 109_482_240,
    "bert-base-chinese": 102_267_648,
    "bert-large": 335_141_888,
    "roberta-base": 124_645_632,
    "roberta-large": 355_359_744,
    "albert-base": 11_683_584,
    "albert-large": 17_683_968,
    "albert-xlarge": 58_724_864,
    "albert-xxlarge": 222_595_584,
}
PRETRAINED = {  # with the heads of the pretraining
    "bert-base": 110_106_428,
    "bert-large": 336_226_108,
    "gpt2-small": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
    "t5-small": 60_506_624,
    "t5-base": 222_903_552,
    "t5-large": 737_668_096,
    "t5-3b": 2_851_598_336,
    "t5-11b": 11_307_321_344,
    "t5-v1.1-small": 76_961_152,
    "t5-v1.1-base": 247_577_856,
    "t5-v1.1-large": 783_150_080,
    "bart-base": 139_420_416,
    "bart-large": 406_291_456,
    "modernbert-base": 149_655_232,
    "modernbert-large": 395_881_664,
}


def count(config: ModelConfig) -> int:
    """Parameters, a shared one once."""
    return sum(p.numel() for p in config.build(device="meta").parameters())


@pytest.mark.parametrize("name", BODY)
def test_published_count_without_heads(name: str) -> None:
    assert count(replace(preset(name), heads=())) == BODY[name]


@pytest.mark.parametrize("name", POOLED)
def test_published_count_with_a_pooler(name: str) -> None:
    assert count(replace(preset(name), heads=(Pooler(),))) == POOLED[name]


@pytest.mark.parametrize("name", PRETRAINED)
def test_published_count_with_the_heads_of_pretraining(name: str) -> None:
    assert count(preset(name)) == PRETRAINED[name]


@pytest.mark.parametrize(("name", "millions"), [("transformer-base", 65), ("transformer-big", 213)])
def test_original_transformer_is_as_large_as_its_table_3_says(name: str, millions: int) -> None:
    assert count(preset(name)) / 1e6 == pytest.approx(millions, rel=0.031)  # their 37,000 tokens are "about"


def _bert(layers: int, d: int, heads: int, ffn: int, **more: Any) -> dict[str, Any]:
    sizes = {"num_hidden_layers": layers, "hidden_size": d, "num_attention_heads": heads, "intermediate_size": ffn}
    return sizes | more


def _xlnet(layers: int, d: int, heads: int, ffn: int) -> dict[str, Any]:
    return {"n_layer": layers, "d_model": d, "n_head": heads, "d_inner": ffn}


def _t5(layers: int, d: int, heads: int, ffn: int, **more: Any) -> dict[str, Any]:
    return {"num_layers": layers, "d_model": d, "num_heads": heads, "d_ff": ffn} | more


def _bart(layers: int, d: int, heads: int, ffn: int) -> dict[str, Any]:
    sizes = {"layers": layers, "attention_heads": heads, "ffn_dim": ffn}
    return {"d_model": d} | {f"{side}_{key}": n for side in ("encoder", "decoder") for key, n in sizes.items()}


_ROBERTA: dict[str, Any] = {"vocab_size": 50_265, "max_position_embeddings": 514, "type_vocab_size": 1}
_GATED: dict[str, Any] = {"feed_forward_proj": "gated-gelu"}
ORACLES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert-tiny": ("Bert", _bert(2, 128, 2, 512)),
    "bert-mini": ("Bert", _bert(4, 256, 4, 1024)),
    "bert-small": ("Bert", _bert(4, 512, 8, 2048)),
    "bert-medium": ("Bert", _bert(8, 512, 8, 2048)),
    "bert-base": ("Bert", {}),
    "bert-base-chinese": ("Bert", {"vocab_size": 21_128}),
    "bert-large": ("Bert", _bert(24, 1024, 16, 4096)),
    "roberta-base": ("Roberta", _ROBERTA),
    "roberta-large": ("Roberta", _ROBERTA | _bert(24, 1024, 16, 4096)),
    "distilbert-base": ("DistilBert", {}),
    "albert-base": ("Albert", _bert(12, 768, 12, 3072)),
    "albert-large": ("Albert", _bert(24, 1024, 16, 4096)),
    "albert-xlarge": ("Albert", _bert(24, 2048, 16, 8192)),
    "albert-xxlarge": ("Albert", {}),
    "electra-small": ("Electra", {}),
    "electra-base": ("Electra", _bert(12, 768, 12, 3072, embedding_size=768)),
    "electra-large": ("Electra", _bert(24, 1024, 16, 4096, embedding_size=1024)),
    "electra-base-generator": ("Electra", _bert(12, 256, 4, 1024, embedding_size=768)),
    "electra-large-generator": ("Electra", _bert(24, 256, 4, 1024, embedding_size=1024)),
    "xlnet-base": ("XLNet", _xlnet(12, 768, 12, 3072)),
    "xlnet-large": ("XLNet", {}),
    "t5-small": ("T5", {}),
    "t5-base": ("T5", _t5(12, 768, 12, 3072)),
    "t5-large": ("T5", _t5(24, 1024, 16, 4096)),
    "t5-3b": ("T5", _t5(24, 1024, 32, 16_384, d_kv=128)),
    "t5-v1.1-small": ("T5", _GATED | _t5(8, 512, 6, 1024)),
    "t5-v1.1-base": ("T5", _GATED | _t5(12, 768, 12, 2048)),
    "t5-v1.1-large": ("T5", _GATED | _t5(24, 1024, 16, 2816)),
    "bart-base": ("Bart", _bart(6, 768, 12, 3072)),
    "bart-large": ("Bart", {}),
    "gpt2-small": ("GPT2", {}),
    "gpt2-medium": ("GPT2", {"n_layer": 24, "n_embd": 1024, "n_head": 16}),
    "gpt2-large": ("GPT2", {"n_layer": 36, "n_embd": 1280, "n_head": 20}),
    "gpt2-xl": ("GPT2", {"n_layer": 48, "n_embd": 1600, "n_head": 25}),
    "modernbert-base": ("ModernBert", {}),
    "modernbert-large": ("ModernBert", _bert(28, 1024, 16, 2624)),
}


@pytest.mark.parametrize("name", ORACLES)
def test_stack_is_as_large_as_the_reference_librarys_own_with_as_many_heads(name: str) -> None:
    transformers = pytest.importorskip("transformers")
    kind, settings = ORACLES[name]
    with torch.device("meta"):
        theirs = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**settings))
    heads = (Pooler(),) if getattr(theirs, "pooler", None) is not None else ()
    config, reference = preset(name), theirs.config
    assert count(replace(config, heads=heads)) == sum(p.numel() for p in theirs.parameters())
    for stack in (config.encoder, config.decoder):  # parameters do not tell how many heads share them
        if stack:
            assert (stack.n_heads, stack.n_layers) == (reference.num_attention_heads, reference.num_hidden_layers)


@pytest.mark.parametrize("name", PRESETS)
def test_every_size_divides_its_rows_among_its_heads(name: str) -> None:
    """And so does a copy at another width: a head's own is worked out from it, but where a paper says otherwise."""
    config = preset(name)
    for stack in (config.encoder, config.decoder):
        if stack is not None and not stack.d_head:
            assert stack.d_key * stack.n_heads == stack.d_model
            assert replace(stack, d_model=2 * stack.d_model).d_key == 2 * stack.d_key
            assert replace(stack, d_head=stack.d_key) == stack
        assert stack is None or not stack.d_head or config.family == "t5"


@pytest.mark.parametrize("name", [name for name in PRESETS if "tiny" in name])
def test_tiny_member_differs_from_its_base_in_sizes_alone(name: str) -> None:
    tiny, usual = preset(name), preset(name.replace("tiny", "base").replace("gpt2-base", "gpt2-small"))
    one, other = tiny.encoder or tiny.decoder, usual.encoder or usual.decoder
    assert one is not None
    assert other is not None
    sizes = resize(usual, one.n_layers, one.d_model, one.n_heads, one.d_ffn, d_head=one.d_head)
    in_ = replace(sizes.input, vocab_size=tiny.input.vocab_size, d_embed=tiny.input.d_embed)
    assert replace(sizes, input=in_) == tiny
    assert count(tiny) < 5e6


@pytest.mark.parametrize("name", ["bert", "BERT", "bert-base", "Bert-Base", " bert_base "])
def test_a_family_alone_is_its_usual_size_in_any_case(name: str) -> None:
    assert preset(name) is PRESETS["bert-base"]


def test_every_alias_names_a_preset_and_no_two_presets_are_one() -> None:
    assert set(ALIASES.values()) <= set(PRESETS)
    assert not set(ALIASES) & set(PRESETS)
    assert len(set(PRESETS.values())) == len(PRESETS)


@pytest.mark.parametrize(
    ("wrong", "meant"), [("bert-bas", "bert-base"), ("roberta-lrage", "roberta-large"), ("gpt3", "gpt2")]
)
def test_unknown_name_says_which_was_meant(wrong: str, meant: str) -> None:
    with pytest.raises(InputError, match=f"{wrong}.*did you mean '{meant}'"):
        preset(wrong)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_a_paper_of_its_family(name: str) -> None:
    found = next(family for family, one in PAPERS.items() if one is paper(name))
    assert name.startswith(found)
    assert preset(name).family == {"t5-v1.1": "t5", "modern": ""}.get(found, found)


def test_every_paper_has_presets_and_says_what_it_changed() -> None:
    assert {id(paper(name)) for name in PRESETS} == {id(one) for one in PAPERS.values()}
    for one in PAPERS.values():
        assert one.changed.endswith(".")
        assert one.formula
        assert not one.arxiv or one.arxiv[:2] in (str(one.year)[2:], "24")
