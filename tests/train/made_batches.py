"""Batches by number out of random tokens, and a trainer on them, small enough to try things out with."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from inlay.batch import Batch
from inlay.model.model import Model
from inlay.model.presets import preset, resize
from inlay.model.stack import Dropout
from inlay.objective.causal import CausalObjective
from inlay.train.trainer import TrainConfig, Trainer


class Drawn:
    """Texts of random tokens; the batch of a number is the same forever."""

    per_epoch = 100

    def __init__(self, *, texts: int = 3, longest: int = 12, vocabulary: int = 50) -> None:
        self.texts, self.longest, self.vocabulary = texts, longest, vocabulary

    @property
    def identity(self) -> dict[str, Any]:
        return {"drawn": [self.texts, self.longest, self.vocabulary]}

    def batch(self, number: int) -> Batch:
        rng = np.random.default_rng(number)
        lengths = rng.integers(2, self.longest, self.texts)
        # Skewed, so that there is something to learn.
        return Batch.of([(self.vocabulary * rng.random(n) ** 3).astype(int).tolist() for n in lengths])


def small(seed: int = 0, *, dropout: float | None = None, **of_input: Any) -> Model:
    """GPT-2 with two layers of 16."""
    config = resize(preset("gpt2-tiny"), 2, 16, 2, 32, vocab_size=50, **of_input)
    if dropout is not None:
        assert config.decoder is not None
        stack = replace(config.decoder, dropout=Dropout(hidden=dropout, attention=dropout))
        config = replace(config, input=replace(config.input, dropout=dropout), decoder=stack)
    return config.build(seed=seed)


def trainer(model: Model | None = None, *, batches: Any = None, seed: int = 0, **config: Any) -> Trainer:
    """A trainer of it by causal language modelling, ten steps unless told otherwise."""
    given = TrainConfig(**({"steps": 10} | config))
    return Trainer(model or small(), CausalObjective(), batches or Drawn(), given, seed=seed)


def weights(of: Trainer) -> dict[str, torch.Tensor]:
    """A copy of all that is trained."""
    return {name: value.detach().clone() for name, value in of.learner.tensors()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
