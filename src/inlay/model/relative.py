"""Relative positions by a bias on the scores: T5's buckets, Shaw's keys, ALiBi; and the union of all schemes.

b texts of a group, T queries, S keys, P distances, H heads, K head size. Distances are key minus query.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from inlay.errors import InputError
from inlay.model.rotary import Rotary
from inlay.model.scheme import At, Relative, Sizes, toeplitz
from inlay.model.xlrelative import XLRelative

__all__ = ["Alibi", "At", "Relative", "RelativeScheme", "Rotary", "Shaw", "T5Buckets", "XLRelative"]


@dataclass(frozen=True, kw_only=True)
class T5Buckets:
    """One learned number per head and bucket of distances: near ones have their own, far ones share by their logarithm.

    Raffel et al. 2020, arXiv:1910.10683.
    """

    n_buckets: int = 32
    """Shared out between both directions, unless the stack is causal."""
    max_distance: int = 128
    """From here on all distances fall into the last bucket."""

    shared = True

    def __post_init__(self) -> None:
        if self.n_buckets < 4 or self.n_buckets % 4:
            raise InputError(f"n_buckets={self.n_buckets} must be a multiple of 4: two directions, near and far")
        if self.max_distance <= self.n_buckets // 2:
            raise InputError(
                f"max_distance={self.max_distance} must be above n_buckets/2={self.n_buckets // 2}, up to which a "
                "distance may have a bucket of its own; raise max_distance, or lower n_buckets"
            )

    def build(self, stack: Sizes) -> "T5Bias":
        return T5Bias(self, stack)


class T5Bias(Relative):
    """Parameters: table (n_buckets, H)."""

    def __init__(self, cfg: T5Buckets, stack: Sizes) -> None:
        super().__init__()
        self.cfg, self.causal = cfg, stack.causal
        self.table = nn.Embedding(cfg.n_buckets, stack.n_heads)

    def bias(self, q: Tensor | None, k: Tensor | None, at: At) -> Tensor:
        """(1, H, T, S), or (b, H, T, S)."""
        if at.consecutive:
            t, s = at.q.size(-1), at.k.size(-1)
            by_distance = self.table(self.bucket(torch.arange(1 - s, t, device=at.q.device)))  # (P, H)
            return toeplitz(by_distance.T, t)[None]
        far = self.cfg.max_distance
        by_distance = self.table(self.bucket(torch.arange(-far, far + 1, device=at.q.device)))  # (2 far + 1, H)
        return _heads_first(nn.functional.embedding(at.distance().clamp(-far, far) + far, by_distance))

    def bucket(self, distance: Tensor) -> Tensor:
        """Whole numbers of any shape -> the bucket of each, 0..n_buckets - 1."""
        n, first = self.cfg.n_buckets, torch.zeros_like(distance)
        if self.causal:
            far = (-distance).clamp(min=0)
        else:
            n //= 2
            far, first = distance.abs(), (distance > 0) * n
        exact = n // 2
        share = torch.log(far.clamp(min=1).float() / exact) / math.log(self.cfg.max_distance / exact)
        shared = exact + (share * (n - exact)).long()
        return first + torch.where(far < exact, far, shared.clamp(max=n - 1))


@dataclass(frozen=True, kw_only=True)
class Shaw:
    """A learned vector per distance, added to the key: q·(k + a). The paper's vectors for values are left out.

    Shaw et al. 2018, arXiv:1803.02155, equation 4, with the vectors shared by the heads of a layer. The paper's own
    ablation finds that the key part alone may suffice; so attention stays one fused call.
    """

    max_distance: int = 16
    """Larger distances, on either side, are taken as this one."""

    shared = False

    def __post_init__(self) -> None:
        if self.max_distance < 1:
            raise InputError(f"max_distance={self.max_distance} must be at least 1")

    def build(self, stack: Sizes) -> "ShawBias":
        return ShawBias(self.max_distance, stack)


class ShawBias(Relative):
    """Parameters: table (2 max_distance + 1, K), from the farthest key before to the farthest after."""

    content = True

    def __init__(self, max_distance: int, stack: Sizes) -> None:
        super().__init__()
        self.far = max_distance
        self.scale = stack.d_key**-0.5 if stack.scale_scores else 1.0
        self.table = nn.Embedding(2 * max_distance + 1, stack.d_key)

    def bias(self, q: Tensor | None, k: Tensor | None, at: At) -> Tensor:
        """(b, H, T, K), (b, H, S, K) -> (b, H, T, S)."""
        assert q is not None
        scores = (q * self.scale) @ self.table.weight.T  # (b, H, T, 2 far + 1)
        index = (at.distance().clamp(-self.far, self.far) + self.far).unsqueeze(-3)  # (1, T, S) or (b, 1, T, S)
        return scores.gather(-1, index.expand(*q.shape[:3], -1))


@dataclass(frozen=True, kw_only=True)
class Alibi:
    """-slope · |i - j|, a slope for each head: no parameters, and texts longer than those trained on.

    Press et al. 2022, arXiv:2108.12409; without a causal mask it falls off to both sides alike.
    """

    shared = True

    def build(self, stack: Sizes) -> "AlibiBias":
        return AlibiBias(stack.n_heads)


class AlibiBias(Relative):
    """float32, whatever the dtype of the model."""

    def __init__(self, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads

    def bias(self, q: Tensor | None, k: Tensor | None, at: At) -> Tensor:
        """(1, H, T, S), or (b, H, T, S)."""
        return _heads_first(at.distance().abs()[..., None] * -self.slopes(at.q.device))

    def slopes(self, device: torch.device | None = None) -> Tensor:
        """(H,): 2^(-8/n), 2^(-16/n), ... for n heads, a power of two; for others those of the next power below, then
        every other one of the next power above."""
        n = 1 << self.n_heads.bit_length() - 1
        step = torch.arange(1, n + 1, device=device, dtype=torch.float32)
        between = torch.arange(1, 2 * n, 2, device=device, dtype=torch.float32) / 2
        return torch.exp2(-8 / n * torch.cat([step, between])[: self.n_heads])


RelativeScheme = Rotary | T5Buckets | XLRelative | Shaw | Alibi | None


def _heads_first(x: Tensor) -> Tensor:
    """(T, S, H) -> (1, H, T, S), (b, T, S, H) -> (b, H, T, S)."""
    x = x.movedim(-1, -3)
    return x if x.dim() == 4 else x[None]
