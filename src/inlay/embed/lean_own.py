"""inlay's own layout: the architecture's tree in config.json to a Plan, as far as Lean has its parts."""

from inlay.convert.settings import Settings
from inlay.embed.lean_families import ACTIVATIONS
from inlay.embed.lean_plan import (
    XL,
    Buckets,
    Input,
    Local,
    Norm,
    Plan,
    Relative,
    Rotary,
    Shaw,
    Sines,
    Slopes,
    Table,
    UnknownPart,
)
from inlay.errors import InputError

NAME = "inlay"
"""Its `model_type`."""


def read(settings: Settings) -> tuple[Plan, str]:
    """The plan of the encoder, or of the decoder where there is no encoder; and which of the two it is."""
    model = settings.table("model")
    settings.has("dtype")
    settings.finish()
    stack = "encoder" if model.has("encoder") else "decoder"
    try:
        tree = model.table(stack)
        plan = _stack(tree, model.table("input"))
    except UnknownPart:
        raise
    except InputError as error:
        # What torch's reader would take from defaults, and whatever it would refuse: it says which.
        raise UnknownPart(NAME, f"an architecture written in another way ({error})") from None
    if tree.flag("cross"):
        raise UnknownPart(NAME, "a decoder that reads an encoder")
    return plan, stack


def _stack(tree: Settings, layer: Settings) -> Plan:
    d, heads, layers = tree.integer("d_model"), tree.integer("n_heads"), tree.integer("n_layers")
    d_head = tree.integer("d_head", least=0)
    if not d_head and d % heads:
        raise tree.wrong("n_heads", f"a divisor of d_model={d}")
    blocks = tree.integer("n_unique", least=0) or layers
    pruned = tree.listing("pruned", list)
    if blocks > layers or (pruned and len(pruned) != blocks):
        raise tree.wrong("n_unique", "at most n_layers, and as many as pruned names")
    if any(type(head) is not int or not 0 <= head < heads for block in pruned for head in block):
        raise tree.wrong("pruned", f"lists of heads, each from 0 to {heads - 1}")
    local = tree.table("local") if tree.has("local") else None
    activation = tree.text("activation")
    if activation not in set(ACTIVATIONS.values()):
        raise UnknownPart(NAME, f"activation={activation!r}")
    return Plan(
        input=_input(layer, d),
        n_layers=layers,
        n_blocks=blocks,
        d_model=d,
        n_heads=heads,
        d_key=d_head or d // heads,
        d_ffn=tree.integer("d_ffn"),
        norm=_norm(tree.table("norm")),
        norm_first=tree.flag("norm_first"),
        bare_start=tree.flag("bare_start"),
        relative=_relative(tree),
        local=None if local is None else _local(local),
        causal=tree.flag("causal"),
        activation=activation,
        gated=tree.flag("gated"),
        bias=tree.flag("bias"),
        attention_bias=tree.flag("attention_bias"),
        scale_scores=tree.flag("scale_scores"),
        pruned=tuple(map(tuple, pruned)),
    )


def _local(tree: Settings) -> Local:
    return Local(reach=tree.integer("reach"), every=tree.integer("every"), relative=_relative(tree))


def _input(tree: Settings, d: int) -> Input:
    token, combine = tree.table("token").text("kind"), tree.table("combine")
    if token != "Table":
        raise UnknownPart(NAME, f"input.token={token}")
    beside = combine.text("kind", ("Sum", "Concat")) == "Concat"
    position: Table | Sines | None = None
    if tree.has("position"):
        said = tree.table("position")
        if said.text("kind", ("Learned", "Sinusoidal")) == "Learned":
            position = Table(rows=said.integer("max_len"), offset=said.integer("offset", least=0))
            if position.offset >= position.rows:
                raise said.wrong("offset", f"below max_len={position.rows}")
        else:
            position = Sines(halves=said.text("layout") == "halves", base=said.number("base"))
    return Input(
        vocab_size=tree.integer("vocab_size"),
        d_embed=tree.integer("d_embed", least=0) or d,
        position=position,
        n_segments=tree.integer("n_segments", least=0),
        widths=(combine.integer("d_position"), combine.integer("d_segment")) if beside else None,
        norm=_norm(tree.table("norm")) if tree.has("norm") else None,
        scale=tree.number("scale"),
    )


def _norm(tree: Settings) -> Norm:
    kind = tree.text("kind")
    if kind not in ("LayerNorm", "RMSNorm"):
        raise UnknownPart(NAME, f"norm={kind}")
    rms = kind == "RMSNorm"
    return Norm(eps=tree.number("eps"), rms=rms, bias=not rms and tree.flag("bias"))


def _relative(tree: Settings) -> Relative:
    if not tree.has("relative"):
        return None
    said = tree.table("relative")
    match said.text("kind"):
        case "Rotary":
            return Rotary(theta=said.number("theta"), fraction=said.number("fraction"))
        case "T5Buckets":
            return Buckets(n_buckets=said.integer("n_buckets", least=4), max_distance=said.integer("max_distance"))
        case "Shaw":
            return Shaw(max_distance=said.integer("max_distance"))
        case "Alibi":
            return Slopes()
        case "XLRelative":
            return XL()
        case kind:
            raise UnknownPart(NAME, f"relative={kind}")
