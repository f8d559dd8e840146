"""Long text: what becomes of a text that has more tokens than the encoder takes. Nothing is dropped in silence."""

# B texts, N tokens of all texts, P pieces: what the encoder reads at a time

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inlay.embed.pool import Max, Mean
from inlay.errors import InputError

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Truncate:
    """Only as many tokens are read as fit; `report=True` says how many were dropped."""

    keep: Literal["head", "tail", "both"] = "head"
    """The first tokens, the last ones, or half of each."""


@dataclass(frozen=True, kw_only=True)
class Windows:
    """A long text is read in windows, each a text of its own; its vector is pooled from theirs. Nothing is dropped.

    The last window begins earlier rather than being short: every window has all the context that fits.
    """

    stride: int | None = None
    """Tokens from one window's start to the next one's; None: as many as fit, so that windows meet."""
    pool: Mean | Max = Mean()
    """How the windows' vectors become one."""

    def __post_init__(self) -> None:
        _check_stride(self.stride)


@dataclass(frozen=True, kw_only=True)
class LateChunks:
    """A long text is read in windows that overlap, its tokens' rows are pooled once over the whole text.

    Each token's row comes from the window in which it has the most context on both sides. Günther et al. 2024,
    arXiv:2409.04701.
    """

    stride: int | None = None
    """Tokens from one window's start to the next one's; None: half of what fits."""

    def __post_init__(self) -> None:
        _check_stride(self.stride)


Long = Truncate | Windows | LateChunks


@dataclass(frozen=True, slots=True)
class Pieces:
    """P pieces, text by text and in order: piece p reads tokens `starts[p]:stops[p]` of text `texts[p]`.

    The tokens `first[p]:last[p]` are nobody else's: together the pieces of a text have each token once.
    """

    texts: Ints
    starts: Ints
    stops: Ints
    first: Ints
    last: Ints

    def __len__(self) -> int:
        return len(self.texts)

    def of(self, which: NDArray[np.bool_]) -> "Pieces":
        """Only these pieces, (P,) True."""
        return Pieces(*(getattr(self, name)[which] for name in self.__slots__))

    @property
    def begins(self) -> NDArray[np.bool_]:
        """(P,) True where a piece is the first of its text."""
        return self.texts != np.concatenate([[-1], self.texts[:-1]])

    @property
    def ends(self) -> NDArray[np.bool_]:
        """(P,) True where a piece is the last of its text."""
        return self.texts != np.concatenate([self.texts[1:], [-1]])


def kept(lengths: Ints, room: int, keep: Literal["head", "tail", "both"]) -> NDArray[np.bool_]:
    """(N,) True for the tokens that stay where each text may have `room`; lengths (B,) are the texts' tokens."""
    over = np.maximum(lengths - room, 0)
    head = {"head": room, "tail": 0, "both": room - room // 2}[keep]
    # Of a text that is too long, the tokens from `head` on are dropped, as many as there are too many.
    starts = np.where(over > 0, head, lengths)
    place = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return (place < np.repeat(starts, lengths)) | (place >= np.repeat(starts + over, lengths))


def pieces(lengths: Ints, room: int, stride: int) -> Pieces:
    """Windows of `room` tokens, `stride` apart, over texts of these lengths (B,); a text that fits is one piece."""
    if not 1 <= stride <= room:
        raise InputError(f"stride={stride} must lie between 1 and {room}, the tokens that fit into a window")
    counts = 1 + np.maximum(-(-(lengths - room) // stride), 0)
    texts = np.repeat(np.arange(len(lengths)), counts)
    number = np.arange(len(texts)) - np.repeat(np.cumsum(counts) - counts, counts)
    size = lengths[texts]
    starts = np.minimum(number * stride, np.maximum(size - room, 0))
    stops = np.minimum(starts + room, size)
    # Of two windows that overlap, each has the half that is farther from its own end.
    before = np.concatenate([[0], stops[:-1]])
    first = np.where(number == 0, 0, (starts + before) // 2)
    last = np.where(number == counts[texts] - 1, size, np.concatenate([first[1:], [0]]))
    return Pieces(texts=texts, starts=starts, stops=stops, first=first, last=last)


def _check_stride(stride: int | None) -> None:
    if stride is not None and stride < 1:
        raise InputError(f"stride={stride} must be at least 1; leave it out for the usual one")
