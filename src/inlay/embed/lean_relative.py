"""Relative positions without torch: what each scheme does to queries and keys, and what it adds to scores.

N packed rows, b texts of a group, T tokens of a text, H heads, K head size, P distances, D model.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inlay.embed.lean_kernels import Array, sinusoid
from inlay.embed.lean_plan import XL, Buckets, Plan, Relative, Rotary, Shaw, Slopes
from inlay.embed.lean_weights import Tensors

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class Tile:
    """Some scores of a group: those of the queries `first` … of some texts and heads, with the keys `left` … ."""

    q: Array
    """(b, h, t, K), times the scale of scores."""
    k: Array
    """(b, h, s, K)"""
    heads: slice
    """Which heads these are."""
    first: int
    left: int
    length: int
    """T, of the whole text."""
    segments: NDArray[np.int32] | None = None
    """(b, T)"""

    @property
    def distances(self) -> Ints:
        """(t, s) key minus query."""
        rows, columns = np.arange(self.q.shape[2]) + self.first, np.arange(self.k.shape[2]) + self.left
        return columns - rows[:, None]


class Scheme(Protocol):
    """The relative positions of one block."""

    def turn(self, q: Array, k: Array, positions: Ints) -> None:
        """(N, H, K) twice, changed in place, for rows at these places of their texts."""

    def add(self, scores: Array, tile: Tile) -> None:
        """(b, h, t, s) scores, changed in place."""


class _Nothing:
    def turn(self, q: Array, k: Array, positions: Ints) -> None:
        """As they are."""

    def add(self, scores: Array, tile: Tile) -> None:
        """As they are."""


class _Turned(_Nothing):
    """Coordinate j turns with j + R/2."""

    def __init__(self, scheme: Rotary, d_key: int) -> None:
        self.width = int(d_key * scheme.fraction)
        step = np.arange(0, self.width, 2, dtype=np.float32) / np.float32(self.width)
        self.speed = np.float32(1) / np.float32(scheme.theta) ** step

    def turn(self, q: Array, k: Array, positions: Ints) -> None:
        """By angles that grow with the place."""
        angle = (np.arange(positions.max() + 1, dtype=np.float32)[:, None] * self.speed)[:, None]  # (P, 1, R/2)
        cos, sin, half = np.cos(angle), np.sin(angle), self.width // 2
        for rows in np.split(np.arange(len(q)), range(256, len(q), 256)):
            block = slice(rows[0], rows[-1] + 1)
            c, s = cos[positions[block]], sin[positions[block]]
            for x in (q[block], k[block]):
                a, b = x[..., :half], x[..., half : self.width]
                turned = a * s
                a *= c
                a -= b * s
                b *= c
                b += turned


class _ByDistance(_Nothing):
    """A number for each head and distance, the same for all queries and keys."""

    def __init__(self, heads: list[int]) -> None:
        self.heads = heads

    def numbers(self, distance: Ints) -> Array:
        """(P,) -> (H, P) of all heads."""
        raise AssertionError("a scheme says what it adds")

    def add(self, scores: Array, tile: Tile) -> None:
        """Laid out as a view: no (t, s) numbers are held."""
        t, s = scores.shape[2:]
        distance = np.arange(tile.left - tile.first - t + 1, tile.left - tile.first + s)
        by_distance = np.ascontiguousarray(self.numbers(distance)[self.heads][tile.heads])
        # Row i, column j is the number of distance j - i: one step left for each row.
        row, column = by_distance.strides
        scores += np.lib.stride_tricks.as_strided(
            by_distance[:, t - 1 :], (len(by_distance), t, s), (row, -column, column), writeable=False
        )


class _Bucketed(_ByDistance):
    def __init__(self, scheme: Buckets, table: Array, heads: list[int], *, causal: bool) -> None:
        super().__init__(heads)
        self.scheme, self.table, self.causal = scheme, table, causal

    def numbers(self, distance: Ints) -> Array:
        """From the table (buckets, H)."""
        return self.table[bucket(distance, self.scheme, causal=self.causal)].T


class _Sloped(_ByDistance):
    def __init__(self, n_heads: int, heads: list[int]) -> None:
        super().__init__(heads)
        n = 1 << n_heads.bit_length() - 1
        power = np.concatenate([np.arange(1, n + 1), np.arange(1, 2 * n, 2) / 2])[:n_heads]
        self.slopes = np.exp2(np.float32(-8 / n) * power.astype(np.float32))

    def numbers(self, distance: Ints) -> Array:
        """Steeper for some heads than for others."""
        return -self.slopes[:, None] * np.abs(distance).astype(np.float32)


class _Keyed(_Nothing):
    """Shaw's vectors: q·a of the distance, which ends at the table's."""

    def __init__(self, scheme: Shaw, table: Array) -> None:
        self.far, self.table = scheme.max_distance, table

    def add(self, scores: Array, tile: Tile) -> None:
        """Each query with each vector of the table, then laid out by keys."""
        of_table = tile.q @ self.table.T  # (b, h, t, 2 far + 1)
        index = np.clip(tile.distances, -self.far, self.far) + self.far
        scores += np.take_along_axis(of_table, np.broadcast_to(index, scores.shape), axis=-1)


@dataclass(frozen=True, eq=False)
class _XL(_Nothing):
    """u·k + (q + v)·R(i - j), and (q + s)·(same segment or another) where segments are given."""

    r: Array
    u: Array
    v: Array
    s: Array
    segment: Array
    scale: float

    def add(self, scores: Array, tile: Tile) -> None:
        """All three terms; queries are scaled already, so what is added to them is scaled too."""
        t, s = tile.q.shape[2], tile.k.shape[2]
        u, v, own = (one[tile.heads, None] for one in self.scaled)  # (h, 1, K)
        scores += u @ tile.k.swapaxes(-1, -2)
        # Column c is the distance query - key of the last key less c: one step left for each further query.
        high = tile.first + t - 1 - tile.left
        waves = sinusoid(np.arange(high, high - t - s + 1, -1), self.r.shape[1], 10_000.0, True) @ self.r.T
        waves = waves.reshape(len(waves), -1, self.u.shape[1])[:, tile.heads].transpose(1, 2, 0)  # (h, K, P)
        far = np.ascontiguousarray((tile.q + v) @ waves)  # (b, h, t, P)
        *outer, row, column = far.strides
        scores += np.lib.stride_tricks.as_strided(
            far[..., t - 1 :], scores.shape, (*outer, row - column, column), writeable=False
        )
        if tile.segments is not None:
            kinds = (tile.q + own) @ self.segment[:, tile.heads].transpose(1, 2, 0)  # (b, h, t, 2)
            here = tile.segments[:, tile.first : tile.first + t]
            there = tile.segments[:, tile.left : tile.left + s]
            same = (here[:, :, None] == there[:, None, :])[:, None]
            scores += np.where(same, kinds[..., :1], kinds[..., 1:])

    @cached_property
    def scaled(self) -> tuple[Array, Array, Array]:
        """u, v and s times the scale of scores."""
        factor = np.float32(self.scale)
        return self.u * factor, self.v * factor, self.s * factor


def bucket(distance: Ints, scheme: Buckets, *, causal: bool) -> Ints:
    """Whole numbers of any shape -> the bucket of each; near ones have their own, far ones share by their logarithm."""
    n, first = scheme.n_buckets, np.zeros_like(distance)
    if causal:
        far = np.maximum(-distance, 0)
    else:
        n //= 2
        far, first = np.abs(distance), (distance > 0) * n
    exact = n // 2
    ratio = np.maximum(far, 1).astype(np.float32) / np.float32(exact)
    share = np.log(ratio) / np.float32(np.log(scheme.max_distance / exact))
    return first + np.where(
        far < exact, far, np.minimum(exact + (share * np.float32(n - exact)).astype(np.int64), n - 1)
    )


def schemes(scheme: Relative, tensors: Tensors, prefix: str, plan: Plan) -> list[Scheme]:
    """The scheme of each block."""
    return [_scheme(scheme, tensors, prefix, plan, block) for block in range(plan.n_blocks)]


def _scheme(scheme: Relative, tensors: Tensors, prefix: str, plan: Plan, block: int) -> Scheme:
    name, scale = f"{prefix}{block}.", plan.d_key**-0.5 if plan.scale_scores else 1.0
    match scheme:
        case Rotary():
            return _Turned(scheme, plan.d_key)
        case Buckets():
            return _Bucketed(scheme, tensors[f"{prefix}0.table.weight"], plan.kept(block), causal=plan.causal)
        case Slopes():
            return _Sloped(plan.n_heads, plan.kept(block))
        case Shaw():
            return _Keyed(scheme, tensors[name + "table.weight"])
        case XL():
            u, v, s, segment = (tensors[name + one] for one in ("u", "v", "s", "segment"))
            return _XL(tensors[name + "r.weight"], u, v, s, segment, scale)
        case None:
            return _Nothing()
