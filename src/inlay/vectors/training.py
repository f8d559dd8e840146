"""How a corpus is trained on: in chunks, by threads that share the tables without locks, the learning rate falling."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.vectors.tokens import give_back

# V rows, D dimensions, n tokens

_CHUNK = 100_000
"""Tokens that a kernel works on before it looks up: the live line moves and Ctrl-C is heard between two chunks."""

_LINE = 16
"""Floats in a cache line: each row begins on one."""

Kernel = Callable[[NDArray[np.int32], int, int, NDArray[np.float64], NDArray[np.uint64]], int]
"""kernel(tokens, begin, end, rates, state): train on the sentences that begin in tokens[begin:end], with a learning
rate that goes from rates[0] to rates[1], and return where the next one begins; `state` (1,) is the random state."""


def check(rules: list[tuple[str, Any, bool, str]]) -> None:
    """Raise an InputError for the first (name, value, holds, rule) that does not hold."""
    for name, value, holds, rule in rules:
        if not holds:
            raise InputError(f"{name}={value} {rule}")


def check_whole(**values: object) -> None:
    """Raise an InputError for the first value that is no whole number: the kernels are compiled for those alone."""
    for name, value in values.items():
        if not isinstance(value, Integral):
            raise InputError(f"{name}={value!r} must be a whole number")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a training stands."""

    words: int
    """Words trained on so far, over all epochs."""
    total: int
    """Words to train on, over all epochs."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long, and how fast: `epochs` times through the text, from `alpha` down to `min_alpha`, on `threads`."""

    epochs: int
    alpha: float
    min_alpha: float
    threads: int = 1

    def rate(self, epochs_done: float) -> float:
        """The learning rate after so many epochs: linear."""
        return self.alpha - (self.alpha - self.min_alpha) * min(epochs_done / self.epochs, 1)


def run(
    kernel: Kernel, tokens: NDArray[np.int32], words: int, schedule: Schedule, rng: np.random.Generator
) -> Iterator[Progress]:
    """Run the kernel over all the tokens `epochs` times, and say a few times a second how far it is.

    `words` is how many words of text stand for an epoch on the live line. With one thread, the same `rng` gives the
    same bits. When the caller stops listening, the threads end after their chunk.
    """
    stop = threading.Event()
    stretches = _stretches(tokens, schedule.threads)
    done = np.zeros(len(stretches))  # epochs, with their fractions, that each thread has behind it

    def work(thread: int, tokens: NDArray[np.int32], state: NDArray[np.uint64]) -> None:
        for epoch in range(schedule.epochs):
            at = 0
            while at < len(tokens) and not stop.is_set():
                end = min(at + _CHUNK, len(tokens))
                rates = np.array([schedule.rate(done[thread]), schedule.rate(epoch + end / len(tokens))])
                begin, at = at, kernel(tokens, at, end, rates, state)
                give_back(tokens[begin:at])
                done[thread] = epoch + at / len(tokens)

    total = words * schedule.epochs
    with ThreadPoolExecutor(len(stretches)) as pool:
        try:
            running = {
                pool.submit(work, thread, tokens, rng.integers(1, 2**64, 1, np.uint64))
                for thread, tokens in enumerate(stretches)
            }
            while running:
                finished, running = wait(running, timeout=0.1, return_when=FIRST_COMPLETED)
                for future in finished:
                    future.result()
                yield Progress(words=round(total * float(done.mean()) / schedule.epochs), total=total)
        finally:
            stop.set()


def keep_probabilities(shares: NDArray[np.float64], sample: float) -> NDArray[np.float64]:
    """(V,) chance of each word to stay in the text: min(1, √(t/f) + t/f) for its share f and t = `sample`."""
    if not sample:
        return np.ones_like(shares)
    ratio = sample / shares
    return np.minimum(1, np.sqrt(ratio) + ratio)


def aligned(rows: int, dim: int) -> NDArray[np.float32]:
    """(rows, D or a little more) zeros; each row begins on a cache line."""
    width = -(-dim // _LINE) * _LINE
    room = np.zeros(rows * width + _LINE, np.float32)
    first = -(room.ctypes.data // 4) % _LINE
    return room[first : first + rows * width].reshape(rows, width)


def scatter(table: NDArray[np.float32], rng: np.random.Generator) -> None:
    """Fill `table` (rows, D) with small random numbers: evenly within ± 1 / 2D, as word2vec begins."""
    for first in range(0, len(table), 4096):
        block = table[first : first + 4096]
        block[:] = (rng.random(block.shape, np.float32) - 0.5) / block.shape[1]


def refuse_diverged(alpha: float, *tables: NDArray[np.float32]) -> None:
    """Raise an InputError where a number in the tables is not finite."""
    for table in tables:
        for first in range(0, len(table), 4096):
            if not np.isfinite(table[first : first + 4096]).all():
                raise InputError(f"training diverged (vectors are not finite); take an alpha smaller than {alpha}")


def packed(table: NDArray[np.float32], dim: int) -> NDArray[np.float32]:
    """(V, D) the table without what pads its rows, moved together in the same memory: the tables are most of it."""
    flat = table.reshape(-1)
    for first in range(0, len(table), 4096):
        rows = table[first : first + 4096, :dim].copy()
        flat[first * dim : first * dim + rows.size] = rows.ravel()
    return flat[: len(table) * dim].reshape(-1, dim)


def _stretches(tokens: NDArray[np.int32], threads: int) -> list[NDArray[np.int32]]:
    """The corpus in about equal parts that begin where a sentence does, one a thread; fewer for a tiny corpus."""
    starts = [0]
    for thread in range(1, threads):
        nominal = max(len(tokens) * thread // threads, starts[-1])
        ends = np.flatnonzero(tokens[nominal : nominal + 100_000] < 0)
        starts.append(nominal + int(ends[0]) + 1 if len(ends) else nominal)
    parts = [tokens[a:b] for a, b in zip(starts, [*starts[1:], len(tokens)], strict=True)]
    return [part for part in parts if len(part)]
