"""Batches out of token shards: texts packed to a length, in an order that (seed, epoch) gives and any step can ask for.

Every way of packing answers the same question, `batch(number)`, and answers it alike forever: whoever knows the number
of the next batch knows where a run stands.
"""

from typing import Any, Protocol

from inlay.batch import Batch


class Batches(Protocol):
    """Batches by number: epoch after epoch, each in another order."""

    @property
    def per_epoch(self) -> int:
        """Batches in which every text comes once; the last may be smaller."""

    @property
    def identity(self) -> dict[str, Any]:
        """What must be equal for a run to be resumed: shards, vocabulary, packing, seed; plain JSON."""

    def batch(self, number: int) -> Batch:
        """The batch of that number, whatever was asked before; number // per_epoch is its epoch."""
