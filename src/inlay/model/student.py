"""Students: smaller models made from a trained one, by copying some of its layers or by drawing a narrower one anew.

L layers of the teacher, K of the student.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from inlay.errors import InputError
from inlay.model.model import Model, ModelConfig
from inlay.model.presets import resize
from inlay.model.stack import Stack


@dataclass(frozen=True, kw_only=True)
class EverySecond:
    """Layers 0, 2, 4, … are copied: "one layer out of two", as the DistilBERT paper says."""

    def layers(self, teacher: int) -> tuple[int, ...]:
        """The layers of the teacher, counted from 0."""
        return tuple(range(0, teacher, 2))


@dataclass(frozen=True, kw_only=True)
class Spread:
    """So many layers are copied, as evenly as can be from the first to the last: 0, 2, 4, 7, 9, 11 for 6 of 12.

    These are the layers that the code of DistilBERT copies.
    """

    n_layers: int
    """Layers of the student."""

    def layers(self, teacher: int) -> tuple[int, ...]:
        """The layers of the teacher, counted from 0."""
        _check_count(self.n_layers, teacher)
        steps = max(self.n_layers - 1, 1)
        return tuple((2 * place * (teacher - 1) + steps) // (2 * steps) for place in range(self.n_layers))


@dataclass(frozen=True, kw_only=True)
class First:
    """The first so many layers are copied."""

    n_layers: int
    """Layers of the student."""

    def layers(self, teacher: int) -> tuple[int, ...]:
        """The layers of the teacher, counted from 0."""
        _check_count(self.n_layers, teacher)
        return tuple(range(self.n_layers))


@dataclass(frozen=True, kw_only=True)
class Layers:
    """The layers that are named are copied, in their order."""

    at: tuple[int, ...]
    """Their numbers in the teacher, from 0."""

    def layers(self, teacher: int) -> tuple[int, ...]:
        """The layers of the teacher, counted from 0; InputError for one that is not there."""
        if not self.at or list(self.at) != sorted(set(self.at)) or not set(self.at) <= set(range(teacher)):
            raise InputError(f"layers {list(self.at)} must be some of 0 to {teacher - 1}, each once and in order")
        return self.at


@dataclass(frozen=True, kw_only=True)
class Narrow:
    """A smaller architecture of the teacher's kind, all weights drawn anew: where TinyBERT begins."""

    n_layers: int
    """Layers of the student."""
    d_model: int
    """Numbers of a row."""
    n_heads: int
    """Attention heads; attention maps can be learned from a teacher with as many."""
    d_ffn: int
    """Inner width of the feed-forward layer."""


Copied = EverySecond | Spread | First | Layers
StudentConfig = Copied | Narrow


def make_student(teacher: Model, how: StudentConfig, *, heads: Collection[str] | None = None, seed: int = 0) -> Model:
    """A new model, which shares no weight with its teacher; weights that are not copied are drawn from `seed`.

    Copied are the input, the heads (those named in `heads`, if it has them) and the layers that are kept. Raises
    InputError for layers that are not there, and where a layer cannot stand where it would come to stand.
    """
    config = student_config(teacher.config, how)
    if heads is not None:
        config = replace(config, heads=tuple(head for head in config.heads if head.name in heads))
    if isinstance(how, Narrow):
        return config.build(seed=seed, device=teacher.device)
    found = config.build(device=teacher.device).to(next(teacher.parameters()).dtype)
    name, stack = _stack(teacher.config)
    weights = teacher.state_dict()
    found.load_state_dict({ours: weights[theirs] for ours, theirs in _names(found, name, stack, how)})
    return found


def student_config(teacher: ModelConfig, how: StudentConfig) -> ModelConfig:
    """The architecture of the student."""
    if isinstance(how, Narrow):
        _stack(teacher)
        return resize(teacher, how.n_layers, how.d_model, how.n_heads, how.d_ffn)
    name, stack = _stack(teacher)
    kept = how.layers(stack.n_layers)
    _check_places(stack, kept)
    unique = 0 if stack.n_blocks == stack.n_layers else 1
    pruned = tuple(stack.pruned[layer] for layer in kept) if stack.pruned and not unique else stack.pruned
    smaller = replace(stack, n_layers=len(kept), n_unique=unique, pruned=pruned)
    return replace(teacher, encoder=smaller) if name == "encoder" else replace(teacher, decoder=smaller)


def _stack(config: ModelConfig) -> tuple[str, Stack]:
    if config.encoder is not None and config.decoder is not None:
        raise InputError("a student is made of a model of one stack; this teacher has an encoder and a decoder")
    name = "encoder" if config.encoder is not None else "decoder"
    stack = config.encoder or config.decoder
    assert stack is not None
    return name, stack


def _check_places(stack: Stack, kept: Sequence[int]) -> None:
    """InputError where a layer is made for the place that it has in the teacher."""
    if stack.n_blocks not in (1, stack.n_layers):
        raise InputError(
            f"{stack.n_layers} layers share {stack.n_blocks} blocks in groups, so none can be left out; draw a student "
            "anew: {kind: Narrow}"
        )
    if stack.bare_start and kept[0] != 0:
        raise InputError(f"layer {kept[0]} cannot stand first: only layer 0 reads the input as it is; keep layer 0")
    every = stack.local.every if stack.local else 1
    for place, layer in enumerate(kept):
        if (place % every == 0) != (layer % every == 0):
            raise InputError(
                f"layer {layer} would come to stand at place {place}, but each place that {every} divides looks at all "
                f"tokens and the others at near ones; take {{kind: First}}, or whole groups of {every}"
            )


def _names(student: Model, stack: str, shape: Stack, how: Copied) -> list[tuple[str, str]]:
    """Each tensor of the student, and the teacher's that it is copied from."""
    kept = how.layers(shape.n_layers) if shape.n_blocks == shape.n_layers else (0,)
    schemes = {"relatives": shape.relative, "local_relatives": shape.local.relative if shape.local else None}
    numbered = {"blocks"} | {name for name, scheme in schemes.items() if scheme is not None and not scheme.shared}
    found = []
    for name in student.state_dict():
        parts = name.split(".")
        if parts[0] == stack and parts[1] in numbered:
            parts[2] = str(kept[int(parts[2])])
        found.append((name, ".".join(parts)))
    return found


def _check_count(n_layers: int, teacher: int) -> None:
    if not 1 <= n_layers <= teacher:
        raise InputError(f"n_layers={n_layers} must be between 1 and the teacher's {teacher}")
