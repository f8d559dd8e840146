"""ModernBERT in the layout of transformers. Warner et al. 2024, arXiv:2412.13663."""

from typing import Any

from inlay.convert import bert
from inlay.convert.family import Family
from inlay.convert.names import Line, Names
from inlay.convert.settings import Settings
from inlay.convert.unread import Unread
from inlay.model.heads import Head, Inner, LanguageHead, SpanHead, TextHead, TokenHead
from inlay.model.init import Normal
from inlay.model.input import Input, Table
from inlay.model.model import ModelConfig
from inlay.model.norm import LayerNorm
from inlay.model.relative import Rotary
from inlay.model.stack import Dropout, Local, Stack

CLASSES = {
    "ModernBertModel": frozenset[str](),
    "ModernBertForMaskedLM": frozenset({"language"}),
    "ModernBertForSequenceClassification": frozenset({"text"}),
    "ModernBertForTokenClassification": frozenset({"tokens"}),
    "ModernBertForQuestionAnswering": frozenset({"span"}),
}
_GLOBAL, _LOCAL = "full_attention", "sliding_attention"


def read(settings: Settings, names: frozenset[str]) -> ModelConfig:
    """The literal; positions are turned, so that there is no longest text."""
    norm = LayerNorm(eps=settings.number("norm_eps", 1e-5), bias=settings.flag("norm_bias", False))
    settings.has("max_position_embeddings")
    padding = settings.integer("pad_token_id", 50_283, least=0) if settings.has("pad_token_id") else None
    relative, local = _positions(settings, n_layers := settings.integer("num_hidden_layers", 22))
    return bert.finished(
        settings,
        ModelConfig(
            input=Input(
                vocab_size=settings.integer("vocab_size", 50_368),
                token=Table(padding=padding),
                norm=norm,
                dropout=settings.number("embedding_dropout", 0.0),
            ),
            encoder=Stack(
                n_layers=n_layers,
                d_model=settings.integer("hidden_size", 768),
                n_heads=settings.integer("num_attention_heads", 12),
                d_ffn=settings.integer("intermediate_size", 1152),
                norm=norm,
                norm_first=True,
                bare_start=True,
                relative=relative,
                local=local,
                activation=bert.activation(settings, "gelu", "hidden_activation"),
                gated=True,
                bias=settings.flag("mlp_bias", False),
                attention_bias=settings.flag("attention_bias", False),
                dropout=Dropout(
                    hidden=0.0,
                    attention=settings.number("attention_dropout", 0.0),
                    ffn=settings.number("mlp_dropout", 0.0),
                ),
            ),
            heads=_heads(settings, names, norm),
            init=Normal(
                std=settings.number("initializer_range", 0.02),
                residual=True,
                cut=settings.number("initializer_cutoff_factor", 2.0),
            ),
            family="modernbert",
        ),
    )


def _positions(settings: Settings, n_layers: int) -> tuple[Rotary, Local | None]:
    """How far each kind of layer sees, and how fast it turns; the oldest files say it in other words."""
    if settings.has("layer_types"):
        kinds = settings.listing("layer_types", str)
        every = next((i for i, kind in enumerate(kinds) if i and kind == _GLOBAL), n_layers)
        if len(kinds) != n_layers or kinds != [_LOCAL if i % every else _GLOBAL for i in range(n_layers)]:
            raise settings.wrong("layer_types", f"{_GLOBAL} at every n-th of {n_layers} layers from the first on")
    else:
        every = settings.integer("global_attn_every_n_layers", 3)
    if settings.has("rope_parameters"):
        table = settings.table("rope_parameters")
        wide, narrow = (_theta(table, kind, theta) for kind, theta in ((_GLOBAL, 160_000.0), (_LOCAL, 10_000.0)))
        table.finish(Unread())
    else:
        wide = settings.number("global_rope_theta", 160_000.0)
        is_one = "local_rope_theta" in settings and not settings.has("local_rope_theta")  # null: as the global ones
        narrow = wide if is_one else settings.number("local_rope_theta", 10_000.0)
    window = settings.integer("local_attention", 128, least=2)
    local = Local(reach=window // 2, every=every, relative=Rotary(theta=narrow)) if every > 1 and n_layers > 1 else None
    return Rotary(theta=wide), local


def _theta(table: Settings, kind: str, default: float) -> float:
    if not table.has(kind):
        return default
    one = table.table(kind)
    one.text("rope_type", ("default",), "default")
    theta = one.number("rope_theta", default)
    one.finish(Unread())
    return theta


def _heads(settings: Settings, names: frozenset[str], norm: LayerNorm) -> tuple[Head, ...]:
    tied, bias = settings.flag("tie_word_embeddings", True), settings.flag("decoder_bias", True)
    if "head.dense.weight" not in names:
        return ()
    function = bert.activation(settings, "gelu", "classifier_activation")
    inner = Inner(activation=function, bias=settings.flag("classifier_bias", False), norm=norm)
    if "classifier.weight" not in names:
        return (LanguageHead(inner=inner, bias=bias, tied=tied),)
    p, kind = settings.number("classifier_dropout", 0.0), bert.architecture(settings)
    if kind.endswith("ForTokenClassification"):
        return (TokenHead(labels=bert.labels(settings), inner=inner, dropout=p),)
    if kind.endswith("ForQuestionAnswering"):
        return (SpanHead(inner=inner, dropout=p),)
    at = settings.text("classifier_pooling", ("cls", "mean"), "cls")
    return (TextHead(labels=bert.labels(settings), at="mean" if at == "mean" else "first", inner=inner, dropout=p),)


def write(config: ModelConfig) -> dict[str, Any]:
    """The settings of ModernBERT's class."""
    stack, layer = bert.encoder(config), config.input
    local, every = stack.local, stack.local.every if stack.local else 1
    said: dict[str, Any] = {
        "vocab_size": layer.vocab_size,
        "pad_token_id": getattr(layer.token, "padding", None),
        "embedding_dropout": layer.dropout,
        "hidden_size": stack.d_model,
        "num_hidden_layers": stack.n_layers,
        "num_attention_heads": stack.n_heads,
        "intermediate_size": stack.d_ffn,
        "hidden_activation": bert.their_activation(stack.activation),
        "norm_eps": stack.norm.eps,
        "norm_bias": getattr(stack.norm, "bias", False),
        "mlp_bias": stack.bias,
        "attention_bias": stack.attention_bias,
        "attention_dropout": stack.dropout.attention,
        "mlp_dropout": stack.dropout.ffn,
        "layer_types": [_LOCAL if i % every else _GLOBAL for i in range(stack.n_layers)],
        "local_attention": 2 * local.reach if local else 128,
        "rope_parameters": {
            _GLOBAL: {"rope_type": "default", "rope_theta": getattr(stack.relative, "theta", 160_000.0)},
            _LOCAL: {"rope_type": "default", "rope_theta": getattr(local and local.relative, "theta", 10_000.0)},
        },
        "initializer_range": getattr(config.init, "std", 0.02),
        "initializer_cutoff_factor": getattr(config.init, "cut", 2.0),
        **bert.write_heads(config),
    }
    for head in config.heads:
        if isinstance(head, LanguageHead):
            said["decoder_bias"] = head.bias
        elif isinstance(head, TextHead | TokenHead | SpanHead):
            said["classifier_dropout"] = head.dropout
        if isinstance(head, TextHead):
            said["classifier_pooling"] = "mean" if head.at == "mean" else "cls"
        if (inner := getattr(head, "inner", None)) is not None:
            said["classifier_activation"] = bert.their_activation(inner.activation)
            said["classifier_bias"] = inner.bias
    return said


def names(config: ModelConfig) -> Names:
    """ModernBERT's table; its heads have one layer under one name, so that a file holds one of them."""
    block, layer = "encoder.blocks.{i}.", "model.layers.{i}."
    return Names(
        lines=(
            Line("input.token.weight", "model.embeddings.tok_embeddings.weight"),
            Line("input.norm.{w}", "model.embeddings.norm.{w}"),
            Line(block + "attention.qkv.{w}", layer + "attn.Wqkv.{w}"),
            Line(block + "attention.out.{w}", layer + "attn.Wo.{w}"),
            Line(block + "attention_norm.{w}", layer + "attn_norm.{w}"),
            Line(block + "ffn.up.{w}", layer + "mlp.Wi.{w}"),
            Line(block + "ffn.down.{w}", layer + "mlp.Wo.{w}"),
            Line(block + "ffn_norm.{w}", layer + "mlp_norm.{w}"),
            Line("encoder.final_norm.{w}", "model.final_norm.{w}"),
            Line("heads.language.own.weight", "decoder.weight"),
            Line("heads.language.bias", "decoder.bias"),
            *(
                line
                for head in ("language", "text", "tokens", "span")
                for line in (
                    Line(f"heads.{head}.inner.dense.{{w}}", "head.dense.{w}"),
                    Line(f"heads.{head}.inner.norm.{{w}}", "head.norm.{w}"),
                    Line(f"heads.{head}.out.{{w}}", "classifier.{w}"),
                )
            ),
        ),
        copies={"decoder.weight": "model.embeddings.tok_embeddings.weight"} if bert.is_tied(config) else {},
    )


MODERNBERT = Family(name="modernbert", base="model.", classes=CLASSES, read=read, write=write, names=names)
