"""How a model does on text that it was not trained on."""

import numpy as np
import torch

from inlay.text.pack import Batches
from inlay.train.learner import Learner


@torch.no_grad()
def evaluate(learner: Learner, batches: Batches, *, seed: int = 0, most: int | None = None) -> dict[str, float]:
    """The mean of every term, and `loss`, over the batches of one epoch (the first `most`), each prediction alike.

    The questions are the same each time they are asked with this seed. The learner is in eval mode meanwhile.
    """
    modes, objective = [(module, module.training) for module in learner.modules()], learner.objective
    learner.eval()
    totals: dict[str, float] = {}
    counts: dict[str, float] = {}
    try:
        for number in range(min(batches.per_epoch, most or batches.per_epoch)):
            example = objective.draw(batches.batch(number), np.random.default_rng((seed, number)))
            sums = learner(example, dict.fromkeys(example.counts, 1.0))  # the learner is called, not its parts:
            for name, count in example.counts.items():  # it brings together the weights that lie in shares
                totals[name] = totals.get(name, 0.0) + float(sums[name])
                counts[name] = counts.get(name, 0.0) + count
    finally:
        for module, mode in modes:
            module.training = mode
    means = {name: total / max(counts[name], 1) for name, total in totals.items()}
    return {"loss": sum(mean * objective.weights.get(name, 1.0) for name, mean in means.items()), **means}
