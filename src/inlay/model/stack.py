"""The stack of blocks: one for every architecture, told apart by the literal that builds it.

N rows, D model, H heads, L layers.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from inlay.errors import InputError
from inlay.model.attention import Attention
from inlay.model.cache import Cache, LayerCache
from inlay.model.ffn import Activation, FeedForward, activation
from inlay.model.norm import LayerNorm, Norm
from inlay.model.packed import Group, Layout
from inlay.model.relative import RelativeScheme
from inlay.model.scheme import Relative
from inlay.model.sight import Rule, View, view


@dataclass(frozen=True, kw_only=True)
class Dropout:
    """How much is left out while training, by place."""

    hidden: float = 0.1
    """Of what attention and feed-forward add to each row."""
    attention: float = 0.1
    """Of the attention weights."""
    ffn: float = 0.0
    """Of the feed-forward layer's inner activations."""
    path: float = 0.0
    """Of whole residual branches, by text: stochastic depth. Huang et al. 2016, arXiv:1603.09382."""

    def __post_init__(self) -> None:
        for name, share in vars(self).items():
            if not 0 <= share < 1:
                raise InputError(f"dropout {name}={share} must be at least 0 and below 1")


@dataclass(frozen=True, kw_only=True)
class Local:
    """Most layers look at near tokens only, every n-th at all of them. Beltagy et al. 2020; Warner et al. 2024."""

    reach: int = 64
    """A local layer's token sees those at most so many places before and after it."""
    every: int = 3
    """Layers 0, every, 2·every … look at all tokens."""
    relative: RelativeScheme = None
    """How local layers see relative positions."""

    def __post_init__(self) -> None:
        if self.reach < 1 or self.every < 1:
            raise InputError(f"local reach={self.reach} and every={self.every} must be at least 1")


@dataclass(frozen=True, kw_only=True)
class Stack:
    """n_layers blocks of attention and feed-forward; every field is one choice of a paper."""

    n_layers: int
    """Blocks that a row goes through."""
    d_model: int
    """Numbers of a row."""
    n_heads: int
    """Attention heads."""
    d_ffn: int
    """Inner width of the feed-forward layer."""
    d_head: int = 0
    """Numbers of a head, where they are not d_model / n_heads; 0 stands for that, and follows the sizes."""
    n_unique: int = 0
    """Different blocks, used again in order (1: ALBERT); 0 means n_layers."""
    norm: Norm = field(default_factory=LayerNorm)
    """The norm of every block."""
    norm_first: bool = False
    """Norm what a branch reads, and once more at the end of the stack, instead of what it leaves."""
    bare_start: bool = False
    """With norm_first: the first attention reads its input as it is, where the input layer has its own norm."""
    relative: RelativeScheme = None
    """How attention sees relative positions."""
    local: Local | None = None
    """Layers that look at near tokens only."""
    causal: bool = False
    """A token sees itself and what stands before it."""
    cross: bool = False
    """Each block also reads the encoder's rows."""
    activation: Activation = "gelu"
    """The function in the middle of the feed-forward layer."""
    gated: bool = False
    """Multiply the feed-forward layer's inside by a second projection (GLU)."""
    bias: bool = True
    """The feed-forward layer has biases."""
    attention_bias: bool = True
    """Attention's projections have biases."""
    scale_scores: bool = True
    """Divide attention scores by √d_head; T5 keeps them, and starts from smaller weights."""
    dropout: Dropout = field(default_factory=Dropout)
    """What training leaves out."""
    pruned: tuple[tuple[int, ...], ...] = ()
    """The heads that are cut out of the self-attention of each block; empty: none."""

    def __post_init__(self) -> None:
        for name in ("n_layers", "d_model", "n_heads", "d_ffn"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)} must be at least 1")
        if self.d_head < 0:
            raise InputError(f"d_head={self.d_head} must be at least 1; 0 means d_model / n_heads")
        if not self.d_head:
            if self.d_model % self.n_heads:
                raise InputError(
                    f"d_model={self.d_model} is not a multiple of n_heads={self.n_heads}; set d_head, or try "
                    f"n_heads={max(h for h in range(1, min(self.n_heads, 1000)) if not self.d_model % h)}"
                )
        elif self.d_head * self.n_heads == self.d_model:
            object.__setattr__(self, "d_head", 0)
        activation(self.activation)
        if not 0 <= self.n_unique <= self.n_layers:
            raise InputError(
                f"n_unique={self.n_unique} must be at most n_layers={self.n_layers}; 0 makes all different"
            )
        if self.bare_start and not (self.norm_first and self.n_unique in (0, self.n_layers)):
            raise InputError("bare_start=true is of the first layer alone: it needs norm_first=true and n_unique=0")
        if self.pruned and len(self.pruned) != self.n_blocks:
            raise InputError(f"pruned names heads of {len(self.pruned)} blocks, but there are {self.n_blocks}")
        for block, heads in enumerate(self.pruned):
            if len(set(heads)) != len(heads) or not set(heads) < set(range(self.n_heads)):
                raise InputError(
                    f"pruned[{block}]={list(heads)} must be some, not all, of heads 0 to {self.n_heads - 1}"
                )

    @property
    def d_key(self) -> int:
        """Numbers of a head."""
        return self.d_head or self.d_model // self.n_heads

    @property
    def n_blocks(self) -> int:
        """Different blocks."""
        return self.n_unique or self.n_layers

    def build(self) -> "Transformer":
        """The module."""
        return Transformer(self)


class Block(nn.Module):
    """Attention, cross-attention where there is an encoder, and feed-forward, each added to the row."""

    def __init__(self, stack: Stack, number: int) -> None:
        super().__init__()
        d = stack.d_model
        kept = None
        if stack.pruned and stack.pruned[number]:
            kept = tuple(head for head in range(stack.n_heads) if head not in stack.pruned[number])
        self.norm_first, self.dropout, self.path = (
            stack.norm_first,
            nn.Dropout(stack.dropout.hidden),
            stack.dropout.path,
        )
        self.attention = Attention(stack, kept)
        self.attention_norm = nn.Identity() if stack.bare_start and not number else stack.norm.build(d)
        self.cross = Attention(stack) if stack.cross else None
        self.cross_norm = stack.norm.build(d) if stack.cross else None
        self.ffn, self.ffn_norm = FeedForward(stack), stack.norm.build(d)

    def forward(
        self,
        x: Tensor,
        view: View,
        relative: Relative | None = None,
        *,
        context: Tensor | None = None,
        memory: Tensor | None = None,
        memory_view: View | None = None,
        cache: LayerCache | None = None,
        head_mask: Tensor | None = None,
    ) -> Tensor:
        """(N, D) -> (N, D); `context` is the content stream that a query stream reads, `memory` the encoder's rows."""
        h = self._before(x, self.attention_norm)
        y = self.attention(
            h,
            view,
            relative,
            context=None if context is None else self._before(context, self.attention_norm),
            cache=cache,
            head_mask=head_mask,
        )
        x = self._after(x, y, self.attention_norm, view)
        if self.cross is not None and self.cross_norm is not None:
            assert memory_view is not None, "a block with cross-attention needs the encoder's rows"
            h = self._before(x, self.cross_norm)
            if cache is not None:
                y = self.cross.source(h, memory_view, cache)
            else:
                assert memory is not None
                y = self.cross(h, memory_view, context=memory)
            x = self._after(x, y, self.cross_norm, view)
        return self._after(x, self.ffn(self._before(x, self.ffn_norm)), self.ffn_norm, view)

    def self_weights(self, x: Tensor, view: View, relative: Relative | None) -> list[Tensor]:
        """What this block's self-attention weighs, for rows (N, D) that come in: (b, H, T, S) for each group."""
        return self.attention.weights(self._before(x, self.attention_norm), view, relative)

    def self_scores(self, x: Tensor, view: View, relative: Relative | None) -> list[Tensor]:
        """What `self_weights` are the softmax of, -inf where a key may not be seen."""
        return self.attention.scores(self._before(x, self.attention_norm), view, relative)

    def cross_weights(
        self, x: Tensor, view: View, relative: Relative | None, memory: Tensor, memory_view: View
    ) -> list[Tensor]:
        """What this block's look at the encoder weighs, for rows (N, D) that come in."""
        assert self.cross is not None
        assert self.cross_norm is not None
        y = self.attention(self._before(x, self.attention_norm), view, relative)
        x = self._after(x, y, self.attention_norm, view)
        return self.cross.weights(self._before(x, self.cross_norm), memory_view, context=memory)

    def _before(self, x: Tensor, norm: nn.Module) -> Tensor:
        return norm(x) if self.norm_first else x

    def _after(self, x: Tensor, y: Tensor, norm: nn.Module, view: View) -> Tensor:
        if self.training:
            y = self.dropout(y)
            if self.path:
                stays = torch.rand(view.n_texts, 1, device=y.device) >= self.path
                y = y * stays[view.texts] / (1 - self.path)
        return x + y if self.norm_first else norm(x + y)


class Transformer(nn.Module):
    """(N, D) -> (N, D). Layer i runs block i · n_unique // n_layers: sharing is an index."""

    def __init__(self, stack: Stack) -> None:
        super().__init__()
        self.stack, self.checkpointing = stack, False
        """With `checkpointing`, blocks are computed again in the backward pass instead of kept: slower, smaller."""
        self.blocks = nn.ModuleList(Block(stack, number) for number in range(stack.n_blocks))
        self.relatives = _relatives(stack.relative, stack)
        self.local_relatives = _relatives(stack.local.relative if stack.local else None, stack)
        self.final_norm = stack.norm.build(stack.d_model) if stack.norm_first else nn.Identity()

    def forward(
        self,
        x: Tensor,
        views: "Views",
        *,
        memory: Tensor | None = None,
        memory_view: View | None = None,
        cache: Cache | None = None,
        head_mask: Tensor | None = None,
        queries: Tensor | None = None,
        query_views: "Views | None" = None,
        states: list[Tensor] | None = None,
    ) -> Tensor:
        """The rows (N, D) after all layers; with `queries` (M, D), the query stream's rows instead.

        `head_mask` (L, H) multiplies what each head says; `states` collects the input and every layer's rows.
        """
        shape = (self.stack.n_layers, self.stack.n_heads)
        if head_mask is not None and head_mask.shape != shape:
            raise InputError(f"head_mask is {tuple(head_mask.shape)}; it must be (layers, heads), here {shape}")
        for i, block, relative, is_local in self.layers():
            view = views.local if is_local else views.all
            if states is not None:
                states.append(x)
            mask = None if head_mask is None else head_mask[i]
            if queries is not None:  # the query stream reads the content stream of the layer below
                assert query_views is not None
                q_view = query_views.local if is_local else query_views.all
                queries = self._run(block, queries, q_view, relative, context=x, head_mask=mask)
                if i + 1 == self.stack.n_layers:
                    break  # nobody reads the content stream's last rows
            x = self._run(
                block,
                x,
                view,
                relative,
                memory=memory,
                memory_view=memory_view,
                cache=None if cache is None else cache.layers[i],
                head_mask=mask,
            )
        x = self.final_norm(x if queries is None else queries)
        if states is not None:
            states.append(x)
        return x

    def look(
        self, queries: Layout, keys: Layout, groups: list[Group], *, rule: Rule | None = None, room: int = 0
    ) -> "Views":
        """What the layers see of these groups."""
        causal, local = self.stack.causal, self.stack.local
        near = far = view(
            queries, keys, groups, causal=causal, rule=rule, relative=self._first(self.relatives), room=room
        )
        if local is not None:
            relative = self._first(self.local_relatives)
            near = view(
                queries, keys, groups, causal=causal, reach=local.reach, rule=rule, relative=relative, room=room
            )
        return Views(far, near)

    def layers(self) -> Iterator[tuple[int, Block, Relative | None, bool]]:
        """Each layer's number, block, relative positions, and whether it looks at near tokens only."""
        stack = self.stack
        for i in range(stack.n_layers):
            number = i * stack.n_blocks // stack.n_layers
            is_local = stack.local is not None and i % stack.local.every != 0
            yield i, self.block(number), self.relative_of(number, is_local), is_local

    def block(self, number: int) -> Block:
        """The block of that number."""
        found = self.blocks[number]
        assert isinstance(found, Block)
        return found

    def relative_of(self, block: int, is_local: bool) -> Relative | None:
        """The relative positions that a block sees."""
        found = self.local_relatives if is_local else self.relatives
        return found[block % len(found)] if len(found) else None  # type: ignore[return-value]

    @staticmethod
    def _first(relatives: nn.ModuleList) -> Relative | None:
        return relatives[0] if len(relatives) else None  # type: ignore[return-value]

    def _run(self, block: Block, *arguments: Any, **named: Any) -> Tensor:
        if self.checkpointing and torch.is_grad_enabled():
            return checkpoint(block, *arguments, use_reentrant=False, **named)
        return block(*arguments, **named)


@dataclass(frozen=True, eq=False, slots=True)
class Views:
    """What layers see: those that look at all tokens, and those that look at near ones."""

    all: View
    local: View


def _relatives(scheme: RelativeScheme, stack: Stack) -> nn.ModuleList:
    if scheme is None:
        return nn.ModuleList()
    if scheme.shared:
        return nn.ModuleList([scheme.build(stack)])
    gone = [len(heads) for heads in stack.pruned] or [0] * stack.n_blocks
    return nn.ModuleList(
        scheme.build(replace(stack, n_heads=stack.n_heads - n, d_head=stack.d_key, pruned=())) for n in gone
    )
