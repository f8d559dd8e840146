"""Encoder: the vectors of the texts that tasks ask for; a text is encoded once, however many tasks ask for it."""

# N texts, D dimensions

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inlay.embed.embedder import Embedder
from inlay.errors import InputError

Role = Literal["query", "document"]
_BLOCK = 512


class Encoder:
    """An embedder that remembers; `on_progress` is told how many texts were done since it was told last."""

    def __init__(self, embedder: Embedder, on_progress: Callable[[int], None] | None = None) -> None:
        self.embedder, self._on_progress = embedder, on_progress
        self._tells_apart = any((getattr(getattr(embedder, "config", None), "prompts", None) or {}).values())
        self._row: dict[tuple[Role | None, str], int] = {}
        self._matrix = np.zeros((0, embedder.dim), np.float32)
        self.tokens = self.dropped = 0

    @classmethod
    def of(cls, embedder: "Embedder | Encoder") -> "Encoder":
        """The encoder itself, or one around the embedder."""
        return embedder if isinstance(embedder, Encoder) else cls(embedder)

    def vectors(self, texts: Sequence[str], role: Role | None = None) -> NDArray[np.float32]:
        """The vectors (N, D) of the texts, in their order; of a role, with the model's words for it before each text.

        Raises InputError for a vector that is not finite.
        """
        role = role if self._tells_apart else None  # else a text would be encoded once for each role
        new = list(dict.fromkeys(text for text in texts if (role, text) not in self._row))
        found = [self._encode(new[start : start + _BLOCK], role) for start in range(0, len(new), _BLOCK)]
        if found:
            self._row |= {(role, text): len(self._matrix) + at for at, text in enumerate(new)}
            self._matrix = np.concatenate([self._matrix, *found])
        return self._matrix[[self._row[role, text] for text in texts]]

    def units(self, texts: Sequence[str], role: Role | None = None) -> NDArray[np.float32]:
        """The same, each of length 1; a zero vector stays zero."""
        rows = self.vectors(texts, role)
        lengths = np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64))
        return np.asarray(rows / np.where(lengths > 0, lengths, 1.0)[:, None], np.float32)

    def _encode(self, block: list[str], role: Role | None) -> NDArray[np.float32]:
        rows, report = self.embedder.encode(block, prompt=role, report=True)
        if not np.isfinite(rows).all():
            at = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
            raise InputError(f"the vector of {block[at]!r:.60} is not finite (NaN or infinity); the model is damaged")
        self.tokens, self.dropped = self.tokens + report.tokens, self.dropped + report.dropped
        if self._on_progress:
            self._on_progress(len(block))
        return np.asarray(rows, np.float32)


def cosines(encoder: Encoder, first: Sequence[str], second: Sequence[str]) -> tuple[NDArray[np.float64], list[str]]:
    """(N,) the cosine of each pair, 0 where a vector is zero, and a note on how many texts have none."""
    rows = encoder.units([*first, *second])
    # Summed in float64: two texts that are one have the cosine 1 to the last digits, whatever their vector.
    found = np.einsum("nd,nd->n", rows[: len(first)], rows[len(first) :], dtype=np.float64)
    return found, zero_note(rows, "their cosines count as 0")


def zero_note(rows: NDArray[np.float32], so: str) -> list[str]:
    """A note on how many of the vectors are zero, and what that means for the figures; none where none is."""
    zero = int((~rows.any(axis=1)).sum())
    return [f"{zero:,} of {len(rows):,} texts have no known token, and the vector zero; {so}"] if zero else []
