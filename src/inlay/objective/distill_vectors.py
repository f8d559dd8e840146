"""Distillation of one vector for each text. Reimers and Gurevych 2020, arXiv:2004.09813.

N tokens, B texts, D model.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inlay.model.heads import pick
from inlay.model.model import ModelConfig
from inlay.objective.distill_part import Asked, PartModule, Sizes, check_weight
from inlay.objective.teacher import projection

Pool = Literal["first", "last", "mean"]
Measure = Literal["mse", "cosine"]


@dataclass(frozen=True, kw_only=True)
class SentenceVectors:
    """How far the vectors of whole texts are apart, a mean over the texts.

    A student of another width learns a matrix that brings its vectors to the teacher's.
    """

    name: ClassVar[str] = "vectors"
    pool: Pool = "mean"
    """A text's first row, its last one, or the mean of all."""
    measure: Measure = "mse"
    """The mean square of the difference, or 1 - cos."""
    weight: float = 1.0
    """What the part is multiplied by in the loss."""

    def __post_init__(self) -> None:
        check_weight(self.weight)

    def build(self, student: ModelConfig, teacher: ModelConfig, rng: torch.Generator) -> "VectorsModule":
        """The module."""
        return VectorsModule(self, projection(student.d_model, teacher.d_model, rng))


class VectorsModule(PartModule):
    """Parameters: project (D teacher, D student) where the widths differ."""

    def __init__(self, config: SentenceVectors, project: nn.Module) -> None:
        super().__init__()
        self.pool, self.measure, self.project = config.pool, config.measure, project

    def count(self, sizes: Sizes) -> int:
        return sizes.texts

    def error(self, asked: Asked) -> Tensor:
        ours = self.project(pick(asked.student.rows, asked.layout, self.pool))
        return vectors_apart(ours, pick(asked.teacher.rows, asked.layout, self.pool), self.measure)


def vectors_apart(ours: Tensor, theirs: Tensor, measure: Measure) -> Tensor:
    """(B, D), (B, D) -> the sum over the texts of how far each is off."""
    ours, theirs = ours.float(), theirs.float()
    if measure == "cosine":
        return (1 - F.cosine_similarity(ours, theirs, dim=-1)).sum()
    return F.mse_loss(ours, theirs, reduction="sum") / theirs.size(-1)
