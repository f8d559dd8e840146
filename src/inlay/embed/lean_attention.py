"""Attention without torch: texts of one length at a time, in tiles of scores that stay in the second-level cache.

N packed rows, b texts of one length T, H heads, K head size.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inlay.embed.lean_kernels import Array, softmax
from inlay.embed.lean_relative import Ints, Scheme, Tile

_TILE = 1 << 17
"""Scores of a tile: 512 kB."""


class Room:
    """Memory that is taken once and used again; for one thread at a time."""

    def __init__(self) -> None:
        self._held: dict[str, Array] = {}
        self.ones = np.ones(0, np.float32)

    def take(self, name: str, *shape: int) -> Array:
        """An array of that shape whose numbers are whatever was there; the last one of that name is overwritten."""
        size = int(np.prod(shape))
        if name not in self._held or len(self._held[name]) < size:
            self._held[name] = np.empty(size, np.float32)
        return self._held[name][:size].reshape(shape)

    def ones_of(self, n: int) -> Array:
        """(n,) ones."""
        if len(self.ones) < n:
            self.ones = np.ones(n, np.float32)
        return self.ones[:n]


@dataclass(frozen=True, slots=True)
class Group:
    """b texts of length T, one after another from row `start`."""

    start: int
    count: int
    length: int

    @property
    def rows(self) -> slice:
        return slice(self.start, self.start + self.count * self.length)


def groups(lengths: Ints) -> list[Group]:
    """Neighbours of one length; lengths (B,) are in order, and texts without tokens take no part."""
    values, counts = np.unique(lengths[lengths > 0], return_counts=True)
    starts = np.cumsum(values * counts) - values * counts
    return [Group(*map(int, one)) for one in zip(starts, counts, values, strict=True)]


def attend(
    qkv: Array,
    out: Array,
    texts: Sequence[Group],
    scheme: Scheme,
    room: Room,
    *,
    d_key: int,
    causal: bool = False,
    reach: int | None = None,
    segments: NDArray[np.int32] | None = None,
) -> None:
    """(N, 3·H·K), queries scaled -> out (N, H·K): the values that each token sees, weighed by its scores.

    A token sees its text, with `causal` what stands no later, with `reach` what is at most so far away.
    """
    for group in texts:
        t = group.length
        q, k, v = qkv[group.rows].reshape(group.count, t, 3, -1, d_key).transpose(2, 0, 3, 1, 4)  # (b, H, T, K)
        said = None if segments is None else segments[group.rows].reshape(group.count, t)
        seen = out[group.rows].reshape(group.count, t, -1, d_key).transpose(0, 2, 1, 3)
        for some, heads, rows in _tiles(group.count, q.shape[1], t):
            low = 0 if reach is None else max(0, rows.start - reach)
            high = min(rows.stop if causal else t, t if reach is None else rows.stop + reach)
            tile = Tile(
                q=q[some, heads, rows],
                k=k[some, heads, low:high],
                heads=heads,
                first=rows.start,
                left=low,
                length=t,
                segments=None if said is None else said[some],
            )
            scores = room.take("scores", *tile.q.shape[:3], high - low)
            np.matmul(tile.q, tile.k.swapaxes(-1, -2), out=scores)
            scheme.add(scores, tile)
            if causal or (reach is not None and t > reach + 1):
                distance = tile.distances
                hidden = distance > (0 if causal else t)
                if reach is not None:
                    hidden |= np.abs(distance) > reach
                np.copyto(scores, -np.inf, where=hidden)
            sums = softmax(scores, room.ones_of(high - low))
            weighed = room.take("weighed", *tile.q.shape)
            np.matmul(scores, v[some, heads, low:high], out=weighed)
            np.divide(weighed, sums, out=seen[some, heads, rows])


def _tiles(texts: int, heads: int, length: int) -> Iterator[tuple[slice, slice, slice]]:
    """Which texts, heads and queries share a tile: some texts whole, or some heads of one, or some queries of one."""
    n_texts = max(1, _TILE // (heads * length * length))
    n_heads = heads if heads * length * length <= _TILE else max(1, _TILE // (length * length))
    n_rows = length if length * length <= _TILE else max(1, _TILE // length)
    for text in range(0, texts, n_texts):
        for head in range(0, heads, n_heads):
            for row in range(0, length, n_rows):
                yield (
                    slice(text, min(text + n_texts, texts)),
                    slice(head, min(head + n_heads, heads)),
                    slice(row, min(row + n_rows, length)),
                )
