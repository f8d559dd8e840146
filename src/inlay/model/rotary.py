"""Rotary positions: pairs of a head's coordinates turned by an angle that grows with the position.

N packed tokens, H heads, K head size, R coordinates that turn.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from inlay.errors import InputError
from inlay.model.scheme import Relative, Sizes


@dataclass(frozen=True, kw_only=True)
class Rotary:
    """q·k comes to depend on the distance alone, by turning both.

    Su et al. 2021, arXiv:2104.09864, in the layout that checkpoints use: coordinate j turns with j + R/2.
    """

    theta: float = 10_000.0
    """The slowest pair turns once in about 2π · theta positions; larger for longer texts."""
    fraction: float = 1.0
    """Share of a head's coordinates that turn, the first ones; the others carry no position."""

    shared = True

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise InputError(f"fraction={self.fraction} must lie above 0 and at most at 1")
        if not self.theta > 1:
            raise InputError(f"theta={self.theta} must be above 1, so that turns get slower; 10000 is usual")

    def build(self, stack: Sizes) -> "RotaryTurn":
        width = int(stack.d_key * self.fraction)
        if width < 2 or width % 2:
            raise InputError(
                f"fraction={self.fraction} of d_head={stack.d_key} is {width} coordinates, which do not make pairs; "
                "choose a fraction that leaves an even number"
            )
        return RotaryTurn(self.theta, width)


class RotaryTurn(Relative):
    """No parameters and no state: the angles are computed in float32, whatever the dtype of the rows."""

    def __init__(self, theta: float, width: int) -> None:
        super().__init__()
        self.theta, self.width = theta, width

    def rotate(self, x: Tensor, position: Tensor) -> Tensor:
        """(N, H, K), (N,) -> (N, H, K)."""
        half = self.width // 2
        step = torch.arange(0, self.width, 2, device=x.device, dtype=torch.float32) / self.width
        angle = (position.float()[:, None] * (1 / self.theta**step))[:, None]  # (N, 1, R/2)
        cos, sin = angle.cos(), angle.sin()
        a, b, still = x.split([half, half, x.size(-1) - self.width], -1)
        return torch.cat([(a * cos - b * sin).to(x.dtype), (b * cos + a * sin).to(x.dtype), still], -1)
