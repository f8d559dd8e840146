"""Batch: the waist between text and models. Token ids of many texts, packed without padding."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError

# N tokens in all, B texts, T tokens of the longest


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """B texts as one row of N token ids; text b occupies `ids[starts[b]:starts[b] + lengths[b]]`.

    `cut` (B,) says how many tokens each text lost to a length limit: nothing is dropped in silence.
    """

    ids: NDArray[np.int32]
    """(N,) token ids, text after text."""
    lengths: NDArray[np.int64]
    """(B,) tokens of each text; 0 where the text is empty."""
    cut: NDArray[np.int64]
    """(B,) tokens that did not fit."""
    segments: NDArray[np.int32] | None = None
    """(N,) which part of its text a token belongs to (0 the first, 1 the second of a pair); None: one part each."""
    labels: NDArray[np.int64] | None = None
    """What is to be predicted: (N,) for each token or (B,) for each text; the objective says which."""
    words: NDArray[np.bool_] | None = None
    """(N,) True where a token begins a word; None: nobody has looked, and a tokenizer's marks must tell."""

    def __post_init__(self) -> None:
        if self.lengths.min(initial=0) < 0:
            raise InputError(f"a text has a length of {self.lengths.min()}; it must be at least 0")
        if int(self.lengths.sum()) != len(self.ids):
            raise InputError(f"lengths sum to {self.lengths.sum()}, but there are {len(self.ids)} ids")
        if len(self.cut) != len(self.lengths):
            raise InputError(f"cut has {len(self.cut)} numbers for {len(self.lengths)} texts; give one for each")
        if self.segments is not None and len(self.segments) != len(self.ids):
            raise InputError(f"{len(self.segments)} segments for {len(self.ids)} ids; give one for each")
        if self.words is not None and len(self.words) != len(self.ids):
            raise InputError(f"{len(self.words)} word marks for {len(self.ids)} ids; give one for each")
        if self.labels is not None and len(self.labels) not in (len(self.ids), len(self.lengths)):
            raise InputError(f"{len(self.labels)} labels for {len(self.ids)} ids of {len(self.lengths)} texts")

    @classmethod
    def of(cls, texts: Sequence[Sequence[int]], segments: Sequence[Sequence[int]] | None = None) -> Self:
        """The batch of these lists of ids, and of their segments where given; nothing is cut."""
        ids, lengths = _joined("ids", texts)
        if segments is None:
            return cls(ids=ids, lengths=lengths, cut=np.zeros_like(lengths))
        parts, sizes = _joined("segments", segments)
        if not np.array_equal(sizes, lengths):
            raise InputError("segments must be as long as the ids, text by text")
        return cls(ids=ids, lengths=lengths, cut=np.zeros_like(lengths), segments=parts)

    @classmethod
    def from_padded(
        cls, ids: NDArray[np.integer], keep: NDArray[np.bool_], segments: NDArray[np.integer] | None = None
    ) -> Self:
        """The batch of a padded rectangle (B, T); `keep` is True where there is a token, wherever the padding is."""
        ids, keep = np.asarray(ids), np.asarray(keep, bool)
        if ids.ndim != 2 or ids.shape != keep.shape or (segments is not None and np.shape(segments) != ids.shape):
            raise InputError(f"ids {ids.shape}, keep {keep.shape}: a padded batch has (texts, tokens) for each")
        lengths = keep.sum(1, dtype=np.int64)
        return cls(
            ids=_whole("ids", ids[keep]),
            lengths=lengths,
            cut=np.zeros(len(lengths), np.int64),
            segments=None if segments is None else _whole("segments", np.asarray(segments)[keep]),
        )

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def n_tokens(self) -> int:
        """Tokens of all texts."""
        return len(self.ids)

    @property
    def starts(self) -> NDArray[np.int64]:
        """(B,) where each text begins in `ids`."""
        return np.cumsum(self.lengths) - self.lengths

    @property
    def rows(self) -> NDArray[np.int64]:
        """(N,) which text each token belongs to."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)


@dataclass(frozen=True, slots=True)
class Columns:
    """P pairs of texts as batches side by side: text i of each column belongs to pair i.

    `groups` says which texts come from one document, so that none of them is taken for a wrong answer: (P,) one number
    for each pair, or (P, 1 + k) the positive's and that of each of k negatives.
    """

    anchor: Batch
    """What asks."""
    positive: Batch
    """What answers it."""
    negatives: tuple[Batch, ...] = ()
    """k columns of what does not, though it may look so."""
    groups: NDArray[np.int64] | None = None
    scores: NDArray[np.float64] | None = None
    """(P,) how alike anchor and positive are, where that is known as a number."""

    def __post_init__(self) -> None:
        if self.scores is not None and self.scores.shape != (len(self.anchor),):
            raise InputError(f"scores of shape {self.scores.shape} for {len(self.anchor)} pairs; give one for each")
        names = ["anchor", "positive", *(f"negatives[{i}]" for i in range(len(self.negatives)))]
        for name, column in zip(names, self.batches, strict=True):
            if len(column) != len(self.anchor):
                raise InputError(f"{name} has {len(column)} texts for {len(self.anchor)} anchors; give one for each")
        one, each = (len(self.anchor),), (len(self.anchor), 1 + len(self.negatives))
        if self.groups is not None and self.groups.shape not in (one, each):
            raise InputError(f"groups of shape {self.groups.shape} must have the shape {one} or {each}")

    def __len__(self) -> int:
        return len(self.anchor)

    @property
    def batches(self) -> tuple[Batch, ...]:
        """Anchors, positives, and each column of negatives."""
        return (self.anchor, self.positive, *self.negatives)

    @property
    def n_tokens(self) -> int:
        """Tokens of all columns."""
        return sum(column.n_tokens for column in self.batches)


@dataclass(frozen=True, slots=True)
class Candidates:
    """B pairs of a query and a text that may answer it, each read together; those of one query are a list."""

    pairs: Batch
    """Query and text of each pair, as a cross-encoder reads them."""
    lists: NDArray[np.int64]
    """(B,) which query's list a pair belongs to."""
    relevance: NDArray[np.float64]
    """(B,) how well the text answers: 0 for not at all."""

    def __post_init__(self) -> None:
        for name, given in (("lists", self.lists), ("relevance", self.relevance)):
            if given.shape != (len(self.pairs),):
                raise InputError(f"{name} of shape {given.shape} for {len(self.pairs)} pairs; give one for each")
        if not np.isfinite(self.relevance).all():
            raise InputError("a relevance is no finite number; give 0 for what does not answer, 1 for what does")

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def n_tokens(self) -> int:
        """Tokens of all pairs."""
        return self.pairs.n_tokens


def _joined(name: str, lists: Sequence[Sequence[int]]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The lists one after another (N,), and how long each is (B,)."""
    arrays = [np.asarray(one) for one in lists]
    for text, array in enumerate(arrays):
        if array.ndim != 1:
            raise InputError(f"{name} of text {text} are {lists[text]!r}, which is no list of whole numbers")
    filled = [array for array in arrays if len(array)]  # numpy takes an empty list for floats
    joined = _whole(name, np.concatenate(filled)) if filled else np.zeros(0, np.int32)
    return joined, np.array([len(array) for array in arrays], np.int64)


def _whole(name: str, numbers: NDArray[Any]) -> NDArray[np.int32]:
    """The same numbers, as int32; those that it cannot hold are an InputError."""
    if numbers.dtype.kind not in "iub":
        raise InputError(f"{name} must be whole numbers of 32 bits, not {numbers.dtype}")
    found = numbers.astype(np.int32)
    if not np.array_equal(found, numbers):
        raise InputError(f"{name} must be whole numbers of 32 bits, not {numbers[found != numbers][0]}")
    return found
