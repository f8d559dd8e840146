"""Relative: what a scheme of relative positions may do to attention, and At: where the queries and keys stand.

N packed tokens, b texts of a group, T queries, S keys, H heads, K head size.
"""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn


class Sizes(Protocol):
    """What a scheme is told of the stack that it is built for."""

    @property
    def d_model(self) -> int: ...

    @property
    def n_heads(self) -> int: ...

    @property
    def d_key(self) -> int: ...

    @property
    def causal(self) -> bool: ...

    @property
    def scale_scores(self) -> bool: ...


@dataclass(frozen=True, eq=False)
class At:
    """Where the queries and the keys of a group stand in their texts."""

    q: Tensor
    """(T,) where all texts of the group stand alike, else (b, T)."""
    k: Tensor
    """(S,) or (b, S)."""
    q_segment: Tensor | None = None
    """(b, T)."""
    k_segment: Tensor | None = None
    """(b, S)."""
    consecutive: bool = False
    """True promises that q and k are (T,) and (S,), that k counts up by ones, and that q is its last T: biases are then
    computed per distance rather than per pair, and the device is never asked for a number."""

    def distance(self) -> Tensor:
        """Key minus query: (T, S), or (b, T, S)."""
        return self.k[..., None, :] - self.q[..., :, None]


class Relative(nn.Module):
    """A scheme overrides the hook it needs; as it stands it does nothing."""

    content = False
    """True: the bias depends on queries and keys. False: on positions only, so that all layers share one result."""

    def rotate(self, x: Tensor, position: Tensor) -> Tensor:
        """(N, H, K), (N,) -> (N, H, K): packed queries or keys, before their scores."""
        return x

    def bias(self, q: Tensor | None, k: Tensor | None, at: At) -> Tensor | None:
        """(b, H, T, K), (b, H, S, K) -> (b or 1, H, T, S), added to the scores after they are scaled; None: nothing.

        Queries and keys are those that `rotate` has seen; where `content` is False they are not read, and may be None.
        """
        return None


def skew(x: Tensor) -> Tensor:
    """(..., T, P) -> (..., T, S) with P = T + S - 1, a view: column c of row t goes to column c - (T - 1 - t).

    With columns in the order of key minus query, from -(S - 1) to T - 1, this turns "by distance" into "by key" for
    consecutive positions whose last query stands at the last key.
    """
    t, p = x.shape[-2:]
    if t == 1:  # whose stride may be anything
        return x
    row, column = x.stride()[-2:]
    size, stride = (*x.shape[:-1], p - t + 1), (*x.stride()[:-2], row - column, column)
    return x.as_strided(size, stride, x.storage_offset() + (t - 1) * column)


def toeplitz(by_distance: Tensor, t: int) -> Tensor:
    """(..., P) -> (..., T, S) with P = T + S - 1: the same values for every query, laid out as `skew` does."""
    return by_distance.unfold(-1, by_distance.size(-1) - t + 1, 1).flip(-2)
