"""Looking inside: hidden states and attention weights of a batch, text by text.

B texts, t tokens of a text, s tokens that it looks at, L layers, H heads, D model.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from inlay.batch import Batch
from inlay.errors import InputError
from inlay.model.model import Model
from inlay.model.packed import groups
from inlay.model.sight import self_groups, view


def states(model: Model, batch: Batch, target: Batch | None = None) -> list[Tensor]:
    """The rows (N, D) of the last stack before its first layer and after each, the last with the final norm: L + 1."""
    found: list[Tensor] = []
    model(batch, target, states=found)
    return found


@torch.no_grad()
def attention(model: Model, batch: Batch, *, source: Batch | None = None, cross: bool = False) -> list[Tensor]:
    """What each token looks at: for each text (L, H, t, s), every row summing to 1; computed anew, on request only.

    With `source` the stack is the decoder that reads it, and `cross` asks for its look at the source instead of at
    itself; without it, the encoder where there is one. Pruned heads are 0. Dropout plays no part, in training neither.
    """
    stack = model.encoder if source is None and model.encoder is not None else model.decoder
    if stack is None or (source is not None and not stack.stack.cross):
        raise InputError("this model has no decoder that reads a source; leave source out")
    if cross and source is None:
        raise InputError(
            "a look at the source needs source="
            if model.decoder is not None and model.decoder.stack.cross
            else "this model has no cross-attention; it looks at its own text only"
        )
    packed = model.pack(batch)
    layout = packed.layout
    rows: list[Tensor] = []
    with _still(model):
        memory = None if source is None else model.encode(source)
        if stack is model.decoder:
            model.decode(packed, memory, states=rows)
        else:
            model.encode(packed, states=rows)
        views = stack.look(layout, layout, self_groups(layout, packed.segments))
        across = None if memory is None else view(layout, memory.layout, groups(layout, memory.layout))
        lengths = layout.lengths if not cross or memory is None else memory.layout.lengths
        n_heads, n_layers = stack.stack.n_heads, stack.stack.n_layers
        found = [
            packed.ids.new_zeros(n_layers, n_heads, t, s, dtype=rows[0].dtype)
            for t, s in zip(layout.lengths, lengths, strict=True)
        ]
        for i, block, relative, is_local in stack.layers():
            seen = views.local if is_local else views.all
            x = rows[i]
            if cross:
                assert memory is not None
                assert across is not None
                parts, kept, seen = block.cross_weights(x, seen, relative, memory.rows, across), None, across
            else:
                parts, kept = block.self_weights(x, seen, relative), block.attention.kept
            heads = list(range(n_heads)) if kept is None else list(kept)
            for group, part in zip(seen.groups, parts, strict=True):
                for row, text in enumerate(group.texts.tolist()):
                    t, s = found[text].shape[-2:]
                    found[text][i, heads] = part[row, :, :t, :s].to(found[text].dtype)
    return found


@contextmanager
def _still(model: Model) -> Iterator[None]:
    """The model in evaluation mode; afterwards each of its parts is in its own again."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
