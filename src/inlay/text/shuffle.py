"""Shuffling without memory: a permutation of [0, n) that is computed where it is asked for, keyed by (seed, epoch).

A Feistel network permutes the numbers of 2h bits whatever its rounds do; what falls beyond n is permuted again until it
falls below, which is a permutation of [0, n) (Black & Rogaway 2002, "Ciphers with arbitrary finite domains").
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 8
_FEW = 4096
"""So many are shuffled outright: on so few bits, a network gives some orders more often than others."""
_GOLDEN = 0x9E3779B97F4A7C15


def shuffled(numbers: NDArray[np.int64], n: int, key: tuple[int, ...]) -> NDArray[np.int64]:
    """Where each of these numbers below n goes, in a permutation of [0, n) that `key` chooses; shape as `numbers`."""
    values = np.asarray(numbers, np.uint64)
    assert (values < n).all(), "a number beyond what is shuffled"
    if n <= _FEW:
        return np.random.default_rng(key).permutation(n)[values.astype(np.int64)]
    half = ((n - 1).bit_length() + 1) // 2
    keys = np.random.SeedSequence(key).generate_state(_ROUNDS, np.uint64).astype(np.uint64)
    values = _permuted(values, half, keys)
    while (beyond := values >= n).any():
        values[beyond] = _permuted(values[beyond], half, keys)
    return values.astype(np.int64)


def _permuted(values: NDArray[np.uint64], half: int, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The values (2 * half bits each) after all rounds."""
    width, low = np.uint64(half), np.uint64((1 << half) - 1)
    left, right = values >> width, values & low
    for key in keys:
        left, right = right, left ^ (_mix(right + key) & low)
    return left << width | right


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """64 bits that look unlike those of x (SplitMix64)."""
    x = x * np.uint64(_GOLDEN)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@dataclass(frozen=True, kw_only=True)
class Order:
    """Which texts are in which batch."""

    texts: int
    per_batch: int
    key: tuple[int, ...] | None
    """What the order of each epoch is drawn from; None: always as they stand."""

    @property
    def per_epoch(self) -> int:
        """Batches in which every text comes once."""
        return -(-self.texts // self.per_batch)

    def at(self, number: int) -> tuple[int, NDArray[np.int64]]:
        """The epoch of a batch, and its texts by number; without a key every epoch is epoch 0."""
        assert number >= 0, "batches are counted from 0"
        epoch, place = divmod(number, self.per_epoch)
        numbers = np.arange(place * self.per_batch, min((place + 1) * self.per_batch, self.texts))
        return (0, numbers) if self.key is None else (epoch, shuffled(numbers, self.texts, (*self.key, epoch)))
