"""Loops over the bytes of text files: counting words, and reading numbers."""

from typing import Any

import numpy as np
from numba import int64, uint64

from inlay.vectors.compiled import exact

_SPACE, _NEWLINE, _TAB, _RETURN = 32, 10, 9, 13
_ZERO, _NINE, _DOT, _MINUS, _PLUS, _E, _SMALL_E = 48, 57, 46, 45, 43, 69, 101

OK, SHORT_ROW, LONG_ROW, NOT_A_NUMBER, CUT = range(5)
"""What `read_rows` found."""

_POWERS = np.array([10.0**k for k in range(23)])
"""The powers of ten that a double holds exactly."""


@exact
def number_words(
    text: Any,  # (n,) uint8: whole words, separated by ASCII white space, which is the last byte too
    at: Any,
    slots: Any,  # (2**k,) int32: hash table of word numbers, -1 where free
    hashes: Any,  # (capacity,) uint64
    starts: Any,  # (capacity + 1,) int64: where each word's bytes begin in `pool`
    pool: Any,  # uint8: the bytes of all words, in the order in which they first occur, a white space after each
    n_words: Any,
    tokens: Any,  # (>= n - at,) int32
) -> tuple:
    """Write the number of each word from text[at:] on to `tokens`, and -1 for each line end; new words get new numbers.

    Returns (the place in text, tokens written, words known): the place is short of the end where a table was full.
    """
    mask = len(slots) - 1
    limit = min(len(hashes), len(slots) // 2)
    n = 0
    while at < len(text):
        byte = text[at]
        if byte <= _SPACE and (byte == _SPACE or _TAB <= byte <= _RETURN):
            if byte == _NEWLINE:
                tokens[n] = -1
                n += 1
            at += 1
            continue
        begin, key = at, uint64(0xCBF29CE484222325)
        while byte > _SPACE or not (byte == _SPACE or _TAB <= byte <= _RETURN):
            key = (key ^ uint64(byte)) * uint64(0x100000001B3)
            at += 1
            byte = text[at]
        size = at + 1 - begin  # with the white space, so that no word runs into the next one in the pool
        slot = int64((key ^ (key >> uint64(29))) & uint64(mask))
        while True:
            word = slots[slot]
            if word < 0:
                if n_words == limit or starts[n_words] + size > len(pool):
                    return begin, n, n_words
                slots[slot] = word = n_words
                hashes[word] = key
                pool[starts[word] : starts[word] + size] = text[begin : at + 1]
                n_words += 1
                starts[n_words] = starts[word] + size
                break
            if hashes[word] == key and starts[word + 1] - starts[word] == size:
                first, k = starts[word], 0
                while k < size - 1 and pool[first + k] == text[begin + k]:
                    k += 1
                if k == size - 1:
                    break
            slot = (slot + 1) & mask
        tokens[n] = word
        n += 1
    return at, n, n_words


@exact
def fill_slots(slots: Any, hashes: Any, n_words: Any) -> None:
    """Enter the words anew in a hash table that has grown."""
    mask = len(slots) - 1
    slots[:] = -1
    for word in range(n_words):
        slot = int64((hashes[word] ^ (hashes[word] >> uint64(29))) & uint64(mask))
        while slots[slot] >= 0:
            slot = (slot + 1) & mask
        slots[slot] = word


@exact
def tally(tokens: Any, n_words: Any) -> Any:
    """(n_words,) int64: how often each number occurs."""
    counts = np.zeros(n_words, np.int64)
    for token in tokens:
        if token >= 0:
            counts[token] += 1
    return counts


@exact
def renumber(tokens: Any, numbers: Any, begin: Any, end: Any, n: Any) -> int:
    """Replace each token of tokens[begin:end] by its new number and move it to tokens[n:]; -2 drops it, -1 stays.

    Sentences that end up empty are dropped too. Returns the new n, at most `end`: so pieces can follow one another.
    """
    for at in range(begin, end):
        token = tokens[at]
        number = numbers[token] if token >= 0 else -1
        if number >= 0 or (number == -1 and n > 0 and tokens[n - 1] >= 0):
            tokens[n] = number
            n += 1
    return n


@exact
def read_rows(text: Any, at: Any, row: Any, column: Any, spans: Any, matrix: Any) -> tuple:
    """Read lines `word number ... number` of text[at:] into `matrix` (V, D) and the words' places into `spans` (V, 2).

    Returns (what was found, place, row, column). A number that needs more than a double's exact arithmetic stops the
    reading at its place with NOT_A_NUMBER: the caller reads it, writes it and goes on at the next column.
    """
    n_rows, dim = matrix.shape
    n = len(text)
    while row < n_rows:
        if column == 0 and spans[row, 1] == 0:
            begin = at
            while at < n and text[at] != _SPACE and text[at] != _NEWLINE and text[at] != _TAB:
                at += 1
            if at >= n:
                return CUT, at, row, column
            spans[row, 0], spans[row, 1] = begin, at
        while column < dim:
            while at < n and (text[at] == _SPACE or text[at] == _TAB):
                at += 1
            if at >= n:
                return CUT, at, row, column
            if text[at] == _NEWLINE or text[at] == _RETURN:
                return SHORT_ROW, at, row, column
            value, after = _number(text, at)
            if after < 0:
                return NOT_A_NUMBER, at, row, column
            matrix[row, column] = value
            at = after
            column += 1
        while at < n and (text[at] == _SPACE or text[at] == _TAB or text[at] == _RETURN):
            at += 1
        if at < n and text[at] != _NEWLINE:
            return LONG_ROW, at, row, column
        at += 1
        row += 1
        column = 0
    return OK, at, row, column


@exact
def _number(text: Any, at: Any) -> tuple:
    """(the double nearest to the decimal number at `at`, the place after it), or place -1 where that is not certain.

    Digits up to 2**53 and powers of ten up to 22 are exact doubles, so one multiplication or division rounds correctly.
    """
    n = len(text)
    negative = text[at] == _MINUS
    if negative or text[at] == _PLUS:
        at += 1
    digits, exponent, seen = uint64(0), 0, 0
    while at < n and _ZERO <= text[at] <= _NINE:
        digits = digits * uint64(10) + uint64(text[at] - _ZERO)
        seen += 1
        at += 1
    if at < n and text[at] == _DOT:
        at += 1
        while at < n and _ZERO <= text[at] <= _NINE:
            digits = digits * uint64(10) + uint64(text[at] - _ZERO)
            seen += 1
            exponent -= 1
            at += 1
    if seen == 0 or seen > 18 or digits > uint64(1 << 53):
        return 0.0, -1
    if at < n and (text[at] == _E or text[at] == _SMALL_E):
        at += 1
        down = at < n and text[at] == _MINUS
        if at < n and (down or text[at] == _PLUS):
            at += 1
        power, begin = 0, at
        while at < n and _ZERO <= text[at] <= _NINE and power < 1000:
            power = power * 10 + int64(text[at] - _ZERO)
            at += 1
        if at == begin:
            return 0.0, -1
        exponent += -power if down else power
    if at < n and text[at] > _SPACE:
        return 0.0, -1
    if exponent < -22 or exponent > 22:
        return 0.0, -1
    value = float(digits)
    value = value / _POWERS[-exponent] if exponent < 0 else value * _POWERS[exponent]
    return -value if negative else value, at


@exact
def split_rows(data: Any, at: Any, spans: Any, matrix: Any) -> tuple:
    """Read entries `word, space, D little-endian floats` from data[at:], each perhaps after a line end.

    Fills `spans` (V, 2), the words' places, and `matrix` (V, 4 D) uint8. Returns (rows read, place): fewer rows than V
    where the data end too early, and then the place where the row begins that is cut.
    """
    n, (n_rows, size) = len(data), matrix.shape
    for row in range(n_rows):
        while at < n and data[at] == _NEWLINE:
            at += 1
        begin = at
        while at < n and data[at] != _SPACE:
            at += 1
        if at + 1 + size > n:
            return row, begin
        spans[row, 0], spans[row, 1] = begin, at
        at += 1
        for k in range(size):
            matrix[row, k] = data[at + k]
        at += size
    return n_rows, at
