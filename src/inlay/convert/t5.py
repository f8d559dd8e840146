"""T5 and T5 v1.1 in the layout of transformers, and T5's encoder alone. Raffel et al. 2020, arXiv:1910.10683."""

from dataclasses import replace
from typing import Any

from inlay.convert import bert
from inlay.convert.family import Family
from inlay.convert.names import Line, Names
from inlay.convert.settings import Settings
from inlay.errors import InputError
from inlay.model.ffn import Activation
from inlay.model.heads import LanguageHead
from inlay.model.init import Scaled
from inlay.model.input import Input
from inlay.model.model import ModelConfig
from inlay.model.norm import RMSNorm
from inlay.model.relative import T5Buckets
from inlay.model.stack import Dropout, Stack

ENCODER = "T5EncoderModel"
CLASSES = {
    "T5Model": frozenset[str](),
    "T5ForConditionalGeneration": frozenset({"language"}),
}
_WITH_LANGUAGE = ("T5ForConditionalGeneration", "T5WithLMHeadModel")  # the second is the first's oldest name
_GATED = "gated-"


class _T5(Family):
    """The encoder alone is told by its stacks, not by its heads."""

    def architecture(self, config: ModelConfig) -> str:
        if config.decoder is not None:
            return super().architecture(config)
        if config.heads:
            raise InputError(f"{ENCODER} has no heads; leave them out, or save it in inlay's own layout: family=''")
        return ENCODER


def read(settings: Settings, names: frozenset[str]) -> ModelConfig:
    """The literal; the stacks are those that there are tensors of.

    The setting that ties the tables says in truth whether rows are scaled before the logits (version 1.0), or not
    (1.1). There is a table of the head's own where the file has one beside unscaled logits.
    """
    p = settings.number("dropout_rate", 0.1)
    tied = settings.flag("tie_word_embeddings", True)
    scaled = settings.flag("scale_decoder_outputs") if settings.has("scale_decoder_outputs") else tied
    gated, activation = _ffn(settings)
    encoder = Stack(
        n_layers=settings.integer("num_layers", 6),
        d_model=settings.integer("d_model", 512),
        n_heads=settings.integer("num_heads", 8),
        d_head=settings.integer("d_kv", 64),
        d_ffn=settings.integer("d_ff", 2048),
        norm=RMSNorm(eps=settings.number("layer_norm_epsilon", 1e-6)),
        norm_first=True,
        relative=T5Buckets(
            n_buckets=settings.integer("relative_attention_num_buckets", 32),
            max_distance=settings.integer("relative_attention_max_distance", 128),
        ),
        activation=activation,
        gated=gated,
        bias=False,
        attention_bias=False,
        scale_scores=False,
        dropout=Dropout(hidden=p, attention=p, ffn=p),
    )
    more = settings.integer("num_decoder_layers") if settings.has("num_decoder_layers") else encoder.n_layers
    both = "decoder.final_layer_norm.weight" in names
    settings.flag("is_encoder_decoder", both)
    own = "lm_head.weight" in names and not scaled
    head = LanguageHead(bias=False, tied=not own, scaled=scaled)
    return bert.finished(
        settings,
        ModelConfig(
            input=Input(vocab_size=settings.integer("vocab_size", 32_128), dropout=p),
            encoder=encoder,
            decoder=replace(encoder, n_layers=more, causal=True, cross=True) if both else None,
            heads=(head,) if both and (own or bert.architecture(settings) in _WITH_LANGUAGE) else (),
            init=Scaled(factor=settings.number("initializer_factor", 1.0)),
            family="t5",
        ),
    )


def _ffn(settings: Settings) -> tuple[bool, Activation]:
    """Whether there is a gate, and the function; two more keys say the same, and must."""
    kinds = [prefix + name for prefix in ("", _GATED) for name in bert.ACTIVATION]
    kind = settings.text("feed_forward_proj", kinds, "relu")
    gated, function = kind.startswith(_GATED), bert.ACTIVATION[kind.removeprefix(_GATED)]
    if kind == "gated-gelu":
        function = "gelu_tanh"  # as it was trained, whatever the name
    if settings.has("is_gated_act") and settings.flag("is_gated_act") != gated:
        raise settings.wrong("is_gated_act", f"as feed_forward_proj={kind} says")
    if settings.has("dense_act_fn") and bert.activation(settings, "relu", "dense_act_fn") != function:
        raise settings.wrong("dense_act_fn", f"as feed_forward_proj={kind} says")
    return gated, function


def write(config: ModelConfig) -> dict[str, Any]:
    """The settings of T5's class."""
    stack, head = config.encoder, next((one for one in config.heads if isinstance(one, LanguageHead)), None)
    if stack is None:
        raise InputError("t5 has an encoder; save this model in inlay's own layout: family=''")
    function = "gelu_python" if stack.gated and stack.activation == "gelu" else bert.their_activation(stack.activation)
    if stack.gated and stack.activation == "gelu_tanh":
        function = "gelu"
    relative = stack.relative if isinstance(stack.relative, T5Buckets) else T5Buckets()
    return {
        "vocab_size": config.input.vocab_size,
        "d_model": stack.d_model,
        "d_kv": stack.d_key,
        "d_ff": stack.d_ffn,
        "num_layers": stack.n_layers,
        "num_decoder_layers": (config.decoder or stack).n_layers,
        "num_heads": stack.n_heads,
        "relative_attention_num_buckets": relative.n_buckets,
        "relative_attention_max_distance": relative.max_distance,
        "dropout_rate": stack.dropout.hidden,
        "layer_norm_epsilon": stack.norm.eps,
        "initializer_factor": getattr(config.init, "factor", 1.0),
        "feed_forward_proj": _GATED * stack.gated + function,
        "is_encoder_decoder": config.decoder is not None,
        "tie_word_embeddings": head is None or head.scaled,
        "pad_token_id": 0,
        "decoder_start_token_id": 0,
    }


def names(config: ModelConfig) -> Names:
    """T5's table; the number of a part in a block counts what stands before it."""
    up = ("wi_0", "wi_1") if config.encoder and config.encoder.gated else ("wi",)
    lines = [
        Line("input.token.weight", "shared.weight"),
        Line("heads.language.own.weight", "lm_head.weight"),
    ]
    for stack, ffn in (("encoder", 1), ("decoder", 2)):
        block, theirs = stack + ".blocks.{i}.", stack + ".block.{i}.layer."
        looks = [("attention", "0.SelfAttention."), ("cross", "1.EncDecAttention.")][:ffn]
        for number, (ours, name) in enumerate(looks):
            lines += [
                Line(f"{block}{ours}.qkv.weight", *(f"{theirs}{name}{one}.weight" for one in "qkv")),
                Line(f"{block}{ours}.out.weight", f"{theirs}{name}o.weight"),
                Line(f"{block}{ours}_norm.weight", f"{theirs}{number}.layer_norm.weight"),
            ]
        lines += [
            Line(block + "ffn.up.weight", *(f"{theirs}{ffn}.DenseReluDense.{one}.weight" for one in up)),
            Line(block + "ffn.down.weight", f"{theirs}{ffn}.DenseReluDense.wo.weight"),
            Line(block + "ffn_norm.weight", f"{theirs}{ffn}.layer_norm.weight"),
            Line(stack + ".relatives.{i}.table.weight", f"{theirs}0.SelfAttention.relative_attention_bias.weight"),
            Line(stack + ".final_norm.weight", stack + ".final_layer_norm.weight"),
        ]
    copies = dict.fromkeys(("encoder.embed_tokens.weight", "decoder.embed_tokens.weight"), "shared.weight")
    if bert.is_tied(config):
        copies["lm_head.weight"] = "shared.weight"
    return Names(
        lines=tuple(lines),
        copies=copies,
        # The first files hold a table for distances to the source, which no code reads.
        buffers=("decoder.block.{i}.layer.1.EncDecAttention.relative_attention_bias.weight",),
    )


T5 = _T5(name="t5", base="", classes=CLASSES, read=read, write=write, names=names)
