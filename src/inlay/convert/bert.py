"""BERT in the layout of transformers, and what its kin take from it. Devlin et al. 2019, arXiv:1810.04805."""

from typing import Any

from inlay.convert.family import Family
from inlay.convert.names import Line, Names
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


def read(settings: Settings, names: frozenset[str]) -> ModelConfig:
    """The literal; heads are what there are tensors of."""
    d = settings.integer("hidden_size", 768)
    norm = LayerNorm(eps=settings.number("layer_norm_eps", 1e-12))
    pooler = (Pooler(),) if "bert.pooler.dense.weight" in names else ()
    heads: list[Head] = [*pooler]
    if "cls.predictions.transform.dense.weight" in names:
        inner = Inner(activation=activation(settings), norm=norm)
        heads.append(LanguageHead(inner=inner, tied=settings.flag("tie_word_embeddings", True)))
    if "cls.seq_relationship.weight" in names:
        heads.append(PairHead())
    if "classifier.weight" in names:
        dropout = classifier_dropout(settings)
        if architecture(settings).endswith("ForSequenceClassification"):
            heads = [Pooler(), *heads[len(pooler) :], TextHead(labels=labels(settings), dropout=dropout)]
        elif architecture(settings).endswith("ForTokenClassification"):
            heads.append(TokenHead(labels=labels(settings), dropout=dropout))
    if "qa_outputs.weight" in names:
        heads.append(SpanHead())
    config = ModelConfig(
        input=read_input(settings, norm, Learned(max_len=settings.integer("max_position_embeddings", 512))),
        encoder=read_stack(settings, d, norm),
        heads=tuple(heads),
        init=Normal(std=settings.number("initializer_range", 0.02)),
        family="bert",
    )
    settings.finish(UNREAD["bert"], ignored=HEADS)
    return config


def write(config: ModelConfig) -> dict[str, Any]:
    """The settings of BERT's class."""
    return {**write_input(config), **write_stack(config), **write_heads(config)}


def read_input(settings: Settings, norm: LayerNorm, position: Learned, d_embed: int = 0, segments: int = 2) -> Input:
    """BERT's input layer, at the names that its kin share."""
    return Input(
        vocab_size=settings.integer("vocab_size", 30522),
        d_embed=d_embed,
        token=Table(padding=settings.integer("pad_token_id", 0, least=0) if padded(settings) else None),
        position=position,
        n_segments=settings.integer("type_vocab_size", segments),
        norm=norm,
        dropout=settings.number("hidden_dropout_prob", 0.1),
    )


def read_stack(settings: Settings, d_model: int, norm: LayerNorm) -> Stack:
    """BERT's encoder, at the names that its kin share."""
    return Stack(
        n_layers=settings.integer("num_hidden_layers", 12),
        d_model=d_model,
        n_heads=settings.integer("num_attention_heads", 12),
        d_ffn=settings.integer("intermediate_size", 3072),
        norm=norm,
        activation=activation(settings),
        dropout=Dropout(
            hidden=settings.number("hidden_dropout_prob", 0.1),
            attention=settings.number("attention_probs_dropout_prob", 0.1),
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


def activation(settings: Settings, key: str = "hidden_act", default: str = "gelu") -> Activation:
    """The function of that setting."""
    return ACTIVATION[settings.text(key, ACTIVATION, default)]


def their_activation(ours: Activation) -> str:
    """The first of their names for a function of ours."""
    return next(name for name, known in ACTIVATION.items() if known == ours)


def padded(settings: Settings, default: int | None = 0) -> bool:
    """Whether a row of the token table is set apart for padding."""
    return settings.has("pad_token_id") or ("pad_token_id" not in settings and default is not None)


def architecture(settings: Settings) -> str:
    """The class that wrote the folder; empty where config.json does not say."""
    return (settings.listing("architectures", str) if settings.has("architectures") else [""])[0]


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


def buffers(base: str) -> tuple[str, ...]:
    """What older files hold beside the weights."""
    return (f"{base}embeddings.position_ids", f"{base}embeddings.token_type_ids")


def names(config: ModelConfig) -> Names:
    """BERT's table."""
    tied = all(head.tied for head in config.heads if isinstance(head, LanguageHead))
    bias = "cls.predictions.bias" if tied else "cls.predictions.decoder.bias"
    return Names(
        lines=(
            *embedding_lines("bert."),
            *block_lines("bert."),
            Line("heads.pooler.dense.{w}", "bert.pooler.dense.{w}"),
            Line("heads.language.inner.dense.{w}", "cls.predictions.transform.dense.{w}"),
            Line("heads.language.inner.norm.{w}", "cls.predictions.transform.LayerNorm.{w}"),
            Line("heads.language.bias", bias),
            Line("heads.language.own.weight", "cls.predictions.decoder.weight"),
            Line("heads.pair.out.{w}", "cls.seq_relationship.{w}"),
            Line("heads.text.out.{w}", "classifier.{w}"),
            Line("heads.tokens.out.{w}", "classifier.{w}"),
            Line("heads.span.out.{w}", "qa_outputs.{w}"),
        ),
        copies={
            "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
            "cls.predictions.decoder.bias": "cls.predictions.bias",
        },
        buffers=buffers("bert."),
    )


BERT = Family(name="bert", base="bert.", classes=CLASSES, read=read, write=write, names=names)
