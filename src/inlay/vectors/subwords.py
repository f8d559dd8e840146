"""Character n-grams in buckets, bit for bit as fastText hashes them, and the vectors that they give to any word.

Bojanowski et al. 2017, arXiv:1607.04606. A word stands between `<` and `>`; its n-grams are its stretches of min_n to
max_n characters (never `<` or `>` alone), so the prefix `<un` is another n-gram than the `un` inside a word. An n-gram
has no vector of its own but that of its bucket, the hash of its bytes modulo B: two n-grams may share one.

Characters are those of UTF-8, so Chinese needs no other code, but other sizes: a word of two characters (`<电脑>`) has
no n-gram of 3 to 6 but with one of its ends. min_n=1, max_n=3 are the sizes that carry sense there: each character by
itself, and pairs of them, so that unseen words have a meaning. They also draw known words together that merely share a
character; where only known words matter and the text is small, 3 to 6 ranks them better.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError

# V words, B buckets, U of them with a row, D dimensions, R n-grams of several words together

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
    """(V + U, D): the V words' own rows, then those of the U buckets in `met`."""
    met: NDArray[np.int64] | None = None
    """(U,) the buckets that have a row, rising: those that training met; all others are zero. None: all B have one."""

    def __post_init__(self) -> None:
        check_sizes(self.min_n, self.max_n, self.buckets)
        met, inputs = self.met, self.inputs
        if met is not None and (
            met.ndim != 1
            or met.dtype != np.int64
            or (len(met) and not 0 <= met[0] <= met[-1] < self.buckets)
            or (np.diff(met) <= 0).any()
        ):
            raise InputError(f"the buckets that have a row must be int64, rising, and below {self.buckets}")
        if inputs.ndim != 2 or inputs.dtype != np.float32 or len(inputs) < self._n_rows:
            raise InputError(
                f"a table of words and {self._n_rows} buckets must have as many rows of float32, "
                f"not {inputs.shape} {inputs.dtype}"
            )

    @property
    def n_words(self) -> int:
        """V"""
        return len(self.inputs) - self._n_rows

    @property
    def dim(self) -> int:
        """D"""
        return int(self.inputs.shape[1])

    def rows(self, word: str) -> NDArray[np.int64]:
        """The rows of the word's n-grams in the `dense` table, as fastText numbers them: a repeated one each time."""
        return ngram_rows([word], self.min_n, self.max_n, self.buckets)[1] + self.n_words

    def vector(self, word: str) -> NDArray[np.float32]:
        """(D,) the mean of the word's n-grams, those that training never met as zeros: what an unseen word gets.

        Raises InputError where it has none: it is too short for min_n, or it is the end of a sentence.
        """
        rows = self.find(ngram_rows([word], self.min_n, self.max_n, self.buckets)[1])
        if not len(rows):
            raise InputError(
                f"{word!r} has no n-gram of {self.min_n} to {self.max_n} characters, so it cannot be told from them"
            )
        return self.inputs[rows[rows >= 0]].sum(axis=0) / np.float32(len(rows))

    def compose(self, words: Sequence[str]) -> NDArray[np.float32]:
        """(V, D) the vectors of all the V words, in the order of their rows: own row and n-grams, the mean of all.

        Raises InputError where the number of words is not V.
        """
        from inlay.vectors.subword_kernels import add_rows

        if len(words) != self.n_words:
            raise InputError(f"{len(words)} words, but the table has rows for {self.n_words}")
        matrix = np.empty((len(words), self.dim), np.float32)
        for first in range(0, len(words), _BLOCK):
            starts, ngrams = ngram_rows(words[first : first + _BLOCK], self.min_n, self.max_n, self.buckets)
            block = matrix[first : first + _BLOCK]
            block[:] = self.inputs[first : first + len(block)]
            add_rows(self.inputs, starts, self.find(ngrams), np.arange(len(block)), block)
            block /= (1 + np.diff(starts)).astype(np.float32)[:, None]
        return matrix

    def dense(self) -> "Subwords":
        """The same with a row for every bucket, as fastText's files have it: `inputs` is (V + B, D), mostly zeros."""
        if self.met is None:
            return self
        inputs = np.zeros((self.n_words + self.buckets, self.dim), np.float32)
        inputs[: self.n_words] = self.inputs[: self.n_words]
        inputs[self.n_words + self.met] = self.inputs[self.n_words :]
        return Subwords(min_n=self.min_n, max_n=self.max_n, buckets=self.buckets, inputs=inputs)

    @property
    def _n_rows(self) -> int:
        """How many buckets have a row."""
        return self.buckets if self.met is None else len(self.met)

    def find(self, buckets: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row of each bucket in `inputs`, -1 where it has none."""
        if self.met is None:
            return buckets + self.n_words
        if not len(self.met):
            return np.full(len(buckets), -1)
        at = np.minimum(np.searchsorted(self.met, buckets), len(self.met) - 1)
        return np.where(self.met[at] == buckets, at + self.n_words, -1)


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
        ("min_n", min_n, 0 <= min_n < 1 << 31, "must lie between 0 and 2,147,483,647; 3 is usual, 1 for Chinese"),
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
