"""Character n-grams in buckets, bit for bit as fastText hashes them, and the vectors that they give to any word.

Bojanowski et al. 2017, arXiv:1607.04606. A word stands between `<` and `>`; its n-grams are its stretches of min_n to
max_n characters (never `<` or `>` alone), so the prefix `<un` is another n-gram than the `un` inside a word. An n-gram
has no vector of its own but that of its bucket, the hash of its bytes modulo B: two n-grams may share one.

Characters are those of UTF-8, so Chinese needs no other code, but other sizes: a word of two characters (`<电脑>`) has
no n-gram of 3 to 6 but with one of its ends. min_n=1, max_n=3 are the sizes that carry sense there: each character by
itself, and pairs of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError

# V words, B buckets, D dimensions, R n-grams of several words together

END_OF_SENTENCE = "</s>"
"""fastText's word for the end of a line; it has no n-grams."""
LONGEST = 100
"""The largest max_n."""

_BLOCK = 4096
"""Words that are composed at a time."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Subwords:
    """The table that words are composed of: the vector of a word is the mean of its own row and its n-grams' rows.

    A word without a row of its own has the mean of its n-grams. `inputs` may be memory-mapped and is never changed.
    """

    min_n: int
    """Fewest characters of an n-gram, `<` and `>` counted."""
    max_n: int
    """Most characters; 0: no n-grams at all."""
    buckets: int
    """B"""
    inputs: NDArray[np.float32]
    """(V + B, D): the V words' own rows, then the buckets'."""

    def __post_init__(self) -> None:
        check_sizes(self.min_n, self.max_n, self.buckets)
        if self.inputs.ndim != 2 or self.inputs.dtype != np.float32 or len(self.inputs) < self.buckets:
            raise InputError(
                f"a table of words and {self.buckets} buckets must have as many rows of float32, "
                f"not {self.inputs.shape} {self.inputs.dtype}"
            )

    @property
    def n_words(self) -> int:
        """V"""
        return len(self.inputs) - self.buckets

    @property
    def dim(self) -> int:
        """D"""
        return int(self.inputs.shape[1])

    def rows(self, word: str) -> NDArray[np.int64]:
        """The rows of the word's n-grams in `inputs`, in the order of fastText, a repeated one each time it stands."""
        return ngram_rows([word], self.min_n, self.max_n, self.buckets)[1] + self.n_words

    def vector(self, word: str) -> NDArray[np.float32]:
        """(D,) the mean of the word's n-grams: what there is to say of an unseen word.

        Raises InputError where it has none: it is too short for min_n, or it is the end of a sentence.
        """
        rows = self.rows(word)
        if not len(rows):
            raise InputError(
                f"{word!r} has no n-gram of {self.min_n} to {self.max_n} characters, so it cannot be told from them"
            )
        return self.inputs[rows].mean(axis=0)

    def compose(self, words: Sequence[str]) -> NDArray[np.float32]:
        """(V, D) the vectors of all the V words, in the order of their rows: own row and n-grams, the mean of all.

        Raises InputError where the number of words is not V.
        """
        from inlay.vectors.subword_kernels import add_rows

        if len(words) != self.n_words:
            raise InputError(f"{len(words)} words, but the table has rows for {self.n_words}")
        matrix = np.empty((len(words), self.dim), np.float32)
        for first in range(0, len(words), _BLOCK):
            starts, rows = ngram_rows(words[first : first + _BLOCK], self.min_n, self.max_n, self.buckets)
            block = matrix[first : first + _BLOCK]
            block[:] = self.inputs[first : first + len(block)]
            add_rows(self.inputs, starts, rows + self.n_words, block)
            block /= (1 + np.diff(starts)).astype(np.float32)[:, None]
        return matrix


def ngram_rows(
    words: Sequence[str], min_n: int, max_n: int, buckets: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """((V + 1,) starts, (R,) buckets) of the words' n-grams: word v has those from starts[v] to starts[v + 1].

    Raises InputError for a word with a character that UTF-8 does not have.
    """
    from inlay.vectors.subword_kernels import count_ngrams, fill_ngrams

    spelt = [_spell(word) for word in words]
    bounds = np.zeros(len(spelt) + 1, np.int64)
    np.cumsum([len(word) for word in spelt], out=bounds[1:])
    text = np.frombuffer(b"".join(spelt), np.uint8)
    starts = count_ngrams(text, bounds, min_n, max_n)
    rows = np.empty(starts[-1], np.int64)
    if len(rows):  # there may be no buckets where there are no n-grams
        fill_ngrams(text, bounds, min_n, max_n, buckets, starts, rows)
    return starts, rows


def check_sizes(min_n: int, max_n: int, buckets: int) -> None:
    """Raise an InputError for lengths of n-grams, or a number of buckets, that no table can have."""
    rules = [
        ("min_n", min_n, min_n >= 0, "must not be negative; 3 is usual, 1 for Chinese"),
        ("max_n", max_n, 0 <= max_n <= LONGEST, f"must lie between 0 (no n-grams) and {LONGEST}; 6 is usual"),
        ("buckets", buckets, (1 if max_n else 0) <= buckets < 1 << 31, "must lie between 1 and 2,147,483,647"),
    ]
    for name, value, holds, rule in rules:
        if not holds:
            raise InputError(f"{name}={value} {rule}")


def _spell(word: str) -> bytes:
    """The bytes whose n-grams count; those that were no UTF-8 when the word was read come back as they were."""
    if word == END_OF_SENTENCE:
        return b""
    try:
        return f"<{word}>".encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise InputError(f"{word!r} holds half a character (a surrogate), which UTF-8 cannot write") from None
