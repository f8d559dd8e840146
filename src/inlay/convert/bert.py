"""BERT in the layout of transformers, and what its kin take from it. Devlin et al. 2019, arXiv:1810.04805."""

from collections.abc import Mapping
from typing import Any

from inlay.convert.family import Family
from inlay.convert.names import First, Line, Names
from inlay.convert.settings import Settings
from inlay.convert.unread import HEADS, UNREAD
from inlay.errors import InputError
from inlay.model.ffn import Activation
from inlay.model.heads import Head, Inner, LanguageHead, PairHead, Pooler, SpanHead, TextHead, TokenHead
from inlay.model.init import Normal
from inlay.model.input import Input, Table
from inlay.model.model import ModelConfig
from inlay.model.norm import LayerNorm
from inlay.model.position import Learned
from inlay.model.stack import Dropout, Stack

ACTIVATION: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}
"""Their functions, of which those of one formula are one of ours."""

CLASSES = {
    "BertModel": frozenset({"pooler"}),
    "BertForPreTraining": frozenset({"pooler", "language", "pair"}),
    "BertForMaskedLM": frozenset({"language"}),
    "BertForNextSentencePrediction": frozenset({"pooler", "pair"}),
    "BertForSequenceClassification": frozenset({"pooler", "text"}),
    "BertForTokenClassification": frozenset({"tokens"}),
    "BertForQuestionAnswering": frozenset({"span"}),
}


DEFAULTS: dict[str, Any] = {
    "vocab_size": 30_522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "initializer_range": 0.02,
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
}
"""What the class of transformers takes where config.json is silent."""


def read(settings: Settings, names: frozenset[str]) -> ModelConfig:
    """The literal; heads are what there are tensors of."""
    norm = read_norm(settings, DEFAULTS)
    heads: list[Head] = []
    kind = architecture(settings) if "classifier.weight" in names else ""
    is_text = kind.endswith("ForSequenceClassification")
    if is_text or "bert.pooler.dense.weight" in names:
        heads.append(Pooler())
    if "cls.predictions.transform.dense.weight" in names:
        inner = Inner(activation=activation(settings, DEFAULTS["hidden_act"]), norm=norm)
        heads.append(LanguageHead(inner=inner, tied=settings.flag("tie_word_embeddings", True)))
    if "cls.seq_relationship.weight" in names:
        heads.append(PairHead())
    if is_text:
        heads.append(TextHead(labels=labels(settings), dropout=classifier_dropout(settings)))
    elif kind.endswith("ForTokenClassification"):
        heads.append(TokenHead(labels=labels(settings), dropout=classifier_dropout(settings)))
    if "qa_outputs.weight" in names:
        heads.append(SpanHead())
    return finished(
        settings,
        ModelConfig(
            input=read_input(settings, norm, DEFAULTS),
            encoder=read_stack(settings, norm, DEFAULTS),
            heads=tuple(heads),
            init=Normal(std=settings.number("initializer_range", DEFAULTS["initializer_range"])),
            family="bert",
        ),
    )


def write(config: ModelConfig) -> dict[str, Any]:
    """The settings of BERT's class."""
    return {**write_input(config), **write_stack(config), **write_heads(config)}


def finished(settings: Settings, config: ModelConfig) -> ModelConfig:
    """The literal, if no setting is left that could change it."""
    writes = any(isinstance(head, LanguageHead) for head in config.heads)
    # Without a language head there is nothing that could be tied to the token table.
    ignored = HEADS if writes else HEADS | {"tie_word_embeddings"}
    settings.finish(UNREAD.get(config.family, UNREAD["roberta"]), ignored=ignored)
    return config


def read_norm(settings: Settings, of: Mapping[str, Any]) -> LayerNorm:
    """The norm of all places."""
    return LayerNorm(eps=settings.number("layer_norm_eps", of["layer_norm_eps"]))


def read_input(settings: Settings, norm: LayerNorm, of: Mapping[str, Any], d_embed: int = 0) -> Input:
    """BERT's input layer at the names that its kin share; `of` are the defaults."""
    has_padding = settings.has("pad_token_id") or "pad_token_id" not in settings
    return Input(
        vocab_size=settings.integer("vocab_size", of["vocab_size"]),
        d_embed=d_embed,
        token=Table(padding=settings.integer("pad_token_id", of["pad_token_id"], least=0) if has_padding else None),
        position=Learned(max_len=settings.integer("max_position_embeddings", of["max_position_embeddings"])),
        n_segments=settings.integer("type_vocab_size", of["type_vocab_size"]),
        norm=norm,
        dropout=settings.number("hidden_dropout_prob", of["hidden_dropout_prob"]),
    )


def read_stack(settings: Settings, norm: LayerNorm, of: Mapping[str, Any], n_unique: int = 0) -> Stack:
    """BERT's encoder at the names that its kin share; `of` are the defaults."""
    return Stack(
        n_layers=settings.integer("num_hidden_layers", of["num_hidden_layers"]),
        d_model=settings.integer("hidden_size", of["hidden_size"]),
        n_heads=settings.integer("num_attention_heads", of["num_attention_heads"]),
        d_ffn=settings.integer("intermediate_size", of["intermediate_size"]),
        n_unique=n_unique,
        norm=norm,
        activation=activation(settings, of["hidden_act"]),
        dropout=Dropout(
            hidden=settings.number("hidden_dropout_prob", of["hidden_dropout_prob"]),
            attention=settings.number("attention_probs_dropout_prob", of["attention_probs_dropout_prob"]),
        ),
    )


def write_input(config: ModelConfig) -> dict[str, Any]:
    """What `read_input` reads."""
    layer = config.input
    return {
        "vocab_size": layer.vocab_size,
        "pad_token_id": getattr(layer.token, "padding", None),
        "max_position_embeddings": getattr(layer.position, "max_len", 512),
        "type_vocab_size": layer.n_segments,
    }


def write_stack(config: ModelConfig) -> dict[str, Any]:
    """What `read_stack` reads."""
    stack = encoder(config)
    return {
        "hidden_size": stack.d_model,
        "num_hidden_layers": stack.n_layers,
        "num_attention_heads": stack.n_heads,
        "intermediate_size": stack.d_ffn,
        "hidden_act": their_activation(stack.activation),
        "layer_norm_eps": stack.norm.eps,
        "hidden_dropout_prob": stack.dropout.hidden,
        "attention_probs_dropout_prob": stack.dropout.attention,
        "initializer_range": getattr(config.init, "std", 0.02),
    }


def write_heads(config: ModelConfig) -> dict[str, Any]:
    """The settings of heads: labels, what is left out before the answer, whether the token table is tied."""
    said: dict[str, Any] = {"tie_word_embeddings": True}
    for head in config.heads:
        if isinstance(head, TextHead | TokenHead):
            said |= {"classifier_dropout": head.dropout, **their_labels(head.labels)}
        elif isinstance(head, LanguageHead):
            said["tie_word_embeddings"] = head.tied
    return said


def encoder(config: ModelConfig) -> Stack:
    """The encoder of a model that is nothing else; InputError for another."""
    if config.encoder is None or config.decoder is not None:
        raise InputError(f"{config.family} is an encoder alone; save this model in inlay's own layout: family=''")
    return config.encoder


def activation(settings: Settings, default: str, key: str = "hidden_act") -> Activation:
    """The function of that setting."""
    return ACTIVATION[settings.text(key, ACTIVATION, default)]


def their_activation(ours: Activation) -> str:
    """The first of their names for a function of ours."""
    return next(name for name, known in ACTIVATION.items() if known == ours)


def architecture(settings: Settings) -> str:
    """The class that wrote the folder; empty where config.json does not say."""
    return next(iter(settings.listing("architectures", str) if settings.has("architectures") else []), "")


def classifier_dropout(settings: Settings) -> float:
    """What the classifier leaves out, which is what the encoder does where it is not said."""
    key = "classifier_dropout" if settings.has("classifier_dropout") else "hidden_dropout_prob"
    return settings.number(key, 0.1)


def labels(settings: Settings) -> tuple[str, ...]:
    """The names of the classes, in the order of their numbers; their own stand-ins where there are only numbers."""
    if not settings.has("id2label"):
        return _stand_ins(settings.integer("num_labels", 2) if settings.has("num_labels") else 2)
    table = settings.table("id2label")
    keys = table.keys()
    if sorted(keys) != sorted(str(i) for i in range(len(keys))):
        raise settings.wrong("id2label", "a table from 0, 1, 2 … to the names of classes")
    return tuple(table.text(str(i)) for i in range(len(keys)))


def their_labels(ours: tuple[str, ...]) -> dict[str, Any]:
    """The settings for these classes."""
    return {
        "id2label": {str(i): label for i, label in enumerate(ours)},
        "label2id": {label: i for i, label in enumerate(ours)},
    }


def _stand_ins(n: int) -> tuple[str, ...]:
    return tuple(f"LABEL_{i}" for i in range(n))


def embedding_lines(base: str) -> tuple[Line, ...]:
    """The input layer of BERT and its kin, under the prefix `base`."""
    return (
        Line("input.token.weight", f"{base}embeddings.word_embeddings.weight"),
        Line("input.position.table.weight", f"{base}embeddings.position_embeddings.weight"),
        Line("input.segment.weight", f"{base}embeddings.token_type_embeddings.weight"),
        Line("input.norm.{w}", f"{base}embeddings.LayerNorm.{{w}}"),
    )


def block_lines(base: str) -> tuple[Line, ...]:
    """The encoder of BERT and its kin."""
    ours, theirs = "encoder.blocks.{i}.", base + "encoder.layer.{i}."
    qkv = (theirs + f"attention.self.{one}.{{w}}" for one in ("query", "key", "value"))
    return (
        Line(ours + "attention.qkv.{w}", *qkv),
        Line(ours + "attention.out.{w}", theirs + "attention.output.dense.{w}"),
        Line(ours + "attention_norm.{w}", theirs + "attention.output.LayerNorm.{w}"),
        Line(ours + "ffn.up.{w}", theirs + "intermediate.dense.{w}"),
        Line(ours + "ffn.down.{w}", theirs + "output.dense.{w}"),
        Line(ours + "ffn_norm.{w}", theirs + "output.LayerNorm.{w}"),
    )


def output_lines(config: ModelConfig, head: str) -> tuple[Line, ...]:
    """The language head's table and bias. Beside a table of its own, it is the second bias that is read."""
    if is_tied(config):
        return (Line("heads.language.bias", head + "bias"),)
    return (
        Line("heads.language.own.weight", head + "decoder.weight"),
        Line("heads.language.bias", head + "decoder.bias", head + "bias", form=First()),
    )


def output_copies(head: str, base: str) -> dict[str, str]:
    """What a tied language head may hold a second time."""
    return {head + "decoder.weight": f"{base}embeddings.word_embeddings.weight", head + "decoder.bias": head + "bias"}


def is_tied(config: ModelConfig) -> bool:
    """Whether there is no language head with a table of its own."""
    return all(head.tied for head in config.heads if isinstance(head, LanguageHead))


def buffers(base: str) -> tuple[str, ...]:
    """What older files hold beside the weights."""
    return (f"{base}embeddings.position_ids", f"{base}embeddings.token_type_ids")


def names(config: ModelConfig) -> Names:
    """BERT's table."""
    return Names(
        lines=(
            *embedding_lines("bert."),
            *block_lines("bert."),
            Line("heads.pooler.dense.{w}", "bert.pooler.dense.{w}"),
            Line("heads.language.inner.dense.{w}", "cls.predictions.transform.dense.{w}"),
            Line("heads.language.inner.norm.{w}", "cls.predictions.transform.LayerNorm.{w}"),
            *output_lines(config, "cls.predictions."),
            Line("heads.pair.out.{w}", "cls.seq_relationship.{w}"),
            Line("heads.text.out.{w}", "classifier.{w}"),
            Line("heads.tokens.out.{w}", "classifier.{w}"),
            Line("heads.span.out.{w}", "qa_outputs.{w}"),
        ),
        copies=output_copies("cls.predictions.", "bert."),
        buffers=buffers("bert."),
    )


BERT = Family(name="bert", base="bert.", classes=CLASSES, read=read, write=write, names=names)
