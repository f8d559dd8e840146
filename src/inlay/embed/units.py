"""Units: a vector for each token, word or chunk of a text, made by the encoder from the text as a whole."""

# B texts, N tokens, U units, D dimensions

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from inlay.batch import Batch
from inlay.embed.embedder import EncodeReport, total
from inlay.embed.long import Ints, Pieces
from inlay.embed.pool import CLS, Last, Segments
from inlay.embed.reading import Content, Reader, blocks
from inlay.embed.summing import Running, Runs, gathered, pooled
from inlay.errors import InputError, did_you_mean
from inlay.text.words import is_unspaced, word_spans

if TYPE_CHECKING:
    from inlay.embed.context import ContextEmbedder, OnDrop

By = Literal["first", "mean", "last"]
_TEXTS = 1024
"""Texts at a time."""
_BY: tuple[By, ...] = ("first", "mean", "last")


@dataclass(frozen=True, kw_only=True, eq=False)
class Units:
    """U parts of texts, text after text, each with its vector and its place."""

    vectors: NDArray[np.float32]
    """(U, D)"""
    offsets: Ints
    """(U, 2) where each lies: `text[start:stop]`."""
    parts: tuple[str, ...]
    """U tokens as the vocabulary writes them; words or chunks as they stand in the text."""
    lengths: Ints
    """(B,) units of each text."""
    report: EncodeReport
    """What became of the texts' tokens: what was dropped has no unit."""

    def __len__(self) -> int:
        return len(self.parts)

    def of(self, text: int) -> "Units":
        """The units of one text, by its number."""
        if not 0 <= text < len(self.lengths):
            raise InputError(f"text {text} is none of these {len(self.lengths)}")
        start = int(self.lengths[:text].sum())
        here = slice(start, start + int(self.lengths[text]))
        return Units(
            vectors=self.vectors[here],
            offsets=self.offsets[here],
            parts=self.parts[here],
            lengths=self.lengths[text : text + 1],
            report=self.report,
        )


def tokens(
    model: "ContextEmbedder", texts: Sequence[str], *, prompt: str | None, on_drop: "OnDrop", running: Running
) -> Units:
    """Every token's row, as the chosen layers have it: neither normalised nor through the dense layers."""
    reader = model.reader(prompt)
    names = {number: token for token, number in model.tokenizer.vocabulary.items()}
    found = []
    for start, block in blocks(texts, _TEXTS):
        content = model.content(reader, block, on_drop, start, places=True)
        found.append(
            Units(
                vectors=_rows(model, reader, running, content),
                offsets=content.offsets,
                parts=tuple(names.get(number, "") for number in content.ids.tolist()),
                lengths=content.lengths,
                report=model.told(content),
            )
        )
    return _joined(found, running.width)


def words(
    model: "ContextEmbedder",
    texts: Sequence[str],
    *,
    by: By,
    lang: str | None,
    prompt: str | None,
    on_drop: "OnDrop",
    running: Running,
) -> Units:
    """Every word's vector: the row of its first or last token, or the mean; a word that was not read has none."""
    if by not in _BY:
        raise InputError(f"by={by!r} is unknown{did_you_mean(str(by), _BY)}")
    reader = model.reader(prompt)
    found = []
    for start, block in blocks(texts, _TEXTS):
        content = model.content(reader, block, on_drop, start, places=True)
        rows = _rows(model, reader, running, content)
        spans, firsts, stops, lengths = [], [], [], []
        for text, begin, size in zip(block, content.starts.tolist(), content.lengths.tolist(), strict=True):
            word = np.array(word_spans(text, lang), np.int64).reshape(-1, 2)
            place = content.offsets[begin : begin + size]
            # A word's tokens are those that share a character with it.
            first = np.searchsorted(place[:, 1], word[:, 0], side="right")
            stop = np.searchsorted(place[:, 0], word[:, 1], side="left")
            read = stop > first
            spans.append(word[read])
            firsts.append(begin + first[read])
            stops.append(begin + stop[read])
            lengths.append(int(read.sum()))
        offsets, first, stop = np.concatenate(spans), np.concatenate(firsts), np.concatenate(stops)
        owners = np.repeat(np.arange(len(block)), lengths)
        found.append(
            Units(
                vectors=_of_words(rows, first, stop, by),
                offsets=offsets,
                parts=tuple(block[text][a:b] for text, (a, b) in zip(owners, offsets.tolist(), strict=True)),
                lengths=np.array(lengths, np.int64),
                report=model.told(content),
            )
        )
    return _joined(found, running.width)


def chunks(
    model: "ContextEmbedder",
    texts: Sequence[str],
    size: int,
    *,
    dim: int,
    prompt: str | None,
    on_drop: "OnDrop",
    running: Running,
) -> Units:
    """A vector for every `size` tokens of a text, fewer where a word would be cut, pooled from rows that saw all of it.

    Günther et al. 2024, arXiv:2409.04701 (late chunking).
    """
    if size < 1:
        raise InputError(f"size={size} must be at least 1 token; 256 is usual")
    if any(isinstance(one, CLS | Last) for one in model.config.pools):
        raise InputError(
            "this model's vector is a text's first or last row, which a chunk does not have; encode chunks"
        )
    reader = model.reader(prompt)
    found = []
    for start, block in blocks(texts, _TEXTS):
        content = model.content(reader, block, on_drop, start, places=True)
        cuts = [
            begin + np.array(_cuts(text, content.offsets[begin : begin + length], size), np.int64)
            for text, begin, length in zip(block, content.starts.tolist(), content.lengths.tolist(), strict=True)
        ]
        lengths = np.array([len(one) for one in cuts], np.int64)
        begins = np.concatenate(cuts)
        stops = np.append(begins[1:], len(content.ids))
        pieces = _pieces(model, reader, content)
        batch = reader.batch(content, pieces)
        vectors = pooled(running, batch, _runs(reader, content, pieces, begins), model.config.pools, len(begins))
        offsets = np.stack([content.offsets[begins, 0], content.offsets[stops - 1, 1]], axis=1)
        owners = np.repeat(np.arange(len(block)), lengths)
        found.append(
            Units(
                vectors=model.cut(model.finished(vectors, exact=running.exact), dim),
                offsets=offsets,
                parts=tuple(block[text][a:b] for text, (a, b) in zip(owners, offsets.tolist(), strict=True)),
                lengths=lengths,
                report=model.told(content),
            )
        )
    return _joined(found, dim)


def _pieces(model: "ContextEmbedder", reader: Reader, content: Content) -> Pieces:
    found = model.pieces(reader, content, overlap=True)
    return found.of(found.stops > found.starts)


def _rows(model: "ContextEmbedder", reader: Reader, running: Running, content: Content) -> NDArray[np.float32]:
    """(N, D) the rows of the texts' own tokens."""
    pieces = _pieces(model, reader, content)
    batch: Batch = reader.batch(content, pieces)
    return gathered(running, batch, _runs(reader, content, pieces, np.arange(len(content.ids))[:0]))


def _runs(reader: Reader, content: Content, pieces: Pieces, begins: Ints) -> Runs:
    """Each piece's own tokens, cut where a group begins; `begins` (G,) are places in `content.ids`."""
    own = content.starts[pieces.texts] + pieces.first  # (P,) rising, for pieces here have tokens
    starts = np.union1d(own, begins)
    sizes = np.diff(starts, append=len(content.ids))
    piece = np.searchsorted(own, starts, side="right") - 1
    groups = np.maximum(np.searchsorted(begins, starts, side="right") - 1, 0)
    shift = reader.before.n_tokens + content.head_lengths[pieces.texts] - pieces.starts - content.starts[pieces.texts]
    places = starts - begins[groups] if len(begins) else np.zeros_like(starts)
    return Runs(
        pieces=piece, starts=starts + shift[piece], segments=Segments(groups=groups, sizes=sizes, places=places)
    )


def _of_words(rows: NDArray[np.float32], first: Ints, stop: Ints, by: By) -> NDArray[np.float32]:
    if by == "first":
        return rows[first]
    if by == "last":
        return rows[stop - 1]
    found = rows[first].astype(np.float64)
    sizes = stop - first
    for more in range(1, int(sizes.max(initial=1))):
        longer = sizes > more
        found[longer] += rows[first[longer] + more]
    return (found / sizes[:, None]).astype(np.float32)


def _cuts(text: str, places: Ints, size: int) -> list[int]:
    """The token with which each chunk of a text begins."""
    found, at = [], 0
    while at < len(places):
        found.append(at)
        end = at + size
        while end < len(places) and end > at + 1 and _inside(text, places, end):
            end -= 1
        at = end if end > at + 1 or size == 1 else at + size
    return found


def _inside(text: str, places: Ints, token: int) -> bool:
    """Whether the token goes on with the word of the token before it."""
    stop, start = int(places[token - 1, 1]), int(places[token, 0])
    if start > stop or not 0 < start < len(text):
        return False
    return text[start - 1].isalnum() and text[start].isalnum() and not is_unspaced(text[start])


def _joined(found: list[Units], width: int) -> Units:
    return Units(
        vectors=np.concatenate([np.zeros((0, width), np.float32), *(one.vectors for one in found)]),
        offsets=np.concatenate([np.zeros((0, 2), np.int64), *(one.offsets for one in found)]),
        parts=tuple(part for one in found for part in one.parts),
        lengths=np.concatenate([np.zeros(0, np.int64), *(one.lengths for one in found)]),
        report=total(one.report for one in found),
    )
