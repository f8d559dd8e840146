"""XLNet in the layout of transformers, whose projections lie (D, H, K). Yang et al. 2019, arXiv:1906.08237."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from inlay.convert import bert
from inlay.convert.family import Family
from inlay.convert.names import ByHead, Line, Names
from inlay.convert.settings import Settings
from inlay.model.heads import Head, Inner, LanguageHead, SpanHead, TextHead, TokenHead
from inlay.model.init import Normal
from inlay.model.input import Input
from inlay.model.model import ModelConfig
from inlay.model.norm import LayerNorm
from inlay.model.relative import XLRelative
from inlay.model.stack import Dropout, Stack

# D model, H heads, K head size

CLASSES = {
    "XLNetModel": frozenset[str](),
    "XLNetLMHeadModel": frozenset({"language"}),
    "XLNetForSequenceClassification": frozenset({"text"}),
    "XLNetForTokenClassification": frozenset({"tokens"}),
    "XLNetForQuestionAnsweringSimple": frozenset({"span"}),
}


@dataclass(frozen=True)
class Row:
    """Theirs is one row (1, 1, D), ours (D,)."""

    def join(self, theirs: list[Tensor]) -> Tensor:
        """(1, 1, D) -> (D,)."""
        return theirs[0].flatten()

    def split(self, ours: Tensor, n: int) -> list[Tensor]:
        """(D,) -> (1, 1, D)."""
        return [ours[None, None]]


def read(settings: Settings, names: frozenset[str]) -> ModelConfig:
    """The literal; one number is the dropout of all places."""
    p, d_model, n_heads = (
        settings.number("dropout", 0.1),
        settings.integer("d_model", 1024),
        settings.integer("n_head", 16),
    )
    if settings.has("d_head") and settings.integer("d_head") * n_heads != d_model:
        raise settings.wrong("d_head", f"d_model / n_head = {d_model / n_heads:g}")
    heads: list[Head] = []
    if "lm_loss.bias" in names:
        heads.append(LanguageHead(tied=settings.flag("tie_word_embeddings", True)))
    if "logits_proj.weight" in names:
        heads.append(_text(settings))
    if "classifier.weight" in names:
        heads.append(TokenHead(labels=bert.labels(settings), dropout=0.0))
    if "qa_outputs.weight" in names:
        heads.append(SpanHead())
    return bert.finished(
        settings,
        ModelConfig(
            input=Input(vocab_size=settings.integer("vocab_size", 32_000), query=True, dropout=p),
            encoder=Stack(
                n_layers=settings.integer("n_layer", 24),
                d_model=d_model,
                n_heads=n_heads,
                d_ffn=settings.integer("d_inner", 4096),
                norm=LayerNorm(eps=settings.number("layer_norm_eps", 1e-12)),
                relative=XLRelative(),
                activation=bert.activation(settings, "gelu", "ff_activation"),
                attention_bias=False,
                dropout=Dropout(hidden=p, attention=p, ffn=p),
            ),
            heads=tuple(heads),
            init=Normal(std=settings.number("initializer_range", 0.02)),
            family="xlnet",
        ),
    )


def _text(settings: Settings) -> TextHead:
    """The class is told from a summary of the text: a row of it, projected."""
    if not settings.flag("summary_use_proj", True):
        raise settings.wrong("summary_use_proj", "true: a summary that is not projected is not built in")
    return TextHead(
        labels=bert.labels(settings),
        at=settings.text("summary_type", ("last", "first", "mean"), "last"),  # type: ignore[arg-type]
        inner=Inner(activation=bert.activation(settings, "tanh", "summary_activation")),
        dropout=settings.number("summary_last_dropout", 0.1),
    )


def write(config: ModelConfig) -> dict[str, Any]:
    """The settings of XLNet's class."""
    stack = bert.encoder(config)
    said: dict[str, Any] = {
        "vocab_size": config.input.vocab_size,
        "d_model": stack.d_model,
        "n_layer": stack.n_layers,
        "n_head": stack.n_heads,
        "d_head": stack.d_key,
        "d_inner": stack.d_ffn,
        "ff_activation": bert.their_activation(stack.activation),
        "layer_norm_eps": stack.norm.eps,
        "dropout": stack.dropout.hidden,
        "initializer_range": getattr(config.init, "std", 0.02),
    }
    said |= bert.write_heads(config)
    said.pop("classifier_dropout", None)
    for head in config.heads:
        if isinstance(head, TextHead):
            said |= {"summary_type": head.at, "summary_use_proj": True, "summary_last_dropout": head.dropout}
            if head.inner is not None:
                said["summary_activation"] = bert.their_activation(head.inner.activation)
    return said


def names(config: ModelConfig) -> Names:
    """XLNet's table."""
    n_heads = bert.encoder(config).n_heads
    block, layer, relative = "encoder.blocks.{i}.", "transformer.layer.{i}.", "encoder.relatives.{i}."
    attention, into, out = layer + "rel_attn.", ByHead(n_heads), ByHead(n_heads, out=True)
    return Names(
        lines=(
            Line("input.token.weight", "transformer.word_embedding.weight"),
            Line("input.query", "transformer.mask_emb", form=Row()),
            Line(block + "attention.qkv.weight", *(attention + one for one in "qkv"), form=into),
            Line(block + "attention.out.weight", attention + "o", form=out),
            Line(block + "attention_norm.{w}", attention + "layer_norm.{w}"),
            Line(relative + "r.weight", attention + "r", form=into),
            Line(relative + "u", attention + "r_w_bias"),
            Line(relative + "v", attention + "r_r_bias"),
            Line(relative + "s", attention + "r_s_bias"),
            Line(relative + "segment", attention + "seg_embed"),
            Line(block + "ffn.up.{w}", layer + "ff.layer_1.{w}"),
            Line(block + "ffn.down.{w}", layer + "ff.layer_2.{w}"),
            Line(block + "ffn_norm.{w}", layer + "ff.layer_norm.{w}"),
            Line("heads.language.own.weight", "lm_loss.weight"),
            Line("heads.language.bias", "lm_loss.bias"),
            Line("heads.text.inner.dense.{w}", "sequence_summary.summary.{w}"),
            Line("heads.text.out.{w}", "logits_proj.{w}"),
            Line("heads.tokens.out.{w}", "classifier.{w}"),
            Line("heads.span.out.{w}", "qa_outputs.{w}"),
        ),
        copies={"lm_loss.weight": "transformer.word_embedding.weight"} if bert.is_tied(config) else {},
    )


XLNET = Family(name="xlnet", base="transformer.", classes=CLASSES, read=read, write=write, names=names)
