"""A rehearsal: what a pretraining would be, what it needs and how long it takes; nothing is written that stays."""

import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from inlay.config import to_tree
from inlay.model.budget import Budget, budget, count
from inlay.text.corpus import Corpus
from inlay.text.document import Document
from inlay.tokenize.tokenizer import Tokenizer
from inlay.train.pretrain import Work, model_of, trainer_of
from inlay.train.recipe import Given, Pretrain
from inlay.train.run import RunConfig
from inlay.train.trainer import Trainer
from inlay.vectors.wordvectors import WordVectors

_CHARACTERS = 2_000_000
"""Of the text that is looked at; more where a few batches are more."""
_SECONDS, _STEPS = 10.0, 5
"""How long steps are timed at most, and how many."""


def rehearse(config: Pretrain) -> dict[str, Any]:
    """The plan of a run: its resolved config, parameters (and those that the objective has of its own), memory in
    bytes, steps, tokens, and seconds of training as a few real steps on the beginning of the text say; a plain tree.

    InputError for what does not go together; where the run would be written is not looked at.
    """
    config = config.resolved()
    device = config.train.place()
    with tempfile.TemporaryDirectory(prefix="inlay-") as temporary:
        work = Work(config, _sample(config) if config.data.sources else None)
        if isinstance(config.tokenizer, Given):
            tokenizer = Tokenizer.load(config.tokenizer.path)
        else:
            work.tokenizer(Path(temporary) / "tokenizer")
            tokenizer = Tokenizer.load(Path(temporary) / "tokenizer")
        shards = work.shards(tokenizer, config.data.shards or Path(temporary) / "shards")
        init = config.init.token
        vectors = WordVectors.load(init.path) if init is not None and init.path is not None else None
        # The beginning of a text has fewer tokens than all of it, and the table's size is a part of the cost.
        rows = max(tokenizer.size, config.model.input.get("vocab_size", 0), getattr(config.tokenizer, "size", 0))
        wide = replace(config, model=replace(config.model, input={**config.model.input, "vocab_size": rows}))
        model_config = model_of(wide, tokenizer, vectors)
        model = model_config.build(seed=config.seed).to(device)
        trainer = trainer_of(wide, model, tokenizer, shards)
        step, tokens, measured = _timed(trainer)
    steps = _steps(config.train, step, tokens)
    return {
        "config": to_tree(config),
        "parameters": count(model_config),
        "objective_parameters": sum(weight.numel() for weight in _own(trainer)),
        "memory": _memory(trainer, budget(model_config, texts=config.data.batch, length=config.length)),
        "steps": steps,
        "tokens": round(steps * tokens),
        "tokens_per_s": tokens / step,
        "seconds": steps * step,
        "measured_steps": measured,
    }


def _sample(config: Pretrain) -> Corpus:
    """The first documents of the source, as a corpus."""
    most = max(_CHARACTERS, 40 * config.data.batch * config.length)
    whole = Corpus(*config.data.sources, config=config.data.corpus)

    def first() -> Iterator[Document]:
        size = 0
        for document in whole:
            yield document
            size += len(document.full)
            if size > most:
                return

    return Corpus(list(first()))


def _timed(trainer: Trainer) -> tuple[float, float, int]:
    """(seconds, tokens) of a step and how many were timed; the first one warms up and is left out."""
    seconds, tokens, done = 0.0, 0, 0
    begin = time.monotonic()
    for step in trainer:
        if step.number > 1 or trainer.progress >= 1:
            seconds, tokens, done = seconds + step.seconds, tokens + step.tokens, done + 1
        if done and (done >= _STEPS or time.monotonic() - begin > _SECONDS):
            break
    return seconds / done, tokens / done, done


def _memory(trainer: Trainer, model: Budget) -> dict[str, int]:
    """Bytes: the model's activations and gradients as they are counted; the rest as it is after a few steps.

    What the objective has of its own is in it with its gradients, and without its activations.
    """
    own = sum(weight.nbytes for weight in _own(trainer))
    held = [value for _, value in trainer.learner.tensors()] + list((trainer.average or {}).values())
    held += [value for one in trainer.optimizers for state in one.state.values() for value in _tensors(state)]
    passing = model.training - 3 * model.weights  # the budget is that of AdamW and the model alone
    return asdict(model) | {"training": passing + own + sum(value.nbytes for value in held)}


def _own(trainer: Trainer) -> list[Tensor]:
    """What the objective learns beside the model; what both share is the model's."""
    named = trainer.learner.named_parameters()
    return [weight for name, weight in named if name.startswith("objective.") and weight.requires_grad]


def _tensors(state: Mapping[str, Any]) -> list[Tensor]:
    return [value for value in state.values() if isinstance(value, Tensor)]


def _steps(train: RunConfig, seconds: float, tokens: float) -> int:
    """How many steps the run has: whatever ends first."""
    ends = [float(train.steps)] if train.steps is not None else []
    ends += [60 * train.minutes / seconds] if train.minutes is not None else []
    ends += [train.tokens / tokens] if train.tokens is not None else []
    return max(round(min(ends)), 1)
