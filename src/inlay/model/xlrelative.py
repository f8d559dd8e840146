"""Transformer-XL's relative positions, as XLNet uses them: terms of the score for content, distance and segment.

b texts of a group, T queries, S keys, P distances, D model, H heads, K head size.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from inlay.model.position import sinusoid
from inlay.model.scheme import At, Relative, Sizes, skew


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
        h, k = stack.n_heads, stack.d_head
        self.d_model = stack.d_model
        self.scale = k**-0.5 if stack.scale_scores else 1.0
        self.r = nn.Linear(stack.d_model, h * k, bias=False)
        self.u, self.v, self.s = (nn.Parameter(torch.zeros(h, k)) for _ in range(3))
        self.segment = nn.Parameter(torch.zeros(2, h, k))

    def bias(self, q: Tensor | None, k: Tensor | None, at: At) -> Tensor:
        """(b, H, T, K), (b, H, S, K) -> (b, H, T, S)."""
        assert q is not None
        assert k is not None
        content = torch.einsum("hk,bhsk->bhs", self.u, k)[:, :, None]
        total = content + self._by_distance(q + self.v[:, None], at)
        if at.q_segment is not None and at.k_segment is not None:
            same, other = torch.einsum("bhtk,nhk->nbht", q + self.s[:, None], self.segment)[..., None]
            total = total + torch.where((at.q_segment[:, None, :, None] == at.k_segment[:, None, None, :]), same, other)
        return total * self.scale

    def _by_distance(self, q: Tensor, at: At) -> Tensor:
        """(b, H, T, K) -> (b, H, T, S): q·R(i - j)."""
        if at.consecutive:
            t, s = at.q.size(-1), at.k.size(-1)
            return skew(self._scores(q, torch.arange(s - 1, -t, -1, device=q.device)))
        distance = -at.distance()  # query minus key
        low, high = torch.stack(distance.aminmax()).tolist()
        scores = self._scores(q, torch.arange(low, high + 1, device=q.device))
        index = (distance - low).unsqueeze(-3)  # (1, T, S) or (b, 1, T, S)
        return scores.gather(-1, index.expand(*q.shape[:3], -1))

    def _scores(self, q: Tensor, distance: Tensor) -> Tensor:
        """(b, H, T, K), (P,) -> (b, H, T, P)."""
        waves = sinusoid(distance.float(), self.d_model, "halves")
        r = self.r(waves.to(self.r.weight.dtype)).unflatten(-1, self.u.shape)  # (P, H, K)
        return torch.einsum("bhtk,phk->bhtp", q, r)
