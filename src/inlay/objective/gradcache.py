"""Large batches in the memory of small ones: texts are read a chunk at a time, and read again for the gradient.

A contrastive loss joins all texts of a batch, so that it cannot be cut into smaller ones. But it joins them by their
vectors alone: those of all texts are small, and what led to them can be computed again, a chunk at a time, once the
gradient at the vectors is known (Gao et al. 2021, arXiv:2101.06983). Checkpointing each chunk's way from tokens to
vectors is that algorithm: the forward pass keeps vectors, the backward pass takes the loss first and then the chunks,
one after another. Beside two passes written out by hand, the first without a graph, it was measured to take at most a
tenth more memory and time; and it lets hooks and other gradients work as ever.

N tokens, B texts, D dimensions.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from inlay.errors import InputError
from inlay.model.packed import Layout, Packed

Read = Callable[[Packed], Tensor]
"""Texts to vectors: (N,) -> (B, D)."""


@dataclass(frozen=True, kw_only=True)
class Whole:
    """All texts of a batch at once: fastest, and what leads to every vector is kept."""

    def vectors(self, read: Read, packed: Packed) -> Tensor:
        """(B, D), by one call of `read`."""
        return read(packed)


@dataclass(frozen=True, kw_only=True)
class GradCache:
    """Texts in chunks that are computed twice: the memory of a chunk, the same loss and gradient, a third more time.

    Dropout draws the same in both passes.
    """

    tokens: int = 4096
    """Tokens of a chunk; a longer text is a chunk of its own."""

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise InputError(f"tokens={self.tokens} of a chunk must be at least 1; 4096 is usual")

    def vectors(self, read: Read, packed: Packed) -> Tensor:
        """(B, D), by a call of `read` for each chunk, and another in the backward pass."""
        found = packed.layout.sorted()  # texts of one length side by side cost attention fewer calls
        if found is None:
            return self._by_chunks(read, packed)
        layout, order, rows = found
        segments = None if packed.segments is None else packed.segments[rows]
        vectors = self._by_chunks(read, Packed(packed.ids[rows], layout, segments))
        return vectors[torch.from_numpy(np.argsort(order)).to(vectors.device)]

    def _by_chunks(self, read: Read, packed: Packed) -> Tensor:
        # The ids are an argument of their own because the device of arguments is the one whose random state is kept.
        parts = [
            checkpoint(_run, read, chunk.ids, chunk, use_reentrant=False, preserve_rng_state=True)
            for chunk in chunks(packed, self.tokens)
        ]
        return torch.cat(parts)


def chunks(packed: Packed, tokens: int) -> Iterator[Packed]:
    """The texts in their order, as many at a time as fit in so many tokens, one at least."""
    layout = packed.layout
    first = row = 0
    while first < len(layout):
        stop, end = first + 1, row + layout.lengths[first]
        while stop < len(layout) and end + layout.lengths[stop] - row <= tokens:
            end += layout.lengths[stop]
            stop += 1
        segments = None if packed.segments is None else packed.segments[row:end]
        yield Packed(packed.ids[row:end], Layout(layout.lengths[first:stop], layout.device), segments)
        first, row = stop, end


def _run(read: Read, ids: Tensor, chunk: Packed) -> Tensor:
    return read(chunk)
