"""Temperature: what cosines are divided by before a softmax, given or learned. Nothing here needs torch."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """Cosines are divided by this temperature."""

    value: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Learned:
    """The temperature starts at `start` and is trained with the model, never below `least`."""

    start: float = 0.1
    least: float = 0.01
