"""Documents to blocks of token ids: read here, cut by the tokenizer's own threads in the meantime, split by their text.

D documents and N tokens of one block.
"""

import hashlib
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.text.corpus import Corpus, Part
from inlay.text.marks import Marker, cut
from inlay.text.shardfile import SENTENCE, WORD

_CHARACTERS, _DOCUMENTS = 1 << 20, 4096
"""The most of a block; a longer document is a block of its own."""
_THREADS = 2
"""While one block is cut, the ids of the one before are taken over; the tokenizer itself takes all cores."""
_WINDOW = 1 << 26
"""Characters in which a document for either side is looked for."""


class Read(NamedTuple):
    """A document as it was read."""

    text: str
    size: int
    """Bytes in UTF-8."""
    key: int
    """Of 64 bits, from the text and the seed; even in all of them."""
    part: int
    """Its part of the corpus."""
    number: int
    """Its number in that part, from 1."""


@dataclass(frozen=True, eq=False)
class Block:
    """D documents as token ids, one after another."""

    ids: NDArray[np.int32]
    """(N,)"""
    flags: NDArray[np.uint8]
    """(N,)"""
    lengths: NDArray[np.int64]
    """(D,) tokens of each document."""
    held: NDArray[np.bool_]
    """(D,) whether it is held out."""
    characters: NDArray[np.int64]
    """(D,)"""
    bytes: NDArray[np.int64]
    """(D,)"""
    places: NDArray[np.int64]
    """(D, 2) part and number of each document in the corpus."""

    def split(self, at: int) -> tuple["Block", "Block"]:
        """The first `at` documents, and the rest."""
        token = int(self.lengths[:at].sum())
        return self._part(slice(at), slice(token)), self._part(slice(at, None), slice(token, None))

    def _part(self, documents: slice, tokens: slice) -> "Block":
        return Block(
            ids=self.ids[tokens],
            flags=self.flags[tokens],
            lengths=self.lengths[documents],
            held=self.held[documents],
            characters=self.characters[documents],
            bytes=self.bytes[documents],
            places=self.places[documents],
        )


def read(corpus: Corpus, seed: int, part: int = 0, number: int = 0) -> Iterator[Read]:
    """The documents that come after number `number` of part `part`; the parts before are not even opened."""
    for position, source in enumerate(corpus.parts()):
        if position >= part:
            yield from of_part(source, position, seed, number if position == part else 0)


def of_part(source: Part, position: int, seed: int, after: int = 0) -> Iterator[Read]:
    """The documents of one part, the one at `position` in the corpus, without its first `after`."""
    salt = (seed % 2**64).to_bytes(8, "little")
    for count, document in enumerate(source.read(), 1):
        if count <= after:
            continue
        text = document.full
        raw = text.encode("utf-8", "replace")
        key = int.from_bytes(hashlib.blake2b(raw, digest_size=8, key=salt).digest(), "little")
        yield Read(text, len(raw), key, position, count)


def border(documents: Iterator[Read], share: float) -> tuple[int, Iterator[Read]]:
    """The key below which a document is held out, and the documents again, from the first on.

    Equal documents have equal keys, and so land on one side. The border is that of the share, moved where the first
    documents would otherwise all lie on one side: up to the lowest key of theirs, or down to the highest.
    """
    wanted = int(share * 2**64)
    if not share:
        return 0, documents
    window: list[Read] = []
    low, high, size = 2**64, -1, 0
    for document in documents:
        window.append(document)
        low, high, size = min(low, document.key), max(high, document.key), size + len(document.text)
        if low < wanted <= high or (size > _WINDOW and low < high):
            break
    if window and low == high:
        raise InputError(
            f"the source is one document{' again and again' if len(window) > 1 else ''}, and one cannot be both learnt "
            "from and held out; cut it into several (unit: paragraph), or hold nothing out (held-out: 0)"
        )
    return min(max(wanted, low + 1), high), chain(window, documents)


def blocks(
    documents: Iterator[Read], marker: Marker, below: int, *, sentences: bool, spaced: bool
) -> Generator[Block, None, None]:
    """The documents as blocks of tokens, in order; at most three blocks are in memory."""

    def make(taken: list[Read]) -> Block:
        return _block(taken, marker, below, sentences=sentences, spaced=spaced)

    with ThreadPoolExecutor(_THREADS) as pool:
        running: deque[Future[Block]] = deque()
        try:
            for taken in _slices(documents):
                running.append(pool.submit(make, taken))
                if len(running) > _THREADS:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for waiting in running:
                waiting.cancel()


def _slices(documents: Iterable[Read]) -> Iterator[list[Read]]:
    taken: list[Read] = []
    size = 0
    for document in documents:
        taken.append(document)
        size += len(document.text)
        if size >= _CHARACTERS or len(taken) >= _DOCUMENTS:
            yield taken
            taken, size = [], 0
    if taken:
        yield taken


def _block(taken: list[Read], marker: Marker, below: int, *, sentences: bool, spaced: bool) -> Block:
    pieces = [document.text for document in taken]
    counts = np.ones(len(taken), np.int64)
    if sentences:
        cuts = [cut(document.text, spaced=spaced) for document in taken]
        counts = np.array([len(one) for one in cuts], np.int64)
        pieces = [piece for one in cuts for piece in one]
    batch, words = marker(pieces)
    ends = np.concatenate([[0], np.cumsum(batch.lengths)])[np.concatenate([[0], np.cumsum(counts)])]
    lengths = np.diff(ends)
    flags = np.zeros(len(batch.ids), np.uint8)
    if words is not None:
        flags[words] |= WORD
    if sentences:
        flags[batch.starts[batch.lengths > 0]] |= SENTENCE
    return Block(
        ids=batch.ids,
        flags=flags,
        lengths=lengths,
        held=np.array([document.key < below for document in taken]),
        characters=np.array([len(document.text) for document in taken], np.int64),
        bytes=np.array([document.size for document in taken], np.int64),
        places=np.array([(document.part, document.number) for document in taken], np.int64),
    )
