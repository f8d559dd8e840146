"""Distillation of what a teacher says: its whole distribution over the vocabulary. Hinton et al. 2015.

M chosen rows, D model, V vocabulary.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from inlay.errors import InputError
from inlay.model.model import ModelConfig
from inlay.objective.distill_part import Asked, PartModule, Sizes, check_weight
from inlay.objective.language import need_head

_LOGITS = 1 << 26
"""Logits of each of the two models that are held at a time; where there are more, all are computed again backwards."""


@dataclass(frozen=True, kw_only=True)
class Logits:
    """T²·KL(teacher‖student) of the distributions at temperature T, a mean over the chosen tokens only.

    Hinton et al. 2015, arXiv:1503.02531.
    """

    name: ClassVar[str] = "logits"
    temperature: float = 2.0
    """Above 1, the unlikely tokens of the teacher count more. T² keeps the gradients at one size (Hinton et al.)."""
    weight: float = 5.0
    """What the part is multiplied by in the loss; 5 is DistilBERT's."""

    def __post_init__(self) -> None:
        check_weight(self.weight)
        if not self.temperature > 0:
            raise InputError(f"temperature={self.temperature} must be above 0; 2 is usual")

    def build(self, student: ModelConfig, teacher: ModelConfig, rng: torch.Generator) -> "LogitsModule":
        """The module; InputError where one of the two tells no tokens."""
        for config, whose in ((student, "the student"), (teacher, "the teacher")):
            need_head(config, "language", f"Logits of {whose}")
        return LogitsModule(self)


class LogitsModule(PartModule):
    """Nothing to learn of its own."""

    def __init__(self, config: Logits) -> None:
        super().__init__()
        self.temperature = config.temperature

    def count(self, sizes: Sizes) -> int:
        return sizes.chosen

    def error(self, asked: Asked) -> Tensor:
        student, teacher = asked.student.rows[asked.at], asked.teacher.rows[asked.at]  # (M, D)
        size = max(_LOGITS // asked.student.model.config.vocab_size, 1)
        parts = list(zip(student.split(size), teacher.split(size), strict=True))
        if len(parts) < 2:
            return self._divergence(asked, student, teacher)
        return torch.stack([self._again(asked, *part) for part in parts]).sum()

    def _again(self, asked: Asked, student: Tensor, teacher: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return self._divergence(asked, student, teacher)
        return checkpoint(self._divergence, asked, student, teacher, use_reentrant=False)

    def _divergence(self, asked: Asked, student: Tensor, teacher: Tensor) -> Tensor:
        """(M, D), (M, D) -> the sum over the rows."""
        with torch.no_grad():
            wanted = self._log_shares(asked.teacher.model.read("language", teacher, asked.layout))
        said = self._log_shares(asked.student.model.read("language", student, asked.layout))
        return F.kl_div(said, wanted, reduction="sum", log_target=True) * self.temperature**2

    def _log_shares(self, logits: Tensor) -> Tensor:
        return F.log_softmax(logits.float() / self.temperature, -1)
