"""How a model does on text that it was not trained on."""

import numpy as np
import torch

from inlay.text.pack import Batches
from inlay.train.learner import Learner
from inlay.train.shares import apart
from inlay.train.world import World


@torch.no_grad()
def evaluate(
    learner: Learner, batches: Batches, *, seed: int = 0, most: int | None = None, world: World | None = None
) -> dict[str, float]:
    """The mean of every term, and `loss`, over the batches of one epoch (the first `most`), each prediction alike.

    The questions are the same each time they are asked with this seed. The learner is in eval mode meanwhile. Processes
    of a `world` share the batches, and each gets what all found.
    """
    modes, objective = [(module, module.training) for module in learner.modules()], learner.objective
    world = world or World()
    learner.eval()
    totals: dict[str, float] = {}
    counts: dict[str, float] = {}
    last = min(batches.per_epoch, most or batches.per_epoch)
    try:
        for first in range(0, last, world.size):
            # All processes bring weights together for each batch: one that has none left asks again, and counts it not.
            number = first + world.rank
            mine, number = number < last, min(number, last - 1)
            example = objective.draw(batches.batch(number), np.random.default_rng((seed, number)))
            sums = learner(example, dict.fromkeys(example.counts, 1.0))  # the learner is called, not its parts:
            for name, count in example.counts.items():  # it brings together the weights that lie in shares
                totals[name] = totals.get(name, 0.0) + (float(sums[name]) if mine else 0.0)
                counts[name] = counts.get(name, 0.0) + (count if mine else 0)
    finally:
        apart(learner)
        for module, mode in modes:
            module.training = mode
    both = world.sum([*totals.values(), *counts.values()])
    sizes = dict(zip(counts, both[len(totals) :], strict=True))
    means = {name: total / max(sizes[name], 1) for name, total in zip(totals, both, strict=False)}
    return {"loss": sum(mean * objective.weights.get(name, 1.0) for name, mean in means.items()), **means}
