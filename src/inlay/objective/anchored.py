"""Anchored: a task on vectors, while every vector is held near to what another model makes of its text.

B texts, D dimensions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from inlay.batch import Batch, Columns
from inlay.errors import InputError
from inlay.model.model import Model, ModelConfig
from inlay.objective.contrastive import Contrastive, ContrastiveExample, ContrastiveObjective
from inlay.objective.distill_vectors import vectors_apart
from inlay.objective.objective import Objective
from inlay.objective.regression import Regression, RegressionExample, RegressionObjective

if TYPE_CHECKING:
    from inlay.tokenize.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Anchored:
    """The task's loss, and `weight` times the mean over all texts of 1 - cos(vector, the anchor's vector)."""

    task: Contrastive | Regression
    """What is to be learnt."""
    weight: float = 1.0
    """How much holding still counts beside it."""

    def __post_init__(self) -> None:
        if not 0 < self.weight < float("inf"):
            raise InputError(f"weight={self.weight} of the anchor must be above 0; 1 is usual, and 0 means no anchor")

    def build(self, model: ModelConfig, tokenizer: "Tokenizer", *, anchor: Model, seed: int = 0) -> "AnchoredObjective":
        """The module; `anchor` reads the same ids and has vectors of the same length, and is never changed."""
        assert (anchor.config.d_model, anchor.config.vocab_size) == (model.d_model, model.vocab_size)
        return AnchoredObjective(self, self.task.build(model, tokenizer, seed=seed), anchor)


class AnchoredObjective(Objective):
    """The task's terms, and `anchor`."""

    def __init__(self, config: Anchored, task: ContrastiveObjective | RegressionObjective, anchor: Model) -> None:
        super().__init__()
        self.task = task
        self.weights: Mapping[str, float] = {**task.weights, "anchor": config.weight}
        # In a tuple, so that no one takes its weights for something to train, to move or to keep.
        self._anchor = (anchor.eval(),)

    def draw(self, batch: Batch | Columns, rng: np.random.Generator) -> ContrastiveExample | RegressionExample:
        """What the task asks; the texts are the anchor's predictions too."""
        found = self.task.draw(batch, rng)
        return replace(found, counts={**found.counts, "anchor": len(found.batch)})

    def terms(self, model: Model, example: ContrastiveExample | RegressionExample) -> dict[str, Tensor]:  # type: ignore[override]
        packed = model.pack(example.batch)
        vectors = self.task.vectors(model, packed)
        with torch.no_grad():
            theirs = self.task.vectors(self._anchor[0].to(vectors.device), packed)
        found = self.task.of_vectors(vectors, example)  # type: ignore[arg-type]  # its own kind of example
        return {**found, "anchor": vectors_apart(vectors, theirs, "cosine")}
