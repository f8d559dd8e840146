"""GPT-2 in the layout of transformers, whose matrices lie (in, out). Radford et al. 2019."""

from typing import Any

from inlay.convert import bert
from inlay.convert.family import Family
from inlay.convert.names import Line, Names, Transposed
from inlay.convert.settings import Settings
from inlay.errors import InputError
from inlay.model.heads import Head, LanguageHead, TextHead, TokenHead
from inlay.model.init import Normal
from inlay.model.input import Input
from inlay.model.model import ModelConfig
from inlay.model.norm import LayerNorm
from inlay.model.position import Learned
from inlay.model.stack import Dropout, Stack

CLASSES = {
    "GPT2Model": frozenset[str](),
    "GPT2LMHeadModel": frozenset({"language"}),
    "GPT2ForSequenceClassification": frozenset({"text"}),
    "GPT2ForTokenClassification": frozenset({"tokens"}),
}


def read(settings: Settings, names: frozenset[str]) -> ModelConfig:
    """The literal. A tied language head has no tensors, so that the class in config.json says whether there is one."""
    d_model, kind = settings.integer("n_embd", 768), bert.architecture(settings)
    hidden = settings.number("resid_pdrop", 0.1)
    heads: list[Head] = []
    if kind == "GPT2LMHeadModel":
        heads.append(LanguageHead(bias=False, tied=settings.flag("tie_word_embeddings", True)))
    if "score.weight" in names:
        heads.append(TextHead(labels=bert.labels(settings), at="last", bias=False, dropout=0.0))
    if "classifier.weight" in names:
        own = next((key for key in ("classifier_dropout", "hidden_dropout") if settings.has(key)), "")
        heads.append(TokenHead(labels=bert.labels(settings), dropout=settings.number(own, 0.1) if own else 0.1))
    stack = Stack(
        n_layers=settings.integer("n_layer", 12),
        d_model=d_model,
        n_heads=settings.integer("n_head", 12),
        d_ffn=settings.integer("n_inner") if settings.has("n_inner") else 4 * d_model,
        norm=LayerNorm(eps=settings.number("layer_norm_epsilon", 1e-5)),
        norm_first=True,
        causal=True,
        activation=bert.activation(settings, "gelu_new", "activation_function"),
        dropout=Dropout(hidden=hidden, attention=settings.number("attn_pdrop", 0.1)),
    )
    return bert.finished(
        settings,
        ModelConfig(
            input=Input(
                vocab_size=settings.integer("vocab_size", 50_257),
                position=Learned(max_len=settings.integer("n_positions", 1024)),
                dropout=settings.number("embd_pdrop", 0.1),
            ),
            decoder=stack,
            heads=tuple(heads),
            init=Normal(std=settings.number("initializer_range", 0.02), residual=True),
            family="gpt2",
        ),
    )


def write(config: ModelConfig) -> dict[str, Any]:
    """The settings of GPT-2's class."""
    stack, layer = config.decoder, config.input
    if stack is None or config.encoder is not None:
        raise InputError("gpt2 is a decoder alone; save this model in inlay's own layout: family=''")
    said = {
        "vocab_size": layer.vocab_size,
        "n_positions": getattr(layer.position, "max_len", 1024),
        "embd_pdrop": layer.dropout,
        "n_embd": stack.d_model,
        "n_layer": stack.n_layers,
        "n_head": stack.n_heads,
        "n_inner": stack.d_ffn,
        "activation_function": bert.their_activation(stack.activation),
        "layer_norm_epsilon": stack.norm.eps,
        "resid_pdrop": stack.dropout.hidden,
        "attn_pdrop": stack.dropout.attention,
        "initializer_range": getattr(config.init, "std", 0.02),
    }
    return said | bert.write_heads(config)


def names(config: ModelConfig) -> Names:
    """GPT-2's table."""
    ours, theirs = "decoder.blocks.{i}.", "transformer.h.{i}."
    lines = (
        Line("input.token.weight", "transformer.wte.weight"),
        Line("input.position.table.weight", "transformer.wpe.weight"),
        Line(ours + "attention_norm.{w}", theirs + "ln_1.{w}"),
        Line(ours + "ffn_norm.{w}", theirs + "ln_2.{w}"),
        *(
            line
            for our, their in {
                "attention.qkv": "attn.c_attn",
                "attention.out": "attn.c_proj",
                "ffn.up": "mlp.c_fc",
                "ffn.down": "mlp.c_proj",
            }.items()
            for line in (
                Line(f"{ours}{our}.weight", f"{theirs}{their}.weight", form=Transposed()),
                Line(f"{ours}{our}.bias", f"{theirs}{their}.bias"),
            )
        ),
        Line("decoder.final_norm.{w}", "transformer.ln_f.{w}"),
        Line("heads.language.own.weight", "lm_head.weight"),
        Line("heads.text.out.weight", "score.weight"),
        Line("heads.tokens.out.{w}", "classifier.{w}"),
    )
    return Names(
        lines=lines,
        copies={"lm_head.weight": "transformer.wte.weight"} if bert.is_tied(config) else {},
        buffers=("transformer.h.{i}.attn.bias", "transformer.h.{i}.attn.masked_bias"),
    )


GPT2 = Family(name="gpt2", base="transformer.", classes=CLASSES, read=read, write=write, names=names)
