"""Contrastive learning: texts that belong together get near vectors, those of other pairs far ones.

P pairs, k negatives of a pair, B = P·(2 + k) texts, N tokens, D dimensions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inlay.batch import Batch, Columns
from inlay.errors import InputError, did_you_mean
from inlay.model.heads import Place, pick
from inlay.model.model import Model, ModelConfig
from inlay.model.packed import Packed
from inlay.objective.gradcache import GradCache, Whole
from inlay.objective.language import need_head
from inlay.objective.objective import Objective
from inlay.objective.similar import InfoNCE, Loss, Triplet, kept_apart

if TYPE_CHECKING:
    from inlay.tokenize.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Given:
    """Pairs come as `Columns`: anchors, positives, and columns of negatives where there are any."""


@dataclass(frozen=True, kw_only=True)
class Dropout:
    """A text is its own positive, read twice while dropout leaves out other numbers each time. Gao et al. 2021.

    SimCSE, arXiv:2104.08821. Batches are plain; texts that are equal are not each other's negatives. One text alone,
    which the last batch of an epoch may be, has no wrong answer and is no prediction. On held-out text nothing is left
    out: a text is where it was, and the loss says how far the others are from it.
    """


@dataclass(frozen=True, kw_only=True)
class Contrastive:
    """Vectors of texts, by which each finds what belongs to it: the mean error of all anchors.

    A pair's negatives are the other pairs of its own micro-batch, so that a larger micro-batch is a harder question;
    accumulating several is not the same as one that is large: for that there is `encoding=GradCache()`.
    """

    texts: ClassVar[str] = "sentences"
    positives: Given | Dropout = Given()
    """Where pairs come from."""
    pool: Place = "mean"
    """What of a text's rows is its vector: the first, the last, their mean, or the pooler's."""
    loss: InfoNCE | Triplet = InfoNCE()
    """What is asked of the vectors."""
    dims: tuple[int, ...] = ()
    """Shorter lengths at which the vectors must work as well, by cutting off the end; the loss is the mean over all.
    Kusupati et al. 2022, arXiv:2205.13147."""
    encoding: Whole | GradCache = Whole()
    """All texts of a batch at once, or in chunks, for batches that do not fit in memory."""

    def __post_init__(self) -> None:
        if self.pool not in get_args(Place):
            raise InputError(f"pool={self.pool!r} is unknown{did_you_mean(self.pool, get_args(Place))}")
        if isinstance(self.positives, Dropout) and isinstance(self.loss, Triplet):
            raise InputError("Triplet needs negatives, which positives=Dropout() has none of; take loss=InfoNCE()")

    def build(self, model: ModelConfig, tokenizer: "Tokenizer", *, seed: int = 0) -> "ContrastiveObjective":
        """The module; InputError where the model cannot give these vectors, or has no dropout to make pairs."""
        stack = model.encoder or model.decoder
        assert stack is not None
        if self.pool == "pooled":
            need_head(model, "pooler", "Contrastive with pool=pooled")
        if self.pool == "first" and stack.causal:
            raise InputError("the first row of a causal model has seen one token alone; take pool=last or pool=mean")
        if not all(0 < length < model.d_model for length in self.dims):
            raise InputError(f"dims={list(self.dims)} must lie between 1 and {model.d_model - 1}, below d_model")
        shares = (model.input.dropout, *vars(stack.dropout).values())
        if isinstance(self.positives, Dropout) and not any(shares):
            raise InputError(
                "this model has no dropout, so that a text read twice is the same; set encoder.dropout, or give pairs"
            )
        return ContrastiveObjective(self)


@dataclass(frozen=True, eq=False)
class ContrastiveExample:
    """The texts of all columns in one batch, read in one go, and who must not be taken for a wrong answer."""

    batch: Batch
    """B texts: all anchors, all positives, then each column of negatives."""
    pairs: int
    negatives: int
    """Columns of them."""
    apart: NDArray[np.bool_] | None
    """(P, P·(1 + k)) True where anchor and candidate must not meet; None: nowhere."""
    counts: dict[str, int]


class ContrastiveObjective(Objective):
    """Joins the columns, reads their vectors, and asks the loss."""

    weights = {"accuracy": 0.0, "temperature": 0.0}

    def __init__(self, config: Contrastive) -> None:
        super().__init__()
        self.config = config
        self.loss: Loss = config.loss.build()

    def draw(self, batch: Batch | Columns, rng: np.random.Generator) -> ContrastiveExample:
        """The columns side by side; nothing is left to chance here. InputError for pairs that ask nothing."""
        columns = self._columns(batch)
        for number, column in enumerate(columns.batches):
            if not column.lengths.all():
                name = ("anchor", "positive", "negative")[min(number, 2)]
                raise InputError(f"{name} {int(np.argmin(column.lengths))} has no tokens; leave the pair out")
        pairs, negatives = len(columns), len(columns.negatives)
        apart = kept_apart(columns.groups, pairs, negatives)
        counts = self.loss.counts(pairs, negatives)
        if isinstance(batch, Batch) and not _differ(columns.groups):
            counts = dict.fromkeys(counts, 0)
        else:
            self.loss.check(pairs, negatives, apart)
        return ContrastiveExample(joined(columns.batches), pairs, negatives, apart, counts)

    def terms(self, model: Model, example: ContrastiveExample) -> dict[str, Tensor]:  # type: ignore[override]
        return self.of_vectors(self.vectors(model, example.batch), example)

    def of_vectors(self, vectors: Tensor, example: ContrastiveExample) -> dict[str, Tensor]:
        """The terms, for whoever has read the vectors (B, D) of the example's texts already."""
        apart = None if example.apart is None else torch.from_numpy(example.apart).to(vectors.device)
        # Cosines of halves would be too coarse once they are divided by a small temperature.
        with torch.autocast(vectors.device.type, enabled=False):
            vectors = vectors.to(torch.promote_types(vectors.dtype, torch.float32))
            columns = vectors.split(example.pairs)
            found = self.loss(columns, apart)
            shorter = [self.loss([one[:, :n] for one in columns], apart) for n in self.config.dims]
        for other in shorter:
            found |= {name: found[name] + other[name] for name in self._asked(found)}
        asks = float(any(example.counts.values()))  # else it is no prediction, and 0 with a gradient of 0
        found |= {name: found[name] / (1 + len(shorter)) for name in self._asked(found)}
        return {name: value * asks for name, value in found.items()}

    def vectors(self, model: Model, batch: Batch | Packed) -> Tensor:
        """(B, D) the vector of each text, of whatever length it has."""
        return self.config.encoding.vectors(partial(read_vectors, model, self.config.pool), model.pack(batch))

    def _asked(self, terms: Sequence[str] | dict[str, Tensor]) -> Iterator[str]:
        return (name for name in terms if self.weights.get(name, 1.0))

    def _columns(self, batch: Batch | Columns) -> Columns:
        if isinstance(self.config.positives, Dropout):
            if isinstance(batch, Columns):
                raise InputError("positives=Dropout() makes pairs of single texts; give a Batch, or positives=Given()")
            return Columns(batch, batch, groups=_equal(batch))
        if not isinstance(batch, Columns):
            raise InputError("Contrastive needs pairs: give Columns(anchor, positive), or positives=Dropout()")
        return batch


def read_vectors(model: Model, pool: Place, packed: Packed) -> Tensor:
    """(N,) tokens -> (B, D) the vector of each text."""
    rows = model(packed) if model.encoder is None else model.encode(packed).rows
    return model.read("pooler", rows, packed.layout) if pool == "pooled" else pick(rows, packed.layout, pool)


def joined(batches: Sequence[Batch]) -> Batch:
    """All texts of all batches, one batch after another."""
    segments = None
    if any(batch.segments is not None for batch in batches):
        segments = np.concatenate([np.zeros_like(b.ids) if b.segments is None else b.segments for b in batches])
    return Batch(
        ids=np.concatenate([batch.ids for batch in batches]),
        lengths=np.concatenate([batch.lengths for batch in batches]),
        cut=np.concatenate([batch.cut for batch in batches]),
        segments=segments,
    )


def _differ(groups: NDArray[np.int64] | None) -> bool:
    """Whether texts of more than one group are there."""
    return groups is not None and len(np.unique(groups)) > 1


def _equal(batch: Batch) -> NDArray[np.int64]:
    """(P,) the same number for equal texts."""
    seen: dict[bytes, int] = {}
    texts = np.split(batch.ids, batch.starts[1:])
    return np.array([seen.setdefault(text.tobytes(), len(seen)) for text in texts], np.int64)
