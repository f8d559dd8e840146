"""Norms: a frozen dataclass each, that builds its module."""

from dataclasses import dataclass

from torch import nn

from inlay.errors import InputError


@dataclass(frozen=True, kw_only=True)
class LayerNorm:
    """Each row less its mean, by its standard deviation, with a learned gain. Ba et al. 2016, arXiv:1607.06450."""

    eps: float = 1e-12
    """Added to the variance."""
    bias: bool = True
    """Learn a shift too; ModernBERT does not."""

    def __post_init__(self) -> None:
        _check(self.eps)

    def build(self, d: int) -> nn.Module:
        """The module for rows of d numbers."""
        return nn.LayerNorm(d, eps=self.eps, bias=self.bias)


@dataclass(frozen=True, kw_only=True)
class RMSNorm:
    """Each row by its root mean square, with a learned gain. Zhang and Sennrich 2019, arXiv:1910.07467."""

    eps: float = 1e-6
    """Added to the mean square."""

    def __post_init__(self) -> None:
        _check(self.eps)

    def build(self, d: int) -> nn.Module:
        """The module for rows of d numbers."""
        return nn.RMSNorm(d, eps=self.eps)


Norm = LayerNorm | RMSNorm


def _check(eps: float) -> None:
    if not 0 <= eps < 1:
        raise InputError(f"norm eps={eps} must be at least 0 and below 1; 1e-6 is usual")
