"""Rows: the documents one after another as a long stream, cut every so many tokens, whatever is there.

W tokens of a row without its frame, S shards, D documents of a shard. After each document the stream has a gap: the
separator where rows run across documents; else room for one frame, so that a row with several texts, each framed, is
never longer than one with a single text.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inlay.batch import Batch
from inlay.errors import InputError
from inlay.text.frame import Piece, frame_of, framed
from inlay.text.shardfile import WORD, Part, Shards, Split


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Full rows of `length` tokens, cut out of all documents one after another; the last row of an epoch is shorter."""

    length: int = 128
    """Tokens of a row, special tokens included."""
    across: bool = True
    """One text a row, the separator between documents; false: a row is split into texts where documents end."""
    specials: bool = True
    """Put around each text what the tokenizer puts around texts ([CLS] … [SEP])."""


class RowTexts:
    """The rows of a split, by number."""

    def __init__(self, shards: Shards, config: Rows, split: Split) -> None:
        self._documents = shards.documents(split)
        self._across, self._words = config.across, shards.facts.words
        self._frame = frame_of(shards.tokenizer, 1, specials=config.specials)
        self._gap = 1 if config.across else self._frame.size
        self._separator = separator(shards) if config.across else 0
        self._width = config.length - self._frame.size
        least = self._frame.size + 1 + (0 if config.across else self._gap)
        if config.length < least:
            raise InputError(f"length={config.length} leaves no room for text; it must be at least {least}")
        sizes = self._documents.tokens + self._documents.documents * self._gap  # (S,)
        self._starts = np.cumsum(sizes) - sizes
        self._size = int(sizes.sum()) - (0 if config.across or not len(sizes) else self._gap)

    def __len__(self) -> int:
        return -(-self._size // self._width)

    def batch(self, numbers: NDArray[np.int64], epoch: int) -> Batch:
        """These rows; they are alike in every epoch."""
        texts = []
        for number in numbers.tolist():
            start, stop = number * self._width, min((number + 1) * self._width, self._size)
            windows = list(self._windows(start, stop))
            if self._across:
                texts.append([_joined([self._filled(*window) for window in windows])])
            else:
                texts += [[piece] for window in windows for piece in self._pieces(*window)]
        return framed(self._frame, texts, words=self._words)

    def _windows(self, start: int, stop: int) -> Iterator[tuple[Part, int, int]]:
        """The shards that places start to stop of the stream lie in, and the places in each."""
        shard = int(np.searchsorted(self._starts, start, "right")) - 1
        while start < stop:
            before = int(self._starts[shard])
            after = int(self._starts[shard + 1]) if shard + 1 < len(self._starts) else stop
            yield self._documents.part(shard), start - before, min(stop, after) - before
            start, shard = after, shard + 1

    def _ends(self, part: Part, start: int, stop: int) -> tuple[int, NDArray[np.int64]]:
        """The first document with a place (of its own, or of its gap) in the window, and where it and all others end
        in the shard's tokens."""

        def place(document: int) -> int:
            return int(part.ends[document]) + (document + 1) * self._gap

        documents = range(len(part.ends))
        first, last = bisect_right(documents, start, key=place), bisect_left(documents, stop, key=place)
        return first, np.asarray(part.ends[first : last + 1], np.int64)

    def _tokens(self, part: Part, start: int, stop: int) -> tuple[int, int, int, NDArray[np.int64]]:
        """The shard's tokens from … to in the window, its first document, and where the documents end."""
        first, ends = self._ends(part, start, stop)
        last = first + len(ends) - 1
        return min(start - first * self._gap, int(ends[0])), min(stop - last * self._gap, int(ends[-1])), first, ends

    def _filled(self, part: Part, start: int, stop: int) -> Piece:
        """The window with the separator in the gaps."""
        begin, end, first, ends = self._tokens(part, start, stop)
        gaps = ends + np.arange(first, first + len(ends)) - start
        token = np.ones(stop - start, bool)
        token[gaps[(gaps >= 0) & (gaps < stop - start)]] = False
        ids = np.full(stop - start, self._separator, np.int32)
        ids[token] = part.tokens[begin:end]
        if part.flags is None:
            return Piece(ids, None)
        flags = np.full(stop - start, WORD, np.uint8)
        flags[token] = part.flags[begin:end]
        return Piece(ids, flags)

    def _pieces(self, part: Part, start: int, stop: int) -> Iterator[Piece]:
        """The window's documents, or what of them lies in it."""
        begin, end, _, ends = self._tokens(part, start, stop)
        for until in np.minimum(ends, end).tolist():
            if until > begin:
                yield Piece(part.tokens[begin:until], None if part.flags is None else part.flags[begin:until])
            begin = max(begin, until)


def separator(shards: Shards) -> int:
    """The id of the token that parts documents: the tokenizer's end of text, else its separator."""
    roles = shards.tokenizer.roles
    token = roles.get("eos", roles.get("sep"))
    if token is None:
        raise InputError(
            "this tokenizer has neither an end-of-text token nor a separator to put between documents; "
            "take across=False, or train one with specials that hold [SEP] or </s>"
        )
    return shards.tokenizer.id(token)


def _joined(pieces: list[Piece]) -> Piece:
    if len(pieces) == 1:
        return pieces[0]
    flags = [piece.flags for piece in pieces if piece.flags is not None]
    return Piece(np.concatenate([piece.ids for piece in pieces]), np.concatenate(flags) if flags else None)
