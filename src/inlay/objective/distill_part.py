"""A part of a distillation: one thing that a student is to have as its teacher has it.

N tokens, M chosen tokens, B texts.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from inlay.errors import InputError
from inlay.model.packed import Layout
from inlay.objective.teacher import Reading


@dataclass(frozen=True, eq=False)
class Sizes:
    """What the means of a batch's parts go over."""

    tokens: int
    """N"""
    chosen: int
    """M"""
    texts: int
    """B"""


@dataclass(frozen=True, eq=False)
class Asked:
    """What student and teacher make of the same batch, and which of its tokens were chosen."""

    student: Reading
    teacher: Reading
    at: Tensor
    """(M,) the rows of the chosen tokens."""

    @property
    def layout(self) -> Layout:
        """Where the texts lie, for both."""
        return self.student.packed.layout


class PartModule(nn.Module):
    """How far the student is off, and the weights that it takes to compare the two."""

    layers = False
    """Whether it looks at the rows between the layers."""

    def count(self, sizes: Sizes) -> int:
        """What its mean goes over."""
        raise AssertionError("each part says what it counts")

    def error(self, asked: Asked) -> Tensor:
        """The sum that is divided by the count; 0 for a student that is its teacher."""
        raise AssertionError("each part says what it compares")


def check_weight(weight: float) -> None:
    """InputError for a weight that would push the student away from its teacher."""
    if not weight >= 0:
        raise InputError(f"weight={weight} must be at least 0; 0 only shows the part")
