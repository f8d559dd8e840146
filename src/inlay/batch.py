"""Batch: the waist between text and models. Token ids of many texts, packed without padding."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

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

    def __post_init__(self) -> None:
        if int(self.lengths.sum()) != len(self.ids) or len(self.cut) != len(self.lengths):
            raise ValueError(f"lengths sum to {self.lengths.sum()}, but there are {len(self.ids)} ids")
        if self.segments is not None and len(self.segments) != len(self.ids):
            raise ValueError(f"{len(self.segments)} segments for {len(self.ids)} ids; give one for each")
        if self.labels is not None and len(self.labels) not in (len(self.ids), len(self.lengths)):
            raise ValueError(f"{len(self.labels)} labels for {len(self.ids)} ids of {len(self.lengths)} texts")

    @classmethod
    def of(cls, texts: Sequence[Sequence[int]], segments: Sequence[Sequence[int]] | None = None) -> Self:
        """The batch of these lists of ids, and of their segments where given; nothing is cut."""
        lengths = np.array([len(text) for text in texts], np.int64)
        if segments is not None and [len(part) for part in segments] != lengths.tolist():
            raise InputError("segments must be as long as the ids, text by text")
        return cls(
            ids=_joined(texts),
            lengths=lengths,
            cut=np.zeros(len(lengths), np.int64),
            segments=None if segments is None else _joined(segments),
        )

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
            ids=ids[keep].astype(np.int32),
            lengths=lengths,
            cut=np.zeros(len(lengths), np.int64),
            segments=None if segments is None else np.asarray(segments)[keep].astype(np.int32),
        )

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def starts(self) -> NDArray[np.int64]:
        """(B,) where each text begins in `ids`."""
        return np.cumsum(self.lengths) - self.lengths

    @property
    def rows(self) -> NDArray[np.int64]:
        """(N,) which text each token belongs to."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)


def _joined(lists: Sequence[Sequence[int]]) -> NDArray[np.int32]:
    return np.concatenate([np.zeros(0, np.int32), *(np.asarray(one, np.int32) for one in lists)])
