"""DistilBERT in the layout of transformers. Sanh et al. 2019, arXiv:1910.01108.

Training there leaves nothing out of what attention adds to a row; here `dropout` is of both branches, as in BERT.
"""

from typing import Any

from inlay.convert import bert
from inlay.convert.family import Family
from inlay.convert.names import Line, Names
from inlay.convert.settings import Settings
from inlay.model.heads import Head, Inner, LanguageHead, SpanHead, TextHead, TokenHead
from inlay.model.init import Normal
from inlay.model.input import Input, Table
from inlay.model.model import ModelConfig
from inlay.model.norm import LayerNorm
from inlay.model.position import Learned
from inlay.model.stack import Dropout, Stack

NORM = LayerNorm(eps=1e-12)

CLASSES = {
    "DistilBertModel": frozenset[str](),
    "DistilBertForMaskedLM": frozenset({"language"}),
    "DistilBertForSequenceClassification": frozenset({"text"}),
    "DistilBertForTokenClassification": frozenset({"tokens"}),
    "DistilBertForQuestionAnswering": frozenset({"span"}),
}


def read(settings: Settings, names: frozenset[str]) -> ModelConfig:
    """The literal."""
    function, dropout = bert.activation(settings, "gelu", "activation"), settings.number("dropout", 0.1)
    has_padding = settings.has("pad_token_id") or "pad_token_id" not in settings
    heads: list[Head] = []
    if "vocab_transform.weight" in names:
        inner = Inner(activation=function, norm=NORM)
        heads.append(LanguageHead(inner=inner, tied=settings.flag("tie_word_embeddings", True)))
    if "pre_classifier.weight" in names and not bert.architecture(settings).endswith("ForMultipleChoice"):
        p = settings.number("seq_classif_dropout", 0.2)
        heads.append(TextHead(labels=bert.labels(settings), at="first", inner=Inner(activation="relu"), dropout=p))
    elif "classifier.weight" in names and bert.architecture(settings).endswith("ForTokenClassification"):
        heads.append(TokenHead(labels=bert.labels(settings), dropout=dropout))
    if "qa_outputs.weight" in names:
        heads.append(SpanHead(dropout=settings.number("qa_dropout", 0.1)))
    return bert.finished(
        settings,
        ModelConfig(
            input=Input(
                vocab_size=settings.integer("vocab_size", 30_522),
                token=Table(padding=settings.integer("pad_token_id", 0, least=0) if has_padding else None),
                position=Learned(max_len=settings.integer("max_position_embeddings", 512)),
                norm=NORM,
                dropout=dropout,
            ),
            encoder=Stack(
                n_layers=settings.integer("n_layers", 6),
                d_model=settings.integer("dim", 768),
                n_heads=settings.integer("n_heads", 12),
                d_ffn=settings.integer("hidden_dim", 3072),
                norm=NORM,
                activation=function,
                dropout=Dropout(hidden=dropout, attention=settings.number("attention_dropout", 0.1)),
            ),
            heads=tuple(heads),
            init=Normal(std=settings.number("initializer_range", 0.02)),
            family="distilbert",
        ),
    )


def write(config: ModelConfig) -> dict[str, Any]:
    """The settings of DistilBERT's class."""
    stack = bert.encoder(config)
    said = {
        "vocab_size": config.input.vocab_size,
        "pad_token_id": getattr(config.input.token, "padding", None),
        "max_position_embeddings": getattr(config.input.position, "max_len", 512),
        "dim": stack.d_model,
        "n_layers": stack.n_layers,
        "n_heads": stack.n_heads,
        "hidden_dim": stack.d_ffn,
        "activation": bert.their_activation(stack.activation),
        "dropout": stack.dropout.hidden,
        "attention_dropout": stack.dropout.attention,
        "initializer_range": getattr(config.init, "std", 0.02),
        **bert.write_heads(config),
    }
    said.pop("classifier_dropout", None)
    for head in config.heads:
        if isinstance(head, TextHead):
            said["seq_classif_dropout"] = head.dropout
        elif isinstance(head, SpanHead):
            said["qa_dropout"] = head.dropout
    return said


def names(config: ModelConfig) -> Names:
    """DistilBERT's table."""
    ours, theirs = "encoder.blocks.{i}.", "distilbert.transformer.layer.{i}."
    return Names(
        lines=(
            *bert.embedding_lines("distilbert."),
            Line(ours + "attention.qkv.{w}", *(theirs + f"attention.{x}_lin.{{w}}" for x in "qkv")),
            Line(ours + "attention.out.{w}", theirs + "attention.out_lin.{w}"),
            Line(ours + "attention_norm.{w}", theirs + "sa_layer_norm.{w}"),
            Line(ours + "ffn.up.{w}", theirs + "ffn.lin1.{w}"),
            Line(ours + "ffn.down.{w}", theirs + "ffn.lin2.{w}"),
            Line(ours + "ffn_norm.{w}", theirs + "output_layer_norm.{w}"),
            Line("heads.language.inner.dense.{w}", "vocab_transform.{w}"),
            Line("heads.language.inner.norm.{w}", "vocab_layer_norm.{w}"),
            Line("heads.language.bias", "vocab_projector.bias"),
            Line("heads.language.own.weight", "vocab_projector.weight"),
            Line("heads.text.inner.dense.{w}", "pre_classifier.{w}"),
            Line("heads.text.out.{w}", "classifier.{w}"),
            Line("heads.tokens.out.{w}", "classifier.{w}"),
            Line("heads.span.out.{w}", "qa_outputs.{w}"),
        ),
        copies={"vocab_projector.weight": "distilbert.embeddings.word_embeddings.weight"},
        buffers=bert.buffers("distilbert."),
    )


DISTILBERT = Family(name="distilbert", base="distilbert.", classes=CLASSES, read=read, write=write, names=names)
