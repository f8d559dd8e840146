"""What attention may see: for each group of texts the visible keys, dense only where a scheme needs it.

b texts of a group, H heads, T queries, S keys.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import Protocol

import torch
from torch import Tensor

from inlay.model import mask
from inlay.model.packed import Group, Layout, groups
from inlay.model.scheme import At, Relative


class Rule(Protocol):
    """What a caller lets tokens see, beyond what the model's own shape says."""

    def dense(self, group: Group) -> Tensor:
        """(b, T, S) bool, True where the key may be seen."""


@dataclass(frozen=True, eq=False, slots=True)
class Sight:
    """What the queries of one group see: everything, the past, or what `visible` says."""

    visible: Tensor | None = None
    """(b | 1, 1, T, S) bool; None: all, or with `causal` all up to the query itself."""
    causal: bool = False
    bias: Tensor | None = None
    """(1, H, T, S) what positions add to the scores, -inf where nothing may be seen."""

    def dense(self, group: Group) -> Tensor | None:
        """`visible` with the past written out; None: everything is seen."""
        return _batched(_past(group.at))[:, None] if self.causal else self.visible


@dataclass(frozen=True, eq=False, slots=True)
class View:
    """All that attention needs to know of a batch: its groups, what each sees, and where the rows stand."""

    groups: Sequence[Group]
    sights: Sequence[Sight]
    q_position: Tensor
    """(N,) of the query rows."""
    k_position: Tensor
    """(M,) of the key rows."""
    texts: Tensor
    """(N,) the text of each query row."""
    n_texts: int
    room: int = 0
    """Tokens the cache must have room for."""


def view(
    queries: Layout,
    keys: Layout,
    found: Sequence[Group],
    *,
    causal: bool = False,
    reach: int | None = None,
    rule: Rule | None = None,
    relative: Relative | None = None,
    room: int = 0,
) -> View:
    """The view of these groups: causal or not, keys within `reach` alone, by `rule`, with a bias by positions."""
    if isinstance(rule, mask.Rule):
        rule.check(keys.lengths, causal=causal)
    shared = _biases(relative, found)
    sights = []
    for group, bias in zip(found, shared, strict=True):
        sight = _sight(group, causal=causal, reach=reach, rule=rule)
        if bias is not None:
            visible = sight.dense(group)
            bias = bias if visible is None else bias.masked_fill(~visible, -torch.inf)
            sight = Sight(bias=bias)
        sights.append(sight)
    return View(found, sights, queries.position, keys.position, queries.texts, len(queries), room)


def self_groups(layout: Layout, segments: Tensor | None = None) -> list[Group]:
    """The groups in which texts look at themselves."""
    return groups(layout, layout, q_segments=segments, k_segments=segments)


def cached_group(layout: Layout, seen: int) -> Group:
    """All texts in one group, whose keys are the first `seen` places of the cache."""
    side = layout.side(range(len(layout)))
    numbers = torch.arange(len(layout), device=layout.device)
    q_position = side.take(layout.position)  # (B, T)
    if layout.n_rows == len(layout) and layout.even:
        q_position = q_position[0]  # one new token each, at one position: everything in the cache is its past
    return Group(numbers, side, None, At(q=q_position, k=torch.arange(seen, device=layout.device)))


def source_view(queries: Layout, keep: Tensor | None) -> View:
    """What a decoder's texts see of the source that the cache holds; `keep` (B, S) is True where it has a token."""
    side = queries.side(range(len(queries)))
    numbers = torch.arange(len(queries), device=queries.device)
    position = queries.position
    group = Group(numbers, side, None, At(q=position, k=position))  # nothing relative is asked across texts
    sight = Sight(visible=None if keep is None else keep[:, None, None])
    return View([group], [sight], position, position, queries.texts, len(queries))


def _sight(group: Group, *, causal: bool, reach: int | None, rule: Rule | None) -> Sight:
    at, parts = group.at, list[Tensor]()
    if group.keys is None:
        # The cache holds each token at its position: what lies beyond a query's own is future, or not written.
        if at.q.ndim == 2:
            parts.append(_past(at))
        if reach is not None and at.k.size(0) > reach + 1:
            parts.append(_batched(mask.window(at.q, at.k, reach)))
        return Sight(visible=_all(parts))
    if group.keys.keep is not None:
        parts.append(mask.padding(group.keys.keep))
    if reach is not None and max(group.keys.length, group.queries.length) > reach + 1:
        parts.append(_batched(mask.window(at.q, at.k, reach)))
    if rule is not None:
        parts.append(rule.dense(group))
    if causal and not parts and group.keys is group.queries:  # is_causal counts queries from the first key
        return Sight(causal=True)
    if causal:
        parts.append(_batched(_past(at)))
    return Sight(visible=_all(parts))


def _all(parts: list[Tensor]) -> Tensor | None:
    return reduce(and_, parts)[:, None] if parts else None


def _past(at: At) -> Tensor:
    """(T, S) or (b, T, S): the key stands no later than the query."""
    return at.k[..., None, :] <= at.q[..., :, None]


def _batched(visible: Tensor) -> Tensor:
    return visible if visible.ndim == 3 else visible[None]


def _biases(relative: Relative | None, found: Sequence[Group]) -> list[Tensor | None]:
    """The bias by positions of each group; where all positions count from 0, the longest one is cut to size."""
    if relative is None or relative.content:
        return [None] * len(found)
    if all(group.at.q.ndim == 1 and group.at.k is group.at.q for group in found):
        longest = max(found, key=lambda group: group.at.q.size(0))
        bias = relative.bias(None, None, longest.at)
        sizes = [group.at.q.size(0) for group in found]
        return [None if bias is None else bias[..., :size, :size] for size in sizes]
    return [relative.bias(None, None, group.at) for group in found]
