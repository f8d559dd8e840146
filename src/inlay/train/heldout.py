"""How a model does on text that it was not trained on."""

import numpy as np
import torch

from inlay.model.model import Model
from inlay.objective.objective import Objective
from inlay.text.pack import Batches


@torch.no_grad()
def evaluate(
    model: Model, objective: Objective, batches: Batches, *, seed: int = 0, most: int | None = None
) -> dict[str, float]:
    """The mean of every term, and `loss`, over the batches of one epoch (the first `most`), each prediction alike.

    The questions are the same each time they are asked with this seed. The model is in eval mode meanwhile.
    """
    before = model.training, objective.training
    model.eval()
    objective.eval()
    totals: dict[str, float] = {}
    counts: dict[str, float] = {}
    try:
        for number in range(min(batches.per_epoch, most or batches.per_epoch)):
            example = objective.draw(batches.batch(number), np.random.default_rng((seed, number)))
            for name, total in objective.terms(model, example).items():
                totals[name] = totals.get(name, 0.0) + float(total)
                counts[name] = counts.get(name, 0.0) + example.counts[name]
    finally:
        model.train(before[0])
        objective.train(before[1])
    means = {name: total / max(counts[name], 1) for name, total in totals.items()}
    return {"loss": sum(mean * objective.weights.get(name, 1.0) for name, mean in means.items()), **means}
