"""Model: one input layer, an encoder, a decoder or both, and the heads that read their rows.

N packed tokens, B texts, D model, E embedding, V vocabulary, L layers, H heads.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from inlay.batch import Batch
from inlay.errors import InputError, did_you_mean
from inlay.model.cache import Cache
from inlay.model.characters import CharacterTable
from inlay.model.heads import Head
from inlay.model.init import Init, Normal, Undrawn, initialise
from inlay.model.input import Input, InputLayer
from inlay.model.packed import Layout, Packed, groups
from inlay.model.relative import XLRelative
from inlay.model.sight import Rule, View, cached_group, self_groups, source_view, view
from inlay.model.stack import Stack, Transformer, Views


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """An architecture as a literal: the difference between two of these is the difference between two papers."""

    input: Input
    """What turns tokens into rows."""
    encoder: Stack | None = None
    """The stack that reads a text as a whole."""
    decoder: Stack | None = None
    """The stack that writes; alone, or reading the encoder's rows."""
    heads: tuple[Head, ...] = ()
    """What is read from the last stack's rows."""
    init: Init = field(default_factory=Normal)
    """What first weights are drawn from."""
    family: str = ""
    """The layout in which weights are saved: bert, t5, …; empty for inlay's own."""

    def __post_init__(self) -> None:
        if self.encoder is None and self.decoder is None:
            raise InputError("a model needs an encoder, a decoder, or both")
        if self.encoder and self.encoder.cross:
            raise InputError("encoder.cross=true has nobody to read; it is the decoder that reads: set it to false")
        if self.encoder and self.decoder:
            if not self.decoder.cross:
                raise InputError("the decoder does not read the encoder; set decoder.cross=true")
            if self.encoder.d_model != self.decoder.d_model:
                raise InputError(
                    f"encoder.d_model={self.encoder.d_model} and decoder.d_model={self.decoder.d_model} must be equal"
                )
        elif self.decoder and self.decoder.cross:
            raise InputError("decoder.cross=true needs an encoder to read; add one, or set it to false")
        elif self.input.twin:
            raise InputError("input.twin=true is for an encoder and a decoder, and there is one stack; set it to false")
        names = [head.name for head in self.heads]
        if len(set(names)) < len(names):
            raise InputError(f"heads {names} must be different kinds")
        needy = [head.name for head in self.heads if head.name == "pair" or getattr(head, "at", "") == "pooled"]
        if needy and "pooler" not in names:
            raise InputError(f"the {needy[0]} head reads the pooler's row; add a Pooler to the heads")

    @property
    def d_model(self) -> int:
        """Numbers of a row."""
        stack = self.decoder or self.encoder
        assert stack is not None
        return stack.d_model

    @property
    def d_embed(self) -> int:
        """Numbers of a token vector."""
        return self.input.d_embed or self.d_model

    @property
    def vocab_size(self) -> int:
        """Rows of the token table."""
        return self.input.vocab_size

    def build(self, *, seed: int = 0, device: torch.device | str = "cpu") -> "Model":
        """The model with first weights drawn from `seed`, the same on every device; on `meta` shapes alone."""
        with torch.device("meta"), Undrawn():  # torch's own first weights would cost time
            model = Model(self)
        if torch.device(device).type == "meta":
            return model
        model = model.to_empty(device="cpu")
        if isinstance(model.input.token, CharacterTable):
            model.input.token.forget()  # what it holds beside weights is as empty
        initialise(model, self.init, torch.Generator().manual_seed(seed))
        return model.to(device)


@dataclass(frozen=True, eq=False, slots=True)
class Memory:
    """What an encoder made of its texts: rows (N, D), and where they lie."""

    rows: Tensor
    layout: Layout

    def select(self, texts: Sequence[int]) -> Self:
        """These texts, in this order; one may come several times."""
        rows = [slice(self.layout.starts[t], self.layout.starts[t] + self.layout.lengths[t]) for t in texts]
        layout = Layout([self.layout.lengths[t] for t in texts], self.layout.device)
        return type(self)(torch.cat([self.rows[:0], *(self.rows[one] for one in rows)]), layout)


@dataclass(frozen=True, eq=False, slots=True)
class Queries:
    """XLNet's second stream: rows that know where they stand and not what stands there. Yang et al. 2019."""

    rows: Tensor
    """(M, D) what the stream starts from."""
    lengths: Sequence[int]
    """(B,) queries of each text."""
    position: Sequence[int]
    """(M,) where each stands in its text."""
    rule: Rule | None = None
    """What they may see."""


class Model(nn.Module):
    """Batches of texts to rows (N, D), and rows to answers by its heads; made by `ModelConfig.build`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.input: InputLayer = config.input.build((config.encoder or config.decoder or _none()).d_model)
        self.encoder: Transformer | None = config.encoder.build() if config.encoder else None
        self.decoder: Transformer | None = config.decoder.build() if config.decoder else None
        self.heads = nn.ModuleDict({head.name: head.build(config) for head in config.heads})
        self.source: dict[str, Any] | None = None
        """Where the weights were read from, a plain tree; None for weights that were drawn."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def forward(
        self,
        batch: Batch | Packed,
        target: Batch | Packed | None = None,
        *,
        rule: Rule | None = None,
        queries: Queries | None = None,
        head_mask: Tensor | None = None,
        states: list[Tensor] | None = None,
    ) -> Tensor:
        """The last rows (N, D) of the batch, in its order; with an encoder and a decoder, those of `target`.

        `rule` narrows what tokens see; `queries` asks for a second stream's rows (M, D) instead; `head_mask` (L, H)
        weighs heads; `states` collects each layer's rows of that stack (without it nothing is kept).
        Raises InputError for ids without a row, texts beyond the position table, and a batch without tokens.
        """
        if self.encoder is not None and self.decoder is not None:
            if target is None:
                raise InputError("this model has an encoder and a decoder; give the target's batch too, or use encode")
            if rule is not None or queries is not None:
                raise InputError("rule and queries are for models of one stack; this has an encoder and a decoder")
            return self.decode(target, self.encode(batch), head_mask=head_mask, states=states)
        if target is not None:
            raise InputError("this model has one stack, which takes one batch; leave the target out")
        packed = self.pack(batch)
        stack = self.encoder or self.decoder
        assert stack is not None
        return self.run(stack, packed, rule=rule, queries=queries, head_mask=head_mask, states=states)

    def encode(self, batch: Batch | Packed, *, states: list[Tensor] | None = None) -> Memory:
        """What the encoder makes of the batch, for `decode` to read."""
        if self.encoder is None:
            raise InputError("this model has no encoder; call it, or use decode")
        packed = self.pack(batch)
        return Memory(self.run(self.encoder, packed, states=states), packed.layout)

    def decode(
        self,
        batch: Batch | Packed,
        memory: Memory | None = None,
        cache: Cache | None = None,
        *,
        head_mask: Tensor | None = None,
        states: list[Tensor] | None = None,
    ) -> Tensor:
        """The decoder's rows (N, D) of the batch. With a cache, the batch continues the texts that it holds.

        A decoder that reads an encoder needs its `memory`; with a cache that has it already, it may be left out.
        A cache is for causal decoders; an InputError leaves it as it was.
        """
        if self.decoder is None:
            raise InputError("this model has no decoder; call it, or use encode")
        if memory is not None and not self.decoder.stack.cross:
            raise InputError("this decoder reads no encoder; leave memory out")
        packed = self.pack(batch, held=None if cache is None else cache.lengths)
        if cache is not None:
            return self._step(packed, memory, cache, head_mask=head_mask, states=states)
        return self.run(self.decoder, packed, memory=memory, head_mask=head_mask, states=states)

    def read(self, name: str, rows: Tensor, layout: Layout) -> Tensor:
        """What the head of that name answers to rows (N, D)."""
        if name not in self.heads:
            raise InputError(f"this model has no head {name!r}{did_you_mean(name, self.heads) if self.heads else ''}")
        return self.heads[name](rows, layout, self.input.table(), self.heads)

    def pack(self, batch: Batch | Packed, held: Sequence[int] | None = None) -> Packed:
        """The batch on this model's device, its ids checked; `held` tokens of each text stand before it.

        What is packed already stays as it is, its positions too where they were given.
        """
        if isinstance(batch, Batch):
            self.input.check(batch.ids, batch.segments)
            packed = Packed.of(batch, self.device)
        elif isinstance(batch, Packed):
            packed = batch
        else:
            raise InputError(f"a model reads a Batch, not a {type(batch).__name__}; make one by Batch.of([[id, …], …])")
        if held is not None and len(held) != len(packed.layout):
            raise InputError(f"the cache holds {len(held)} texts, the batch continues {len(packed.layout)}")
        if held is None or not any(held) or not packed.layout.plain:
            return packed
        position = [h + i for h, n in zip(held, packed.layout.lengths, strict=True) for i in range(n)]
        return Packed(packed.ids, Layout(packed.layout.lengths, self.device, position=position), packed.segments)

    def run(
        self,
        stack: Transformer,
        packed: Packed,
        *,
        rule: Rule | None = None,
        queries: Queries | None = None,
        memory: Memory | None = None,
        head_mask: Tensor | None = None,
        states: list[Tensor] | None = None,
    ) -> Tensor:
        """The last rows (N, D) of a stack: one of this model, or one beside it that shares its input layer."""
        layout, numbers, back = packed.layout, None, None
        if rule is None and queries is None and (found := layout.sorted()):
            # Texts of one length side by side are taken by attention as they lie.
            layout, numbers, rows = found
            segments = None if packed.segments is None else packed.segments[rows]
            packed = Packed(packed.ids[rows], layout, segments)
            back = torch.empty_like(rows)
            back[rows] = torch.arange(len(rows), device=rows.device)
        views = stack.look(layout, layout, self_groups(layout, packed.segments), rule=rule)
        own: list[Tensor] | None = None if states is None else []
        more: dict[str, Any] = {}
        if stack.stack.cross:
            if memory is None:
                raise InputError("this decoder reads an encoder's rows; give memory=model.encode(batch)")
            more |= {"memory": memory.rows, "memory_view": self._across(layout, memory, numbers)}
        if queries is not None:
            more |= {"queries": queries.rows, "query_views": self._second(stack, packed, queries)}
        x = stack(self.input(packed, target=stack is self.decoder), views, head_mask=head_mask, states=own, **more)
        if states is not None and own is not None:
            states += own if back is None else [state[back] for state in own]
        return x if back is None else x[back]

    def _across(self, layout: Layout, memory: Memory, numbers: Sequence[int] | None) -> View:
        if len(layout) != len(memory.layout):
            raise InputError(f"{len(layout)} texts to write, but {len(memory.layout)} to read; give one for each")
        return view(layout, memory.layout, groups(layout, memory.layout, numbers=numbers))

    def _second(self, stack: Transformer, packed: Packed, queries: Queries) -> Views:
        length = packed.layout.lengths
        if len(queries.lengths) != len(length):
            raise InputError(f"queries of {len(queries.lengths)} texts, but there are {len(length)}")
        if not sum(queries.lengths) == len(queries.position) == len(queries.rows):
            raise InputError(
                f"queries of lengths that sum to {sum(queries.lengths)} have {len(queries.position)} positions and "
                f"{len(queries.rows)} rows; give one for each"
            )
        layout = Layout(queries.lengths, packed.layout.device, position=queries.position)
        place, text = np.asarray(queries.position), np.repeat(np.arange(len(length)), layout.lengths)
        if (beyond := (place < 0) | (place >= np.asarray(length)[text])).any():
            at, which = place[beyond][0], text[beyond][0]
            raise InputError(f"a query stands at place {at} of text {which}, which has {length[which]} tokens")
        segments = None
        if packed.segments is not None:
            starts = torch.tensor(packed.layout.starts, device=layout.device)
            segments = packed.segments[starts[layout.texts] + layout.position]
        found = groups(layout, packed.layout, q_segments=segments, k_segments=packed.segments)
        return stack.look(layout, packed.layout, found, rule=queries.rule)

    def _step(
        self,
        packed: Packed,
        memory: Memory | None,
        cache: Cache,
        *,
        head_mask: Tensor | None,
        states: list[Tensor] | None,
    ) -> Tensor:
        assert self.decoder is not None
        layout, begins = packed.layout, not any(cache.lengths)
        self._check_cache(packed, cache)
        x = self.input(packed, target=True)
        across = None
        if self.decoder.stack.cross:
            if cache.layers[0].source is None:
                if memory is None:
                    raise InputError("this decoder reads an encoder's rows; give memory=model.encode(batch)")
                self._keep_source(memory, cache)
            across = source_view(layout, cache.source_keep)
        room = cache.reserve(layout.lengths)
        found = self_groups(layout, packed.segments) if begins else [cached_group(layout, room)]
        views = self.decoder.look(layout, layout, found, room=room)
        return self.decoder(x, views, memory_view=across, cache=cache, head_mask=head_mask, states=states)

    def _check_cache(self, packed: Packed, cache: Cache) -> None:
        """Raise InputError where what comes step by step would not be what comes at once."""
        assert self.decoder is not None
        stack = self.decoder.stack
        if not stack.causal:
            raise InputError("a cache is for a causal decoder; set decoder.causal=true, or decode without it")
        if len(cache.layers) != stack.n_layers:
            raise InputError(f"the cache has {len(cache.layers)} layers, the decoder {stack.n_layers}")
        schemes = (stack.relative, stack.local.relative if stack.local else None)
        if packed.segments is not None and any(isinstance(one, XLRelative) for one in schemes):
            raise InputError("the cache keeps no segments, which XLRelative compares; decode without one or the other")

    def _keep_source(self, memory: Memory, cache: Cache) -> None:
        assert self.decoder is not None
        if len(memory.layout) != len(cache.lengths):
            raise InputError(f"the cache is for {len(cache.lengths)} texts, the memory has {len(memory.layout)}")
        if 0 in memory.layout.lengths:
            raise InputError(f"source {memory.layout.lengths.index(0)} has no tokens to read; leave the pair out")
        side = memory.layout.side(range(len(memory.layout)))
        cache.source_keep = side.keep
        for i, block, _, _ in self.decoder.layers():
            assert block.cross is not None
            cache.layers[i].source = block.cross.keys_values(memory.rows, side)


def _none() -> Stack:
    raise AssertionError("a config has a stack")
