"""Batch: the waist between text and models. Token ids of many texts, packed without padding."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# N tokens in all, B texts


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

    def __post_init__(self) -> None:
        if int(self.lengths.sum()) != len(self.ids) or len(self.cut) != len(self.lengths):
            raise ValueError(f"lengths sum to {self.lengths.sum()}, but there are {len(self.ids)} ids")

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
