"""Parts: which rows of one table a vocabulary is composed of, while fastText trains them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inlay.vectors.subwords import Subwords, ngram_rows
from inlay.vectors.wordvectors import WordVectors

# V words, B buckets, N rows that some word is composed of, D dimensions, R n-grams of all words together

_BLOCK = 4096
"""Words or rows that are worked on at a time."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """The rows are numbered as the words meet them, frequent words first: what is used together lies together, and a
    bucket that no word meets takes no place."""

    min_n: int
    max_n: int
    buckets: int
    """B"""
    starts: NDArray[np.int64]
    """(V + 1,): word v is composed of rows[starts[v] : starts[v + 1]], its own row first."""
    rows: NDArray[np.int32]
    """(V + R,)"""
    places: NDArray[np.int64]
    """(N,): v for the own row of word v, V + b for the row of bucket b."""

    def __len__(self) -> int:
        return len(self.places)

    @property
    def n_words(self) -> int:
        """V"""
        return len(self.starts) - 1

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(V,) how many rows each word has."""
        return np.diff(self.starts)

    @property
    def own(self) -> NDArray[np.int32]:
        """(V,) each word's own row."""
        return self.rows[self.starts[:-1]]

    def compose(self, table: NDArray[np.float32], words: NDArray[np.int64]) -> NDArray[np.float32]:
        """(len(words), D) the vectors of the words, from `table` (N, D)."""
        from inlay.vectors.subword_kernels import add_rows

        vectors = np.zeros((len(words), table.shape[1]), np.float32)
        add_rows(table, self.starts, self.rows, words, vectors)
        vectors /= self.sizes[words].astype(np.float32)[:, None]
        return vectors

    def pin(
        self, table: NDArray[np.float32], words: NDArray[np.int64], given: WordVectors, there: NDArray[np.int64]
    ) -> None:
        """Change the words' own rows in `table` so that each is composed to its vector, given.matrix[there]."""
        table[self.own[words]] = 0
        for first in range(0, len(words), _BLOCK):
            block = words[first : first + _BLOCK]
            missing = given.matrix[there[first : first + _BLOCK]] - self.compose(table, block)
            table[self.own[block]] = missing * self.sizes[block].astype(np.float32)[:, None]

    def carry(self, table: NDArray[np.float32], given: Subwords) -> None:
        """Write the n-grams' rows that `given` has, of the same sizes, into `table` (N, D)."""
        mine = np.flatnonzero(self.places >= self.n_words)
        theirs = given.find(self.places[mine] - self.n_words)
        mine, theirs = mine[theirs >= 0], theirs[theirs >= 0]
        for first in range(0, len(mine), _BLOCK):
            table[mine[first : first + _BLOCK]] = given.inputs[theirs[first : first + _BLOCK]]

    def subwords(self, table: NDArray[np.float32]) -> Subwords:
        """The rows of `table` (N, D) in the order of `Subwords`: the words', then the buckets' that were met."""
        order = np.argsort(self.places)
        inputs = np.empty((len(order), table.shape[1]), np.float32)
        for first in range(0, len(order), _BLOCK):
            inputs[first : first + _BLOCK] = table[order[first : first + _BLOCK]]
        met = self.places[order[self.n_words :]] - self.n_words
        return Subwords(min_n=self.min_n, max_n=self.max_n, buckets=self.buckets, inputs=inputs, met=met)


def parts(words: Sequence[str], *, min_n: int, max_n: int, buckets: int) -> Parts:
    """The parts of the words, which stand by falling frequency."""
    from inlay.vectors.subword_kernels import number_rows

    bounds, rows, places = number_rows(*ngram_rows(words, min_n, max_n, buckets), buckets)
    return Parts(min_n=min_n, max_n=max_n, buckets=buckets, starts=bounds, rows=rows, places=places)
