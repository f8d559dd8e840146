"""Labelled text as numbers, and the features of its words: what a classifier learns from and is asked about."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

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
"""A file of lines such as `__label__good fine food`, or texts and their labels (one, or several, for each)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Text:
    """Lines of words between white space, labels among them, as numbers."""

    types: list[str]
    """T: the distinct words, in the order in which they first occur."""
    tokens: NDArray[np.int32]
    """(n,) numbers of types, -1 at each line end."""

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
    return _number(_streamed(labelled_line(cut(text), own) for text, own in pairs))


def plain(texts: Iterable[str], segmenter: str = "") -> Text:
    """The texts, each on a line, without words that would be labels: line breaks within a text are white space."""
    cut = _cut(segmenter)

    def line(text: str) -> str:
        if PREFIX in text:
            text = " ".join(word for word in text.split() if not word.startswith(PREFIX))
        return " ".join(cut(text).splitlines()) + "\n"

    return _number(_streamed(map(line, texts)))


def labelled_line(text: str, labels: str | Sequence[str]) -> str:
    """The line of a file that says that the text has the labels; InputError for a label that holds white space."""
    labels = [labels] if isinstance(labels, str) else labels
    for label in labels:
        if not isinstance(label, str) or label.split() != [label]:
            raise InputError(f"label {label!r} must be text without white space; write it with _ or -")
    return " ".join([*(f"{PREFIX}{label.removeprefix(PREFIX)}" for label in labels), *text.splitlines()]) + "\n"


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

    A word that is not among the V has its character n-grams alone.
    """
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
    try:
        yield from zip(texts, labels, strict=True)
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"each text needs its labels, but there are not as many ({error})") from None


def utf8_lines(path: Path) -> Iterator[str]:
    """The lines of a text file without the white space around them; InputError names the line that is not UTF-8."""
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                except UnicodeDecodeError as error:
                    raise InputError(f"{path} line {number}: not UTF-8 ({error.reason}); convert the file") from None
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"{path}: no such text file; name one with a text a line") from None


def _parted(path: Path) -> Iterator[tuple[str, list[str]]]:
    """The text and the labels of each line of a file."""
    for line in utf8_lines(path):
        words = line.split()
        labels = [word for word in words if word.startswith(PREFIX)]
        yield " ".join(word for word in words if not word.startswith(PREFIX)), labels


def _cut(segmenter: str) -> Callable[[str], str]:
    """A function from a text to its words between spaces."""
    if not segmenter:
        return str
    from inlay.text import words
    from inlay.text.clean import clean

    segment = words.segmenter(segmenter)
    return lambda text: " ".join(segment(clean(text)))


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
    if wrong := next((word for word in types if "\0" in word), None):
        raise InputError(f"{files.sources[0]}: {wrong!r} holds a NUL, which is no text; convert the file")
    return Text(types=types, tokens=tokens[:-1] if len(tokens) > 1 and tokens[-2] < 0 else tokens)
