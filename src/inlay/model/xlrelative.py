"""Transformer-XL's relative positions, as XLNet uses them: terms of the score for content, distance and segment.

b texts of a group, T queries, S keys, P distances, D model, H heads, K head size.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from inlay.model.position import sinusoid
from inlay.model.scheme import At, Relative, Sizes, skew

_BLOCK = 128
"""Queries whose scores by distance are computed at once; twice as fast as all 512 of a long text."""


@dataclass(frozen=True, kw_only=True)
class XLRelative:
    """To q·k are added u·k, (q + v)·R(i - j) and, where segments are given, (q + s)·(same segment or another).

    Dai et al. 2019, arXiv:1901.02860; Yang et al. 2019, arXiv:1906.08237. R is a learned projection of the sines of the
    distance. Every layer has its own parameters. All terms are scaled as the scores are.
    """

    shared = False

    def build(self, stack: Sizes) -> "XLBias":
        return XLBias(stack)


class XLBias(Relative):
    """Parameters: r (H·K, D); u, v, s (H, K); segment (2, H, K), of which row 0 is "the same segment"."""

    content = True

    def __init__(self, stack: Sizes) -> None:
        super().__init__()
        h, k = stack.n_heads, stack.d_key
        self.d_model = stack.d_model
        self.scale = k**-0.5 if stack.scale_scores else 1.0
        self.r = nn.Linear(stack.d_model, h * k, bias=False)
        self.u, self.v, self.s = (nn.Parameter(torch.zeros(h, k)) for _ in range(3))
        self.segment = nn.Parameter(torch.zeros(2, h, k))

    def bias(self, q: Tensor | None, k: Tensor | None, at: At) -> Tensor:
        """(b, H, T, K), (b, H, S, K) -> (b, H, T, S)."""
        assert q is not None
        assert k is not None
        total = self._by_distance((q + self.v[:, None]) * self.scale, at)
        total += torch.einsum("hk,bhsk->bhs", self.u * self.scale, k)[:, :, None]
        if at.q_segment is not None and at.k_segment is not None:
            q = (q + self.s[:, None]) * self.scale
            same, other = torch.einsum("bhtk,nhk->nbht", q, self.segment)[..., None]
            equal = at.q_segment[:, None, :, None] == at.k_segment[:, None, None, :]  # (b, 1, T, S)
            total.add_(other).addcmul_(equal.to(total.dtype), same - other)
        return total

    def _by_distance(self, q: Tensor, at: At) -> Tensor:
        """(b, H, T, K) -> (b, H, T, S): q·R(i - j), a new tensor."""
        if not at.consecutive:
            distance = -at.distance()  # query minus key
            low, high = torch.stack(distance.aminmax()).tolist()
            scores = _scores(q, self._waves(high, low - 1, q.device))
            index = (high - distance).unsqueeze(-3)  # (1, T, S) or (b, 1, T, S)
            return scores.gather(-1, index.expand(*q.shape[:3], -1))
        left, s = at.q.size(-1), at.k.size(-1)
        r, rows = self._waves(s - 1, -left, q.device), []
        for block in q.split(_BLOCK, 2):  # neighbours share most of their distances, far queries do not
            left -= block.size(2)
            rows.append(skew(_scores(block, r[left : left + block.size(2) + s - 1])))
        return torch.cat(rows, 2)

    def _waves(self, first: int, end: int, device: torch.device) -> Tensor:
        """(P, H, K): R of the distances from `first` down to above `end`."""
        distance = torch.arange(first, end, -1, device=device, dtype=torch.float32)
        waves = sinusoid(distance, self.d_model, "halves").to(self.r.weight.dtype)
        return self.r(waves).unflatten(-1, self.u.shape)


def _scores(q: Tensor, r: Tensor) -> Tensor:
    """(b, H, T, K), (P, H, K) -> (b, H, T, P)."""
    return torch.einsum("bhtk,phk->bhtp", q, r)
