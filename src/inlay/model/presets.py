"""Presets by name: the published sizes of every family, and of each a tiny one to try things out with.

The families themselves are in `inlay.model.architectures`, where they come from in `inlay.model.papers`.
"""

from dataclasses import replace
from typing import Any

from inlay.errors import InputError, did_you_mean
from inlay.model import architectures as base
from inlay.model.model import ModelConfig

# L layers, D model, H heads, F ffn


def preset(name: str) -> ModelConfig:
    """The architecture of that name, in whatever case: `bert-base`; `BERT` alone is its usual size."""
    wanted = name.strip().lower().replace("_", "-")
    wanted = ALIASES.get(wanted, wanted)
    if wanted not in PRESETS:
        raise InputError(f"no architecture is called {name!r}{did_you_mean(wanted, [*PRESETS, *ALIASES])}")
    return PRESETS[wanted]


def resize(
    config: ModelConfig, n_layers: int, d_model: int, n_heads: int, d_ffn: int, *, d_head: int = 0, **of_input: Any
) -> ModelConfig:
    """The same architecture at another size in every stack; `of_input` are fields of the input layer to change."""
    size: dict[str, Any] = {"n_layers": n_layers, "d_model": d_model, "n_heads": n_heads, "d_ffn": d_ffn}
    size["d_head"] = d_head
    if config.input.scale != 1:
        of_input["scale"] = d_model**0.5
    return replace(
        config,
        input=replace(config.input, **of_input),
        encoder=config.encoder and replace(config.encoder, **size),
        decoder=config.decoder and replace(config.decoder, **size),
    )


def _tiny(config: ModelConfig, *, n_layers: int = 2, d_ffn: int = 128, **more: Any) -> ModelConfig:
    """For tests and first tries: all that is peculiar to the family, in a tenth of a million weights."""
    return resize(config, n_layers, 64, 4, d_ffn, vocab_size=1000, **more)


def _dropout(config: ModelConfig, p: float) -> ModelConfig:
    """Of what every layer adds, and of the input."""
    assert config.encoder is not None
    assert config.decoder is not None
    return replace(
        config,
        input=replace(config.input, dropout=p),
        encoder=replace(config.encoder, dropout=replace(config.encoder.dropout, hidden=p)),
        decoder=replace(config.decoder, dropout=replace(config.decoder.dropout, hidden=p)),
    )


PRESETS: dict[str, ModelConfig] = {
    "transformer-tiny": _tiny(base.TRANSFORMER),
    "transformer-base": base.TRANSFORMER,
    "transformer-big": _dropout(resize(base.TRANSFORMER, 6, 1024, 16, 4096), 0.3),
    "bert-tiny": resize(base.BERT, 2, 128, 2, 512),
    "bert-mini": resize(base.BERT, 4, 256, 4, 1024),
    "bert-small": resize(base.BERT, 4, 512, 8, 2048),
    "bert-medium": resize(base.BERT, 8, 512, 8, 2048),
    "bert-base": base.BERT,
    "bert-base-chinese": replace(base.BERT, input=replace(base.BERT.input, vocab_size=21_128)),
    "bert-large": resize(base.BERT, 24, 1024, 16, 4096),
    "roberta-tiny": _tiny(base.ROBERTA),
    "roberta-base": base.ROBERTA,
    "roberta-large": resize(base.ROBERTA, 24, 1024, 16, 4096),
    "distilbert-tiny": _tiny(base.DISTILBERT),
    "distilbert-base": base.DISTILBERT,
    "albert-tiny": _tiny(base.ALBERT, n_layers=3, d_embed=32),
    "albert-base": base.ALBERT,
    "albert-large": resize(base.ALBERT, 24, 1024, 16, 4096),
    "albert-xlarge": resize(base.ALBERT, 24, 2048, 16, 8192),
    "albert-xxlarge": resize(base.ALBERT, 12, 4096, 64, 16_384),
    "electra-tiny": _tiny(base.ELECTRA, d_embed=32),
    "electra-small": resize(base.ELECTRA, 12, 256, 4, 1024, d_embed=128),
    "electra-base": base.ELECTRA,
    "electra-large": resize(base.ELECTRA, 24, 1024, 16, 4096),
    # A generator has its discriminator's token table, and so its width.
    "electra-tiny-generator": _tiny(base.ELECTRA_GENERATOR, d_embed=32),
    "electra-small-generator": resize(base.ELECTRA_GENERATOR, 12, 256, 4, 1024, d_embed=128),
    "electra-base-generator": resize(base.ELECTRA_GENERATOR, 12, 256, 4, 1024, d_embed=768),
    "electra-large-generator": resize(base.ELECTRA_GENERATOR, 24, 256, 4, 1024, d_embed=1024),
    "xlnet-tiny": _tiny(base.XLNET),
    "xlnet-base": base.XLNET,
    "xlnet-large": resize(base.XLNET, 24, 1024, 16, 4096),
    "t5-tiny": _tiny(base.T5, d_head=24),
    "t5-small": resize(base.T5, 6, 512, 8, 2048),
    "t5-base": base.T5,
    "t5-large": resize(base.T5, 24, 1024, 16, 4096),
    "t5-3b": resize(base.T5, 24, 1024, 32, 16_384, d_head=128),
    "t5-11b": resize(base.T5, 24, 1024, 128, 65_536, d_head=128),
    "t5-v1.1-tiny": _tiny(base.T5_V1_1, d_head=24),
    "t5-v1.1-small": resize(base.T5_V1_1, 8, 512, 6, 1024, d_head=64),
    "t5-v1.1-base": base.T5_V1_1,
    "t5-v1.1-large": resize(base.T5_V1_1, 24, 1024, 16, 2816),
    "bart-tiny": _tiny(base.BART),
    "bart-base": base.BART,
    "bart-large": resize(base.BART, 12, 1024, 16, 4096),
    "gpt2-tiny": _tiny(base.GPT2),
    "gpt2-small": base.GPT2,
    "gpt2-medium": resize(base.GPT2, 24, 1024, 16, 4096),
    "gpt2-large": resize(base.GPT2, 36, 1280, 20, 5120),
    "gpt2-xl": resize(base.GPT2, 48, 1600, 25, 6400),
    # Four layers, so that local ones lie between two that see everything.
    "modernbert-tiny": _tiny(base.MODERNBERT, n_layers=4, d_ffn=96),
    "modernbert-base": base.MODERNBERT,
    "modernbert-large": resize(base.MODERNBERT, 28, 1024, 16, 2624),
    "modern-tiny": _tiny(base.MODERN, n_layers=4, d_ffn=192),
    "modern-mini": resize(base.MODERN, 4, 256, 4, 704),
    "modern-small": resize(base.MODERN, 6, 384, 6, 1024),
    "modern-medium": resize(base.MODERN, 8, 512, 8, 1408),
    "modern-base": base.MODERN,
}
"""Every architecture and size by name."""

ALIASES: dict[str, str] = {
    "transformer": "transformer-base",
    "bert": "bert-base",
    "roberta": "roberta-base",
    "distilbert": "distilbert-base",
    "albert": "albert-base",
    "electra": "electra-base",
    "electra-generator": "electra-base-generator",
    "xlnet": "xlnet-base",
    "t5": "t5-base",
    "t5-v1.1": "t5-v1.1-base",
    "bart": "bart-base",
    "gpt2": "gpt2-small",
    "modernbert": "modernbert-base",
    "modern": "modern-base",
}
"""The usual size of each family."""
