"""What an example asks of the machine: which texts go through which networks, and what is read of them.

For an example of a kind that is not known here, the model reads its batches once and tells as many tokens as there are
labels: what an objective does beyond that is not counted, so that a share of the peak is rather too small.
"""

import dataclasses
from functools import singledispatch
from typing import Any

from inlay.batch import Batch
from inlay.model.model import ModelConfig
from inlay.objective.rewriting import Rewriting
from inlay.train.peak import training_flops


@singledispatch
def example_flops(example: Any, config: ModelConfig) -> float:
    """Floating-point operations of learning from this example, forward and backward."""
    labels = getattr(example, "labels", None)
    has_language = any(head.name == "language" for head in config.heads)
    asked = len(labels) if labels is not None and has_language else 0
    total = 0.0
    for field in dataclasses.fields(example):
        batch = getattr(example, field.name)
        if isinstance(batch, Batch) and config.encoder is not None and config.decoder is not None:
            total += training_flops(dataclasses.replace(config, decoder=None, heads=()), batch.lengths.tolist())
        elif isinstance(batch, Batch):
            total += training_flops(config, batch.lengths.tolist(), heads={"language": asked} if asked else None)
            asked = 0  # of the first batch
    return total


@example_flops.register
def _(example: Rewriting, config: ModelConfig) -> float:
    lengths, target = example.source.lengths.tolist(), example.target.lengths.tolist()
    return training_flops(config, lengths, target=target, heads={"language": len(example.labels)})
