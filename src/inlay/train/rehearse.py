"""A rehearsal: what a pretraining would be, what it needs and how long it takes; nothing is written that stays."""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from inlay.config import to_tree
from inlay.model.budget import budget, count
from inlay.text.corpus import Corpus
from inlay.text.document import Document
from inlay.text.shardfile import Shards
from inlay.tokenize.tokenizer import Tokenizer
from inlay.train.pretrain import Work, model_of, trainer_of
from inlay.train.recipe import Given, Pretrain
from inlay.train.run import RunConfig
from inlay.vectors.wordvectors import WordVectors

_CHARACTERS = 2_000_000
"""Of the text that is looked at; more where a few batches are more."""
_SECONDS, _STEPS = 10.0, 5
"""How long steps are timed at most, and how many."""


def rehearse(config: Pretrain) -> dict[str, Any]:
    """The plan of a run: its resolved config, parameters, memory in bytes, steps, tokens, and seconds as a few real
    steps on the beginning of the text say; a plain tree. InputError for all that the run would not begin with.
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
        step, tokens, measured = _timed(wide, model, tokenizer, shards)
    steps = _steps(config.train, step, tokens)
    return {
        "config": to_tree(config),
        "parameters": count(model_config),
        "memory": asdict(budget(model_config, texts=config.data.batch, length=config.length)),
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


def _timed(config: Pretrain, model: Any, tokenizer: Tokenizer, shards: Shards) -> tuple[float, float, int]:
    """(seconds, tokens) of a step and how many were timed; the first one warms up and is left out."""
    trainer = trainer_of(config, model, tokenizer, shards)
    seconds, tokens, done = 0.0, 0, 0
    begin = time.monotonic()
    for step in trainer:
        if step.number > 1 or trainer.progress >= 1:
            seconds, tokens, done = seconds + step.seconds, tokens + step.tokens, done + 1
        if done and (done >= _STEPS or time.monotonic() - begin > _SECONDS):
            break
    return seconds / done, tokens / done, done


def _steps(train: RunConfig, seconds: float, tokens: float) -> int:
    """How many steps the run has: whatever ends first."""
    ends = [float(train.steps)] if train.steps is not None else []
    ends += [60 * train.minutes / seconds] if train.minutes is not None else []
    ends += [train.tokens / tokens] if train.tokens is not None else []
    return max(round(min(ends)), 1)
