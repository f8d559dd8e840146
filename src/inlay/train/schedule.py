"""How the step size goes over a run: warm-up, then one of a few ways down."""

import math
from dataclasses import dataclass

from inlay.errors import InputError


@dataclass(frozen=True, kw_only=True)
class _Warm:
    warmup: float = 0.05
    """The share of the run in which the step size grows from 0; as a whole number above 1, so many steps."""

    def __post_init__(self) -> None:
        if not 0 <= self.warmup < float("inf") or (self.warmup > 1 and self.warmup != int(self.warmup)):
            raise InputError(f"warmup={self.warmup} must be a share of the run from 0 to 1, or a whole number of steps")
        if not 0 <= (least := getattr(self, "least", 0.0)) <= 1:
            raise InputError(f"least={least} must be a share of the step size from 0 to 1")

    def _begun(self, progress: float, step: int) -> tuple[float, float]:
        """(how much of the warm-up is done, up to 1, and how much of what follows it)."""
        if self.warmup > 1:
            # Steps may be all that is known: what follows them begins at the progress that they have come to.
            begin = progress * self.warmup / (step + 1)
            return min((step + 1) / self.warmup, 1.0), max(progress - begin, 0.0) / max(1 - begin, 1e-9)
        if not self.warmup:
            return 1.0, progress
        return min(progress / self.warmup, 1.0), max(progress - self.warmup, 0.0) / max(1 - self.warmup, 1e-9)


@dataclass(frozen=True, kw_only=True)
class Constant(_Warm):
    """Always the same after the warm-up."""

    def at(self, progress: float, step: int) -> float:
        """The factor of the step size where `progress` (0 … 1) of the run is over with this step, number `step`."""
        return self._begun(progress, step)[0]


@dataclass(frozen=True, kw_only=True)
class Linear(_Warm):
    """Down to `least` in a straight line. Devlin et al. 2019."""

    least: float = 0.0
    """What is left at the end, as a share."""

    def at(self, progress: float, step: int) -> float:
        """See `Constant.at`."""
        warm, rest = self._begun(progress, step)
        return warm * (1 - (1 - self.least) * rest)


@dataclass(frozen=True, kw_only=True)
class Cosine(_Warm):
    """Down to `least` along half a cosine. Loshchilov and Hutter 2017, arXiv:1608.03983."""

    least: float = 0.1
    """What is left at the end, as a share."""

    def at(self, progress: float, step: int) -> float:
        """See `Constant.at`."""
        warm, rest = self._begun(progress, step)
        return warm * (self.least + (1 - self.least) * 0.5 * (1 + math.cos(math.pi * rest)))


@dataclass(frozen=True, kw_only=True)
class InverseSqrt:
    """√(warmup / step) after so many steps: it needs no end. Vaswani et al. 2017; Raffel et al. 2020."""

    warmup: int = 100
    """Steps in which the step size grows from 0."""

    def __post_init__(self) -> None:
        if self.warmup < 1:
            raise InputError(f"warmup={self.warmup} must be at least 1 step")

    def at(self, progress: float, step: int) -> float:
        """See `Constant.at`."""
        return min((step + 1) / self.warmup, math.sqrt(self.warmup / (step + 1)))


@dataclass(frozen=True, kw_only=True)
class WarmupStableDecay(_Warm):
    """The same until the last `decay` of the run, then down in a straight line. Hu et al. 2024, arXiv:2404.06395."""

    decay: float = 0.2
    """The share of the run that goes down."""
    least: float = 0.0
    """What is left at the end, as a share."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.decay <= 1:
            raise InputError(f"decay={self.decay} must be above 0 and at most 1")

    def at(self, progress: float, step: int) -> float:
        """See `Constant.at`."""
        warm, _ = self._begun(progress, step)
        down = max(progress - (1 - self.decay), 0.0) / self.decay
        return warm * (1 - (1 - self.least) * min(down, 1.0))


Schedule = Constant | Linear | Cosine | InverseSqrt | WarmupStableDecay
