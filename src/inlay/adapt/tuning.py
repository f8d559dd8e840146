"""Tuning: the steps that move a model's weights, each a run of the trainer with checkpoints to go on from."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from inlay.adapt.batches import PairBatches, ScoreBatches, TextBatches, all_sentences, passages
from inlay.adapt.config import MLM, TSDAE, Contrast
from inlay.adapt.pairs import Pairs
from inlay.embed.embedder import prompt_of
from inlay.embed.folder import Parts
from inlay.embed.layers import At
from inlay.embed.pool import CLS, Last, Mean
from inlay.errors import InputError
from inlay.text.document import Document
from inlay.text.labelled import Alike

if TYPE_CHECKING:
    from inlay.model.model import Model
    from inlay.objective.objective import Objective
    from inlay.text.pack import Batches
    from inlay.tokenize.tokenizer import Tokenizer

Place = Literal["first", "last", "mean"]
_CHECKPOINT = 50
"""Steps from one checkpoint to the next."""


def place_of(parts: Parts) -> Place:
    """Which row is a text's vector; InputError for an embedder whose vectors are made in a way that is not tuned."""
    config = parts.config
    apart = not config.pool_prompt and any(config.prompts.values())  # rows of the prompt are left out of the mean
    if apart or parts.dense or config.layer != At(layer=-1) or len(config.pools) != 1:
        raise InputError(
            f"{parts.place}: its vectors are made of more than the last layer's rows by one pool, and such a model "
            "cannot be tuned here; take one without dense layers, with one pool that reads prompts too"
        )
    match config.pools[0]:
        case Mean():
            return "mean"
        case CLS():
            return "first"
        case Last():
            return "last"
        case other:
            raise InputError(
                f"{parts.place}: pools by {type(other).__name__}, and what is tuned is Mean, CLS or Last; "
                "take another base"
            )


def prompts_of(parts: Parts) -> tuple[str, str]:
    """What the model reads before a query, and before what is searched, where vectors are made of them."""
    query, document = (
        prompt_of(parts.config.prompts, role, parts.config.default_prompt) for role in ("query", "document")
    )
    return query, document


def learn_text(
    model: "Model",
    tokenizer: "Tokenizer",
    documents: Sequence[Document],
    beside: Sequence[str],
    config: MLM | TSDAE,
    folder: Path,
    *,
    place: Place,
    max_length: int,
    threads: int | None,
    seed: int,
) -> "Model":
    """The model after it has learnt from text as it stands; without the heads that were needed for it alone."""
    from inlay.objective.masked import MaskedLM
    from inlay.objective.tsdae import TSDAE as Denoising

    objective: Objective
    if isinstance(config, MLM):
        learner = _with_language(model, seed)
        objective = MaskedLM(p=config.p).build(learner.config, tokenizer, seed=seed)
        texts = passages(documents, beside, max_length)
    else:
        learner = model
        pool: Literal["cls", "mean"] = "mean" if place == "mean" else "cls"
        objective = Denoising(share=config.share, pool=pool).build(learner.config, tokenizer, seed=seed)
        texts = all_sentences(documents, beside)
    batches = TextBatches(texts, tokenizer, per_batch=config.batch, max_length=max_length, seed=seed)
    run(learner, objective, batches, folder, steps=config.steps, lr=config.lr, threads=threads, seed=seed)
    if learner is not model:
        own = model.state_dict()
        model.load_state_dict({name: value for name, value in learner.state_dict().items() if name in own})
    return model


def learn_pairs(
    model: "Model",
    anchor: "Model | None",
    tokenizer: "Tokenizer",
    pairs: "Pairs | Sequence[Alike]",
    config: Contrast,
    folder: Path,
    *,
    place: Place,
    prompts: tuple[str, str],
    max_length: int,
    threads: int | None,
    seed: int,
) -> "Model":
    """The model after it has learnt from pairs; `anchor` is what its vectors are held near to, where there is one."""
    from inlay.objective.anchored import Anchored
    from inlay.objective.contrastive import Contrastive
    from inlay.objective.gradcache import GradCache, Whole
    from inlay.objective.regression import CoSENT, Regression, Squares
    from inlay.objective.similar import InfoNCE
    from inlay.objective.temperature import Fixed

    encoding = Whole() if config.chunk is None else GradCache(tokens=config.chunk)
    task: Contrastive | Regression
    batches: Batches
    if isinstance(pairs, Pairs):
        loss = InfoNCE(temperature=Fixed(value=config.temperature))
        task = Contrastive(pool=place, loss=loss, dims=config.dims, encoding=encoding)
        batches = PairBatches(  # type: ignore[assignment]  # columns, which the task asks for
            pairs, tokenizer, per_batch=config.batch, max_length=max_length, seed=seed, prompts=prompts
        )
    else:
        regression = CoSENT() if config.scores == "cosent" else Squares()
        task = Regression(pool=place, loss=regression, dims=config.dims, encoding=encoding)
        batches = ScoreBatches(  # type: ignore[assignment]
            pairs, tokenizer, per_batch=config.batch, max_length=max_length, seed=seed
        )
    objective: Objective
    if anchor is None:
        objective = task.build(model.config, tokenizer, seed=seed)
    else:
        objective = Anchored(task=task, weight=config.anchor).build(model.config, tokenizer, anchor=anchor, seed=seed)
    run(model, objective, batches, folder, steps=config.steps, lr=config.lr, threads=threads, seed=seed)
    return model


def run(
    model: "Model",
    objective: "Objective",
    batches: "Batches",
    folder: Path,
    *,
    steps: int,
    lr: float,
    threads: int | None,
    seed: int,
) -> None:
    """Move the model's weights, in place; the folder holds the checkpoints that a broken run goes on from.

    Raises NotFinite where a loss or a gradient is no number.
    """
    from inlay.train.optim import AdamW
    from inlay.train.run import Run, RunConfig, find
    from inlay.train.schedule import Linear
    from inlay.train.trainer import NotFinite, Trainer

    config = RunConfig(
        steps=steps,
        optimizer=AdamW(lr=lr, betas=(0.9, 0.999), eps=1e-8),
        schedule=Linear(warmup=0.1),
        checkpoint_every=_CHECKPOINT,
        threads=threads,
    )
    with _threads_kept():
        folder.mkdir(parents=True, exist_ok=True)
        trainer = Trainer(model.to(config.place()), objective, batches, config, seed=seed)
        for _ in Run(folder, trainer, config, begin=find(folder, "auto"), label=folder.stem):
            pass
        model.to("cpu").eval()
    if odd := [name for name, weight in model.named_parameters() if not weight.isfinite().all()]:
        raise NotFinite(f"after {steps} steps {odd[0]} holds what is no number; lower lr")


def forget(folder: Path) -> None:
    """Remove what a finished run left: its result stands elsewhere."""
    shutil.rmtree(folder, ignore_errors=True)


def _with_language(model: "Model", seed: int) -> "Model":
    """The model with a head that tells tokens, where it has none: the token table itself, behind a layer drawn anew."""
    from inlay.model.heads import Inner, LanguageHead
    from inlay.model.norm import LayerNorm

    if any(head.name == "language" for head in model.config.heads):
        return model
    head = LanguageHead(inner=Inner(norm=LayerNorm()))
    grown = replace(model.config, heads=(*model.config.heads, head)).build(seed=seed)
    own = model.state_dict()
    missing, odd = grown.load_state_dict(own, strict=False)
    assert not odd
    assert all(name.startswith("heads.language") for name in missing)
    return grown


@contextmanager
def _threads_kept() -> Iterator[None]:
    """Within it torch may be told how many threads to take; after it, it takes as many as before."""
    import torch

    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
