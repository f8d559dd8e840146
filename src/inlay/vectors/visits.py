"""The pairs of words in the order in which GloVe trains on them: visits to a part of the tables that fits in the cache.

A visit holds the pairs of some i, drawn by chance, with the j of one stripe of the vocabulary. Its pairs stand together
in a file, those of one i in a row, so that a shuffle of the visits reads the file in long stretches.
"""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inlay.files import disk_errors
from inlay.live import Live
from inlay.vectors.cooccurrence import Counts, let_go, mapped, unnamed_file

# R records, N visits

PAIR = np.dtype([("anchor", "<i4"), ("other", "<i4"), ("log", "<f4"), ("weight", "<f4")])
"""Two rows of the table, log x, and f(x) = min(1, (x / x_max) ** exponent)."""

_VISIT = 1 << 14
"""Pairs of a visit, about: enough to be worth the loading of a stripe, few enough for many turns to a stripe."""
_BLOCK = 1 << 20
"""Records read at a time."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Visits:
    """N visits in a temporary file that goes when this does, however the process ends."""

    pairs: NDArray[Any]
    """(R,) PAIR, memory-mapped."""
    ends: NDArray[np.int64]
    """(N + 1,) visit v is pairs[ends[v] : ends[v + 1]]."""


def arrange(
    counts: Counts, *, stripe: int, x_max: float, exponent: float, seed: int, folder: str | Path | None = None
) -> Visits:
    """The records of a matrix as visits of about equal size to stripes of so many words; memory does not grow with R.

    The same seed gives the same bytes. Raises InputError for a full disk.
    """
    from inlay.vectors.glove_kernels import scatter, tally_stripes, tally_visits

    records, key = counts.records, np.uint64(seed & 0xFFFFFFFFFFFFFFFF)
    with disk_errors(Path(folder or tempfile.gettempdir())), Live("ordering pairs", 3 * len(records)) as live:

        def over(kernel: Callable[..., None], *arguments: Any) -> None:
            for first in range(0, len(records), _BLOCK):
                block = records[first : first + _BLOCK]
                kernel(block, stripe, *arguments)
                live.advance(len(block))
                for array in (records, *arguments):
                    let_go(array)

        over(tally_stripes, in_stripe := np.zeros(-(-counts.n_words // stripe), np.int64))
        firsts = _sums(-(-in_stripe // _VISIT))
        over(tally_visits, firsts, key, in_visit := np.zeros(firsts[-1], np.int64))
        ends = _sums(in_visit)
        with unnamed_file(folder) as file:
            if len(records):
                os.posix_fallocate(file.fileno(), 0, len(records) * PAIR.itemsize)  # a full disk is found out here
                over(scatter, firsts, key, ends[:-1].copy(), mapped(file, PAIR, writable=True), x_max, exponent)
            pairs = mapped(file, PAIR)
    return Visits(pairs=pairs, ends=ends)


def _sums(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each begins, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(sizes)])
