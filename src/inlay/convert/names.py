"""Names of weights: a table of full names for each family, read in both directions.

A line pairs a parameter of ours with the tensor, or the tensors, that another library keeps it in. In a template `{i}`
is a number and `{w}` is `weight` or `bias`:

    Line("encoder.blocks.{i}.ffn.up.{w}", "bert.encoder.layer.{i}.intermediate.dense.{w}")

The way from theirs to ours is `join`, the way back `split`: each undoes the other, for weights and gradients alike.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

# D model, H heads, K head size


class Form(Protocol):
    """How the tensors of a line differ in shape."""

    def join(self, theirs: list[Tensor]) -> Tensor:
        """Our tensor, of theirs."""
        ...

    def split(self, ours: Tensor, n: int) -> list[Tensor]:
        """Their n tensors, of ours."""
        ...


@dataclass(frozen=True)
class Stacked:
    """Ours is theirs, one above the other: q, k and v; gate and value. With one tensor nothing is done."""

    def join(self, theirs: list[Tensor]) -> Tensor:
        """n times (rows, …) -> (n·rows, …)."""
        return theirs[0] if len(theirs) == 1 else torch.cat(theirs)

    def split(self, ours: Tensor, n: int) -> list[Tensor]:
        """(n·rows, …) -> n times (rows, …)."""
        return list(ours.chunk(n))


@dataclass(frozen=True)
class Transposed:
    """Theirs lie (in, out), as GPT-2's do; vectors are as they are."""

    def join(self, theirs: list[Tensor]) -> Tensor:
        """n times (in, out) -> (n·out, in)."""
        return torch.cat([one.t() for one in theirs])

    def split(self, ours: Tensor, n: int) -> list[Tensor]:
        """(n·out, in) -> n times (in, out)."""
        return [part.t() for part in ours.chunk(n)]


@dataclass(frozen=True)
class ByHead:
    """Theirs lie (D, H, K), as XLNet's do: projections into heads, or with `out` the one back out of them."""

    n_heads: int
    out: bool = False

    def join(self, theirs: list[Tensor]) -> Tensor:
        """n times (D, H, K) -> (n·H·K, D); with `out` (D, H, K) -> (D, H·K)."""
        flat = [one.flatten(1) for one in theirs]
        return torch.cat(flat if self.out else [one.t() for one in flat])

    def split(self, ours: Tensor, n: int) -> list[Tensor]:
        """(n·H·K, D) -> n times (D, H, K); with `out` (D, H·K) -> (D, H, K)."""
        parts = ours.chunk(n)
        return [(part if self.out else part.t()).unflatten(1, (self.n_heads, -1)) for part in parts]


@dataclass(frozen=True)
class First:
    """Ours is the first of theirs, the others hold the same and are read by nobody."""

    def join(self, theirs: list[Tensor]) -> Tensor:
        """The first."""
        return theirs[0]

    def split(self, ours: Tensor, n: int) -> list[Tensor]:
        """n times the same; copies, since a file holds each memory once."""
        return [ours, *(ours.clone() for _ in range(n - 1))]


class Line:
    """One line of a table: a template of ours, those of theirs, and how the shapes differ."""

    def __init__(self, ours: str, *theirs: str, form: Form = Stacked()) -> None:  # noqa: B008, it is frozen
        self.ours, self.theirs, self.form = ours, theirs, form

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        pattern = re.escape(self.ours).replace(r"\{i\}", r"(?P<i>\d+)").replace(r"\{w\}", "(?P<w>weight|bias)")
        return re.compile(pattern)

    def match(self, name: str) -> tuple[str, ...] | None:
        """Their names for this name of ours; None where it is no case of the template."""
        found = self._pattern.fullmatch(name)
        if found is None:
            return None
        return tuple(_filled(their, found.groupdict()) for their in self.theirs)


@dataclass(frozen=True)
class Names:
    """The table of a family."""

    lines: tuple[Line, ...]
    """What is called how."""
    copies: Mapping[str, str] = field(default_factory=dict)
    """Their names for what a file may hold a second time, and the names that it is a copy of."""
    buffers: tuple[str, ...] = ()
    """Their templates for tensors that hold no weights: numbers of positions, masks."""

    def find(self, ours: Iterable[str]) -> dict[str, tuple[Line, tuple[str, ...]]]:
        """The line and their names for each name of ours; KeyError for one that no line fits."""
        found = {}
        for name in ours:
            cases = [(line, theirs) for line in self.lines if (theirs := line.match(name))]
            if not cases:
                raise KeyError(name)
            assert len(cases) == 1, f"{name} is in {len(cases)} lines"
            found[name] = cases[0]
        return found

    def known(self, name: str) -> tuple[str, ...]:
        """Their names for a name of ours; none where no line fits it."""
        return next((theirs for line in self.lines if (theirs := line.match(name))), ())

    def theirs(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors under their names, in their shapes; on the meta device too, for the shapes alone."""
        found: dict[str, Tensor] = {}
        for name, (line, names) in self.find(tensors).items():
            found |= dict(zip(names, line.form.split(tensors[name], len(names)), strict=True))
        return found

    def ours(self, tensors: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
        """The tensors of these names of ours, joined from theirs."""
        return {
            name: line.form.join([tensors[one] for one in theirs]) for name, (line, theirs) in self.find(names).items()
        }

    def is_buffer(self, name: str) -> bool:
        """Whether a name of theirs is one of `buffers`."""
        return any(
            re.fullmatch(re.escape(buffer).replace(r"\{i\}", r"\d+"), name) is not None for buffer in self.buffers
        )


def _filled(template: str, values: Mapping[str, str]) -> str:
    for key, value in values.items():
        template = template.replace("{" + key + "}", value)
    return template
