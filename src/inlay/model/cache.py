"""The cache of a decoder: keys and values of the tokens so far, and of the text that it reads from.

B texts, H heads, C tokens that there is room for, S source tokens, K head.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

_LEAST = 32


class LayerCache:
    """Keys and values of one layer: its own (B, H, C, K), at the tokens' positions, and the source's (B, H, S, K)."""

    def __init__(self) -> None:
        self.keys: Tensor | None = None
        self.values: Tensor | None = None
        self.source: tuple[Tensor, Tensor] | None = None

    def write(self, k: Tensor, v: Tensor, texts: Tensor, position: Tensor, *, n_texts: int, room: int) -> None:
        """Put the rows (N, H, K) where they belong; the room doubles when it is used up."""
        if self.keys is None or self.values is None or self.keys.size(2) < room:
            self.keys, self.values = (self._grown(old, k, n_texts, room) for old in (self.keys, self.values))
        self.keys[texts, :, position] = k
        self.values[texts, :, position] = v

    def select(self, texts: Tensor, *, source: bool) -> None:
        """Keep these texts, in this order; one may come several times."""
        if self.keys is not None and self.values is not None:
            # index_select copies a text at once, what keys[texts] does takes ten times as long
            self.keys, self.values = self.keys.index_select(0, texts), self.values.index_select(0, texts)
        if source and self.source is not None:
            self.source = (self.source[0].index_select(0, texts), self.source[1].index_select(0, texts))

    @staticmethod
    def _grown(old: Tensor | None, like: Tensor, n_texts: int, room: int) -> Tensor:
        room = max(_LEAST, room if old is None else max(room, 2 * old.size(2)))
        new = like.new_zeros(n_texts, like.size(1), room, like.size(2))
        if old is not None:
            new[:, :, : old.size(2)] = old
        return new


class Cache:
    """What a decoder has computed for B texts; made empty, filled by `Model.decode`, and written to in place."""

    def __init__(self, n_layers: int, n_texts: int) -> None:
        self.layers = [LayerCache() for _ in range(n_layers)]
        self.lengths = [0] * n_texts
        """Tokens held of each text."""
        self.source_keep: Tensor | None = None
        """(B, S) True where the source has a token; None where all sources are of one length."""

    def reserve(self, lengths: Sequence[int]) -> int:
        """Count the new tokens of each text; returns the tokens there must be room for."""
        self.lengths = [held + new for held, new in zip(self.lengths, lengths, strict=True)]
        return max(self.lengths)

    def select(self, texts: Sequence[int], *, source: bool = True) -> None:
        """Keep these texts, in this order; one may come several times (beams), or not at all (finished).

        `source=False` leaves what is read as it is, where every text takes the place of one that reads the same.
        """
        if list(texts) == list(range(len(self.lengths))):
            return
        device = next((c.keys.device for c in self.layers if c.keys is not None), torch.device("cpu"))
        index = torch.tensor(list(texts), dtype=torch.int64, device=device)
        for layer in self.layers:
            layer.select(index, source=source)
        if source and self.source_keep is not None:
            self.source_keep = self.source_keep[index]
        self.lengths = [self.lengths[text] for text in texts]
