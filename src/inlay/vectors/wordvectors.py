"""WordVectors: words and their vectors; lookup, neighbours, analogies, sums of words, and policies for unseen words."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.vectors import storage
from inlay.vectors.analogy import ADD, Method, answers
from inlay.vectors.arithmetic import parse_sum
from inlay.vectors.nearest import largest
from inlay.vectors.storage import Full, Precision, Table
from inlay.vectors.unseen import Mean, NGrams, Refuse, Unk, Unseen, Zero
from inlay.vectors.words import Words

if TYPE_CHECKING:
    from inlay.vectors.subwords import Subwords

# V words, D dimensions, N words looked up, Q queries

_REFUSE = Refuse()


class WordVectors:
    """V words and their vectors, `matrix` (V, D) float32 or a smaller table, such as `packed` makes.

    `counts` (V,) says how often each word occurred in the training text, `context` (V, D) holds the vectors of the
    words as predicted words, `subwords` the n-grams that make vectors for unseen words; all three may be None. The
    arrays may be memory-mapped and are never changed.
    """

    def __init__(
        self,
        words: Sequence[str],
        matrix: NDArray[np.float32] | Table,
        counts: NDArray[np.int64] | None = None,
        context: NDArray[np.float32] | None = None,
        subwords: "Subwords | None" = None,
    ) -> None:
        self.words: Sequence[str] = words if isinstance(words, Words) else list(words)
        self.counts, self.context, self.subwords = counts, context, subwords
        if isinstance(matrix, np.ndarray):
            if matrix.ndim != 2 or matrix.dtype != np.float32 or len(matrix) != len(self.words):
                raise InputError(
                    f"{len(self.words)} words need a matrix of as many rows of float32, "
                    f"not {matrix.shape} {matrix.dtype}"
                )
            matrix = Full(matrix)
        self.table: Table = matrix
        if len(self.words) != self.table.shape[0]:
            raise InputError(f"{len(self.words)} words need a table of as many rows, not {self.table.shape}")
        if counts is not None and (counts.shape != (len(self),) or counts.dtype != np.int64):
            raise InputError(f"{len(self)} words need as many counts of int64, not {counts.shape} {counts.dtype}")
        if context is not None and (context.shape != self.table.shape or context.dtype != np.float32):
            shape = self.table.shape
            raise InputError(f"context must be float32 of shape {shape}, not {context.shape} {context.dtype}")
        if subwords is not None and (subwords.n_words != len(self) or subwords.inputs.shape[1] != self.dim):
            raise InputError(f"n-grams of {subwords.n_words} words by {subwords.inputs.shape[1]} fit no {self!r}")
        if not isinstance(words, Words):
            _ = self.index  # finds a word that stands twice

    @classmethod
    def load(cls, path: str | Path, *, verify: bool = True) -> "WordVectors":
        """The vectors in a file of any format of `inlay.vectors.formats`, told apart by content.

        A .safetensors file is memory-mapped, and read once to check that its bytes are those that were written and all
        numbers are finite; `verify=False` leaves that out, so that a file of any size opens at once, for one that was
        checked before.
        """
        from inlay.vectors.formats import load

        return load(path, verify=verify)

    def save(self, path: str | Path, *, format: str | None = None, force: bool = False) -> None:
        """Write .safetensors (everything), .txt/.vec (words and matrix), or .bin (with n-grams, where there are any).

        See `inlay.vectors.formats`.
        """
        from inlay.vectors.formats import save

        save(self, path, format=format, force=force)

    def packed(self, precision: Precision) -> "WordVectors":
        """These vectors for lookup in another precision: 'half' and 'int8' take 1/2 and 1/4 of the memory.

        Words, counts and subwords stay; the context is left behind, since training goes on from float32 alone. The
        errors are those of `inlay.vectors.storage`.
        """
        return WordVectors(self.words, storage.pack(self.matrix, precision), self.counts, subwords=self.subwords)

    @property
    def dim(self) -> int:
        """D"""
        return int(self.table.shape[1])

    @cached_property
    def matrix(self) -> NDArray[np.float32]:
        """(V, D) all vectors as float32: the table itself, or, where it is smaller, a decoded copy of it."""
        return self.table.take(slice(None))

    @cached_property
    def index(self) -> dict[str, int]:
        """The row of each word, made when first needed; InputError where a word stands twice."""
        index = {word: row for row, word in enumerate(self.words)}
        if len(index) != len(self.words):
            double = next(word for place, word in enumerate(self.words) if index[word] != place)
            raise InputError(f"the word {double!r} stands twice; each word has one vector")
        return index

    @cached_property
    def norms(self) -> NDArray[np.float32]:
        """(V,) the vectors' lengths."""
        return storage.norms(self.table)

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self.index

    def __getitem__(self, word: str) -> NDArray[np.float32]:
        """(D,) the vector of a word; an unseen one is an InputError."""
        return self.table.take(self._row(word))

    def __repr__(self) -> str:
        return f"WordVectors({len(self)} words, {self.dim} dimensions)"

    def _repr_html_(self) -> str:
        from inlay.vectors.notebook import html

        return html(self)

    def rows(self, words: Iterable[str], unseen: Unseen = _REFUSE) -> NDArray[np.float32]:
        """(N, D) the vectors of the words, in order; unseen words as the policy says."""
        return self._lookup(words, unseen, "; rows(..., Zero()) or rows(..., Mean()) take unseen words")

    def similarity(self, a: str, b: str, unseen: Unseen = _REFUSE) -> float:
        """The cosine of two words' vectors; 0 where one of them is zero."""
        first, second = self._units([a, b], unseen)
        return float(first @ second)

    def distance(self, a: str, b: str, unseen: Unseen = _REFUSE) -> float:
        """1 minus the cosine of two words' vectors: 0 for the same direction, 2 for opposite ones."""
        return 1 - self.similarity(a, b, unseen)

    def combine(self, weights: Mapping[str, float] | str, unseen: Unseen = _REFUSE) -> NDArray[np.float32]:
        """(D,) the sum of words, each of length 1 times its weight: of {"king": 1, "man": -1} or "king - man"."""
        weights = parse_sum(weights) if isinstance(weights, str) else weights
        if not weights:
            raise InputError("a sum needs a word at least")
        return np.array(list(weights.values()), np.float32) @ self._units(list(weights), unseen)

    def solve(
        self, weights: Mapping[str, float] | str, k: int = 10, unseen: Unseen = _REFUSE
    ) -> list[tuple[str, float]]:
        """The k words nearest by cosine to a sum of words, such as "king - man + woman", whose words are left out."""
        weights = parse_sum(weights) if isinstance(weights, str) else weights
        return self._named(*self.nearest(self.combine(weights, unseen)[None], k, self._known(weights)))

    def most_similar(
        self,
        positive: str | Sequence[str] = (),
        negative: str | Sequence[str] = (),
        k: int = 10,
        unseen: Unseen = _REFUSE,
    ) -> list[tuple[str, float]]:
        """The k words nearest by cosine to the sum of the positive words minus the negative ones, which are left out.

        Each word counts with length 1; the score is the cosine with the sum. Equal scores stand in order of frequency.
        """
        weights: dict[str, float] = {}
        for sign, words in ((1, positive), (-1, negative)):
            for word in [words] if isinstance(words, str) else words:
                weights[word] = weights.get(word, 0) + sign
        if not weights:
            raise InputError("most_similar needs a word to compare with; give at least one")
        return self.solve(weights, k, unseen)

    def analogy(
        self, a: str, b: str, c: str, k: int = 10, method: Method = ADD, unseen: Unseen = _REFUSE
    ) -> list[tuple[str, float]]:
        """The k words that are to c what b is to a: by ThreeCosAdd, nearest to b - a + c, or by ThreeCosMul."""
        given = self._lookup([a, b, c], unseen)[None]
        return self._named(*answers(self, given, k, method=method, without=self._known([a, b, c])))

    def doesnt_match(self, words: Sequence[str], unseen: Unseen = _REFUSE) -> str:
        """The word that is farthest by cosine from the mean of them all, each of length 1."""
        if len(words) < 3:
            raise InputError(f"{len(words)} words are too few to tell one from the others; give three or more")
        units = self._units(words, unseen)
        return words[int((units @ units.mean(axis=0)).argmin())]

    def nearest(
        self,
        queries: NDArray[np.float32],
        k: int,
        without: NDArray[np.int64] | None = None,
        restrict: int | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """((Q, k) rows, (Q, k) cosines) of the words nearest to each query (Q, D), exactly, the nearest first.

        `without` (Q, n) are rows left out of each query's answer; `restrict` looks at the first words only. Fewer
        than k columns come back where there are fewer words. InputError for queries of another shape.
        """
        if queries.ndim != 2 or queries.shape[1] != self.dim:
            raise InputError(f"queries of shape {queries.shape} must be rows of {self.dim} numbers, as the words have")
        if without is not None and (without.ndim != 2 or len(without) != len(queries)):
            raise InputError(f"without of shape {without.shape} must have a row for each of {len(queries)} queries")
        return largest(self.table, self.norms, queries[:, None], k, without=without, restrict=restrict)

    def _named(self, found: NDArray[np.int64], scores: NDArray[np.float32]) -> list[tuple[str, float]]:
        return [(self.words[row], float(score)) for row, score in zip(found[0], scores[0], strict=True)]

    def _lookup(self, words: Iterable[str], unseen: Unseen, way_out: str = "") -> NDArray[np.float32]:
        """(N, D) as `rows`; an error tells the way out."""
        if not isinstance(unseen, Unseen):
            raise InputError(f"unseen={unseen!r} must be Refuse(), Zero(), Mean(), NGrams() or Unk(word)")
        words, strict = list(words), isinstance(unseen, Refuse)
        places = np.array([self._row(word, way_out) if strict else self.index.get(word, -1) for word in words], int)
        vectors = self.table.take(places) if len(self) else np.zeros((len(places), self.dim), np.float32)
        for place in np.flatnonzero(places < 0):
            vectors[place] = self._instead(words[place], unseen)
        return vectors

    def _units(self, words: Sequence[str], unseen: Unseen) -> NDArray[np.float32]:
        """(N, D) the words' vectors with length 1, or 0 where they are zero."""
        return storage.units(self._lookup(words, unseen))

    def _known(self, words: Iterable[str]) -> NDArray[np.int64]:
        """(1, n) the rows of those words that have one, each once."""
        return np.array([list(dict.fromkeys(self.index[word] for word in words if word in self.index))], np.int64)

    def _instead(self, word: str, unseen: Unseen) -> NDArray[np.float32]:
        """(D,) the vector for an unseen word."""
        match unseen:
            case NGrams():
                if self.subwords is None:
                    raise InputError("no n-grams for unseen words in these vectors; fasttext trains them, or Zero()")
                return self.subwords.vector(word)
            case Unk(known):
                return self[known]
            case Mean():
                return self._mean
            case Zero() | _:
                return np.zeros(self.dim, np.float32)

    @cached_property
    def _mean(self) -> NDArray[np.float32]:
        return storage.mean(self.table)

    def _row(self, word: str, way_out: str = "") -> int:
        row = self.index.get(word)
        if row is None:
            raise InputError(f"{word!r} is not among the {len(self):,} words{self._guess(word) or way_out}")
        return row

    def _guess(self, word: str) -> str:
        """`; did you mean 'x'?`: another case of the word, or a close one with its first letter, or nothing."""
        cases = [case for case in (word.lower(), word.title(), word.upper()) if case in self.index]
        alike = islice((other for other in self.words if other[:1] == word[:1]), 5000)
        close = cases or difflib.get_close_matches(word, alike, n=1)
        return f"; did you mean {close[0]!r}?" if close else ""
