"""What a question asks of the machine: which texts go through which networks, and what is read of them.

For an objective and an example of kinds that are not known here, the model reads the example's batches once and tells
as many tokens as there are labels. What there is beyond that is not counted, so that a share of the peak is rather too
small than too large.
"""

from dataclasses import fields, replace
from functools import singledispatch
from typing import Any

from inlay.batch import Batch
from inlay.model.model import ModelConfig
from inlay.objective.distill import DistillExample, DistillObjective
from inlay.objective.distill_table import TableExample, TableObjective
from inlay.objective.objective import Objective
from inlay.objective.permuted import PermutedExample
from inlay.objective.replaced import ReplacedExample, ReplacedObjective
from inlay.objective.rewriting import Rewriting
from inlay.objective.sentence_pairs import PairExample
from inlay.objective.tsdae import TSDAEObjective
from inlay.train.peak import BACKWARD, forward_flops, stack_flops, training_flops


@singledispatch
def question_flops(objective: Objective, example: Any, config: ModelConfig) -> float:
    """Floating-point operations of learning from this example, forward and backward."""
    return example_flops(example, config)


@singledispatch
def example_flops(example: Any, config: ModelConfig) -> float:
    """The same of the model alone, without networks that the objective has of its own."""
    labels = getattr(example, "labels", None)
    asked = 0 if labels is None else len(labels)
    total = 0.0
    for field in fields(example):
        batch = getattr(example, field.name)
        if isinstance(batch, Batch):
            total += training_flops(_reader(config), _lengths(batch), heads=_language(config, asked))
            asked = 0  # of the first batch
    return total


@example_flops.register
def _(example: Rewriting, config: ModelConfig) -> float:
    heads = _language(config, len(example.labels))
    return training_flops(config, _lengths(example.source), target=_lengths(example.target), heads=heads)


@example_flops.register
def _(example: PairExample, config: ModelConfig) -> float:
    texts = len(example.labels)
    heads = _language(config, len(example.masked.labels)) | {"pooler": texts, "pair": texts}
    return training_flops(config, _lengths(example.masked.batch), heads=heads)


@example_flops.register
def _(example: PermutedExample, config: ModelConfig) -> float:
    batch = example.batch
    queries = [0] * len(batch)
    for text in batch.rows[example.at].tolist():
        queries[text] += 1
    return training_flops(config, _lengths(batch), queries=queries, heads=_language(config, len(example.labels)))


@question_flops.register
def _(objective: ReplacedObjective, example: ReplacedExample, config: ModelConfig) -> float:
    generator = example_flops(example.masked, objective.generator.config)
    return generator + training_flops(config, _lengths(example.batch), heads={"replaced": len(example.batch.ids)})


@question_flops.register
def _(objective: DistillObjective, example: DistillExample, config: ModelConfig) -> float:
    """The teacher reads, and learns nothing; its tokens are told where the student's are compared with them."""
    theirs = objective.teacher.model.config
    heads = _language(theirs, len(example.labels)) if "logits" in objective.parts else {}
    return example_flops(example, config) + forward_flops(theirs, _lengths(example.batch), heads=heads)


@question_flops.register
def _(objective: TableObjective, example: TableExample, config: ModelConfig) -> float:
    """The teacher's reading: a table of vectors takes next to nothing."""
    return forward_flops(objective.teacher.model.config, _lengths(example.read))


@question_flops.register
def _(objective: TSDAEObjective, example: Rewriting, config: ModelConfig) -> float:
    """The decoder reads one vector of each text."""
    target = _lengths(example.target)
    decoder = stack_flops(objective.decoder, target, source=[1] * len(target))
    told = 2.0 * len(example.labels) * config.vocab_size * config.d_embed
    return training_flops(config, _lengths(example.source)) + BACKWARD * (decoder + told)


def _reader(config: ModelConfig) -> ModelConfig:
    """What reads a text alone: without its decoder where there are both."""
    return replace(config, decoder=None) if config.encoder is not None and config.decoder is not None else config


def _language(config: ModelConfig, rows: int) -> dict[str, int]:
    return {"language": rows} if rows and any(head.name == "language" for head in config.heads) else {}


def _lengths(batch: Batch) -> list[int]:
    return batch.lengths.tolist()
