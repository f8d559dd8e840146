"""Distillation: a student of half its teacher's layers, taught by the teacher or trained alone on the same tokens.

    INLAY_DATA=... python benchmarks/distill.py [--quick] [--seeds 0 1] [--teacher-steps N] [--steps N] [--starts ...]

A teacher of 12 layers learns masked tokens from Wikipedia articles. Its student of 6 layers then learns from the same
text in two ways that share all else: the first weights, the batches and their order, the hidden tokens, the steps and
the step sizes. `alone` has the hidden tokens to go by, `distilled` also what the teacher says of them and the direction
of its last rows (DistilBERT's weights). `copied` students begin with every second layer of the teacher, `drawn` ones
with new weights. Compared is the error of telling hidden tokens of articles that were held out. Every figure is kept in
results/distill.json. One thread; about ten minutes as it is.
"""

import argparse
import json
import lzma
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from side_by_side import DATA, RESULTS, machine

SIZES = (12, 96, 3, 256)
"""Layers, width, heads and inner width of the teacher."""
VOCABULARY, LENGTH, ROWS = 4000, 64, 32
LR = {"teacher": 1e-2, "alone": 5e-3, "distilled": 5e-3}
"""Of Muon, for the matrices of the blocks; all other weights have a fifth of it, by AdamW."""
MASKED = 0.3
WAYS = ("alone", "distilled")
STARTS = ("copied", "drawn")


def articles(path: Path, most: int) -> int:
    """Write the longer paragraphs of the Wikipedia sample, a document each; returns how many."""
    written = 0
    with (
        lzma.open(DATA / "enwiki-2014-sample" / "enwiki_sample.txt.xz", "rt", encoding="utf-8") as source,
        open(path, "w", encoding="utf-8") as target,
    ):
        for line in source:
            if len(line) > 200 and written < most:
                target.write(json.dumps({"text": line.strip()}) + "\n")
                written += 1
    return written


class Text:
    """Batches of training text and of held-out text, and the tokenizer."""

    def __init__(self, folder: Path, most: int) -> None:
        from inlay.text.corpus import Corpus
        from inlay.text.pack import Rows, pack
        from inlay.text.shards import ShardsConfig, write_shards
        from inlay.tokenize.kinds import WordPiece
        from inlay.tokenize.tokenizer import Tokenizer

        self.documents = articles(folder / "articles.jsonl", most)
        corpus = Corpus(folder / "articles.jsonl")
        self.tokenizer = Tokenizer.train(corpus.texts(), WordPiece(size=VOCABULARY))
        shards = write_shards(corpus, self.tokenizer, folder / "shards", ShardsConfig(held_out=0.03))
        self.facts, packing = shards.facts, Rows(length=LENGTH)
        self.train = {seed: pack(shards, packing, split="train", per_batch=ROWS, seed=seed) for seed in range(10)}
        self.held = pack(shards, packing, split="heldout", per_batch=ROWS, seed=0)


def learn(model: Any, objective: Any, text: Text, steps: int, lr: float, seed: int, looks: int) -> dict[str, Any]:
    """Train the model; the curve of its error on held-out text, and what it cost."""
    from inlay.train.optim import AdamW, Muon
    from inlay.train.schedule import Linear
    from inlay.train.trainer import TrainConfig, Trainer

    config = TrainConfig(steps=steps, optimizer=Muon(lr=lr, rest=AdamW(lr=lr / 5)), schedule=Linear(warmup=0.1))
    begin, cpu, curve = time.perf_counter(), time.process_time(), []
    for step in Trainer(model, objective, text.train[seed], config, seed=seed):
        if step.number % max(steps // looks, 1) == 0 or step.number == steps:
            curve.append([step.number, step.seen, error(model, text)])
            print(f"  step {step.number:5}  {step.seen / 1e6:5.2f}M tokens  held-out {curve[-1][2]:.4f}", flush=True)
    return {
        "curve": curve,
        "heldout_mlm": curve[-1][2],
        "tokens": curve[-1][1],
        "cpu_s": time.process_time() - cpu,
        "wall_s": time.perf_counter() - begin,
    }


def error(model: Any, text: Text) -> float:
    """The mean error of telling hidden tokens of held-out text; the same tokens are hidden each time."""
    from inlay.objective.masked import MaskedLM
    from inlay.train import heldout
    from inlay.train.learner import Learner

    objective = MaskedLM(p=MASKED).build(model.config, text.tokenizer)
    return heldout.evaluate(Learner(model, objective), text.held, seed=1, most=20)["mlm"]


def student(model: Any, start: str, seed: int) -> Any:
    """The student as it begins."""
    from inlay.model.student import EverySecond, Narrow, make_student

    layers, *width = SIZES
    how = EverySecond() if start == "copied" else Narrow(n_layers=layers // 2, **dict(zip(NAMES, width, strict=True)))
    return make_student(model, how, seed=seed)


NAMES = ("d_model", "n_heads", "d_ffn")


def measure(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everything, in order."""
    import torch

    from inlay.model.presets import preset, resize
    from inlay.objective.distill import Distill
    from inlay.objective.masked import MaskedLM
    from inlay.objective.teacher import Teacher

    torch.set_num_threads(1)
    text = Text(folder, args.documents)
    config = resize(preset("modern-tiny"), *SIZES, vocab_size=text.tokenizer.size)
    config = replace(config, heads=tuple(head for head in config.heads if head.name == "language"))
    model = config.build(seed=0).to(args.device)
    print(f"teacher: {sum(weight.numel() for weight in model.parameters()):,} parameters", flush=True)
    task = MaskedLM(p=MASKED).build(config, text.tokenizer)
    found: dict[str, Any] = {
        "unigram entropy": text.facts.entropy,
        "tokens of the text": text.facts.train.tokens,
        "teacher": learn(model, task, text, args.teacher_steps, LR["teacher"], 0, 6),
        "students": [],
    }
    teacher = Teacher(model.eval(), text.tokenizer, "teacher")
    for seed in args.seeds:
        for start in args.starts:
            for way in WAYS:
                small = student(model, start, seed)
                begins = error(small, text)
                print(f"{start}, {way}, seed {seed}: begins at {begins:.4f}", flush=True)
                objective = (
                    MaskedLM(p=MASKED).build(small.config, text.tokenizer, seed=seed)
                    if way == "alone"
                    else Distill(task=MaskedLM(p=MASKED)).build(
                        small.config, text.tokenizer, seed=seed, teacher=teacher
                    )
                )
                took = learn(small, objective, text, args.steps, LR[way], seed + 1, 4)
                found["students"].append({"start": start, "way": way, "seed": seed, "before": begins, **took})
    return found


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """Of each start: what both ways came to, and by how much the distilled one is better, seed by seed."""
    made: dict[str, Any] = {"teacher": round(found["teacher"]["heldout_mlm"], 4)}
    for start in dict.fromkeys(one["start"] for one in found["students"]):
        ends = {
            way: [one["heldout_mlm"] for one in found["students"] if (one["start"], one["way"]) == (start, way)]
            for way in WAYS
        }
        better = [alone - taught for alone, taught in zip(ends["alone"], ends["distilled"], strict=True)]
        cpu = {way: statistics.fmean(one["cpu_s"] for one in found["students"] if one["way"] == way) for way in WAYS}
        made[start] = {
            **{way: round(statistics.fmean(values), 4) for way, values in ends.items()},
            "better by, seed by seed": [round(one, 4) for one in better],
            "CPU s of a step, distilled to alone": round(cpu["distilled"] / cpu["alone"], 2),
        }
    return made


def main() -> None:
    """Run it and write results/distill.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few steps of everything, nothing to conclude from")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=["copied"])
    parser.add_argument("--teacher-steps", type=int, default=900)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--documents", type=int, default=30_000)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=RESULTS / "distill.json")
    args = parser.parse_args()
    if args.quick:
        args.teacher_steps, args.steps, args.documents, args.seeds = 8, 4, 1500, args.seeds[:1]
    with tempfile.TemporaryDirectory(prefix="inlay-") as folder:
        found = measure(args, Path(folder))
    settings = {key: value for key, value in vars(args).items() if key != "out"}
    result = {
        "settings": {**settings, "sizes": SIZES, "vocabulary": VOCABULARY, "length": LENGTH, "rows": ROWS, "lr": LR},
        "machine": machine(("torch", "numpy", "tokenizers")),
        "summary": summary(found),
        **found,
    }
    args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result["summary"], indent=1))


if __name__ == "__main__":
    main()
