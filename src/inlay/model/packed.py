"""Packed rows: where the texts of a batch lie, and how attention takes them out as rectangles.

N rows of all texts, B texts, b texts of one group, T and S the rows of a text in it (queries, keys).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inlay.batch import Batch
from inlay.errors import InputError
from inlay.model.scheme import At

_CALL = {"cpu": 1, "cuda": 1 << 14}
"""Padded rows that cost as much as one more call of attention. On a CPU a call is cheaper than any padding (measured);
on a GPU it keeps the card waiting (estimated)."""


class Layout:
    """Where B texts lie in N rows, one after another; `position` (N,) counts from 0 in each text unless it is given."""

    def __init__(
        self,
        lengths: Sequence[int],
        device: torch.device | str = "cpu",
        *,
        position: Sequence[int] | NDArray[np.int64] | None = None,
    ) -> None:
        self.lengths = tuple(int(length) for length in lengths)
        self.starts = tuple(accumulate(self.lengths, initial=0))[:-1]
        self.device = torch.device(device)
        self.plain = position is None
        """Positions count from 0, so that texts of one length share them."""
        self._position = position

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def n_rows(self) -> int:
        return sum(self.lengths)

    @property
    def longest(self) -> int:
        """One more than the highest position."""
        return max(self.lengths, default=0) if self._position is None else int(np.max(self._position, initial=-1)) + 1

    @property
    def even(self) -> bool:
        """All texts are of one length, and their positions are the same."""
        if len(set(self.lengths)) > 1:
            return False
        return self._position is None or bool(
            np.all(np.reshape(self._position, (len(self), -1)) == self._position[: self.lengths[0]])
        )

    @cached_property
    def position(self) -> Tensor:
        """(N,) int64, the place of each row in its text."""
        if self._position is not None:
            return self._tensor(np.asarray(self._position, np.int64))
        if len(set(self.lengths)) == 1:
            return torch.arange(self.lengths[0], device=self.device).repeat(len(self))
        return self._tensor(np.arange(self.n_rows) - np.repeat(self.starts, self.lengths))

    @cached_property
    def texts(self) -> Tensor:
        """(N,) int64, the number of the text that each row belongs to."""
        return self._tensor(np.repeat(np.arange(len(self)), self.lengths))

    @cached_property
    def first(self) -> Tensor:
        """(B,) int64, the first row of each text; a text without rows is an InputError."""
        return self._tensor(np.asarray(self._all_filled().starts))

    @cached_property
    def last(self) -> Tensor:
        """(B,) int64, the last row of each text; a text without rows is an InputError."""
        filled = self._all_filled()
        return self._tensor(np.asarray(filled.starts) + np.asarray(filled.lengths) - 1)

    def sorted(self) -> "tuple[Layout, list[int], Tensor] | None":
        """The same texts by length, their numbers (B,), and their rows (N,) here; None where they are so already."""
        if all(a <= b for a, b in pairwise(self.lengths)):
            return None
        order = np.argsort(self.lengths, kind="stable")
        starts, lengths = np.asarray(self.starts)[order], np.asarray(self.lengths)[order]
        rows = np.arange(self.n_rows) + np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
        position = None if self._position is None else np.asarray(self._position)[rows]
        return Layout(lengths.tolist(), self.device, position=position), order.tolist(), self._tensor(rows)

    def side(self, texts: Sequence[int]) -> "Side":
        """These texts as a rectangle."""
        lengths = np.asarray([self.lengths[text] for text in texts])
        starts = np.asarray([self.starts[text] for text in texts])
        start, stop, length = int(starts[0]), int(starts[-1] + lengths[-1]), int(lengths.max())
        if not np.array_equal(starts[1:], starts[:-1] + lengths[:-1]):
            start, stop = 0, self.n_rows  # they lie here and there
        elif lengths.min() == length:
            return Side(start, stop, len(texts), length)
        place = np.arange(length)[None]
        keep = place < lengths[:, None]
        return Side(
            start,
            stop,
            len(texts),
            length,
            index=self._tensor(np.where(keep, starts[:, None] - start + place, 0)),
            keep=self._tensor(keep),
            filled=self._tensor(np.flatnonzero(keep)),
        )

    def _all_filled(self) -> Self:
        if 0 in self.lengths:
            raise InputError(f"text {self.lengths.index(0)} has no tokens to read; leave empty texts out")
        return self

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device, non_blocking=True)


@dataclass(frozen=True, eq=False, slots=True)
class Side:
    """Some texts of a layout as a rectangle (b, T): a view where they are of one length, else gathered with padding."""

    start: int
    stop: int
    """Their rows are among those from start to stop: just those, where the texts lie one after another."""
    count: int
    length: int
    index: Tensor | None = None
    """(b, T) the row of each place, counted from `start`; 0 where there is none."""
    keep: Tensor | None = None
    """(b, T) True where there is a row; None: everywhere."""
    filled: Tensor | None = None
    """(n,) the places that hold a row, in the order of the rows."""

    def take(self, x: Tensor) -> Tensor:
        """(N, …) -> (b, T, …)."""
        return self.lay(x[self.start : self.stop])

    def lay(self, part: Tensor) -> Tensor:
        """(stop - start, …) -> (b, T, …)."""
        return part.unflatten(0, (self.count, self.length)) if self.index is None else part[self.index]

    def rows(self, y: Tensor) -> Tensor:
        """(b, T, …) -> (n, …): the rows again, without padding."""
        y = y.flatten(0, 1)
        return y if self.filled is None else y[self.filled]


@dataclass(frozen=True, eq=False, slots=True)
class Group:
    """Texts that attention takes in one call: their queries, one after another, and what they look at."""

    texts: Tensor
    """(b,) the numbers of the texts."""
    queries: Side
    keys: Side | None
    """None: the keys are in the decoder's cache."""
    at: At
    """Where queries and keys stand."""


def groups(
    queries: Layout,
    keys: Layout,
    *,
    numbers: Sequence[int] | None = None,
    q_segments: Tensor | None = None,
    k_segments: Tensor | None = None,
) -> list[Group]:
    """The texts in as few calls of attention as pay: neighbours whose lengths are close share one.

    Text i of `queries` looks at text `numbers[i]` of `keys`, or at text i. Texts without queries take no part.
    """
    numbers = range(len(keys)) if numbers is None else numbers
    found = []
    call = _CALL.get(queries.device.type, _CALL["cuda"])
    for run in _runs(queries.lengths, [keys.lengths[number] for number in numbers], call):
        q = queries.side(run)
        k = q if keys is queries else keys.side([numbers[text] for text in run])
        q_position = _position(queries, q)
        at = At(
            q=q_position,
            k=q_position if k is q else _position(keys, k),
            q_segment=None if q_segments is None else q.take(q_segments),
            k_segment=None if k_segments is None else k.take(k_segments),
            consecutive=queries.plain and keys.plain and keys is queries,
        )
        found.append(Group(torch.tensor(run, device=queries.device), q, k, at))
    return found


def _position(layout: Layout, side: Side) -> Tensor:
    return torch.arange(side.length, device=layout.device) if layout.plain else side.take(layout.position)


def _runs(queries: Sequence[int], keys: Sequence[int], call: int) -> list[list[int]]:
    runs: list[list[int]] = []
    waste, t, s = 0, 0, 0
    for text, (q, k) in enumerate(zip(queries, keys, strict=True)):
        if not q:
            continue
        if not k:
            raise InputError(f"text {text} has {q} tokens that look at an empty text; leave the pair out")
        if runs:
            wider, longer = max(t, q), max(s, k)
            more = waste + len(runs[-1]) * (wider + longer - t - s) + wider + longer - q - k
            if more <= call and more * 4 <= (wider + longer) * (len(runs[-1]) + 1):
                runs[-1].append(text)
                waste, t, s = more, wider, longer
                continue
        runs.append([text])
        waste, t, s = 0, q, k
    return runs


@dataclass(frozen=True, eq=False)
class Packed:
    """A batch on the model's device: ids (N,) int64, and where its texts lie."""

    ids: Tensor
    layout: Layout
    segments: Tensor | None = None
    """(N,) int64, or None for one segment."""

    @classmethod
    def of(cls, batch: Batch, device: torch.device | str = "cpu") -> Self:
        """The batch as tensors; a batch without tokens is an InputError."""
        if not len(batch.ids):
            raise InputError(f"the batch has no tokens in its {len(batch)} texts; leave empty texts out")
        segments = batch.segments
        return cls(
            torch.from_numpy(batch.ids.astype(np.int64)).to(device),
            Layout(batch.lengths.tolist(), device),
            None if segments is None else torch.from_numpy(segments.astype(np.int64)).to(device),
        )
