"""ELECTRA in the layout of transformers: discriminator and generator. Clark et al. 2020, arXiv:2003.10555."""

from typing import Any

from inlay.convert import bert
from inlay.convert.family import Family
from inlay.convert.names import Line, Names
from inlay.convert.settings import Settings
from inlay.model.heads import Head, Inner, LanguageHead, ReplacedHead, SpanHead, TextHead, TokenHead
from inlay.model.init import Normal
from inlay.model.model import ModelConfig

DEFAULTS = bert.DEFAULTS | {
    "hidden_size": 256,
    "embedding_size": 128,
    "num_attention_heads": 4,
    "intermediate_size": 1024,
}

CLASSES = {
    "ElectraModel": frozenset[str](),
    "ElectraForPreTraining": frozenset({"replaced"}),
    "ElectraForMaskedLM": frozenset({"language"}),
    "ElectraForSequenceClassification": frozenset({"text"}),
    "ElectraForTokenClassification": frozenset({"tokens"}),
    "ElectraForQuestionAnswering": frozenset({"span"}),
}


def read(settings: Settings, names: frozenset[str]) -> ModelConfig:
    """The literal; the generator is the one with a language head."""
    norm = bert.read_norm(settings, DEFAULTS)
    stack = bert.read_stack(settings, norm, DEFAULTS)
    d_embed = settings.integer("embedding_size", DEFAULTS["embedding_size"])
    heads: list[Head] = []
    if "discriminator_predictions.dense.weight" in names:
        heads.append(ReplacedHead(inner=Inner(activation=stack.activation)))
    if "generator_predictions.dense.weight" in names:
        heads.append(LanguageHead(inner=Inner(norm=norm), tied=settings.flag("tie_word_embeddings", True)))
    if "classifier.dense.weight" in names:
        p = bert.classifier_dropout(settings)
        heads.append(TextHead(labels=bert.labels(settings), at="first", inner=Inner(dropout=p), dropout=p))
    elif "classifier.weight" in names and bert.architecture(settings).endswith("ForTokenClassification"):
        heads.append(TokenHead(labels=bert.labels(settings), dropout=bert.classifier_dropout(settings)))
    if "qa_outputs.weight" in names:
        heads.append(SpanHead())
    return bert.finished(
        settings,
        ModelConfig(
            input=bert.read_input(settings, norm, DEFAULTS, d_embed=0 if d_embed == stack.d_model else d_embed),
            encoder=stack,
            heads=tuple(heads),
            init=Normal(std=settings.number("initializer_range", DEFAULTS["initializer_range"])),
            family="electra",
        ),
    )


def write(config: ModelConfig) -> dict[str, Any]:
    """The settings of ELECTRA's class."""
    return {**bert.write(config), "embedding_size": config.d_embed}


def names(config: ModelConfig) -> Names:
    """ELECTRA's table."""
    return Names(
        lines=(
            *bert.embedding_lines("electra."),
            Line("input.project.{w}", "electra.embeddings_project.{w}"),
            *bert.block_lines("electra."),
            Line("heads.replaced.inner.dense.{w}", "discriminator_predictions.dense.{w}"),
            Line("heads.replaced.out.{w}", "discriminator_predictions.dense_prediction.{w}"),
            Line("heads.language.inner.dense.{w}", "generator_predictions.dense.{w}"),
            Line("heads.language.inner.norm.{w}", "generator_predictions.LayerNorm.{w}"),
            Line("heads.language.bias", "generator_lm_head.bias"),
            Line("heads.language.own.weight", "generator_lm_head.weight"),
            Line("heads.text.inner.dense.{w}", "classifier.dense.{w}"),
            Line("heads.text.out.{w}", "classifier.out_proj.{w}"),
            Line("heads.tokens.out.{w}", "classifier.{w}"),
            Line("heads.span.out.{w}", "qa_outputs.{w}"),
        ),
        copies={"generator_lm_head.weight": "electra.embeddings.word_embeddings.weight"},
        buffers=bert.buffers("electra."),
    )


ELECTRA = Family(name="electra", base="electra.", classes=CLASSES, read=read, write=write, names=names)
