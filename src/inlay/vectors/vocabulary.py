"""Vocabulary: words by falling frequency; and a corpus as one array of their numbers."""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError

# V words, n tokens

_BLOCK = 1 << 22
"""Bytes of a file that are read at a time."""

_Numbered = tuple[Callable[[int], str], int, NDArray[np.int32]]
"""The spelling of a word by its number, how many words there are, and the corpus in numbers."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Vocabulary:
    """V words by falling frequency, equals by alphabet; word i occurred counts[i] times."""

    words: list[str]
    counts: NDArray[np.int64]
    """(V,)"""

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def index(self) -> dict[str, int]:
        """The number of each word."""
        return {word: number for number, word in enumerate(self.words)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoded:
    """A corpus as numbers: what the kernels train on."""

    vocabulary: Vocabulary
    tokens: NDArray[np.int32]
    """(n,) numbers of words, -1 after each sentence; words outside the vocabulary are left out."""

    def __post_init__(self) -> None:
        """The kernels check no bounds, so a number that is no word's is refused here."""
        if self.tokens.dtype != np.int32 or self.tokens.ndim != 1 or not self.tokens.flags.c_contiguous:
            raise InputError(f"tokens must be one row of int32, not {self.tokens.dtype} of shape {self.tokens.shape}")
        if len(self.tokens) and not -1 <= self.tokens.min() <= self.tokens.max() < len(self.vocabulary):
            raise InputError(f"tokens must lie between -1 and {len(self.vocabulary) - 1}, the last word's number")

    @cached_property
    def n_words(self) -> int:
        """How many words the corpus has, sentence ends not counted."""
        pieces = range(0, len(self.tokens), 1 << 20)
        return sum(int(np.count_nonzero(self.tokens[at : at + (1 << 20)] >= 0)) for at in pieces)


class LineFiles:
    """Text files of words between white space, a sentence a line; read in blocks, far faster than lists of words.

    A source is a path or an open binary file. White space is ASCII: a no-break space belongs to its word.
    """

    def __init__(self, *sources: str | Path | BinaryIO) -> None:
        self.sources = sources


def read(
    source: Iterable[Sequence[str]] | LineFiles,
    *,
    min_count: int = 5,
    max_vocab: int | None = None,
    known: Container[str] = (),
) -> Encoded:
    """Count and number the words of the source in one pass over it, keeping those that occur `min_count` times.

    Of these, the `max_vocab` most frequent; and all the `known` ones. Memory: 4 bytes a token, and the words. Raises
    InputError where no word is left, naming how many there were.
    """
    if min_count < 1:
        raise InputError(f"min_count={min_count} must be at least 1; 1 keeps every word")
    if max_vocab is not None and max_vocab < 1:
        raise InputError(f"max_vocab={max_vocab} must be at least 1, or None for no limit")
    numbered = _number_files(source) if isinstance(source, LineFiles) else _number_sentences(source)
    return settle(*numbered, min_count, max_vocab, known)


def _number_sentences(sentences: Iterable[Sequence[str]]) -> _Numbered:
    """Number the words in the order in which they first occur."""
    numbers = _Numbers()
    tokens = array("i")
    for place, sentence in enumerate(sentences, 1):
        if isinstance(sentence, str | bytes):
            raise InputError(
                f"sentence {place} is one string ({sentence[:20]!r}), not a list of words; text.split() gives one"
            )
        tokens.extend(map(numbers.__getitem__, sentence))
        tokens.append(-1)
    for word in numbers:
        if not isinstance(word, str):
            raise InputError(f"a sentence holds {word!r}, which is no string; give lists of words")
    numbered = np.frombuffer(tokens, np.int32) if tokens else np.empty(0, np.int32)
    return list(numbers).__getitem__, len(numbers), numbered


class _Numbers(dict[str, int]):
    """A new word gets the next number when it is looked up."""

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        return number


def _number_files(files: LineFiles) -> _Numbered:
    """As `_number_sentences`, from the bytes of files."""
    from inlay.vectors.byte_kernels import fill_slots, number_words

    slots = np.full(1 << 17, -1, np.int32)
    hashes, starts, pool = np.empty(1 << 16, np.uint64), np.zeros((1 << 16) + 1, np.int64), np.empty(1 << 20, np.uint8)
    tokens, n_tokens, n_words = np.empty(1 << 20, np.int32), 0, 0
    ends: list[int] = []
    for source in files.sources:
        for text in _blocks(source):
            at = 0
            while True:
                tokens = _grown(tokens, n_tokens + len(text) - at)  # no more words and line ends than bytes
                room = tokens[n_tokens:]
                at, written, n_words = number_words(text, at, slots, hashes, starts, pool, n_words, room)
                n_tokens += written
                del room
                if at == len(text):
                    break
                hashes, starts = _grown(hashes, 2 * n_words + 1), _grown(starts, 2 * n_words + 2)
                pool = _grown(pool, int(starts[n_words]) + len(text))
                if 2 * len(hashes) > len(slots):
                    slots = np.empty(1 << (2 * len(hashes)).bit_length(), np.int32)
                    fill_slots(slots, hashes, n_words)
        tokens = _grown(tokens, n_tokens + 1)
        tokens[n_tokens] = -1
        n_tokens += 1
        ends.append(n_tokens)
    starts = starts[: n_words + 1]
    spelling = pool[: starts[n_words]].tobytes()
    _check_utf8(spelling, starts, tokens[:n_tokens], files, ends)
    tokens.resize(n_tokens, refcheck=False)  # gives back what it grew too far

    def spell(number: int) -> str:
        return spelling[starts[number] : starts[number + 1] - 1].decode("utf-8")

    return spell, n_words, tokens


def _check_utf8(
    spelling: bytes, starts: NDArray[np.int64], tokens: NDArray[np.int32], files: LineFiles, ends: list[int]
) -> None:
    """Raise an InputError that names file and line of the first word that is not UTF-8; `ends` (files,) in tokens."""
    try:
        spelling.decode("utf-8")
    except UnicodeDecodeError as error:
        number = int(np.searchsorted(starts[1:], error.start, side="right"))
        place = int(np.argmax(tokens == number))
        at = bisect_right(ends, place)
        line = 1 + int((tokens[ends[at - 1] if at else 0 : place] < 0).sum())
        source = files.sources[at]
        name = source if isinstance(source, str | Path) else getattr(source, "name", f"text {at + 1}")
        word = spelling[starts[number] : starts[number + 1] - 1]
        raise InputError(f"{name} line {line}: {word!r} is not UTF-8; convert the file") from None


def _blocks(source: str | Path | BinaryIO) -> Iterable[NDArray[np.uint8]]:
    """The bytes of a file in blocks that end with white space."""
    if not isinstance(source, str | Path):
        yield from _whole_words(source)
        return
    try:
        with open(source, "rb") as file:
            yield from _whole_words(file)
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"{source}: no such text file; name files of words, a sentence a line") from None


def _whole_words(file: BinaryIO) -> Iterable[NDArray[np.uint8]]:
    rest = b""
    while block := file.read(_BLOCK):
        cut = max(block.rfind(b" "), block.rfind(b"\n")) + 1
        if cut == 0:
            rest += block
            if len(rest) > 16 * _BLOCK:
                raise InputError(f"{len(rest) >> 20} MB without a space: no text of words; split it into words first")
            continue
        yield np.frombuffer(rest + block[:cut], np.uint8)
        rest = block[cut:]
    if rest:
        yield np.frombuffer(rest + b" ", np.uint8)


def _grown(old: NDArray, size: int) -> NDArray:
    """`old` made to hold at least `size`, by a quarter more at a time; the system moves no bytes for a large one."""
    if size > len(old):
        old.resize(max(size, len(old) * 5 // 4), refcheck=False)
    return old


def settle(
    spell: Callable[[int], str],
    n_words: int,
    tokens: NDArray[np.int32],
    min_count: int,
    max_vocab: int | None,
    known: Container[str] = (),
) -> Encoded:
    """Number the kept words by falling frequency, in the tokens too (in place)."""
    from inlay.vectors.byte_kernels import renumber, tally

    counts = tally(tokens, n_words)
    candidates = np.flatnonzero(counts >= (1 if known else min_count))
    words = {int(number): spell(int(number)) for number in candidates}
    order = sorted(words, key=words.__getitem__)
    order.sort(key=counts.tolist().__getitem__, reverse=True)  # equals stay in the order of the alphabet
    new = [number for number in order if counts[number] >= min_count and words[number] not in known][:max_vocab]
    kept = new
    if known:
        chosen = set(new)
        kept = [number for number in order if number in chosen or words[number] in known]
    if not kept:
        raise InputError(
            f"none of the {n_words} words occurs min_count={min_count} times; give more text or a smaller min_count"
        )
    numbers = np.full(n_words, -2, np.int32)
    numbers[kept] = np.arange(len(kept), dtype=np.int32)
    n = renumber(tokens, numbers)
    vocabulary = Vocabulary(words=[words[number] for number in kept], counts=counts[kept])
    return Encoded(vocabulary=vocabulary, tokens=tokens[:n])
