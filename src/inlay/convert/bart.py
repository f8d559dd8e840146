"""BART in the layout of transformers. Lewis et al. 2019, arXiv:1910.13461."""

from typing import Any

from inlay.convert import bert
from inlay.convert.family import Family
from inlay.convert.names import Line, Names
from inlay.convert.settings import Settings
from inlay.errors import InputError
from inlay.model.heads import LanguageHead
from inlay.model.init import Normal
from inlay.model.input import Input, Table
from inlay.model.model import ModelConfig
from inlay.model.norm import LayerNorm
from inlay.model.position import Learned
from inlay.model.stack import Dropout, Stack

CLASSES = {
    "BartModel": frozenset[str](),
    "BartForConditionalGeneration": frozenset({"language"}),
}
_UNREAD_ROWS = 2
"""The first rows of a table of positions, which no code reads and no setting counts."""
_SIDES = ("encoder", "decoder")


def read(settings: Settings, names: frozenset[str]) -> ModelConfig:
    """The literal; there is a language head where the class that wrote the folder has one."""
    if not settings.flag("is_encoder_decoder", True):
        raise settings.wrong("is_encoder_decoder", "true")
    d, norm, sides = settings.integer("d_model", 1024), LayerNorm(eps=1e-5), {}
    dropout = Dropout(
        hidden=settings.number("dropout", 0.1),
        attention=settings.number("attention_dropout", 0.0),
        ffn=settings.number("activation_dropout", 0.0),
    )
    for side in _SIDES:
        sides[side] = Stack(
            n_layers=settings.integer(f"{side}_layers", 12),
            d_model=d,
            n_heads=settings.integer(f"{side}_attention_heads", 16),
            d_ffn=settings.integer(f"{side}_ffn_dim", 4096),
            norm=norm,
            causal=side == "decoder",
            cross=side == "decoder",
            activation=bert.activation(settings, "gelu", "activation_function"),
            dropout=dropout,
        )
    layers = sides["encoder"].n_layers
    if settings.integer("num_hidden_layers", layers) != layers:
        raise settings.wrong("num_hidden_layers", f"as encoder_layers={layers} says")
    has_padding = settings.has("pad_token_id") or "pad_token_id" not in settings
    rows = settings.integer("max_position_embeddings", 1024) + _UNREAD_ROWS
    writes = bert.architecture(settings) == "BartForConditionalGeneration"
    return bert.finished(
        settings,
        ModelConfig(
            input=Input(
                vocab_size=settings.integer("vocab_size", 50_265),
                token=Table(padding=settings.integer("pad_token_id", 1, least=0) if has_padding else None),
                position=Learned(max_len=rows, offset=_UNREAD_ROWS),
                twin=True,
                norm=norm,
                dropout=dropout.hidden,
                scale=d**0.5 if settings.flag("scale_embedding", False) else 1.0,
            ),
            encoder=sides["encoder"],
            decoder=sides["decoder"],
            heads=(LanguageHead(bias=False),) if writes else (),
            init=Normal(std=settings.number("init_std", 0.02)),
            family="bart",
        ),
    )


def write(config: ModelConfig) -> dict[str, Any]:
    """The settings of BART's class."""
    layer, encoder, decoder = config.input, config.encoder, config.decoder
    if encoder is None or decoder is None:
        raise InputError("bart has an encoder and a decoder; save this model in inlay's own layout: family=''")
    said = {
        "vocab_size": layer.vocab_size,
        "pad_token_id": getattr(layer.token, "padding", None),
        "max_position_embeddings": max(1, getattr(layer.position, "max_len", 0) - _UNREAD_ROWS),
        "d_model": encoder.d_model,
        "dropout": encoder.dropout.hidden,
        "attention_dropout": encoder.dropout.attention,
        "activation_dropout": encoder.dropout.ffn,
        "activation_function": bert.their_activation(encoder.activation),
        "scale_embedding": layer.scale != 1,
        "init_std": getattr(config.init, "std", 0.02),
        "is_encoder_decoder": True,
        "tie_word_embeddings": True,
    }
    for side, stack in zip(_SIDES, (encoder, decoder), strict=True):
        said |= {
            f"{side}_layers": stack.n_layers,
            f"{side}_attention_heads": stack.n_heads,
            f"{side}_ffn_dim": stack.d_ffn,
        }
    return said


def names(config: ModelConfig) -> Names:
    """BART's table; the norm that stands last in a block is called its final one."""
    lines = [Line("input.token.weight", "model.shared.weight")]
    for side, ours in zip(_SIDES, ("input.", "input.target."), strict=True):
        theirs = f"model.{side}."
        lines += [
            Line(f"{ours}position.table.weight", theirs + "embed_positions.weight"),
            Line(f"{ours}norm.{{w}}", theirs + "layernorm_embedding.{w}"),
        ]
        block, layer = side + ".blocks.{i}.", theirs + "layers.{i}."
        for look, name in (("attention", "self_attn"), ("cross", "encoder_attn"))[: 1 + (side == "decoder")]:
            lines += [
                Line(f"{block}{look}.qkv.{{w}}", *(f"{layer}{name}.{one}_proj.{{w}}" for one in "qkv")),
                Line(f"{block}{look}.out.{{w}}", f"{layer}{name}.out_proj.{{w}}"),
                Line(f"{block}{look}_norm.{{w}}", f"{layer}{name}_layer_norm.{{w}}"),
            ]
        lines += [
            Line(block + "ffn.up.{w}", layer + "fc1.{w}"),
            Line(block + "ffn.down.{w}", layer + "fc2.{w}"),
            Line(block + "ffn_norm.{w}", layer + "final_layer_norm.{w}"),
        ]
    copies = (f"model.{side}.embed_tokens.weight" for side in _SIDES)
    return Names(
        lines=tuple(lines),
        copies=dict.fromkeys(("lm_head.weight", *copies), "model.shared.weight"),
        # The bias of the logits is kept beside the weights, and stays at zero.
        buffers=("final_logits_bias", "model.encoder.version", "model.decoder.version"),
    )


BART = Family(
    name="bart", base="model.", classes=CLASSES, read=read, write=write, names=names, starts=("eos", "sep", "bos")
)
