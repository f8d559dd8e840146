"""Looking inside: hidden states and attention weights of a batch, text by text.

B texts, t tokens of a text, s tokens that it looks at, L layers, H heads, D model.
"""

import torch
from torch import Tensor

from inlay.batch import Batch
from inlay.errors import InputError
from inlay.model.model import Memory, Model
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

    The stack is the decoder where there is one, which reads `source`; `cross` asks for its look at the source instead
    of at itself. Heads of pruned blocks are 0. The model's own mode (train, eval) stays; dropout plays no part.
    """
    stack = model.decoder or model.encoder
    assert stack is not None
    if stack.stack.cross and source is None:
        raise InputError("this decoder reads an encoder; give source=")
    if cross and not stack.stack.cross:
        raise InputError("this model has no cross-attention; it looks at its own text only")
    packed = model.pack(batch)
    layout = packed.layout
    memory = _memory(model, source) if source is not None and stack.stack.cross else None
    rows: list[Tensor] = []
    training = model.training
    model.eval()
    try:
        if memory is None:
            model(packed, states=rows)
        else:
            model.decode(packed, memory, states=rows)
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
    finally:
        model.train(training)
    return found


def _memory(model: Model, source: Batch) -> Memory:
    training = model.training
    memory = model.eval().encode(source)
    model.train(training)
    return memory
