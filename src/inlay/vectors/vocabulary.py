"""Vocabulary: words by falling frequency; and a corpus as one array of their numbers."""

import codecs
import io
import os
import sys
from array import array
from bisect import bisect_right
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.vectors.tokens import Growing, pieces, renumbered

# V words, n tokens

_BLOCK = 1 << 20
"""Bytes of a file that are read at a time."""

_WORDS = 1 << 16
"""Words whose spelling is looked at at a time."""
_SHOWN = 40
"""How much of a word or a name an error shows."""

_Numbered = tuple[Callable[[int], str], int, NDArray[np.int32]]
"""The spelling of a word by its number, how many words there are, and the corpus in numbers."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Vocabulary:
    """V words by falling frequency, equals by alphabet; word i occurred counts[i] times."""

    words: list[str]
    counts: NDArray[np.int64]
    """(V,), each at least 1."""

    def __post_init__(self) -> None:
        """The kernels check no bounds, so counts of more or fewer words are refused here."""
        if self.counts.shape != (len(self.words),) or self.counts.dtype != np.int64:
            given = f"{self.counts.dtype} of shape {self.counts.shape}"
            raise InputError(f"{len(self.words)} words need as many counts of int64, not {given}")
        if len(self) and self.counts.min() < 1:
            word = self.words[int(self.counts.argmin())]
            raise InputError(
                f"the count of {word!r} is {self.counts.min()}, but must be at least 1; leave the word out"
            )

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
            given = f"{self.tokens.dtype} of shape {self.tokens.shape} and strides {self.tokens.strides}"
            raise InputError(f"tokens must be one contiguous row of int32, not {given}; np.ascontiguousarray makes one")
        if any(not -1 <= piece.min() <= piece.max() < len(self.vocabulary) for piece in pieces(self.tokens)):
            raise InputError(f"tokens must lie between -1 and {len(self.vocabulary) - 1}, the last word's number")

    @cached_property
    def n_words(self) -> int:
        """How many words the corpus has, sentence ends not counted."""
        return sum(int(np.count_nonzero(piece >= 0)) for piece in pieces(self.tokens))


class LineFiles:
    """Text files of words between white space, a sentence a line; read in blocks, far faster than lists of words.

    A source is a path, `-` for what is piped in, or an open binary file; .gz, .xz, .zst and .bz2 are unpacked on the
    way. White space is ASCII: a no-break space belongs to its word.
    """

    def __init__(self, *sources: str | Path | BinaryIO) -> None:
        self.sources = sources


def read(
    source: Iterable[Sequence[str]] | LineFiles,
    *,
    min_count: int = 5,
    max_vocab: int | None = None,
    known: Container[str] = (),
    on_words: Callable[[int], None] = lambda n_words: None,
) -> Encoded:
    """Count and number the words of the source in one pass over it, keeping those that occur `min_count` times.

    Of these, the `max_vocab` most frequent; and all the `known` ones. Memory: the words, and 16 MB; a corpus of more
    than 4 M tokens lies in a temporary file. `on_words` hears now and then how many there are so far, sentence ends
    counted too. Raises InputError where no word is left, naming how many there were.
    """
    check_limits(min_count, max_vocab)
    if isinstance(source, str | bytes | Path):
        raise InputError(
            f"{str(source)[:_SHOWN]!r} is no list of sentences; LineFiles(...) reads the file of that name"
        )
    numbered = number_files(source, on_words) if isinstance(source, LineFiles) else _number_sentences(source, on_words)
    return settle(*numbered, min_count, max_vocab, known)


def check_limits(min_count: int, max_vocab: int | None) -> None:
    """Raise an InputError for limits that would keep no word."""
    if not min_count >= 1:
        raise InputError(f"min_count={min_count} must be at least 1; 1 keeps every word")
    if max_vocab is not None and not max_vocab >= 1:
        raise InputError(f"max_vocab={max_vocab} must be at least 1, or None for no limit")


def _number_sentences(sentences: Iterable[Sequence[str]], on_words: Callable[[int], None]) -> _Numbered:
    """Number the words in the order in which they first occur."""
    numbers = _Numbers()
    corpus = Growing()
    tokens = array("i")
    for place, sentence in enumerate(sentences, 1):
        if isinstance(sentence, str | bytes):
            raise InputError(
                f"sentence {place} is one string ({sentence[:20]!r}), not a list of words; text.split() gives one"
            )
        try:
            tokens.extend(map(numbers.__getitem__, sentence))
        except TypeError as error:
            raise InputError(f"sentence {place} is no list of words ({error}); give lists of strings") from None
        tokens.append(-1)
        on_words(corpus.size + len(tokens))
        if len(tokens) >= _BLOCK:
            corpus.extend(np.frombuffer(tokens, np.int32))
            tokens = array("i")
    for word in numbers:
        if not isinstance(word, str):
            raise InputError(f"a sentence holds {word!r}, which is no string; give lists of words")
    corpus.extend(np.frombuffer(tokens, np.int32))
    return list(numbers).__getitem__, len(numbers), corpus.whole()


class _Numbers(dict[str, int]):
    """A new word gets the next number when it is looked up."""

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        return number


def number_files(files: LineFiles, on_words: Callable[[int], None] = lambda n_words: None) -> _Numbered:
    """As `_number_sentences`, from the bytes of files; each file ends a sentence."""
    from inlay.vectors.byte_kernels import fill_slots, number_words

    slots = np.full(1 << 17, -1, np.int32)
    hashes, starts, pool = np.empty(1 << 16, np.uint64), np.zeros((1 << 16) + 1, np.int64), np.empty(1 << 20, np.uint8)
    corpus, n_words = Growing(), 0
    ends: list[int] = []
    for place, source in enumerate(files.sources):
        for text in _blocks(source, _name(source, place)):
            at = 0
            while True:
                room = corpus.room(len(text) - at)  # no more words and line ends than bytes
                at, written, n_words = number_words(text, at, slots, hashes, starts, pool, n_words, room)
                corpus.add(written)
                on_words(corpus.size)
                del room
                if at == len(text):
                    break
                hashes, starts = _grown(hashes, 2 * n_words + 1), _grown(starts, 2 * n_words + 2)
                pool = _grown(pool, int(starts[n_words]) + len(text))
                if 2 * len(hashes) > len(slots):
                    slots = np.empty(1 << (2 * len(hashes)).bit_length(), np.int32)
                    fill_slots(slots, hashes, n_words)
        corpus.extend(np.array([-1], np.int32))
        ends.append(corpus.size)
    del slots, hashes
    tokens, starts = corpus.whole(), starts[: n_words + 1]
    spelling = pool[: starts[n_words]].data
    _check_text(spelling, starts, tokens, files, ends)

    def spell(number: int) -> str:
        return str(spelling[starts[number] : starts[number + 1] - 1], "utf-8")

    return spell, n_words, tokens


def _check_text(
    spelling: memoryview, starts: NDArray[np.int64], tokens: NDArray[np.int32], files: LineFiles, ends: list[int]
) -> None:
    """Raise an InputError that names file and line of a word that is no UTF-8 text; `ends` (files,) in tokens."""
    for first in range(0, len(starts) - 1, _WORDS):
        bounds = starts[first : first + _WORDS + 1]
        part = bytes(spelling[bounds[0] : bounds[-1]])
        try:
            part.decode()
            wrong, fault = part.find(0), "holds a NUL, which is no text"
        except UnicodeDecodeError as error:
            wrong, fault = error.start, "is not UTF-8"
        if wrong < 0:
            continue
        number = first + int(np.searchsorted(bounds[1:] - bounds[0], wrong, side="right"))
        word = bytes(spelling[starts[number] : starts[number + 1] - 1][:_SHOWN])
        place = _first_place(number, tokens)
        file = bisect_right(ends, place)
        begin = ends[file - 1] if file else 0
        line = 1 + sum(int(np.count_nonzero(piece < 0)) for piece in pieces(tokens[begin:place]))
        raise InputError(f"{_name(files.sources[file], file)} line {line}: {word!r} {fault}; convert the file")


def _first_place(number: int, tokens: NDArray[np.int32]) -> int:
    """Where a number that occurs in the tokens does so first."""
    before = 0
    for piece in pieces(tokens):
        if len(found := np.flatnonzero(piece == number)):
            return before + int(found[0])
        before += len(piece)
    raise AssertionError(f"word {number} has no place")


def _name(source: str | Path | BinaryIO, place: int) -> str:
    """What errors call a source, the one at that place."""
    if isinstance(source, str | Path):
        return "stdin" if str(source) == "-" else str(source)
    return str(getattr(source, "name", f"text {place + 1}"))


def _blocks(source: str | Path | BinaryIO, name: str) -> Iterable[NDArray[np.uint8]]:
    """The bytes of a file, unpacked, in blocks that end with white space."""
    if str(source) == "-":
        if sys.stdin is None:
            raise InputError("stdin is closed; pipe a text into it, or name a file")
        source = sys.stdin.buffer
    if not isinstance(source, str | Path):
        if isinstance(source, io.TextIOBase):
            raise InputError(f"{name}: opened as text; open it as bytes, with mode 'rb'")
        yield from _whole_words(iter(partial(source.read, _BLOCK), b""), name)
        return
    if os.path.isdir(source) or not os.path.exists(source):
        raise InputError(f"{source}: no such text file; name files of words, a sentence a line")
    from inlay.text.decode import COMPRESSIONS, File, blocks

    path = Path(source)
    compression = path.suffix if path.suffix in COMPRESSIONS else ""
    file = File(path=path, name=path.name, where=str(path), kind=".txt", compression=compression)
    yield from _whole_words(blocks(file), name)


def _whole_words(parts: Iterator[bytes], name: str) -> Iterable[NDArray[np.uint8]]:
    """The bytes in blocks that end with white space, without the mark that some editors begin a file with."""
    first = next(parts, b"").removeprefix(codecs.BOM_UTF8)
    rest = b""
    for part in chain([first], parts):
        cut = max(part.rfind(b" "), part.rfind(b"\n")) + 1
        if cut == 0:
            rest += part
            if len(rest) > 16 * _BLOCK:
                size = len(rest) >> 20
                raise InputError(f"{name}: {size} MB without a space: no text of words; split it into words first")
            continue
        yield np.frombuffer(rest + part[:cut], np.uint8)
        rest = part[cut:]
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
    from inlay.vectors.byte_kernels import tally

    counts = np.zeros(n_words, np.int64)
    for piece in pieces(tokens):
        counts += tally(piece, n_words)
    candidates = np.flatnonzero(counts >= (1 if known else min_count))
    words = {number: spell(number) for number in candidates.tolist()}
    order = np.array(sorted(words, key=words.__getitem__), np.int64)
    order = order[np.argsort(-counts[order], kind="stable")]  # equals stay in the order of the alphabet
    old = np.array([words[number] in known for number in order.tolist()], np.bool_)
    new = ~old & (counts[order] >= min_count)
    kept = order[old | new & (np.cumsum(new) <= (n_words if max_vocab is None else max_vocab))]
    if len(kept) == 0:
        raise InputError(
            f"none of the {n_words} words occurs min_count={min_count} times; give more text or a smaller min_count"
        )
    numbers = np.full(n_words, -2, np.int32)
    numbers[kept] = np.arange(len(kept), dtype=np.int32)
    vocabulary = Vocabulary(words=[words[number] for number in kept.tolist()], counts=counts[kept])
    return Encoded(vocabulary=vocabulary, tokens=renumbered(tokens, numbers))
