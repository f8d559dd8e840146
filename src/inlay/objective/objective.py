"""Objective: what is predicted of a batch, and how far off the model is. `objective(model, batch, rng)["loss"]`.

Two steps, so that a mean over many micro-batches and machines is exact: `draw` decides in NumPy what is to be predicted
and how many predictions there are; `terms` sums the errors. Whoever knows the counts of all micro-batches divides.
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from torch import Tensor, nn

from inlay.batch import Batch, Candidates, Columns
from inlay.errors import InputError
from inlay.model.model import Model


class Example(Protocol):
    """A batch with what is to be predicted of it, drawn once and for all: arrays and batches, nothing random left."""

    @property
    def counts(self) -> Mapping[str, int]:
        """How many predictions each term's mean goes over."""


class Objective(nn.Module):
    """A corruption, a head and a loss; made by the `build` of its config, with the weights that it has of its own."""

    weights: Mapping[str, float] = {}
    """What a term's mean is multiplied by in the loss; 1 where nothing is said, 0 for a figure that is only shown."""

    @property
    def teller(self) -> Model | None:
        """Who tells tokens, where it is not the model that is trained."""
        return None

    def bind(self, model: Model) -> None:  # noqa: B027 - most objectives have nothing to do here
        """Called once before training, for an objective that shares parts with the model that it trains."""

    def models(self, model: Model) -> dict[str, Model]:
        """What learnt beside `model` and is worth keeping, by the name of its folder: whole copies, in eval mode."""
        return {}

    def draw(self, batch: Batch, rng: np.random.Generator) -> Example:
        """What is asked of this batch; the same generator state gives the same questions."""
        raise AssertionError("each objective says what it asks")

    def terms(self, model: Model, example: Example) -> dict[str, Tensor]:
        """The sum of errors of each term, over the predictions that `example.counts` counts."""
        raise AssertionError("each objective says what it sums")

    def forward(
        self,
        model: Model,
        batch: Batch | Columns | Candidates | Example,
        rng: np.random.Generator | None = None,
        *,
        over: Mapping[str, float] | None = None,
    ) -> dict[str, Tensor]:
        """`{"loss": …}` and each term by name, means all of them, for a batch or for what `draw` made of one.

        `over` gives the counts to divide by where this is a part of something larger; the parts' losses then add up to
        the whole's. A term without predictions is 0.
        """
        if isinstance(batch, Batch | Columns | Candidates):
            if rng is None:
                raise InputError("a batch needs rng, which decides what is asked of it; give np.random.default_rng(0)")
            batch = self.draw(batch, rng)  # type: ignore[arg-type]  # which of them, the objective says
        counts = batch.counts if over is None else over
        means = {name: total / max(counts[name], 1) for name, total in self.terms(model, batch).items()}
        parts = [mean * self.weights.get(name, 1.0) for name, mean in means.items() if self.weights.get(name, 1.0)]
        assert parts, "an objective without a term learns nothing"
        return {"loss": sum(parts[1:], parts[0]), **means}
