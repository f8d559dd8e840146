"""Cutting heads out of a trained model: fewer weights, and what the other heads say stays as it was."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from inlay.errors import InputError
from inlay.model.model import Model
from inlay.model.stack import Transformer
from inlay.model.xlrelative import XLBias


@torch.no_grad()
def prune(
    model: Model, heads: Mapping[int, Sequence[int]], *, stack: Literal["encoder", "decoder"] | None = None
) -> Model:
    """A new model without these self-attention heads, by block: it answers as the old one does with them masked out.

    `heads` counts heads as the model was built with them, so those cut before may be named again. The model itself is
    left as it is. Raises InputError for a block or head that is not there, and for a block that would have none left.
    """
    name = stack or ("decoder" if model.decoder is not None else "encoder")
    old: Transformer | None = getattr(model, name)
    if old is None:
        raise InputError(f"this model has no {name} to prune")
    shape = old.stack
    gone = [set(cut) for cut in shape.pruned] or [set[int]() for _ in range(shape.n_blocks)]
    for block, cut in heads.items():
        if not 0 <= block < shape.n_blocks:
            raise InputError(f"block {block} is not there: the {name} has blocks 0 to {shape.n_blocks - 1}")
        gone[block] |= set(cut)
    pruned = replace(shape, pruned=tuple(tuple(sorted(cut)) for cut in gone))
    own = {"encoder": model.config.encoder, "decoder": model.config.decoder} | {name: pruned}
    config = replace(model.config, encoder=own["encoder"], decoder=own["decoder"], family="")
    weights = model.state_dict()
    smaller = config.build(device=model.device).to(next(model.parameters()).dtype)
    for number in range(shape.n_blocks):
        was = old.block(number).attention.kept or tuple(range(shape.n_heads))
        keep = torch.tensor([place for place, head in enumerate(was) if head not in gone[number]], device=model.device)
        at = f"{name}.blocks.{number}.attention."
        for part, axis in (("qkv.weight", 0), ("qkv.bias", 0), ("out.weight", 1)):
            if at + part in weights:
                weights[at + part] = _cut(weights[at + part], keep, len(was), axis, 3 if axis == 0 else 1)
        for where, is_local in (("relatives", False), ("local_relatives", True)):
            if not isinstance(old.relative_of(number, is_local), XLBias):
                continue
            at = f"{name}.{where}.{number}."
            weights[at + "r.weight"] = _cut(weights[at + "r.weight"], keep, len(was), 0, 1)
            for part, axis in (("u", 0), ("v", 0), ("s", 0), ("segment", 1)):
                weights[at + part] = weights[at + part].index_select(axis, keep)
    smaller.load_state_dict(weights)
    return smaller.train(model.training)


def _cut(weight: Tensor, keep: Tensor, n_heads: int, axis: int, copies: int) -> Tensor:
    """The weight with `keep` of its heads, along an axis that holds them `copies` times (queries, keys, values)."""
    split = weight.unflatten(axis, (copies, n_heads, -1))
    return split.index_select(axis + 1, keep).flatten(axis, axis + 2)
