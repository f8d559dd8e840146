"""How GloVe goes through its pairs: visit after visit in an order by chance, by threads that share the tables."""

import math
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from inlay.errors import InputError
from inlay.vectors.cooccurrence import let_go
from inlay.vectors.glove_state import State
from inlay.vectors.visits import Visits

if TYPE_CHECKING:
    from inlay.vectors.glove import Glove


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a training stands."""

    pairs: int
    """Pairs trained on so far, over all epochs; (i, j) and (j, i) are two, and so is (i, i) here."""
    total: int
    """Pairs to train on, over all epochs."""
    epoch: int
    """The epoch, from 1."""
    loss: float
    """Mean of f(x) (w · w̃ + b + b̃ - log x)² / 2 over the epoch so far; each pair's before its step, (i, i) is one."""
    whole: bool
    """The epoch ends here."""


def run(state: State, visits: Visits, config: "Glove") -> Iterator[Progress]:
    """Train the state from the epoch it has reached to the last one, and say a few times a second how far it is.

    The order of an epoch depends on the seed and its number alone, so that one thread gives the same bits wherever it
    was interrupted. When the caller stops listening, the threads end after their visit. Raises InputError where the
    loss is not finite.
    """
    for epoch in range(state.epochs, config.epochs):
        for done, trained, loss in _epoch(state, visits, config, np.random.default_rng([config.seed, 1 + epoch])):
            if not math.isfinite(loss):
                raise InputError(
                    f"training diverged in epoch {epoch + 1} (the loss is {loss}); take an alpha smaller than "
                    f"{config.alpha}"
                )
            whole = done == len(visits.pairs)
            state.done[0] = epoch + whole
            ways = 1 + config.symmetric
            yield Progress(
                pairs=(epoch * len(visits.pairs) + done) * ways,
                total=config.epochs * len(visits.pairs) * ways,
                epoch=epoch + 1,
                loss=loss / 2 / max(trained, 1),
                whole=whole,
            )


def _epoch(state: State, visits: Visits, config: "Glove", rng: np.random.Generator) -> Iterator[tuple[int, int, float]]:
    """One time through all records; yields how many are done, how many pairs they were, and the sum of the pairs'
    losses, at last once with all."""
    from inlay.vectors.glove_kernels import visit

    stop = threading.Event()
    queue = iter(rng.permutation(len(visits.ends) - 1).tolist())  # gives each visit to one thread
    done, trained = np.zeros((2, config.threads), np.int64)
    losses = np.zeros(config.threads)

    def work(thread: int, random: np.ndarray) -> None:
        for number in queue:
            if stop.is_set():
                return
            pairs = visits.pairs[visits.ends[number] : visits.ends[number + 1]]
            loss, n = visit(state.table, pairs, state.width, config.alpha, config.symmetric, random)
            losses[thread] += loss
            trained[thread] += n
            done[thread] += len(pairs)

    with ThreadPoolExecutor(config.threads) as pool:
        try:
            running = {
                pool.submit(work, thread, rng.integers(1, 2**64, 1, np.uint64)) for thread in range(config.threads)
            }
            while True:
                finished, running = wait(running, timeout=0.1, return_when=FIRST_COMPLETED)
                for future in finished:
                    future.result()
                if not running:
                    break
                let_go(visits.pairs)
                yield min(int(done.sum()), len(visits.pairs) - 1), int(trained.sum()), float(losses.sum())
            yield int(done.sum()), int(trained.sum()), float(losses.sum())
        finally:
            stop.set()
