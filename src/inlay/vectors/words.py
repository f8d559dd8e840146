"""Words: a vocabulary as it lies in a file, one run of UTF-8 bytes, decoded word by word when asked for."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import overload

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError

# V words

_STEP = 1 << 14
"""Words that are decoded at a time when all are asked for."""


class Words(Sequence[str]):
    """V words over `text`, their UTF-8 bytes one after the other; word i is text[offsets[i] : offsets[i + 1]].

    Nothing is read until a word is asked for, so both arrays may be memory-mapped. A word that is not UTF-8, or whose
    place is not in the text, is an InputError when it is asked for.
    """

    def __init__(self, text: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        self.text, self.offsets = text, offsets
        if len(offsets) < 1 or int(offsets[0]) != 0 or int(offsets[-1]) != len(text):
            raise InputError(f"the places of the words must go from 0 to {len(text)}, the length of their text")

    @classmethod
    def pack(cls, words: Iterable[str]) -> "Words":
        """The words as one run of bytes; InputError for one that has no UTF-8 (a lone surrogate)."""
        if isinstance(words, cls):
            return words
        try:
            parts = [word.encode() for word in words]
        except UnicodeEncodeError as error:
            raise InputError(
                f"the word {error.object!r} holds a lone surrogate, which UTF-8 cannot write; leave it out"
            ) from None
        offsets = np.zeros(len(parts) + 1, np.int64)
        np.cumsum([len(part) for part in parts], out=offsets[1:])
        return cls(np.frombuffer(b"".join(parts), np.uint8), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return [self[row] for row in range(*place.indices(len(self)))]
        row = range(len(self))[place]
        return self._decode(row, row + 1)[0]

    def __iter__(self) -> Iterator[str]:
        for first in range(0, len(self), _STEP):
            yield from self._decode(first, min(first + _STEP, len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Words({len(self)}: {', '.join(self[:3])}{', ...' if len(self) > 3 else ''})"

    def _decode(self, first: int, last: int) -> list[str]:
        places = self.offsets[first : last + 1].tolist()
        begin, end = places[0], places[-1]
        if begin < 0 or end > len(self.text) or any(a > b for a, b in pairwise(places)):
            raise InputError(f"the place of a word between {first} and {last} is not in the text; the file is damaged")
        text = self.text[begin:end].tobytes()
        if text.isascii():
            letters = text.decode("ascii")
            return [letters[a - begin : b - begin] for a, b in pairwise(places)]
        words = []
        for row, (a, b) in enumerate(pairwise(places), first):
            try:
                words.append(text[a - begin : b - begin].decode("utf-8"))
            except UnicodeDecodeError:
                word = text[a - begin : b - begin][:40]
                raise InputError(f"word {row + 1}: {word!r} is not UTF-8; the file is damaged") from None
        return words
