"""RoBERTa in the layout of transformers, and what is built as it is. Liu et al. 2019, arXiv:1907.11692."""

from dataclasses import replace
from typing import Any

from inlay.convert import bert
from inlay.convert.family import Family
from inlay.convert.names import Line, Names
from inlay.convert.settings import Settings
from inlay.model.heads import Head, Inner, LanguageHead, Pooler, SpanHead, TextHead, TokenHead
from inlay.model.init import Normal
from inlay.model.model import ModelConfig
from inlay.model.position import Learned

DEFAULTS = bert.DEFAULTS | {"vocab_size": 50_265, "pad_token_id": 1}


def read(settings: Settings, names: frozenset[str]) -> ModelConfig:
    """The literal; positions are counted from the padding id plus one."""
    norm = bert.read_norm(settings, DEFAULTS)
    layer = bert.read_input(settings, norm, DEFAULTS)
    assert isinstance(layer.position, Learned)
    offset = settings.integer("pad_token_id", DEFAULTS["pad_token_id"], least=0) + 1
    heads: list[Head] = []
    if "roberta.pooler.dense.weight" in names:
        heads.append(Pooler())
    if "lm_head.dense.weight" in names:
        heads.append(LanguageHead(inner=Inner(norm=norm), tied=settings.flag("tie_word_embeddings", True)))
    if "classifier.dense.weight" in names:
        p = bert.classifier_dropout(settings)
        inner = Inner(activation="tanh", dropout=p)
        heads.append(TextHead(labels=bert.labels(settings), at="first", inner=inner, dropout=p))
    elif "classifier.weight" in names and bert.architecture(settings).endswith("ForTokenClassification"):
        heads.append(TokenHead(labels=bert.labels(settings), dropout=bert.classifier_dropout(settings)))
    if "qa_outputs.weight" in names:
        heads.append(SpanHead())
    return bert.finished(
        settings,
        ModelConfig(
            input=replace(layer, position=replace(layer.position, offset=offset)),
            encoder=bert.read_stack(settings, norm, DEFAULTS),
            heads=tuple(heads),
            init=Normal(std=settings.number("initializer_range", DEFAULTS["initializer_range"])),
            family=settings.text("model_type"),
        ),
    )


def write(config: ModelConfig) -> dict[str, Any]:
    """The settings of RoBERTa's class."""
    offset = getattr(config.input.position, "offset", 0)
    return {**bert.write(config), "pad_token_id": max(0, offset - 1)}


def names(config: ModelConfig) -> Names:
    """RoBERTa's table."""
    return Names(
        lines=(
            *bert.embedding_lines("roberta."),
            *bert.block_lines("roberta."),
            *bert.output_lines(config, "lm_head."),
            Line("heads.pooler.dense.{w}", "roberta.pooler.dense.{w}"),
            Line("heads.language.inner.dense.{w}", "lm_head.dense.{w}"),
            Line("heads.language.inner.norm.{w}", "lm_head.layer_norm.{w}"),
            Line("heads.text.inner.dense.{w}", "classifier.dense.{w}"),
            Line("heads.text.out.{w}", "classifier.out_proj.{w}"),
            Line("heads.tokens.out.{w}", "classifier.{w}"),
            Line("heads.span.out.{w}", "qa_outputs.{w}"),
        ),
        copies=bert.output_copies("lm_head.", "roberta."),
        buffers=bert.buffers("roberta."),
    )


def _family(name: str, prefix: str) -> Family:
    return Family(
        name=name,
        base="roberta.",
        classes={
            f"{prefix}Model": frozenset({"pooler"}),
            f"{prefix}ForMaskedLM": frozenset({"language"}),
            f"{prefix}ForSequenceClassification": frozenset({"text"}),
            f"{prefix}ForTokenClassification": frozenset({"tokens"}),
            f"{prefix}ForQuestionAnswering": frozenset({"span"}),
        },
        read=read,
        write=write,
        names=names,
    )


ROBERTA = _family("roberta", "Roberta")
XLM_ROBERTA = _family("xlm-roberta", "XLMRoberta")
CAMEMBERT = _family("camembert", "Camembert")
