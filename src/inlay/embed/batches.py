"""Batches: many texts through a backend, those of like length together, in memory that does not grow with their number.

N tokens, B texts, D numbers of a row.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inlay.batch import Batch
from inlay.embed.backend import Array, Backend
from inlay.embed.blas import blas_threads, one_thread
from inlay.errors import InputError

Ints = NDArray[np.int64]
Found = tuple[Ints, Ints, list[Array]]

_LEAST = 512
"""Tokens of a batch below which more threads do not pay."""


def encoded(
    backend: Backend,
    batch: Batch,
    layers: Sequence[int],
    *,
    budget: int = 4096,
    threads: int | None = None,
    exact: bool = False,
) -> Iterator[Found]:
    """The rows of every text, in parts of about `budget` tokens: (which texts, their lengths, a (N, D) for each layer).

    Every text is in one part, longest texts first; a text of more tokens than the budget has a part alone. The rows of
    a part are text after text. With `threads` parts are computed side by side, one in each; None: as many as NumPy
    multiplies with, where that is what computes. Neighbours, budget and threads change a number by its rounding at
    most; with `exact`, which computes each text alone, not by a bit. At most `threads` + 1 parts are held at a time.
    """
    if budget < 1 or (threads is not None and threads < 1):
        raise InputError(f"budget={budget} and threads={threads} must be at least 1")
    wanted = threads or ((blas_threads() or 1) if backend.name == "lean" else 1)
    if wanted > 1:
        # No thread should be left without work at the end.
        budget = min(budget, max(_LEAST, -(-batch.n_tokens // (2 * wanted))))
    parts = _parts(batch.lengths, budget, exact=exact)
    workers = min(wanted, len(parts))
    alone = one_thread() if backend.name == "lean" and (exact or workers > 1) else nullcontext(True)
    with alone as known:
        if workers < 2 or not known:
            # Where the library's own threads cannot be held back, more of ours would only stand in their way.
            for numbers in parts:
                yield _run(backend, batch, numbers, layers, exact=exact)
            return
        with ThreadPoolExecutor(workers, thread_name_prefix="encode") as pool:
            waiting: deque[Future[Found]] = deque()
            try:
                for numbers in parts:
                    waiting.append(pool.submit(_run, backend, batch, numbers, layers, exact=exact))
                    if len(waiting) > workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()


def _parts(lengths: Ints, budget: int, *, exact: bool) -> list[Ints]:
    """The numbers of the texts of each part."""
    order = np.argsort(-lengths, kind="stable")
    parts, start, tokens = list[Ints](), 0, 0
    for place, length in enumerate(lengths[order].tolist()):
        if place > start and tokens + length > budget:
            parts.append(order[start:place])
            start, tokens = place, 0
        tokens += length
    return [*parts, order[start:]] if len(order) else []


def _run(backend: Backend, batch: Batch, numbers: Ints, layers: Sequence[int], *, exact: bool) -> Found:
    if not exact:
        return numbers, batch.lengths[numbers], backend.states(_chosen(batch, numbers), layers)
    alone = [backend.states(_chosen(batch, numbers[i : i + 1]), layers) for i in range(len(numbers))]
    return numbers, batch.lengths[numbers], [np.concatenate(one) for one in zip(*alone, strict=True)]


def _chosen(batch: Batch, numbers: Ints) -> Batch:
    """The batch of these texts, in this order."""
    lengths, starts = batch.lengths[numbers], batch.starts[numbers]
    ends = np.cumsum(lengths)
    rows = np.arange(int(lengths.sum())) + np.repeat(starts - (ends - lengths), lengths)
    more: dict[str, Any] = {}
    for name in ("segments", "words"):
        if (column := getattr(batch, name)) is not None:
            more[name] = column[rows]
    return Batch(ids=batch.ids[rows], lengths=lengths, cut=batch.cut[numbers], **more)
