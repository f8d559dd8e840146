"""Plan: an encoder's architecture as `Lean` reads it, and which tensors with which shapes it must have.

It says what `inlay.model` says by modules of torch, without importing any.

D model, E embedding, F ffn, H heads, K head size, V vocabulary.
"""

from dataclasses import dataclass, field

from inlay.errors import InputError

MOST = 1 << 25
"""The largest size that a plan may have: no model comes near, and no product of sizes leaves 64 bits."""


class UnknownPart(InputError):
    """A sound model has a part that is not built without torch: it runs with backend="torch"."""

    def __init__(self, place: object, part: str) -> None:
        super().__init__(f'{place}: {part} is not built without torch; take backend="torch"')


@dataclass(frozen=True, kw_only=True)
class Norm:
    """How rows are normed."""

    eps: float
    rms: bool = False
    """By the root mean square alone; else less the mean, by the standard deviation."""
    bias: bool = True
    """There is a shift; RMS norms never have one."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Learned positions: `rows` of them, the first text position at row `offset`."""

    rows: int
    offset: int = 0


@dataclass(frozen=True, kw_only=True)
class Sines:
    """Positions computed from sines."""

    halves: bool = False
    """All sines, then all cosines; else side by side."""
    base: float = 10_000.0


@dataclass(frozen=True, kw_only=True)
class Rotary:
    """Queries and keys are turned by their positions."""

    theta: float = 10_000.0
    fraction: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Buckets:
    """A learned number for each head and bucket of distances."""

    n_buckets: int = 32
    max_distance: int = 128


@dataclass(frozen=True, kw_only=True)
class Shaw:
    """A learned vector for each distance, added to the key."""

    max_distance: int


@dataclass(frozen=True, kw_only=True)
class Slopes:
    """ALiBi: scores fall off with the distance."""


@dataclass(frozen=True, kw_only=True)
class XL:
    """Transformer-XL's terms for content, distance and segment."""


Relative = Rotary | Buckets | Shaw | Slopes | XL | None


@dataclass(frozen=True, kw_only=True)
class Local:
    """Layers that see near tokens alone; layers 0, every, 2·every … see all."""

    reach: int
    every: int
    relative: Relative = None


@dataclass(frozen=True, kw_only=True)
class Input:
    """From token ids to rows."""

    vocab_size: int
    d_embed: int
    position: Table | Sines | None = None
    n_segments: int = 0
    widths: tuple[int, int] | None = None
    """Numbers of a position and of a segment where they stand beside the token's vector; None: they are added to it."""
    norm: Norm | None = None
    scale: float = 1.0

    @property
    def width(self) -> int:
        """Numbers of a row before it is projected."""
        if self.widths is None:
            return self.d_embed
        return self.d_embed + self.widths[0] * (self.position is not None) + self.widths[1] * (self.n_segments > 0)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """An input layer and one stack of blocks; fields are called as those of `inlay.model.stack.Stack`."""

    input: Input
    n_layers: int
    d_model: int
    n_heads: int
    d_key: int
    d_ffn: int
    norm: Norm
    n_blocks: int
    norm_first: bool = False
    bare_start: bool = False
    relative: Relative = None
    local: Local | None = None
    causal: bool = False
    activation: str = "gelu"
    gated: bool = False
    bias: bool = True
    attention_bias: bool = True
    scale_scores: bool = True
    pruned: tuple[tuple[int, ...], ...] = field(default=())

    @property
    def most_tokens(self) -> int | None:
        """Where learned positions end; None: nowhere."""
        position = self.input.position
        return position.rows - position.offset if isinstance(position, Table) else None

    def kept(self, block: int) -> list[int]:
        """The heads of a block that are left."""
        gone = self.pruned[block] if self.pruned else ()
        return [head for head in range(self.n_heads) if head not in gone]

    def is_local(self, layer: int) -> bool:
        """Whether a layer sees near tokens alone."""
        return self.local is not None and layer % self.local.every != 0

    def check(self, place: object, n_tensors: int) -> None:
        """InputError for sizes that no file of so many tensors can have, and for what nothing can be computed with.

        It is done before anything is made of them.
        """
        sizes = [self.input.vocab_size, self.input.width, self.d_model, self.n_heads * self.d_key, self.d_ffn]
        sizes += [self.input.n_segments, self.most_tokens or 0]
        if max(sizes) > MOST or self.n_blocks > n_tensors:
            raise InputError(
                f"{place}: sizes up to {max(sizes)} in {self.n_blocks} layers, but there are {n_tensors} tensors in "
                "all; take config.json and weights from one folder"
            )
        for scheme in (self.relative, self.local.relative if self.local else None):
            self._check(place, scheme)
        if not all(self.kept(block) for block in range(self.n_blocks)):
            raise InputError(f"{place}: pruned leaves a block without a head; keep one in each")

    def _check(self, place: object, scheme: "Relative") -> None:
        match scheme:
            case Rotary(theta=theta, fraction=fraction):
                width = int(self.d_key * fraction) if 0 < fraction <= 1 else 0
                if width < 2 or width % 2 or not theta > 1:
                    raise InputError(
                        f"{place}: rotary positions of theta={theta:g} that turn {fraction:g} of {self.d_key} numbers; "
                        "theta must be above 1, and the share an even number of them"
                    )
            case Buckets(n_buckets=n, max_distance=far):
                if n < 4 or n % 4 or far <= n // 2:
                    raise InputError(
                        f"{place}: n_buckets={n} and max_distance={far}; buckets are a multiple of 4, and the distance "
                        "is above half of them"
                    )


def shapes(plan: Plan) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor that the plan reads, by the names of inlay's own layout without the stack's."""
    layer, d = plan.input, plan.d_model
    found: dict[str, tuple[int, ...]] = {"input.token.weight": (layer.vocab_size, layer.d_embed)}
    d_position, d_segment = layer.widths or (layer.d_embed, layer.d_embed)
    if isinstance(layer.position, Table):
        found["input.position.table.weight"] = (layer.position.rows, d_position)
    if layer.n_segments:
        found["input.segment.weight"] = (layer.n_segments, d_segment)
    found |= _norm("input.norm", layer.norm, layer.width)
    if layer.width != d:
        found |= _linear("input.project", layer.width, d, True)
    for i in range(plan.n_blocks):
        block, inner = f"blocks.{i}.", len(plan.kept(i)) * plan.d_key
        found |= _linear(block + "attention.qkv", d, 3 * inner, plan.attention_bias)
        found |= _linear(block + "attention.out", inner, d, plan.attention_bias)
        found |= _linear(block + "ffn.up", d, plan.d_ffn * (1 + plan.gated), plan.bias)
        found |= _linear(block + "ffn.down", plan.d_ffn, d, plan.bias)
        found |= _norm(block + "attention_norm", None if plan.bare_start and not i else plan.norm, d)
        found |= _norm(block + "ffn_norm", plan.norm, d)
    found |= _relative("relatives.", plan.relative, plan)
    found |= _relative("local_relatives.", plan.local.relative if plan.local else None, plan)
    return found | (_norm("final_norm", plan.norm, d) if plan.norm_first else {})


def _linear(name: str, into: int, out: int, bias: bool) -> dict[str, tuple[int, ...]]:
    return {name + ".weight": (out, into)} | ({name + ".bias": (out,)} if bias else {})


def _norm(name: str, norm: Norm | None, d: int) -> dict[str, tuple[int, ...]]:
    if norm is None:
        return {}
    names = (".weight", ".bias") if norm.bias and not norm.rms else (".weight",)
    return {name + ending: (d,) for ending in names}


def _relative(prefix: str, scheme: Relative, plan: Plan) -> dict[str, tuple[int, ...]]:
    match scheme:
        case Buckets():
            return {f"{prefix}0.table.weight": (scheme.n_buckets, plan.n_heads)}
        case Shaw():
            rows = 2 * scheme.max_distance + 1
            return {f"{prefix}{i}.table.weight": (rows, plan.d_key) for i in range(plan.n_blocks)}
        case XL():
            found: dict[str, tuple[int, ...]] = {}
            for i in range(plan.n_blocks):
                h, k = len(plan.kept(i)), plan.d_key
                found |= {f"{prefix}{i}.{one}": (h, k) for one in "uvs"}
                found |= {f"{prefix}{i}.r.weight": (h * k, plan.d_model), f"{prefix}{i}.segment": (2, h, k)}
            return found
        case _:
            return {}
