"""Slices: a very long text cut where no token is cut, so that tokenising it takes no more memory than a short one."""

import re

from inlay.tokenize.tokenizer import Tokenizer

SIZE = 1 << 16
"""Characters of a slice, about: the engine holds some hundred bytes for each character of what it reads at once."""

# Where a word ends before a space, behind a mark that ends a clause, and between two Han characters.
_CANDIDATE = re.compile(r"(?<=\w)(?= \w)|(?<=[。！？，、；\n])(?=\w)|(?<=[\u4e00-\u9fff])(?=[\u4e00-\u9fff])")
_TRIES = 16
_AROUND = 128


def slices(tokenizer: Tokenizer, text: str, size: int = SIZE) -> list[str]:
    """The text in slices of about `size` characters, whose tokens one after another are the tokens of the text.

    A cut is made only where the characters around it give the same tokens with it as without it. A text that offers
    no such place (ten million times the same letter) stays whole.
    """
    found, start = [], 0
    while len(text) - start > 2 * size:
        cut = _cut(tokenizer, text, start + size, start + 2 * size)
        if cut is None:
            # Where there was no place in `size` characters, the search goes on, and the slice is that much longer.
            cut = _later(tokenizer, text, start + 2 * size, size)
        if cut is None:
            break
        found.append(text[start:cut])
        start = cut
    return [*found, text[start:]]


def _later(tokenizer: Tokenizer, text: str, begin: int, size: int) -> int | None:
    for start in range(begin, len(text) - size, size):
        cut = _cut(tokenizer, text, start, start + size)
        if cut is not None:
            return cut
    return None


def _cut(tokenizer: Tokenizer, text: str, begin: int, end: int) -> int | None:
    """A place from `begin` to `end` where a cut changes no token; None where the first few candidates do."""
    for tried, match in enumerate(_CANDIDATE.finditer(text, begin, end)):
        at = match.start()
        left, right = text[max(at - _AROUND, 0) : at], text[at : at + _AROUND]
        batch = tokenizer.encode([left + right, left, right])
        whole = int(batch.lengths[0])
        if len(batch.ids) == 2 * whole and (batch.ids[:whole] == batch.ids[whole:]).all():
            return at
        if tried + 1 == _TRIES:
            return None
    return None
