"""The stepping function: the newest token of each text in, the logits of the next one out.

B texts, N rows, V vocabulary.
"""

import torch
from torch import Tensor

from inlay.batch import Batch
from inlay.errors import InputError
from inlay.model.cache import Cache
from inlay.model.model import Memory, Model
from inlay.model.packed import Layout, Packed
from inlay.model.position import Learned

_SMALL = 64 << 20
"""Bytes of a token table that a second copy of is taken for speed."""


class Steps:
    """B texts that a model writes side by side; what it has computed of them is in `cache`."""

    def __init__(self, model: Model, n_texts: int) -> None:
        self.model, self.device = model, model.device
        assert model.decoder is not None
        self.cache = Cache(model.decoder.stack.n_layers, n_texts)
        self.head, self.table = model.heads["language"], _by_columns(model.input.table())

    def begin(self, prompts: list[list[int]], sources: list[list[int]] | None) -> Tensor:
        """The logits (B, V) after these prompts, written while these sources are read."""
        memory = None if sources is None else self.model.encode(Batch.of(sources))
        return self.step(Batch.of(prompts), memory)

    def step(self, tokens: Batch | Tensor, memory: Memory | None = None) -> Tensor:
        """The newest token of each text (B,), or at first whole prompts and what they read -> (B, V) float32."""
        if isinstance(tokens, Batch):
            packed = self.model.pack(tokens)
        else:
            packed = Packed(tokens, Layout((1,) * len(tokens), self.device, position=self.cache.lengths))
        rows = self.model.decode(packed, memory, self.cache)
        if len(rows) > len(packed.layout):
            rows = rows[packed.layout.last]  # nobody asks what comes after the other tokens of a prompt
        return self.head(rows, packed.layout, self.table, self.model.heads).float()


def _by_columns(table: Tensor) -> Tensor:
    """The same (V, E), a small one on the processor laid out by columns.

    There a product with one or two rows, which is most of a small model's step, reads memory in order: 4 times as fast.
    """
    if table.device.type != "cpu" or table.dtype != torch.float32 or table.nbytes > _SMALL:
        return table
    return table.T.contiguous().T


def check_writes(model: Model) -> None:
    """Raise InputError for a model that cannot write: without a causal decoder, or without a language head."""
    lacks = "no decoder" if model.decoder is None else "no language head" if "language" not in model.heads else ""
    if not lacks and model.decoder is not None and not model.decoder.stack.causal:
        lacks = "a decoder that is not causal"
    if lacks:
        from inlay.model.presets import PRESETS

        able = {
            name.split("-")[0]
            for name, config in PRESETS.items()
            if config.decoder and config.decoder.causal and any(head.name == "language" for head in config.heads)
        }
        raise InputError(f"this model has {lacks}, so it cannot write; presets that can: {', '.join(sorted(able))}")


def room(model: Model) -> int | None:
    """Tokens that a text may have at most; None: any number."""
    position = model.config.input.position
    return position.max_len - position.offset if isinstance(position, Learned) else None
