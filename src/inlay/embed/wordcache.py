"""WordCache: a tokenizer that remembers words; exactly the engine's ids, several times as fast."""

# B texts, K keys in the order of the texts, W known keys, N tokens

import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, compress, count, islice
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from inlay.batch import Batch
from inlay.embed.borders import Borders, borders
from inlay.tokenize.tokenizer import Tokenizer

_END = "\0"
"""The key that ends a text. Texts are one list of keys and not a list each: Python's collector walks lists."""
_PLAIN = bytes(range(ord(" "), ord("~") + 1)) + b"\t\n\r"
_ODD = re.compile(r"[^ -~\t\n\r]")
_BLANKS = re.compile(r"[ \t\n\r]+")
_BLOCK_CHARACTERS = 1 << 20
_MOST_KEYS, _MOST_CHARACTERS = 200_000, 1 << 23
"""What is remembered at most, about 50 MB; beyond, the memory begins anew."""

Packed = tuple[NDArray[np.int32], NDArray[np.int64]]
"""(N,) ids of several texts one after another, and (B,) how many each of them has."""


class WordCache:
    """Ids of texts from the ids of their words, each of which the engine is asked for once.

    Where a text may be cut, `borders` decides; what it cannot vouch for, the engine gets whole. Its memory is bounded.
    Threads may share it; a copy of it begins with an empty memory.
    """

    def __init__(self, tokenizer: Tokenizer, cut: Borders) -> None:
        self.tokenizer, self.borders = tokenizer, cut
        self._turn = threading.Lock()
        self._mixed = re.compile(f"{_END}|{cut.plain.pattern}")
        self._added = re.compile("|".join(map(re.escape, cut.added))) if cut.added else None
        self._words = _Memory(self._asked)
        """What the engine was asked about."""
        self._chunks = _Memory(self._composed)
        """What stands between blanks in plain text: most is a word, or a word and a mark or two."""

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Self | None:
        """The cache of a tokenizer whose texts may be cut into words; None for one that must see them whole."""
        cut = borders(tokenizer.tree())
        return None if cut is None else cls(tokenizer, cut)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.tokenizer, self.borders)

    def encode(self, texts: Sequence[str]) -> Batch:
        """The same batch as `tokenizer.encode(texts)`, to the last id."""
        ids, lengths = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)]
        with self._turn:
            for block in _blocks(texts):
                found = self._block(block)
                ids.append(found[0])
                lengths.append(found[1])
        sizes = np.concatenate(lengths)
        return Batch(ids=np.concatenate(ids), lengths=sizes, cut=np.zeros_like(sizes))

    def _block(self, texts: list[str]) -> Packed:
        plain = np.array([text.isascii() for text in texts])
        joined = self._joined(texts, plain)
        if len(joined.encode().translate(None, _PLAIN)) != plain.sum() or self._is_whole(joined):
            plain = np.array([_ODD.search(text) is None and not self._is_whole(text) for text in texts])
            joined = self._joined(texts, plain)
        ids, lengths = self._chunks.ids((joined.lower() if self.borders.lower else joined).split())
        if plain.all():
            return ids, lengths
        others = np.flatnonzero(~plain)
        more_ids, more_lengths = self._words.ids([key for at in others for key in (*self._cut(texts[at]), _END)])
        both = np.concatenate([ids, more_ids]), np.concatenate([lengths, more_lengths])
        return _ordered(*both, np.flatnonzero(plain), others)

    def _joined(self, texts: list[str], chosen: NDArray[np.bool_]) -> str:
        """The chosen texts, an end after each."""
        return f" {_END} ".join([*compress(texts, chosen), ""])

    def _is_whole(self, text: str) -> bool:
        """Whether the text may not be cut: the neighbours of an added token may decide what it is."""
        return self._added is not None and self._added.search(text.lower()) is not None

    def _cut(self, text: str) -> list[str]:
        """Pieces of any text whose ids, one after another, are the text's."""
        if _END in text or self._is_whole(text):
            return [text + " "]  # blanks change nothing; with one, no text looks like an end
        cut = self.borders
        found: list[str] = []
        for chunk in filter(None, _BLANKS.split(text)):
            for piece in cut.odd.findall(chunk) if _ODD.search(chunk) else (chunk,):
                if _ODD.search(piece):
                    found.append(piece)
                else:
                    found += cut.plain.findall(piece.lower() if cut.lower else piece)
        return found

    def _composed(self, chunks: list[str]) -> Packed:
        """What new chunks hold, from the words in them."""
        return self._words.ids(self._mixed.findall(_END.join([*chunks, ""])))

    def _asked(self, words: list[str]) -> Packed:
        """What new words hold, from the model where they come to it as they are, and else from the whole engine."""
        if not self.borders.direct:
            batch = self.tokenizer.encode(words)
            return batch.ids, batch.lengths
        bare = np.array([self.borders.plain.fullmatch(word) is not None for word in words])
        first, second = np.flatnonzero(bare), np.flatnonzero(~bare)
        rows = self.tokenizer.pieces([words[at] for at in first])
        batch = self.tokenizer.encode([words[at] for at in second])
        sizes = np.fromiter(map(len, rows), np.int64, len(rows))
        ids = np.fromiter(chain.from_iterable(rows), np.int32, int(sizes.sum()))
        return _ordered(np.concatenate([ids, batch.ids]), np.concatenate([sizes, batch.lengths]), first, second)


class _Memory:
    """Keys and their ids, all in one array; keys that are new are asked for together."""

    def __init__(self, ask: Callable[[list[str]], Packed]) -> None:
        self._ask = ask
        self._forget()

    def _forget(self) -> None:
        self._held = 0
        self._numbers: defaultdict[str, int] = defaultdict(count(1).__next__, {_END: 0})
        # (W,) where the ids of a key begin in `_flat`, and how many it has: an end has none
        self._starts, self._sizes = np.zeros(1, np.int64), np.zeros(1, np.int64)
        self._flat = np.zeros(0, np.int32)

    def ids(self, keys: list[str]) -> Packed:
        """The ids of texts that are given as keys, an end after each text."""
        if len(self._numbers) > _MOST_KEYS or self._held > _MOST_CHARACTERS:
            self._forget()
        try:
            numbers = np.fromiter(map(self._numbers.__getitem__, keys), np.int64, len(keys))
            self._learn()
        except BaseException:
            self._forget()  # a number without ids would shift those of all that come after
            raise
        sizes = self._sizes[numbers]  # (K,)
        ends = np.cumsum(sizes)
        places = np.repeat(self._starts[numbers] - (ends - sizes), sizes)  # (N,)
        places += np.arange(len(places))
        return self._flat[places], np.diff(ends[numbers == 0], prepend=0)

    def _learn(self) -> None:
        known = len(self._sizes)
        if len(self._numbers) == known:
            return
        new = list(islice(self._numbers, known, None))
        ids, sizes = self._ask(new)
        self._starts = np.concatenate([self._starts, len(self._flat) + np.cumsum(sizes) - sizes])
        self._sizes = np.concatenate([self._sizes, sizes])
        self._flat = np.concatenate([self._flat, ids])
        self._held += sum(map(len, new))


def _ordered(
    ids: NDArray[np.int32], lengths: NDArray[np.int64], first: NDArray[np.int64], second: NDArray[np.int64]
) -> Packed:
    """Things packed as the `first` ones and then the `second` ones, packed in the order of their places."""
    order = np.argsort(np.concatenate([first, second]), kind="stable")
    starts, sizes = (np.cumsum(lengths) - lengths)[order], lengths[order]
    places = np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)
    return ids[places + np.arange(len(places))], sizes


def _blocks(texts: Sequence[str]) -> Iterator[list[str]]:
    block: list[str] = []
    held = 0
    for text in texts:
        block.append(text)
        held += len(text)
        if held >= _BLOCK_CHARACTERS:
            yield block
            block, held = [], 0
    if block:
        yield block
