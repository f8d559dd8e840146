"""Summing up: pieces of text through the encoder, their rows pooled as they come, so that few are ever held."""

# P pieces, S runs, G groups, N tokens of a batch, K pools, D numbers of a row

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inlay.batch import Batch
from inlay.embed.backend import Array, Backend
from inlay.embed.batches import encoded
from inlay.embed.layers import Layer, combined, needed, width
from inlay.embed.long import Ints
from inlay.embed.pool import Pool, Segments, merged, summaries
from inlay.embed.reading import ranges

BUDGET = 4096
"""Tokens of a batch: enough for the matrix products, little enough for the cache."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """How an encoder is run: which rows, in how many threads, and whether company may change the last bit."""

    backend: Backend
    layer: Layer
    threads: int | None = None
    exact: bool = False

    @property
    def width(self) -> int:
        """Numbers of a token's row."""
        return width(self.layer, self.backend.dim)

    def rows(self, batch: Batch) -> Iterator[tuple[Ints, Ints, Array]]:
        """Which pieces, how many tokens each, and their rows (N, D), batch after batch; empty pieces never come."""
        layers = needed(self.layer, self.backend.n_layers)
        if not batch.n_tokens:
            return
        for numbers, lengths, states in encoded(
            self.backend, batch, layers, budget=BUDGET, threads=self.threads, exact=self.exact
        ):
            yield numbers, lengths, combined(states, self.layer)


@dataclass(frozen=True, slots=True)
class Runs:
    """S runs of tokens to be pooled, piece by piece and in order: run s is `sizes[s]` rows from `starts[s]` on."""

    pieces: Ints
    """(S,) which piece's rows; never falls."""
    starts: Ints
    """(S,) counted from the piece's first row."""
    segments: Segments
    """Which group each run belongs to."""


def pooled(running: Running, batch: Batch, runs: Runs, pools: Sequence[Pool], n_groups: int) -> Array:
    """(G, K · D): the pools over the rows of each group's runs; zero for a group that has none.

    Memory is one batch's rows and a row for each run, however long a group is.
    """
    sizes, places = runs.segments.sizes, runs.segments.places
    found = np.zeros((len(sizes), len(pools) * running.width), np.float32)
    bounds = np.searchsorted(runs.pieces, np.arange(len(batch) + 1))
    for numbers, lengths, rows in running.rows(batch):
        counts = bounds[numbers + 1] - bounds[numbers]
        chosen = ranges(bounds[numbers], counts)
        starts = np.repeat(np.cumsum(lengths) - lengths, counts) + runs.starts[chosen]
        if int(sizes[chosen].sum()) != len(rows):
            rows = rows[ranges(starts, sizes[chosen])]
        found[chosen] = summaries(rows, sizes[chosen], places[chosen], pools)
    return merged(found, runs.segments, pools, n_groups)


def gathered(running: Running, batch: Batch, runs: Runs) -> Array:
    """(sum of the runs' sizes, D): the rows of the runs, run after run."""
    sizes = runs.segments.sizes
    found: NDArray[np.float32] = np.zeros((int(sizes.sum()), running.width), np.float32)
    ends = np.cumsum(sizes) - sizes
    bounds = np.searchsorted(runs.pieces, np.arange(len(batch) + 1))
    for numbers, lengths, rows in running.rows(batch):
        counts = bounds[numbers + 1] - bounds[numbers]
        chosen = ranges(bounds[numbers], counts)
        starts = np.repeat(np.cumsum(lengths) - lengths, counts) + runs.starts[chosen]
        found[ranges(ends[chosen], sizes[chosen])] = rows[ranges(starts, sizes[chosen])]
    return found
