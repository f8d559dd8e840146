"""ContextEmbedder: a text's vector is pooled from rows that an encoder made of the text as a whole."""

# N texts, D dimensions

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, overload

import numpy as np
from numpy.typing import NDArray

from inlay.embed.backend import Backend, Name, open_backend
from inlay.embed.embedder import EncodeReport
from inlay.embed.pool import Mean, Pool, pool
from inlay.embed.static import unit
from inlay.errors import InputError
from inlay.tokenize.tokenizer import Tokenizer

_TOKENS = 4096
"""Tokens of a batch: enough for the matrix products, little enough for the cache."""


@dataclass(frozen=True, kw_only=True)
class EmbedConfig:
    """How an encoder's rows become a text's vector."""

    pools: tuple[Pool, ...] = (Mean(),)
    """Several are put side by side."""
    normalize: bool = True
    """Vectors are brought to length 1."""
    max_length: int | None = None
    """Tokens of a text that are read at most; None: as many as the encoder takes."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    """What goes before a text, by the name that `encode(prompt=…)` calls it."""


class ContextEmbedder:
    """A tokenizer, an encoder behind a backend, and how its rows are read. `encode` changes nothing in it."""

    def __init__(self, tokenizer: Tokenizer, backend: Backend, config: EmbedConfig | None = None) -> None:
        self.tokenizer, self.backend, self.config = tokenizer, backend, config or EmbedConfig()

    @property
    def dim(self) -> int:
        """D"""
        return self.backend.dim * len(self.config.pools)

    @property
    def max_length(self) -> int | None:
        """Tokens of a text that are read at most."""
        known = [n for n in (self.config.max_length, self.tokenizer.max_length, self.backend.most_tokens) if n]
        return min(known) if known else None

    def __repr__(self) -> str:
        return f"ContextEmbedder({self.backend.n_layers} layers, {self.dim} dimensions, {self.backend.name})"

    @overload
    def encode(
        self, texts: Sequence[str], *, dim: int | None = None, batch_size: int = 1024, prompt: str | None = None
    ) -> NDArray[np.float32]: ...

    @overload
    def encode(
        self,
        texts: Sequence[str],
        *,
        dim: int | None = None,
        batch_size: int = 1024,
        prompt: str | None = None,
        report: Literal[True],
    ) -> tuple[NDArray[np.float32], EncodeReport]: ...

    def encode(
        self,
        texts: Sequence[str],
        *,
        dim: int | None = None,
        batch_size: int = 1024,
        prompt: str | None = None,
        report: bool = False,
    ) -> Any:
        """The vectors (N, D) of the texts, in their order; with `report`, also what became of their tokens."""
        width = self.dim if dim is None else dim
        if not 1 <= width <= self.dim:
            raise InputError(f"dim={dim} must lie between 1 and {self.dim}, the model's own")
        vectors = np.zeros((len(texts), width), np.float32)
        tokens = dropped = 0
        for start in range(0, len(texts), batch_size):
            block = list(texts[start : start + batch_size])
            batch = self.tokenizer.encode(block, max_length=self.max_length, specials=True)
            tokens, dropped = tokens + batch.n_tokens, dropped + int(batch.cut.sum())
            (rows,) = self.backend.states(batch, [self.backend.n_layers])
            found = np.concatenate([pool(rows, batch.lengths, one) for one in self.config.pools], axis=1)[:, :width]
            vectors[start : start + len(block)] = unit(found) if self.config.normalize else found
        if not report:
            return vectors
        return vectors, EncodeReport(texts=len(texts), tokens=tokens, dropped=dropped, unknown=0, empty=0)

    @classmethod
    def load(cls, folder: str | Path, *, backend: Name = "auto", device: str | None = None) -> Self:
        """Open a folder of an encoder: of sentence-transformers, of transformers, or one that inlay wrote."""
        from inlay.convert.convert import transformer_folder

        found = open_backend(folder, backend, device=device)
        return cls(Tokenizer.load(transformer_folder(Path(folder))), found)
