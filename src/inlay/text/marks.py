"""Marks: which tokens begin a word and which a sentence, told while the text is still there.

N tokens of all pieces of text, one piece after another.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from inlay.batch import Batch
from inlay.text.pairs import sentences
from inlay.text.words import Segmenter, segmenter

if TYPE_CHECKING:
    from inlay.tokenize.tokenizer import Tokenizer

Marked = tuple[Batch, NDArray[np.bool_] | None]
Marker = Callable[[Sequence[str]], Marked]
"""A function from pieces of text to their tokens, and where words begin (N,); None where nobody asked."""


def marker(tokenizer: "Tokenizer", lang: str | None) -> Marker:
    """What cuts pieces into tokens and, where a language is given, marks its words.

    Chinese words are the segmenter's, and so are those of a vocabulary that marks none; else its own marks tell.
    """
    if lang is None:
        return lambda pieces: (tokenizer.encode(pieces), None)
    writing = tokenizer.writing
    if lang == "zh" or not (writing.inside or writing.start or writing.end):
        segment = segmenter(lang)

        def by_segmenter(pieces: Sequence[str]) -> Marked:
            batch, places = tokenizer.places(pieces)
            begins = np.ones(len(batch.ids), bool)
            for text, start, length in zip(pieces, batch.starts.tolist(), batch.lengths.tolist(), strict=True):
                begins[start : start + length] = word_starts(text, places[start : start + length], segment)
            return batch, begins

        return by_segmenter
    begin, end = _tables(tokenizer)

    def by_marks(pieces: Sequence[str]) -> Marked:
        batch = tokenizer.encode(pieces)
        begins = begin[batch.ids]
        begins[1:] |= end[batch.ids[:-1]]
        begins[batch.starts[batch.lengths > 0]] = True
        return batch, begins

    return by_marks


def word_starts(text: str, places: NDArray[np.int64], segment: Segmenter) -> NDArray[np.bool_]:
    """(n,) for the tokens at `places` (n, 2) of the text: False where one lies inside a word, or inside a character.

    What is in no word, such as a comma, begins one of its own.
    """
    inside = np.zeros(len(text) + 1, bool)
    low, origin = text.lower(), np.arange(len(text))
    if len(low) != len(text):  # İ has two characters in lower case
        each = [letter.lower() for letter in text]
        low, origin = "".join(each), np.repeat(origin, [len(letter) for letter in each])
    at = 0
    for word in segment(text):
        found = low.find(word, at)
        if found >= 0:
            at = found + len(word)
            inside[origin[found] + 1 : origin[at - 1] + 1] = True
    blank = np.array([*map(str.isspace, text), False])
    starts, stops = places[:, 0], places[:, 1]
    first = starts + (blank[starts] & (stops - starts > 1))  # ▁word and Ġword begin with their space
    begins = ~inside[first]
    begins[1:] &= starts[1:] >= np.maximum.accumulate(stops)[:-1]  # else: more bytes of one character
    begins[:1] = True
    return begins


def cut(text: str, *, spaced: bool) -> list[str]:
    """The sentences; with `spaced`, a space stays before one that followed a space, since it is a part of its token."""
    pieces = sentences(text)
    if not spaced:
        return pieces
    at, found = 0, []
    for number, piece in enumerate(pieces):
        at = text.index(piece, at)
        found.append(f" {piece}" if number and text[at - 1].isspace() else piece)
        at += len(piece)
    return found


def _tables(tokenizer: "Tokenizer") -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(V,) which tokens begin a word, and (V,) after which a word begins whatever comes."""
    writing = tokenizer.writing
    begin, end = np.zeros(tokenizer.size, bool), np.zeros(tokenizer.size, bool)
    for token, number in tokenizer.vocabulary.items():
        told = writing.read(token)
        text = told.text or ""
        apart = bool(text) and not any(map(str.isalnum, text))  # a comma or a line break is no part of a word
        alone = told.special or (apart and not (told.marked and not text.strip()))
        if writing.start:
            begin[number] = told.marked or told.whole or alone
            end[number] = alone
        elif writing.inside:
            begin[number] = not told.marked or alone
            end[number] = alone
        else:
            begin[number] = alone
            end[number] = told.marked or alone
    return begin, end
