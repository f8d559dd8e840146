"""Labelled text as numbers, and the features of its words: what a classifier learns from and is asked about."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.vectors.classifier_kernels import Types, all_features, hash_words, longest, part_labels
from inlay.vectors.fasttext_model import Args
from inlay.vectors.subwords import END_OF_SENTENCE, ngram_rows
from inlay.vectors.vocabulary import LineFiles, number_files

# T distinct words of a text, N lines, n tokens

PREFIX = "__label__"
"""What a label begins with in a file."""

Labelled = str | Path | tuple[Iterable[str], Iterable[str | Sequence[str]]]
"""A file of lines such as `__label__good fine food`, or texts and their labels (one, or several, for each): words of
such texts that look like labels are left out, when learning as when asked."""

_GAP = re.compile(r"[ \t-\r\0]+")
"""White space between words in files; a NUL, which ends a word in fastText, is taken for it."""
_UNWRITABLE = re.compile(r"[\0\ud800-\udfff]")


@dataclass(frozen=True, kw_only=True, eq=False)
class Text:
    """Lines of words between white space, labels among them, as numbers."""

    types: list[str]
    """T: the distinct words, in the order in which they first occur."""
    tokens: NDArray[np.int32]
    """(n,) numbers of types, -1 at each line end; the last one is a line end."""

    def __post_init__(self) -> None:
        """The kernels check no bounds, so a number that is no type's is refused here, and a line without its end."""
        tokens = self.tokens
        if tokens.dtype != np.int32 or tokens.ndim != 1 or not tokens.flags.c_contiguous:
            raise InputError(f"tokens must be one row of int32, not {tokens.dtype} of shape {tokens.shape}")
        if len(tokens) and not (tokens[-1] == tokens.min() == -1 and tokens.max() < len(self.types)):
            raise InputError(f"tokens must lie between -1 and {len(self.types) - 1}, the last type's, and end in -1")

    @property
    def n_lines(self) -> int:
        """Lines, empty ones too."""
        return int((self.tokens < 0).sum())

    @property
    def unlabelled(self) -> int:
        """Lines with words and without a label."""
        labels = np.array([*(word.startswith(PREFIX) for word in self.types), False])  # -1, a line's end, is the last
        ends = np.flatnonzero(self.tokens < 0)
        before = np.concatenate([[0], np.cumsum(labels[self.tokens])[ends]])
        return int(((np.diff(before) == 0) & (np.diff(ends, prepend=-1) > 1)).sum())


@dataclass(frozen=True, kw_only=True, eq=False)
class Examples:
    """N lines without their labels, and the labels of each; a line without a label is not among them."""

    tokens: NDArray[np.int32]
    lines: NDArray[np.int64]
    """(N + 1,) where each line begins in tokens."""
    labels: NDArray[np.int32]
    bounds: NDArray[np.int64]
    """(N + 1,) line i has the labels labels[bounds[i] : bounds[i + 1]]."""

    def __len__(self) -> int:
        return len(self.lines) - 1


def read(source: Labelled, segmenter: str = "") -> Text:
    """The labelled text as numbers, in one pass; InputError for a file that is not there or is not UTF-8.

    With a `segmenter`, a language that `text.words` knows, the texts are cut into words first.
    """
    if isinstance(source, str | Path) and not segmenter:
        return _number(LineFiles(source))
    pairs = _parted(Path(source)) if isinstance(source, str | Path) else _pairs(*source)
    cut = _cut(segmenter)
    return _number(_streamed(_labelled_line(cut(text), own) for text, own in pairs))


def plain(texts: Iterable[str], segmenter: str = "") -> Text:
    """The texts, each on a line, without words that would be labels: line breaks within a text are white space.

    Raises InputError for a text alone in place of a list.
    """
    if isinstance(texts, str):
        raise InputError("give a list of texts; put the one text into [ ]")
    cut = _cut(segmenter)
    return _number(_streamed(f"{cut(text)}\n" for text in texts))


def _labelled_line(text: str, labels: str | Iterable[str]) -> str:
    """The line of a file that says that the text has the labels; InputError for a label that cannot stand there."""
    if not isinstance(labels, Iterable):
        raise InputError(f"label {labels!r} must be text, or a list of texts where there are several")
    own = [labels] if isinstance(labels, str) else list(labels)
    for label in own:
        if not isinstance(label, str) or label.split() != [label] or _UNWRITABLE.search(label):
            raise InputError(f"label {label!r} must be text without white space or a NUL; write it with _ or -")
    return " ".join([*(f"{PREFIX}{label.removeprefix(PREFIX)}" for label in own), text]) + "\n"


def examples(text: Text, labels: Sequence[str]) -> Examples:
    """The lines that have one of the labels; other labels are left out."""
    numbers = {label: number for number, label in enumerate(labels)}
    label_of = np.array([numbers.get(word, -2) if word.startswith(PREFIX) else -1 for word in text.types], np.int32)
    tokens, n_lines = text.tokens.copy(), text.n_lines
    lines, bounds = np.zeros(n_lines + 1, np.int64), np.zeros(n_lines + 1, np.int64)
    own = np.empty(len(tokens), np.int32)
    n_lines, n_labels, n = part_labels(tokens, label_of, lines, own, bounds)
    return Examples(
        tokens=tokens[:n], lines=lines[: n_lines + 1], labels=own[:n_labels].copy(), bounds=bounds[: n_lines + 1]
    )


def types_of(words: Sequence[str], index: dict[str, int], args: Args) -> Types:
    """What each distinct word, and a line's end after them, contributes to a line; `index` numbers the V words.

    A word that is not among the V has its character n-grams alone. Raises InputError for more rows than int32 numbers.
    """
    if len(index) + args.buckets >= 1 << 31:
        raise InputError(
            f"buckets={args.buckets} and {len(index)} words are more than 2,147,483,647; take fewer buckets"
        )
    known = np.array([index.get(word, -1) for word in (*words, END_OF_SENTENCE)], np.int64)
    if args.max_n > 0:
        starts, buckets = ngram_rows([*words, END_OF_SENTENCE], args.min_n, args.max_n, args.buckets)
    else:
        starts, buckets = np.zeros(len(known) + 1, np.int64), np.empty(0, np.int64)
    own = np.flatnonzero(known >= 0)
    features = np.insert(buckets + len(index), starts[own], known[own]).astype(np.int32)
    starts[1:] += np.cumsum(known >= 0)
    spelt = [word.encode("utf-8", "surrogateescape") for word in (*words, END_OF_SENTENCE)]
    bounds = np.cumsum([0, *map(len, spelt)], dtype=np.int64)
    return Types(
        starts=starts,
        features=features,
        hashes=hash_words(np.frombuffer(b"".join(spelt), np.uint8), bounds),
        word_ngrams=args.word_ngrams,
        n_words=len(index),
        buckets=args.buckets,
        places=np.empty(0, np.int32),
    )


def of_lines(
    tokens: NDArray[np.int32], lines: NDArray[np.int64], types: Types
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(features, bounds (N + 1,)): line i has features[bounds[i] : bounds[i + 1]]."""
    words, _ = longest(tokens, types)
    most = int(np.diff(types.starts)[tokens].sum()) + len(tokens) * max(types.word_ngrams - 1, 0)
    found, bounds = np.empty(most, np.int32), np.empty(len(lines), np.int64)
    n = all_features(tokens, lines, types, np.empty(words, np.int32), found, bounds)
    return found[:n].astype(np.int64), bounds


def _pairs(texts: Iterable[str], labels: Iterable[str | Sequence[str]]) -> Iterator[tuple[str, str | Sequence[str]]]:
    if isinstance(texts, str):
        raise InputError("the texts must be a list, and their labels another; put the one text into [ ]")
    missing: Any = object()
    for number, (text, own) in enumerate(zip_longest(texts, labels, fillvalue=missing)):
        if text is missing or own is missing:
            more, fewer = ("labels", "texts") if text is missing else ("texts", "labels")
            raise InputError(
                f"each text needs its labels, but there are not as many: {number} {fewer}, and more {more}"
            )
        yield text, own


def utf8_lines(path: Path) -> Iterator[str]:
    """The lines of a text file, packed or not, without the white space around them.

    Raises InputError that names the line that is not UTF-8, and for a file that is not there or is damaged.
    """
    if path.is_dir() or not path.exists():
        raise InputError(f"{path}: no such text file; name one with a text a line")
    from inlay.text.decode import COMPRESSIONS, File, blocks

    with open(path, "rb") as plain:  # line by line, for a pipe
        packed = File(path=path, name=path.name, where=str(path), kind=".txt", compression=path.suffix)
        lines = _split(blocks(packed)) if path.suffix in COMPRESSIONS else plain
        for number, line in enumerate(lines, 1):
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            except UnicodeDecodeError as error:
                raise InputError(f"{path} line {number}: not UTF-8 ({error.reason}); convert the file") from None


def _split(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of bytes that come in blocks, without their ends."""
    parts: list[bytes] = []
    for block in blocks:
        first, *more = block.split(b"\n")
        parts.append(first)
        if more:
            yield b"".join(parts)
            yield from more[:-1]
            parts = [more[-1]]
    if last := b"".join(parts):
        yield last


def _parted(path: Path) -> Iterator[tuple[str, list[str]]]:
    """The text and the labels of each line of a file."""
    for line in utf8_lines(path):
        yield line, [word for word in line.split() if word.startswith(PREFIX)]


def _cut(segmenter: str) -> Callable[[str], str]:
    """A function from a text to a line of its words, without those that would be labels."""
    if not segmenter:
        return lambda text: " ".join((_unlabelled(text, _GAP.split) if PREFIX in text else text).splitlines())
    from inlay.text import words
    from inlay.text.clean import clean

    segment = words.segmenter(segmenter)
    return lambda text: " ".join(segment(clean(_unlabelled(text, str.split))))


def _unlabelled(text: str, split: Callable[[str], list[str]]) -> str:
    return " ".join(word for word in split(text) if not word.startswith(PREFIX))


def _streamed(lines: Iterable[str]) -> LineFiles:
    return LineFiles(cast(BinaryIO, _Lines(lines)))


class _Lines:
    """A file of lines that are made while they are read."""

    name = "the texts"

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = iter(lines)

    def read(self, size: int = -1) -> bytes:
        taken, parts = 0, []
        for line in self.lines:
            # A NUL ends a word in fastText; half a character cannot be written.
            parts.append(line.replace("\0", " ").encode("utf-8", "replace"))
            taken += len(parts[-1])
            if taken >= size:
                break
        return b"".join(parts)


def _number(files: LineFiles) -> Text:
    spell, n_types, tokens = number_files(files)
    types = [spell(number) for number in range(n_types)]
    closed = len(tokens) == 1 or tokens[-2] < 0  # the line end that stands for the file's is then one too many
    return Text(types=types, tokens=tokens[:-1] if closed else tokens)
