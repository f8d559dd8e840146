"""Distillation of what lies inside a teacher: the rows between its layers, and where its tokens look.

N tokens, b texts of a group, T queries and S keys of a text, D model, H heads, L layers.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inlay.errors import InputError
from inlay.model.model import ModelConfig
from inlay.model.sight import self_groups
from inlay.objective.distill_part import Asked, PartModule, Sizes, check_weight
from inlay.objective.teacher import Reading, one_stack, projection


@dataclass(frozen=True, kw_only=True)
class Uniform:
    """Layer m of M learns from layer m·L/M of L, rounded down: 3, 6, 9, 12 for 4 of 12. TinyBERT's g(m) = 3m."""

    def pairs(self, student: int, teacher: int) -> list[tuple[int, int]]:
        """(layer of the student, layer of the teacher), counted from 1."""
        if student > teacher:
            raise InputError(
                f"the student has {student} layers, the teacher {teacher}; name the layers: map: {{kind: Pairs}}"
            )
        return [(m, m * teacher // student) for m in range(1, student + 1)]


@dataclass(frozen=True, kw_only=True)
class Last:
    """The last layer learns from the last: MiniLM. Wang et al. 2020, arXiv:2002.10957."""

    def pairs(self, student: int, teacher: int) -> list[tuple[int, int]]:
        """(layer of the student, layer of the teacher), counted from 1."""
        return [(student, teacher)]


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """The layers that are named."""

    at: tuple[tuple[int, int], ...]
    """Pairs of a layer of the student and one of the teacher, counted from 1."""

    def __post_init__(self) -> None:
        if not self.at:
            raise InputError("a map without a pair compares nothing; write at: [[1, 3], [2, 6]]")

    def pairs(self, student: int, teacher: int) -> list[tuple[int, int]]:
        """(layer of the student, layer of the teacher), counted from 1; InputError for one that is not there."""
        for pair in self.at:
            for layer, most, whose in zip(pair, (student, teacher), ("student", "teacher"), strict=True):
                if not 1 <= layer <= most:
                    raise InputError(f"layer {layer} of the {whose} is not there: they run from 1 to {most}")
        return list(self.at)


LayerMap = Uniform | Last | Pairs


@dataclass(frozen=True, kw_only=True)
class Hidden:
    """The mean squared distance of the rows after mapped layers, a mean over all tokens, summed over the layers.

    Jiao et al. 2020, arXiv:1909.10351 (TinyBERT). Where the widths differ, one learned matrix brings the student's rows
    of all layers to the teacher's width, and another one those of the input.
    """

    name: ClassVar[str] = "hidden"
    map: LayerMap = Uniform()
    """Which layer learns from which."""
    input: bool = True
    """Compare what goes into the first layer, too."""
    weight: float = 1.0
    """What the part is multiplied by in the loss."""

    def __post_init__(self) -> None:
        check_weight(self.weight)

    def build(self, student: ModelConfig, teacher: ModelConfig, rng: torch.Generator) -> "HiddenModule":
        """The module."""
        return HiddenModule(self, student, teacher, rng)


class HiddenModule(PartModule):
    """Parameters: project and project_input (D teacher, D student) where the widths differ."""

    layers = True

    def __init__(self, config: Hidden, student: ModelConfig, teacher: ModelConfig, rng: torch.Generator) -> None:
        super().__init__()
        ours, theirs = one_stack(student, "the student"), one_stack(teacher, "the teacher")
        self.pairs = config.map.pairs(ours.n_layers, theirs.n_layers)
        self.project = projection(ours.d_model, theirs.d_model, rng)
        self.project_input = projection(ours.d_model, theirs.d_model, rng) if config.input else None

    def count(self, sizes: Sizes) -> int:
        return sizes.tokens

    def error(self, asked: Asked) -> Tensor:
        ours, theirs = asked.student.states, asked.teacher.states
        found = [_distance(self.project(ours[m]), theirs[g]) for m, g in self.pairs]
        if self.project_input is not None:
            found.append(_distance(self.project_input(ours[0]), theirs[0]))
        return torch.stack(found).sum()


@dataclass(frozen=True, kw_only=True)
class Attention:
    """How far mapped layers look elsewhere: a mean over heads and over all tokens, summed over the layers.

    `scores`: the mean squared distance of what the softmax is taken of, over the keys that both may see (TinyBERT,
    which found it better than the weights). `weights`: KL(teacher‖student) of the weights (MiniLM, there of the last
    layer).
    """

    name: ClassVar[str] = "attention"
    map: LayerMap = Uniform()
    """Which layer learns from which."""
    measure: Literal["scores", "weights"] = "scores"
    """What is compared."""
    weight: float = 1.0
    """What the part is multiplied by in the loss."""

    def __post_init__(self) -> None:
        check_weight(self.weight)

    def build(self, student: ModelConfig, teacher: ModelConfig, rng: torch.Generator) -> "AttentionModule":
        """The module; InputError where the two have not the same heads."""
        return AttentionModule(self, student, teacher)


class AttentionModule(PartModule):
    """Nothing to learn of its own; the scores are computed anew from the rows that went into each layer."""

    layers = True

    def __init__(self, config: Attention, student: ModelConfig, teacher: ModelConfig) -> None:
        super().__init__()
        ours, theirs = one_stack(student, "the student"), one_stack(teacher, "the teacher")
        if ours.n_heads != theirs.n_heads or ours.pruned or theirs.pruned:
            cut = " and some are pruned" if ours.pruned or theirs.pruned else ""
            raise InputError(
                f"Attention compares head by head, but the student has {ours.n_heads} heads and the teacher "
                f"{theirs.n_heads}{cut}; give it as many, or leave Attention out"
            )
        self.measure = config.measure
        self.pairs = config.map.pairs(ours.n_layers, theirs.n_layers)

    def count(self, sizes: Sizes) -> int:
        return sizes.tokens

    def error(self, asked: Asked) -> Tensor:
        ours = _Looks(asked.student)
        with torch.no_grad():
            theirs = _Looks(asked.teacher)
        found = []
        for m, g in self.pairs:
            with torch.no_grad():
                wanted = theirs.scores(g)
            for group, said, want in zip(ours.groups, ours.scores(m), wanted, strict=True):
                seen = said.isfinite() & want.isfinite()
                off = _apart(said, want, seen) if self.measure == "scores" else _divergence(said, want, seen)
                found.append(group.queries.rows(off).sum())  # (b, T) without padding
        return torch.stack(found).sum()


class _Looks:
    """Where the tokens of one reading look, layer by layer."""

    def __init__(self, reading: Reading) -> None:
        layout = reading.packed.layout
        self.groups = self_groups(layout, reading.packed.segments)
        self._views = reading.stack.look(layout, layout, self.groups)
        self._layers, self._states = list(reading.stack.layers()), reading.states

    def scores(self, layer: int) -> list[Tensor]:
        """(b, H, T, S) for each group, of a layer that is counted from 1."""
        i, block, relative, is_local = self._layers[layer - 1]
        return block.self_scores(self._states[i], self._views.local if is_local else self._views.all, relative)


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """1 - cos of the last rows of student and teacher, a mean over all tokens. Sanh et al. 2019 (DistilBERT).

    A student of another width learns a matrix that brings its rows to the teacher's.
    """

    name: ClassVar[str] = "cosine"
    weight: float = 1.0
    """What the part is multiplied by in the loss; 1 is DistilBERT's."""

    def __post_init__(self) -> None:
        check_weight(self.weight)

    def build(self, student: ModelConfig, teacher: ModelConfig, rng: torch.Generator) -> "CosineModule":
        """The module."""
        return CosineModule(projection(student.d_model, teacher.d_model, rng))


class CosineModule(PartModule):
    """Parameters: project (D teacher, D student) where the widths differ."""

    def __init__(self, project: nn.Module) -> None:
        super().__init__()
        self.project = project

    def count(self, sizes: Sizes) -> int:
        return sizes.tokens

    def error(self, asked: Asked) -> Tensor:
        ours = self.project(asked.student.rows).float()
        return (1 - F.cosine_similarity(ours, asked.teacher.rows.float(), dim=-1)).sum()


def _distance(ours: Tensor, theirs: Tensor) -> Tensor:
    """(N, D), (N, D) -> the mean over D of the squares, summed over N."""
    return F.mse_loss(ours.float(), theirs.float(), reduction="sum") / theirs.size(-1)


def _apart(said: Tensor, want: Tensor, seen: Tensor) -> Tensor:
    """(b, H, T, S) three times -> (b, T): the mean square over heads and seen keys."""
    off = (said.masked_fill(~seen, 0).float() - want.masked_fill(~seen, 0).float()).square()
    return off.sum((1, 3)) / seen.expand_as(off).sum((1, 3)).clamp(min=1)


def _divergence(said: Tensor, want: Tensor, seen: Tensor) -> Tensor:
    """(b, H, T, S) three times -> (b, T): KL(want‖said) over the seen keys, a mean over heads."""
    ours, theirs = (torch.log_softmax(one.float().masked_fill(~seen, -torch.inf), -1) for one in (said, want))
    return (theirs.exp() * (theirs.masked_fill(~seen, 0) - ours.masked_fill(~seen, 0))).sum(-1).mean(1)
