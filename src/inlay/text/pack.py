"""Batches out of token shards: texts packed to a length, in an order that (seed, epoch) gives and any step can ask for.

Every way of packing answers the same question, `batch(number)`, and answers it alike forever: whoever knows the number
of the next batch knows where a run stands.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from inlay.batch import Batch
from inlay.config import to_tree
from inlay.errors import InputError
from inlay.files import CHECKSUMS, sha256
from inlay.text.rows import Rows, RowTexts
from inlay.text.sentencetexts import PairTexts, SentencePairs, Sentences, SentenceTexts
from inlay.text.shardfile import SHARDS, Shards, Split
from inlay.text.shuffle import Order

__all__ = ["Batches", "Packing", "Rows", "SentencePairs", "Sentences", "pack"]

Packing = Rows | SentencePairs | Sentences


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


class _Texts(Protocol):
    """Texts by number."""

    def __len__(self) -> int: ...

    def batch(self, numbers: NDArray[np.int64], epoch: int) -> Batch:
        """These texts, as this epoch has them."""


class _Packed:
    """Texts in an order."""

    def __init__(self, texts: _Texts, order: Order, identity: dict[str, Any], size: int) -> None:
        self._texts, self._order, self._identity, self._size = texts, order, identity, size

    @property
    def per_epoch(self) -> int:
        return self._order.per_epoch

    @property
    def identity(self) -> dict[str, Any]:
        return dict(self._identity)

    def batch(self, number: int) -> Batch:
        epoch, numbers = self._order.at(number)
        batch = self._texts.batch(numbers, epoch)
        if batch.ids.max() >= self._size:
            raise InputError(
                f"batch {number} has id {batch.ids.max()}, but the vocabulary ends at {self._size - 1}; "
                "the shards are damaged: Shards.open(…, verify=True) says where"
            )
        return batch


def pack(shards: Shards, packing: Packing, *, split: Split = "train", per_batch: int, seed: int = 0) -> Batches:
    """The split's texts, packed: `per_batch` of them in a batch (rows, pairs or sentences), shuffled anew every epoch.

    What is held out comes in the order of the source, the same in every epoch. Raises InputError where there is less
    training text than one batch, where nothing is held out, and where the shards lack what the packing needs.
    """
    if per_batch < 1:
        raise InputError(f"per_batch={per_batch} must be at least 1")
    if seed < 0:
        raise InputError(f"seed={seed} must be at least 0")
    if not shards.documents(split).amount.documents:
        raise InputError(f"{shards.folder} holds nothing out; make the shards with --held-out 0.01 (held_out)")
    texts: _Texts
    if isinstance(packing, Rows):
        texts = RowTexts(shards, packing, split)
    elif isinstance(packing, Sentences):
        texts = SentenceTexts(shards, packing, split)
    else:
        texts = PairTexts(shards, packing, split, seed)
    if not len(texts):
        raise InputError(f"no document in {split} has the two tokens of a pair; give more text, or hold out more of it")
    if split == "train" and len(texts) < per_batch:
        raise InputError(
            f"the text gives {len(texts):,} texts of at most {packing.length} tokens, fewer than a batch of "
            f"{per_batch:,}; set the batch to {len(texts):,} or less, or give more text"
        )
    order = Order(texts=len(texts), per_batch=per_batch, key=None if split == "heldout" else (seed,))
    identity = {
        "shards": {name: sha256(shards.folder / name) for name in (SHARDS, CHECKSUMS)},
        "vocabulary": shards.facts.vocabulary,
        "packing": to_tree(packing, Packing),
        "split": split,
        "per_batch": per_batch,
        "seed": seed,
    }
    return _Packed(texts, order, identity, shards.facts.size)
