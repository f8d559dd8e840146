"""The families of `Lean`: config.json of each to a Plan, and what its tensors are called there.

A name of ours is that of inlay's own layout without the stack's; `{i}` is a block, `{w}` weight or bias. What a setting
means is said at the family's reader in `inlay.convert`, which this one agrees with.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from inlay.convert.settings import Settings
from inlay.embed.lean_plan import XL, Buckets, Input, Local, Norm, Plan, Rotary, Table

# D model, H heads, K head size

Names = dict[str, tuple[str, ...]]
"""Ours: theirs, one above the other where there are several."""
ACTIVATIONS = {"gelu": "gelu", "gelu_python": "gelu", "relu": "relu", "silu": "silu", "swish": "silu", "tanh": "tanh"}
ACTIVATIONS |= dict.fromkeys(("gelu_new", "gelu_fast", "gelu_pytorch_tanh"), "gelu_tanh")

_TRAINING = """
    activation_dropout attention_dropout attention_probs_dropout_prob attn_pdrop classifier_dropout
    classifier_dropout_prob dropout dropout_rate embd_pdrop embedding_dropout hidden_dropout hidden_dropout_prob
    init_std initializer_cutoff_factor initializer_factor initializer_range mlp_dropout qa_dropout resid_pdrop
"""
_OUTPUT = "tie_word_embeddings scale_decoder_outputs classifier_activation classifier_bias decoder_bias num_labels"
IGNORED = frozenset(f"{_TRAINING} {_OUTPUT}".split())
"""Keys that say how to train, or what heads do with an encoder's rows."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """How one kind of model says what it is."""

    base: str
    """What the names of the encoder's tensors begin with, where heads stand beside it."""
    read: Callable[[Settings], Plan]
    """The plan for the settings."""
    names: Names
    gated: Names | None = None
    """The names where the feed-forward layer has a gate, if they differ."""
    beside: tuple[str, ...] = ()
    """Patterns of names under `base` that are no part of what is computed."""
    other: Mapping[str, str] = field(default_factory=dict)
    """Their names for what may stand in the file under another name alone."""
    transposed: bool = False
    """Matrices lie (in, out), as GPT-2's do."""
    by_head: bool = False
    """Projections lie (D, H, K), as XLNet's do."""

    def is_beside(self, name: str) -> bool:
        """Whether a tensor that is not read is known to be none of the encoder's."""
        if not name.startswith(self.base):
            return True
        return any(re.fullmatch(pattern, name) is not None for pattern in self.beside)


def bert(
    settings: Settings, vocab: int = 30_522, d: int = 768, heads: int = 12, ffn: int = 3072, *, act: str = "gelu"
) -> Plan:
    """BERT and its kin, whose defaults differ."""
    d, heads = settings.integer("hidden_size", d), settings.integer("num_attention_heads", heads)
    norm, layers = Norm(eps=settings.number("layer_norm_eps", 1e-12)), settings.integer("num_hidden_layers", 12)
    settings.has("pad_token_id")
    return Plan(
        input=Input(
            vocab_size=settings.integer("vocab_size", vocab),
            d_embed=d,
            position=Table(rows=settings.integer("max_position_embeddings", 512)),
            n_segments=settings.integer("type_vocab_size", 2),
            norm=norm,
        ),
        n_layers=layers,
        n_blocks=layers,
        d_model=d,
        n_heads=heads,
        d_key=_share(settings, d, heads),
        d_ffn=settings.integer("intermediate_size", ffn),
        norm=norm,
        activation=_activation(settings, "hidden_act", act),
    )


def roberta(settings: Settings) -> Plan:
    """Positions are counted from the padding id plus one."""
    plan = bert(settings, vocab=50_265)
    offset = settings.integer("pad_token_id", 1, least=0) + 1
    position = plan.input.position
    assert isinstance(position, Table)
    if offset >= position.rows:
        raise settings.wrong("pad_token_id", f"below max_position_embeddings={position.rows} less one")
    return replace(plan, input=replace(plan.input, position=replace(position, offset=offset)))


def albert(settings: Settings) -> Plan:
    """Narrow embeddings, and one block for all layers."""
    plan = bert(settings, 30_000, 4096, 64, 16_384, act="gelu_new")
    d_embed = settings.integer("embedding_size", 128)
    blocks = settings.integer("num_hidden_groups", 1)
    if d_embed == plan.d_model:
        raise settings.wrong("embedding_size", f"other than hidden_size={d_embed}, so that vectors are projected")
    if blocks > plan.n_layers:
        raise settings.wrong("num_hidden_groups", f"at most num_hidden_layers={plan.n_layers}")
    return replace(plan, input=replace(plan.input, d_embed=d_embed), n_blocks=blocks)


def electra(settings: Settings) -> Plan:
    """Discriminator or generator."""
    plan = bert(settings, d=256, heads=4, ffn=1024)
    return replace(plan, input=replace(plan.input, d_embed=settings.integer("embedding_size", 128)))


def distilbert(settings: Settings) -> Plan:
    """BERT without segments."""
    norm, d, heads = Norm(eps=1e-12), settings.integer("dim", 768), settings.integer("n_heads", 12)
    rows = settings.integer("max_position_embeddings", 512)
    settings.has("pad_token_id")
    layers = settings.integer("n_layers", 6)
    return Plan(
        input=Input(vocab_size=settings.integer("vocab_size", 30_522), d_embed=d, position=Table(rows=rows), norm=norm),
        n_layers=layers,
        n_blocks=layers,
        d_model=d,
        n_heads=heads,
        d_key=_share(settings, d, heads),
        d_ffn=settings.integer("hidden_dim", 3072),
        norm=norm,
        activation=_activation(settings, "activation", "gelu"),
    )


def modernbert(settings: Settings) -> Plan:
    """Turned positions; most layers see near tokens alone."""
    norm = Norm(eps=settings.number("norm_eps", 1e-5), bias=settings.flag("norm_bias", False))
    d, heads = settings.integer("hidden_size", 768), settings.integer("num_attention_heads", 12)
    layers = settings.integer("num_hidden_layers", 22)
    for key in ("max_position_embeddings", "pad_token_id"):
        settings.has(key)
    wide, narrow, every = _rotations(settings, layers)
    reach = settings.integer("local_attention", 128, least=2) // 2
    return Plan(
        input=Input(vocab_size=settings.integer("vocab_size", 50_368), d_embed=d, norm=norm),
        n_layers=layers,
        n_blocks=layers,
        d_model=d,
        n_heads=heads,
        d_key=_share(settings, d, heads),
        d_ffn=settings.integer("intermediate_size", 1152),
        norm=norm,
        norm_first=True,
        bare_start=True,
        relative=Rotary(theta=wide),
        local=Local(reach=reach, every=every, relative=Rotary(theta=narrow)) if every > 1 and layers > 1 else None,
        activation=_activation(settings, "hidden_activation", "gelu"),
        gated=True,
        bias=settings.flag("mlp_bias", False),
        attention_bias=settings.flag("attention_bias", False),
    )


def _rotations(settings: Settings, layers: int) -> tuple[float, float, int]:
    """How fast layers that see all turn, those that see near tokens, and which those are."""
    full, near = "full_attention", "sliding_attention"
    if settings.has("layer_types"):
        kinds = settings.listing("layer_types", str)
        every = next((i for i, kind in enumerate(kinds) if i and kind == full), layers)
        if len(kinds) != layers or kinds != [near if i % every else full for i in range(layers)]:
            raise settings.wrong("layer_types", f"{full} at every n-th of {layers} layers from the first on")
    else:
        every = settings.integer("global_attn_every_n_layers", 3)
    if settings.has("rope_parameters"):
        table = settings.table("rope_parameters")
        thetas = {full: 160_000.0, near: 10_000.0}
        for kind in thetas:
            if table.has(kind):
                one = table.table(kind)
                one.text("rope_type", ("default",), "default")
                thetas[kind] = one.number("rope_theta", thetas[kind])
                one.finish()
        table.finish()
        return thetas[full], thetas[near], every
    wide = settings.number("global_rope_theta", 160_000.0)
    is_one = "local_rope_theta" in settings and not settings.has("local_rope_theta")  # null: as the global ones
    return wide, wide if is_one else settings.number("local_rope_theta", 10_000.0), every


def xlnet(settings: Settings) -> Plan:
    """The plain forward pass: no memory, no second stream."""
    d, heads, layers = (
        settings.integer("d_model", 1024),
        settings.integer("n_head", 16),
        settings.integer("n_layer", 24),
    )
    if settings.has("d_head") and settings.integer("d_head") * heads != d:
        raise settings.wrong("d_head", f"d_model / n_head = {d / heads:g}")
    return Plan(
        input=Input(vocab_size=settings.integer("vocab_size", 32_000), d_embed=d),
        n_layers=layers,
        n_blocks=layers,
        d_model=d,
        n_heads=heads,
        d_key=_share(settings, d, heads),
        d_ffn=settings.integer("d_inner", 4096),
        norm=Norm(eps=settings.number("layer_norm_eps", 1e-12)),
        relative=XL(),
        activation=_activation(settings, "ff_activation", "gelu"),
        attention_bias=False,
    )


def t5(settings: Settings) -> Plan:
    """The encoder."""
    for key in ("is_encoder_decoder", "num_decoder_layers"):
        settings.has(key)
    gate = "gated-"
    kind = settings.text("feed_forward_proj", [way + name for way in ("", gate) for name in ACTIVATIONS], "relu")
    gated, activation = kind.startswith(gate), ACTIVATIONS[kind.removeprefix(gate)]
    if kind == "gated-gelu":
        activation = "gelu_tanh"  # as it was trained, whatever the name
    if settings.has("is_gated_act") and settings.flag("is_gated_act") != gated:
        raise settings.wrong("is_gated_act", f"as feed_forward_proj={kind} says")
    if settings.has("dense_act_fn") and _activation(settings, "dense_act_fn", "relu") != activation:
        raise settings.wrong("dense_act_fn", f"as feed_forward_proj={kind} says")
    buckets = settings.integer("relative_attention_num_buckets", 32)
    layers, d = settings.integer("num_layers", 6), settings.integer("d_model", 512)
    if buckets < 4 or buckets % 4:
        raise settings.wrong("relative_attention_num_buckets", "a multiple of 4")
    return Plan(
        input=Input(vocab_size=settings.integer("vocab_size", 32_128), d_embed=d),
        n_layers=layers,
        n_blocks=layers,
        d_model=d,
        n_heads=settings.integer("num_heads", 8),
        d_key=settings.integer("d_kv", 64),
        d_ffn=settings.integer("d_ff", 2048),
        norm=Norm(eps=settings.number("layer_norm_epsilon", 1e-6), rms=True),
        norm_first=True,
        relative=Buckets(
            n_buckets=buckets,
            max_distance=settings.integer("relative_attention_max_distance", 128, least=buckets // 2 + 1),
        ),
        activation=activation,
        gated=gated,
        bias=False,
        attention_bias=False,
        scale_scores=False,
    )


def gpt2(settings: Settings) -> Plan:
    """A decoder alone: a token sees what stands before it."""
    d, heads, layers = settings.integer("n_embd", 768), settings.integer("n_head", 12), settings.integer("n_layer", 12)
    rows = settings.integer("n_positions", 1024)
    return Plan(
        input=Input(vocab_size=settings.integer("vocab_size", 50_257), d_embed=d, position=Table(rows=rows)),
        n_layers=layers,
        n_blocks=layers,
        d_model=d,
        n_heads=heads,
        d_key=_share(settings, d, heads),
        d_ffn=settings.integer("n_inner") if settings.has("n_inner") else 4 * d,
        norm=Norm(eps=settings.number("layer_norm_epsilon", 1e-5)),
        norm_first=True,
        causal=True,
        activation=_activation(settings, "activation_function", "gelu_new"),
    )


def bart(settings: Settings) -> Plan:
    """The encoder; the first two rows of its positions are never read."""
    if not settings.flag("is_encoder_decoder", True):
        raise settings.wrong("is_encoder_decoder", "true")
    for key in ("decoder_layers", "decoder_attention_heads", "decoder_ffn_dim", "pad_token_id"):
        settings.has(key)
    d, heads, norm = settings.integer("d_model", 1024), settings.integer("encoder_attention_heads", 16), Norm(eps=1e-5)
    layers = settings.integer("encoder_layers", 12)
    if settings.integer("num_hidden_layers", layers) != layers:
        raise settings.wrong("num_hidden_layers", f"as encoder_layers={layers} says")
    return Plan(
        input=Input(
            vocab_size=settings.integer("vocab_size", 50_265),
            d_embed=d,
            position=Table(rows=settings.integer("max_position_embeddings", 1024) + 2, offset=2),
            norm=norm,
            scale=d**0.5 if settings.flag("scale_embedding", False) else 1.0,
        ),
        n_layers=layers,
        n_blocks=layers,
        d_model=d,
        n_heads=heads,
        d_key=_share(settings, d, heads),
        d_ffn=settings.integer("encoder_ffn_dim", 4096),
        norm=norm,
        activation=_activation(settings, "activation_function", "gelu"),
    )


def _activation(settings: Settings, key: str, default: str) -> str:
    return ACTIVATIONS[settings.text(key, ACTIVATIONS, default)]


def _share(settings: Settings, d: int, heads: int) -> int:
    if d % heads:
        raise settings.wrong(next(key for key in _HEADS if key in settings), f"a divisor of {d}, the size of a row")
    return d // heads


_HEADS = ("num_attention_heads", "n_heads", "n_head", "encoder_attention_heads")
