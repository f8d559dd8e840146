"""ALBERT in the layout of transformers. Lan et al. 2020, arXiv:1909.11942."""

from typing import Any

from inlay.convert import bert
from inlay.convert.family import Family
from inlay.convert.names import Line, Names
from inlay.convert.settings import Settings
from inlay.model.heads import Head, Inner, LanguageHead, PairHead, Pooler, SpanHead, TextHead, TokenHead
from inlay.model.init import Normal
from inlay.model.model import ModelConfig

DEFAULTS = bert.DEFAULTS | {
    "vocab_size": 30_000,
    "hidden_size": 4096,
    "embedding_size": 128,
    "num_attention_heads": 64,
    "intermediate_size": 16_384,
    "hidden_act": "gelu_new",
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}

CLASSES = {
    "AlbertModel": frozenset({"pooler"}),
    "AlbertForPreTraining": frozenset({"pooler", "language", "pair"}),
    "AlbertForMaskedLM": frozenset({"language"}),
    "AlbertForSequenceClassification": frozenset({"pooler", "text"}),
    "AlbertForTokenClassification": frozenset({"tokens"}),
    "AlbertForQuestionAnswering": frozenset({"span"}),
}


def read(settings: Settings, names: frozenset[str]) -> ModelConfig:
    """The literal; layers run the blocks of `num_hidden_groups` in turn."""
    norm = bert.read_norm(settings, DEFAULTS)
    d_embed = settings.integer("embedding_size", DEFAULTS["embedding_size"])
    stack = bert.read_stack(settings, norm, DEFAULTS, n_unique=settings.integer("num_hidden_groups", 1))
    if d_embed == stack.d_model:
        raise settings.wrong("embedding_size", f"other than hidden_size={d_embed}, so that vectors are projected")
    heads: list[Head] = []
    kind = bert.architecture(settings) if "classifier.weight" in names else ""
    is_text = kind.endswith("ForSequenceClassification")
    if is_text or "albert.pooler.weight" in names:
        heads.append(Pooler())
    if "predictions.dense.weight" in names:
        inner = Inner(activation=stack.activation, norm=norm)
        heads.append(LanguageHead(inner=inner, tied=settings.flag("tie_word_embeddings", True)))
    if "sop_classifier.classifier.weight" in names:
        heads.append(PairHead(dropout=_dropout(settings)))
    if is_text:
        heads.append(TextHead(labels=bert.labels(settings), dropout=_dropout(settings)))
    elif kind.endswith("ForTokenClassification"):
        heads.append(TokenHead(labels=bert.labels(settings), dropout=_dropout(settings)))
    if "qa_outputs.weight" in names:
        heads.append(SpanHead())
    return bert.finished(
        settings,
        ModelConfig(
            input=bert.read_input(settings, norm, DEFAULTS, d_embed=d_embed),
            encoder=stack,
            heads=tuple(heads),
            init=Normal(std=settings.number("initializer_range", DEFAULTS["initializer_range"])),
            family="albert",
        ),
    )


def write(config: ModelConfig) -> dict[str, Any]:
    """The settings of ALBERT's class."""
    said = {**bert.write(config), "embedding_size": config.d_embed, "num_hidden_groups": bert.encoder(config).n_blocks}
    said.pop("classifier_dropout", None)
    for head in config.heads:
        if isinstance(head, TextHead | TokenHead | PairHead):
            said["classifier_dropout_prob"] = head.dropout
    return said


def _dropout(settings: Settings) -> float:
    if settings.has("classifier_dropout_prob") or "classifier_dropout_prob" not in settings:
        return settings.number("classifier_dropout_prob", 0.1)
    return settings.number("hidden_dropout_prob", DEFAULTS["hidden_dropout_prob"])


def names(config: ModelConfig) -> Names:
    """ALBERT's table; a group's one layer is a block of ours."""
    ours, theirs = "encoder.blocks.{i}.", "albert.encoder.albert_layer_groups.{i}.albert_layers.0."
    return Names(
        lines=(
            *bert.embedding_lines("albert."),
            Line("input.project.{w}", "albert.encoder.embedding_hidden_mapping_in.{w}"),
            Line(ours + "attention.qkv.{w}", *(theirs + f"attention.{x}.{{w}}" for x in ("query", "key", "value"))),
            Line(ours + "attention.out.{w}", theirs + "attention.dense.{w}"),
            Line(ours + "attention_norm.{w}", theirs + "attention.LayerNorm.{w}"),
            Line(ours + "ffn.up.{w}", theirs + "ffn.{w}"),
            Line(ours + "ffn.down.{w}", theirs + "ffn_output.{w}"),
            Line(ours + "ffn_norm.{w}", theirs + "full_layer_layer_norm.{w}"),
            Line("heads.pooler.dense.{w}", "albert.pooler.{w}"),
            Line("heads.language.inner.dense.{w}", "predictions.dense.{w}"),
            Line("heads.language.inner.norm.{w}", "predictions.LayerNorm.{w}"),
            *bert.output_lines(config, "predictions."),
            Line("heads.pair.out.{w}", "sop_classifier.classifier.{w}"),
            Line("heads.text.out.{w}", "classifier.{w}"),
            Line("heads.tokens.out.{w}", "classifier.{w}"),
            Line("heads.span.out.{w}", "qa_outputs.{w}"),
        ),
        copies=bert.output_copies("predictions.", "albert."),
        buffers=bert.buffers("albert."),
    )


ALBERT = Family(name="albert", base="albert.", classes=CLASSES, read=read, write=write, names=names)
