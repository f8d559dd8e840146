"""Regression: pairs of texts whose likeness is known as a number, and vectors whose cosines are to say the same.

P pairs, N tokens, D dimensions.
"""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from inlay.batch import Batch, Columns
from inlay.errors import InputError, did_you_mean
from inlay.model.heads import Place
from inlay.model.model import Model, ModelConfig
from inlay.model.packed import Packed
from inlay.objective.contrastive import joined, read_vectors
from inlay.objective.gradcache import GradCache, Whole
from inlay.objective.language import need_head
from inlay.objective.objective import Objective

if TYPE_CHECKING:
    from inlay.tokenize.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class CoSENT:
    """log(1 + Σ exp(scale · (cos j - cos i))) over all pairs i of a batch that are more alike than pairs j.

    Scores are compared and never measured, so that they may have any range. One number for each batch. Su 2022;
    Huang et al. 2024, "CoSENT: Consistent Sentence Embedding via Similarity Ranking", IEEE/ACM TASLP 32.
    """

    scale: float = 20.0
    """What cosines are multiplied by."""

    def __post_init__(self) -> None:
        if not 0 < self.scale <= 1000:
            raise InputError(f"scale={self.scale} must be above 0 and at most 1000; 20 is usual")

    def counts(self, pairs: int) -> dict[str, int]:
        """One prediction: the order of all pairs."""
        return {"order": 1}

    def terms(self, cosines: Tensor, scores: Tensor) -> dict[str, Tensor]:
        """(P,), (P,) -> the term; without two different scores it is 0."""
        gaps = self.scale * (cosines[:, None] - cosines)  # (P, P): column i may be the more alike one
        gaps = gaps.masked_fill(scores[:, None] >= scores, -torch.inf)
        return {"order": torch.cat([gaps.new_zeros(1), gaps.flatten()]).logsumexp(0)}

    def check(self, scores: NDArray[np.float64]) -> None:
        """Every finite number is a score."""


@dataclass(frozen=True, kw_only=True)
class Squares:
    """The mean of (cos - score)². Reimers & Gurevych 2019, arXiv:1908.10084."""

    def counts(self, pairs: int) -> dict[str, int]:
        """Every pair is a prediction."""
        return {"squares": pairs}

    def terms(self, cosines: Tensor, scores: Tensor) -> dict[str, Tensor]:
        """(P,), (P,) -> the term."""
        return {"squares": (cosines - scores).square().sum()}

    def check(self, scores: NDArray[np.float64]) -> None:
        """InputError for what no cosine can be."""
        if len(beyond := scores[np.abs(scores) > 1]):
            raise InputError(
                f"a score of {beyond[0]:g} is no cosine, which lies between -1 and 1; divide the scores by their "
                "largest, or take CoSENT, which only compares them"
            )


@dataclass(frozen=True, kw_only=True)
class Regression:
    """Pairs come as `Columns` with `scores`, anchors and positives being the two sides."""

    texts: ClassVar[str] = "sentences"
    pool: Place = "mean"
    """What of a text's rows is its vector."""
    loss: CoSENT | Squares = CoSENT()
    """What the cosines are held against."""
    dims: tuple[int, ...] = ()
    """Shorter lengths at which the vectors must work as well; the loss is the mean over all."""
    encoding: Whole | GradCache = Whole()
    """All texts of a batch at once, or in chunks, for batches that do not fit in memory."""

    def __post_init__(self) -> None:
        if self.pool not in get_args(Place):
            raise InputError(f"pool={self.pool!r} is unknown{did_you_mean(self.pool, get_args(Place))}")

    def build(self, model: ModelConfig, tokenizer: "Tokenizer", *, seed: int = 0) -> "RegressionObjective":
        """The module; InputError where the model cannot give these vectors."""
        if self.pool == "pooled":
            need_head(model, "pooler", "Regression with pool=pooled")
        if not all(0 < length < model.d_model for length in self.dims):
            raise InputError(f"dims={list(self.dims)} must lie between 1 and {model.d_model - 1}, below d_model")
        return RegressionObjective(self)


@dataclass(frozen=True, eq=False)
class RegressionExample:
    """Both sides of all pairs in one batch, and how alike they are."""

    batch: Batch
    """2 P texts: all first ones, then all second ones."""
    scores: NDArray[np.float64]
    counts: dict[str, int]


class RegressionObjective(Objective):
    """Reads both sides in one go, and compares their cosines with the scores."""

    def __init__(self, config: Regression) -> None:
        super().__init__()
        self.config = config

    def draw(self, batch: Batch | Columns, rng: np.random.Generator) -> RegressionExample:
        """Nothing is left to chance. InputError for pairs without scores, and texts without tokens."""
        if not isinstance(batch, Columns) or batch.scores is None:
            raise InputError("Regression needs pairs with scores: give Columns(left, right, scores=...)")
        for name, column in (("left", batch.anchor), ("right", batch.positive)):
            if not column.lengths.all():
                raise InputError(f"{name} {int(np.argmin(column.lengths))} has no tokens; leave the pair out")
        self.config.loss.check(batch.scores)
        both = joined((batch.anchor, batch.positive))
        return RegressionExample(both, batch.scores, self.config.loss.counts(len(batch)))

    def terms(self, model: Model, example: RegressionExample) -> dict[str, Tensor]:  # type: ignore[override]
        return self.of_vectors(self.vectors(model, example.batch), example)

    def of_vectors(self, vectors: Tensor, example: RegressionExample) -> dict[str, Tensor]:
        """The terms, for whoever has read the vectors (2 P, D) already."""
        with torch.autocast(vectors.device.type, enabled=False):
            vectors = vectors.to(torch.promote_types(vectors.dtype, torch.float32))
            scores = torch.from_numpy(example.scores).to(vectors)
            left, right = vectors.split(len(scores))
            lengths = (*self.config.dims, vectors.size(1))
            found = [
                self.config.loss.terms(F.cosine_similarity(left[:, :n], right[:, :n], dim=-1), scores) for n in lengths
            ]
        return {name: torch.stack([one[name] for one in found]).mean() for name in found[0]}

    def vectors(self, model: Model, batch: Batch | Packed) -> Tensor:
        """(2 P, D) the vector of each text."""
        return self.config.encoding.vectors(partial(read_vectors, model, self.config.pool), model.pack(batch))
