"""Frame: what a tokenizer puts around a text or a pair, told once and put around ids that are cut already."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from inlay.batch import Batch
from inlay.errors import InputError
from inlay.text.shardfile import WORD

if TYPE_CHECKING:
    from inlay.tokenize.tokenizer import Tokenizer

_ALPHABET = ("a", "e", "1", "的", "一", ".")


@dataclass(frozen=True, eq=False)
class Piece:
    """Tokens of one document that stand together: ids (n,) and their flags (n,), None where the shards have none."""

    ids: NDArray[np.integer]
    flags: NDArray[np.uint8] | None


@dataclass(frozen=True, eq=False)
class Frame:
    """The special tokens before, between and after what is framed: one array more than there are pieces."""

    ids: tuple[NDArray[np.int32], ...]
    segments: tuple[NDArray[np.int32], ...]
    """The segment of each of those tokens."""
    parts: tuple[int, ...]
    """The segment of each piece."""

    @property
    def size(self) -> int:
        """Tokens that it adds."""
        return sum(map(len, self.ids))

    @property
    def told(self) -> bool:
        """Whether it says segments: always of a pair, else where a special token has one of its own (XLNet)."""
        return len(self.parts) > 1 or any(part.any() for part in self.segments) or any(self.parts)


def frame_of(tokenizer: "Tokenizer", pieces: int, *, specials: bool = True) -> Frame:
    """What the tokenizer puts around one text or two; nothing without `specials`, or where it has none."""
    bare = (np.zeros(0, np.int32),) * (pieces + 1)
    if not specials:
        return Frame(bare, bare, (0,) * pieces)
    for probe in chain(_ALPHABET, tokenizer.vocabulary):
        inner = tokenizer.encode([probe]).ids
        if len(inner):
            break
    else:
        raise InputError("this tokenizer gives no text a token; train it again")
    batch = tokenizer.encode([probe], [probe] if pieces == 2 else None, specials=True)
    segments = np.zeros_like(batch.ids) if batch.segments is None else batch.segments
    found, marks, parts, at = [], [], [], 0
    for _ in range(pieces):
        start = next((s for s in range(at, len(batch.ids)) if np.array_equal(batch.ids[s : s + len(inner)], inner)), -1)
        if start < 0:
            raise InputError(f"what this tokenizer puts around {probe!r} changes the text itself; take specials=False")
        found.append(batch.ids[at:start])
        marks.append(segments[at:start])
        parts.append(int(segments[start]))
        at = start + len(inner)
    return Frame((*found, batch.ids[at:]), (*marks, segments[at:]), tuple(parts))


def framed(
    frame: Frame,
    texts: Sequence[Sequence[Piece]],
    *,
    words: bool,
    cut: Sequence[int] | None = None,
    labels: NDArray[np.int64] | None = None,
) -> Batch:
    """The batch of these texts, each of as many pieces as the frame takes, the special tokens around.

    With `words`, the marks of the pieces say where words begin; special tokens and the first token of a piece do.
    """
    ids: list[NDArray[np.integer]] = []
    segments: list[NDArray[np.int32]] = []
    begins: list[NDArray[np.bool_]] = []
    lengths = []
    for pieces in texts:
        for number, special in enumerate(frame.ids):
            ids.append(special)
            segments.append(frame.segments[number])
            begins.append(np.ones(len(special), bool))
            if number < len(pieces):
                piece = pieces[number]
                ids.append(piece.ids)
                segments.append(np.full(len(piece.ids), frame.parts[number], np.int32))
                if words:
                    assert piece.flags is not None, "words are in the flags"
                    marks = (piece.flags & WORD).astype(bool)
                    marks[:1] = True
                    begins.append(marks)
        lengths.append(frame.size + sum(len(piece.ids) for piece in pieces))
    return Batch(
        ids=np.concatenate(ids).astype(np.int32),
        lengths=np.array(lengths, np.int64),
        cut=np.zeros(len(texts), np.int64) if cut is None else np.array(cut, np.int64),
        segments=np.concatenate(segments) if frame.told else None,
        labels=labels,
        words=np.concatenate(begins) if words else None,
    )
