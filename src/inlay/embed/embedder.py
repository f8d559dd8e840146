"""The Embedder contract, where static and contextual models meet, and `load`, which opens whatever is on disk."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError

# N texts, D dimensions


@dataclass(frozen=True, kw_only=True)
class EncodeReport:
    """What became of the texts of one `encode` call: nothing is left out in silence."""

    texts: int
    tokens: int
    """Tokens of all texts."""
    dropped: int
    """Tokens cut off because a text was longer than the model takes."""
    unknown: int
    """Tokens that the model has no vector for; they do not move a text's vector."""
    empty: int
    """Texts without any known token; their vector is zero."""

    def line(self) -> str:
        """The report as one line for people."""
        return (
            f"{self.texts:,} texts, {self.tokens:,} tokens, {self.dropped:,} dropped, {self.unknown:,} unknown, "
            f"{self.empty:,} texts without a known word (vector zero)"
        )


class Embedder(Protocol):
    """Texts to vectors (N, D) float32, in the order of the texts, whatever the batch size."""

    @property
    def dim(self) -> int:
        """D"""
        ...

    @overload
    def encode(self, texts: Sequence[str], *, dim: int | None = ..., batch_size: int = ...) -> NDArray[np.float32]: ...

    @overload
    def encode(
        self, texts: Sequence[str], *, dim: int | None = ..., batch_size: int = ..., report: Literal[True]
    ) -> tuple[NDArray[np.float32], EncodeReport]: ...


def load(path: str | Path) -> Embedder:
    """Open a model folder (ours, or one of sentence-transformers or transformers), or a file of word vectors.

    Raises InputError for what is neither, for damaged files, and for pickles, which are never opened.
    """
    from inlay.embed.context import ContextEmbedder
    from inlay.embed.static import StaticEmbedder, is_static

    path = Path(path)
    if path.is_dir():
        return StaticEmbedder.load(path) if is_static(path) else ContextEmbedder.load(path)
    if not path.exists():
        raise InputError(f"{path}: no such model folder or vector file; `inlay fit SOURCE --out {path}` makes one")
    from inlay.vectors.wordvectors import WordVectors

    return StaticEmbedder.from_vectors(WordVectors.load(path))
