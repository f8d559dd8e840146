"""Attention: self, cross and two-stream are one call, told apart by `context`.

N query rows, M key rows, b texts of a group, T queries and S keys of a text, D model, H heads, K head.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inlay.model.cache import LayerCache
from inlay.model.linear import Linear, product
from inlay.model.packed import Group, Side
from inlay.model.scheme import Relative
from inlay.model.sight import Sight, View

if TYPE_CHECKING:
    from inlay.model.stack import Stack


class Attention(nn.Module):
    """softmax(QKᵀ·scale + bias)V by heads, over the keys that each query may see. Vaswani et al. 2017.

    A query that may see nothing gets zeros. Queries, keys and values are one matrix `qkv` (3HK, D), in that order.
    """

    def __init__(self, stack: "Stack", kept: tuple[int, ...] | None = None) -> None:
        super().__init__()
        self.kept = kept
        """The numbers of the heads that are left after pruning; None: all."""
        self.n_heads = stack.n_heads if kept is None else len(kept)
        self.d_head, self.p = stack.d_key, stack.dropout.attention
        self.scale = stack.d_key**-0.5 if stack.scale_scores else 1.0
        inner = self.n_heads * stack.d_key
        self.qkv = Linear(stack.d_model, 3 * inner, bias=stack.attention_bias)
        self.out = Linear(inner, stack.d_model, bias=stack.attention_bias)

    def forward(
        self,
        x: Tensor,
        view: View,
        relative: Relative | None = None,
        *,
        context: Tensor | None = None,
        cache: LayerCache | None = None,
        head_mask: Tensor | None = None,
    ) -> Tensor:
        """(N, D) -> (N, D); `context` (M, D) is where keys and values come from, if not from x; `head_mask` (H,).

        The mask counts all heads, those that were pruned too.
        """
        q, k, v = self._project(x, context)
        if relative is not None:
            q, k = relative.rotate(q, view.q_position), relative.rotate(k, view.k_position)
        if cache is not None:
            cache.write(k, v, view.texts, view.q_position, n_texts=view.n_texts, room=view.room)
        parts = []
        for group, sight, (gq, gk, gv) in zip(view.groups, view.sights, _rectangles(view, q, k, v, cache), strict=True):
            y = self._attend(gq, gk, gv, sight, self._bias(gq, gk, group, sight, relative))
            parts.append(group.queries.rows(y.transpose(1, 2)))  # (b, H, T, K) -> (n, H, K)
        y = parts[0] if len(parts) == 1 else torch.cat(parts)
        if head_mask is not None:
            y = y * (head_mask if self.kept is None else head_mask[list(self.kept)]).to(y)[:, None]
        return self.out(y.flatten(1))

    def source(self, x: Tensor, view: View, cache: LayerCache) -> Tensor:
        """(N, D) -> (N, D): cross-attention whose keys and values are in the cache."""
        assert cache.source is not None
        (group,), (sight,) = view.groups, view.sights
        gq = group.queries.take(self._queries(x)).transpose(1, 2)
        y = self._attend(gq, *cache.source, sight, None)
        return self.out(group.queries.rows(y.transpose(1, 2)).flatten(1))

    def keys_values(self, context: Tensor, side: Side) -> tuple[Tensor, Tensor]:
        """(M, D) -> keys and values of all texts as rectangles (B, H, S, K), for the cache."""
        k, v = self._pairs(context)
        return side.take(k).transpose(1, 2).contiguous(), side.take(v).transpose(1, 2).contiguous()

    def weights(self, x: Tensor, view: View, relative: Relative | None = None, context: Tensor | None = None) -> list:
        """What `forward` weighs the values by, computed anew for inspection: a (b, H, T, S) for each group."""
        scores = self.scores(x, view, relative, context)
        return [torch.softmax(one, -1).nan_to_num(0.0) for one in scores]  # a query that sees nothing weighs nothing

    def scores(self, x: Tensor, view: View, relative: Relative | None = None, context: Tensor | None = None) -> list:
        """What `weights` are the softmax of: a (b, H, T, S) for each group, -inf where a key may not be seen."""
        q, k, v = self._project(x, context)
        if relative is not None:
            q, k = relative.rotate(q, view.q_position), relative.rotate(k, view.k_position)
        found = []
        for group, sight, (gq, gk, _) in zip(view.groups, view.sights, _rectangles(view, q, k, v), strict=True):
            scores = gq @ gk.transpose(-1, -2) * self.scale
            bias = self._bias(gq, gk, group, sight, relative)
            visible = sight.dense(group)
            scores = scores if bias is None else scores + bias
            found.append(scores if visible is None else scores.masked_fill(~visible, -torch.inf))
        return found

    def _project(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """(N, D), (M, D) -> (N, H, K), (M, H, K), (M, H, K)."""
        if context is None:
            q, k, v = self.qkv(x).view(-1, 3, self.n_heads, self.d_head).unbind(1)
            return q, k, v
        return self._queries(x), *self._pairs(context)

    def _queries(self, x: Tensor) -> Tensor:
        """(N, D) -> (N, H, K)."""
        width, bias = self.n_heads * self.d_head, self.qkv.bias
        q = product(x, self.qkv.weight[:width], None if bias is None else bias[:width])
        return q.unflatten(-1, (self.n_heads, self.d_head))

    def _pairs(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """(M, D) -> keys and values (M, H, K)."""
        width, bias = self.n_heads * self.d_head, self.qkv.bias
        kv = product(context, self.qkv.weight[width:], None if bias is None else bias[width:])
        k, v = kv.unflatten(-1, (2, self.n_heads, self.d_head)).unbind(1)
        return k, v

    def _bias(self, q: Tensor, k: Tensor, group: Group, sight: Sight, relative: Relative | None) -> Tensor | None:
        if relative is None:
            return None
        if not relative.content:
            bias = sight.bias
            return bias if bias is None or self.kept is None else bias[:, list(self.kept)]
        bias = relative.bias(q, k, group.at)
        visible = sight.dense(group)
        return bias if visible is None or bias is None else bias.masked_fill(~visible, -torch.inf)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, sight: Sight, bias: Tensor | None) -> Tensor:
        mask = sight.visible if bias is None else bias.to(q.dtype)
        return F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=mask,
            dropout_p=self.p if self.training else 0.0,
            is_causal=sight.causal and bias is None,
            scale=self.scale,
        )


def _rectangles(
    view: View, q: Tensor, k: Tensor, v: Tensor, cache: LayerCache | None = None
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """(N, H, K) and (M, H, K) twice -> for each group (b, H, T, K) and (b, H, S, K) twice."""
    sides = [group.queries for group in view.groups]
    # One split, not a slice for each group: the gradient of a slice is as long as all the rows.
    cuts = [side.stop - side.start for side in sides]
    own = all(group.keys is group.queries for group in view.groups)
    queries = q.split(cuts)
    keys, values = (k.split(cuts), v.split(cuts)) if own else ([k] * len(sides), [v] * len(sides))
    for group, gq, gk, gv in zip(view.groups, queries, keys, values, strict=True):
        gq = group.queries.lay(gq).transpose(1, 2)
        if group.keys is None:
            assert cache is not None
            assert cache.keys is not None
            assert cache.values is not None
            seen = group.at.k.size(-1)
            yield gq, cache.keys[:, :, :seen], cache.values[:, :, :seen]
        else:
            take = group.keys.lay if own else group.keys.take
            yield gq, take(gk).transpose(1, 2), take(gv).transpose(1, 2)
