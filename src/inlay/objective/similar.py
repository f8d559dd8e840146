"""Losses that bring vectors of what belongs together near: InfoNCE over a batch, and the margin of triplets.

P pairs, k negatives of a pair, C = P·(1 + k) candidates, D dimensions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from inlay.errors import InputError
from inlay.objective.temperature import Fixed, Learned


@dataclass(frozen=True, kw_only=True)
class InfoNCE:
    """Each anchor must find its positive among all the texts of the batch, by cosine. van den Oord et al. 2018.

    -log exp(cos(aᵢ, pᵢ)/t) / Σⱼ exp(cos(aᵢ, cⱼ)/t), where c are all positives and all negatives (arXiv:1807.03748).
    """

    temperature: Fixed | Learned = Fixed(value=0.05)
    """What cosines are divided by before the softmax."""
    asks: Literal["anchor", "both"] = "anchor"
    """Who must find whom: anchors their positives, or positives their anchors too, and the loss is the mean."""

    def __post_init__(self) -> None:
        if self.asks not in ("anchor", "both"):
            raise InputError(f"asks={self.asks!r} must be anchor or both")
        match self.temperature:
            case Fixed(value=t) if not 0 < t <= 10:
                raise InputError(f"temperature={t} must lie between 0 and 10; 0.05 is usual")
            case Learned(start=start, least=least) if not 0 < least < start <= 10:
                raise InputError(f"temperature starts at {start} and ends at {least}; it needs 0 < least < start <= 10")

    def build(self) -> "InfoNCELoss":
        """The module, with the temperature where it is learned."""
        return InfoNCELoss(self)


@dataclass(frozen=True, kw_only=True)
class Triplet:
    """Each negative must be further from its anchor than the positive is, by a margin. Schroff et al. 2015.

    max(0, d(a, p) - d(a, n) + margin), arXiv:1503.03832; other pairs of the batch play no part. The defaults are those
    of Reimers & Gurevych 2019 (arXiv:1908.10084).
    """

    margin: float = 1.0
    """How much further; at most 2 makes sense for cosines."""
    distance: Literal["euclidean", "cosine"] = "euclidean"
    """The length of the difference, or one minus the cosine."""

    def __post_init__(self) -> None:
        if not self.margin > 0:
            raise InputError(f"margin={self.margin} must be above 0; 1 is usual")
        if self.distance not in ("euclidean", "cosine"):
            raise InputError(f"distance={self.distance!r} must be euclidean or cosine")

    def build(self) -> "TripletLoss":
        """The module."""
        return TripletLoss(self)


class Loss(Protocol):
    """Vectors of columns to sums of errors."""

    def check(self, pairs: int, negatives: int, apart: NDArray[np.bool_] | None) -> None:
        """InputError where there is nothing to tell apart."""

    def counts(self, pairs: int, negatives: int) -> dict[str, int]:
        """How many predictions each term sums over."""

    def __call__(self, columns: Sequence[Tensor], apart: Tensor | None) -> dict[str, Tensor]:
        """The terms of anchors, positives, and negatives, each (P, D); `apart` (P, C) True: they must not meet."""


class InfoNCELoss(nn.Module):
    """Sums over anchors: `nll`, and beside it `accuracy`, the anchors that find their positive first."""

    def __init__(self, config: InfoNCE) -> None:
        super().__init__()
        self.both, self.given = config.asks == "both", config.temperature
        if isinstance(self.given, Learned):
            # above `least` by what is always positive: it need not be cut off, and can always come back
            self.above = nn.Parameter(torch.tensor(self.given.start - self.given.least).log())

    @property
    def temperature(self) -> float | Tensor:
        """What cosines are divided by now."""
        return self.given.value if isinstance(self.given, Fixed) else self.given.least + self.above.exp()

    def check(self, pairs: int, negatives: int, apart: NDArray[np.bool_] | None) -> None:
        if pairs == 1 and not negatives:
            raise InputError("one pair has nothing to be told from; give batches of two pairs and more, or negatives")
        if apart is not None and apart.sum() == apart.size - pairs:
            raise InputError(f"all {pairs} pairs are of one group, so that no anchor has a wrong answer; mix them")

    def counts(self, pairs: int, negatives: int) -> dict[str, int]:
        learned = {"temperature": pairs} if isinstance(self.given, Learned) else {}
        return {"nll": pairs, "accuracy": pairs, **learned}

    def forward(self, columns: Sequence[Tensor], apart: Tensor | None) -> dict[str, Tensor]:
        anchors, candidates = F.normalize(columns[0], dim=-1), F.normalize(torch.cat(list(columns[1:])), dim=-1)
        scores = anchors @ candidates.T / self.temperature  # (P, D) (C, D) -> (P, C)
        if apart is not None:
            scores = scores.masked_fill(apart, -torch.inf)
        own = torch.arange(len(anchors), device=scores.device)
        nll = F.cross_entropy(scores, own, reduction="sum")
        if self.both:
            nll = (nll + F.cross_entropy(scores[:, : len(anchors)].T, own, reduction="sum")) / 2
        found = {"nll": nll, "accuracy": (scores.detach().argmax(-1) == own).sum().float()}
        if isinstance(self.temperature, Tensor):
            found["temperature"] = self.temperature.detach() * len(anchors)
        return found


class TripletLoss(nn.Module):
    """Sums over triplets: `margin`, and beside it `accuracy`, those whose positive is nearer than the negative."""

    def __init__(self, config: Triplet) -> None:
        super().__init__()
        self.config = config

    def check(self, pairs: int, negatives: int, apart: NDArray[np.bool_] | None) -> None:
        if not negatives:
            raise InputError("Triplet needs negatives, and these pairs have none; add a column, or take loss=InfoNCE()")

    def counts(self, pairs: int, negatives: int) -> dict[str, int]:
        return {"margin": pairs * negatives, "accuracy": pairs * negatives}

    def forward(self, columns: Sequence[Tensor], apart: Tensor | None) -> dict[str, Tensor]:
        anchors, positives, *negatives = columns
        near, far = self._distance(anchors, positives), [self._distance(anchors, one) for one in negatives]  # (P,)
        gaps = near - torch.stack(far)  # (k, P)
        return {"margin": F.relu(gaps + self.config.margin).sum(), "accuracy": (gaps.detach() < 0).sum().float()}

    def _distance(self, a: Tensor, b: Tensor) -> Tensor:
        """(P, D) twice -> (P,)."""
        if self.config.distance == "cosine":
            return 1 - F.cosine_similarity(a, b, dim=-1)
        return torch.linalg.vector_norm(a - b, dim=-1)  # its gradient is 0, not nan, where they are equal


def kept_apart(groups: NDArray[np.int64] | None, pairs: int, negatives: int) -> NDArray[np.bool_] | None:
    """(P, C) True where anchor and candidate are of one group and not one pair, by `Columns.groups`; None: nowhere."""
    if groups is None:
        return None
    of_pair = groups if groups.ndim == 1 else groups[:, 0]
    apart = np.zeros((pairs, 1 + negatives, pairs), bool)
    if groups.ndim == 1:
        apart[:, 0] = of_pair[:, None] == of_pair  # of the negatives nothing is known
    else:
        apart[:] = of_pair[:, None, None] == groups.T
    own = np.arange(pairs)
    apart[own, 0, own] = False
    return apart.reshape(pairs, -1) if apart.any() else None
