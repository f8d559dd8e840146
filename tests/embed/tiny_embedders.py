"""Small embedders that take no time to make: a stand-in for an encoder in NumPy, and a tiny BERT."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inlay.batch import Batch
from inlay.embed.context import ContextEmbedder, EmbedConfig
from inlay.model.presets import preset
from inlay.tokenize.tokenizer import Tokenizer

_SENTENCE = "the a of water stone river fire air cold warm is was in on hot rain falls query : 水 石 火 模型"
WORDS = _SENTENCE.split()
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@cache
def tokenizer(specials: tuple[str, ...] = SPECIALS) -> Tokenizer:
    return Tokenizer.from_vocabulary(WORDS, specials=specials)


class Mixing:
    """A stand-in for an encoder: a token's row is moved towards those at most two places away, layer by layer."""

    name = "torch"
    dim, n_layers = 6, 3

    def __init__(self, most_tokens: int | None = 12, size: int = 200) -> None:
        self.most_tokens = most_tokens
        self.table = np.random.default_rng(0).standard_normal((size, self.dim)).astype(np.float32)
        self.asked: list[int] = []

    def states(self, batch: Batch, layers: Sequence[int]) -> list[NDArray[np.float32]]:
        assert batch.lengths.max(initial=0) <= (self.most_tokens or 1 << 30)
        self.asked.append(batch.n_tokens)
        rows = self.table[batch.ids]
        found = [rows]
        bounds = [slice(start, start + size) for start, size in zip(batch.starts, batch.lengths, strict=True)]
        for _ in range(self.n_layers):
            rows = rows.copy()
            for text in bounds:
                old, new = found[-1][text], rows[text]
                for apart in (1, 2):
                    new[apart:] += old[:-apart] / np.float32(2 * apart)
                    new[:-apart] += old[apart:] / np.float32(3 * apart)
            found.append(np.tanh(rows))
        return [found[layer] for layer in layers]


def mixing(config: EmbedConfig | None = None, *, most_tokens: int | None = 12, **options: Any) -> ContextEmbedder:
    """An embedder around the stand-in."""
    return ContextEmbedder(tokenizer(), Mixing(most_tokens), config, **options)


def bert_folder(place: Path) -> Path:
    """A folder with a BERT of three layers and 24 positions; its weights are large, so that context tells."""
    from inlay.convert import save_model

    bert = preset("bert-tiny")
    position = replace(bert.input.position, max_len=24)  # type: ignore[type-var]
    config = replace(
        bert,
        input=replace(bert.input, vocab_size=tokenizer().size, position=position),
        encoder=replace(bert.encoder, d_model=32, n_heads=2, d_ffn=48, n_layers=3),
        heads=(),
    )
    model = config.build(seed=1)
    for weight in model.parameters():
        if weight.ndim == 2:
            weight.data *= 4
    save_model(model, place, tokenizer=tokenizer())
    return place
