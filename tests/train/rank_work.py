"""What the processes of a world do in tests: short trainings, the same alone and by torchrun, whose figures are kept.

torchrun --nproc-per-node 2 rank_work.py FOLDER      the cases, into FOLDER/ddp.json and FOLDER/fsdp.json
"""

import json
import sys
from pathlib import Path
from typing import Any

from inlay.convert import save_model
from inlay.model.presets import preset, resize
from inlay.objective.causal import CausalLM
from inlay.objective.permuted import PermutedLM
from inlay.objective.replaced import ReplacedToken
from inlay.objective.sentence_pairs import NextSentence, SentenceOrder
from inlay.objective.spans import SpanCorruption
from inlay.text.pack import Rows, SentencePairs, pack
from inlay.text.shardfile import Shards
from inlay.train import heldout
from inlay.train.optim import Adafactor, AdamW, Muon
from inlay.train.run import averaged
from inlay.train.schedule import Constant
from inlay.train.shares import put_together
from inlay.train.trainer import TrainConfig, Trainer
from inlay.train.world import World, join

STEPS, SAVED = 4, 2
SETTINGS = {"steps": STEPS, "accumulate": 4, "optimizer": AdamW(lr=1e-2), "schedule": Constant()}
PAIRS = {"NextSentence": "document", "SentenceOrder": "swapped"}

# name: (preset, objective, settings of the input, settings of the training). All have the presets' dropout.
CASES: dict[str, tuple[str, Any, dict[str, Any], dict[str, Any]]] = {
    "two terms, a table frozen at first": ("bert-tiny", NextSentence(), {"frozen": 2}, {"checkpointing": True}),
    "a generator beside the model": ("electra-tiny", ReplacedToken(), {}, {"clip": 0.5}),
    "an average": ("gpt2-tiny", CausalLM(), {}, {"ema": 0.9, "checkpointing": True}),
    "one block for all layers": ("albert-tiny", SentenceOrder(), {}, {}),
    "two stacks": ("t5-tiny", SpanCorruption(), {}, {"checkpointing": True}),
    "two streams": ("xlnet-tiny", PermutedLM(), {}, {}),
    "muon": ("gpt2-tiny", CausalLM(), {}, {"optimizer": Muon()}),
    "adafactor": ("gpt2-tiny", CausalLM(), {}, {"optimizer": Adafactor()}),
    "fp16": ("gpt2-tiny", CausalLM(), {}, {"precision": "fp16"}),
    "bf16": ("gpt2-tiny", CausalLM(), {}, {"precision": "bf16"}),
}
RESUMED = ("two terms, a table frozen at first", "an average", "muon", "fp16")
SCALE = 2.0**19
"""Of fp16's loss: so large that the first step is passed over, and the next ones not."""
WHOLE = "adafactor"
"""What fsdp refuses."""


def made(name: str, shards: Shards, world: World, how: str) -> Trainer:
    """The trainer of a case."""
    named, objective, of_input, settings = CASES[name]
    config = resize(preset(named), 2, 16, 2, 32, vocab_size=shards.facts.size, **of_input)
    other = PAIRS.get(type(objective).__name__)
    packing: Any = SentencePairs(length=24, other=other) if other else Rows(length=16)
    batches = pack(shards, packing, per_batch=3, seed=5)
    train = TrainConfig(**{**SETTINGS, "parallel": how, **settings})
    made = Trainer(config.build(seed=1), objective.build(config, shards.tokenizer, seed=1), batches, train, world=world)
    if settings.get("precision") == "fp16":
        made.scaler._init_scale = SCALE
    return made


def figures(name: str, shards: Shards, world: World, how: str, begin: Path | None, keep: Path | None) -> dict[str, Any]:
    """What the steps of a case are like, from the beginning or from a checkpoint; `keep` takes one on the way."""
    run = made(name, shards, world, how)
    if begin is not None:
        run.load(begin)
    found: dict[str, Any] = {"rows": []}
    for step in run:
        found["rows"].append([step.number, step.figures["loss"], step.norm, step.tokens, step.skipped])
        if keep is not None and step.number == SAVED:
            run.save(keep / f"step-{SAVED}")
    held = run.batches
    with averaged(run):
        found["heldout"] = heldout.evaluate(run.learner, held, most=3, world=world)
        if keep is not None:
            with put_together(run.model, keep=world.first):
                world.lead(lambda: save_model(run.model, keep / "model", force=True))
    return found


def gradients(shards: Shards, world: World) -> list[float]:
    """The share of the weights that have a gradient in shares after each micro-batch of a step by fsdp."""
    run = made("an average", shards, world, "fsdp")
    weights, learn, found = list(run.learner.parameters()), run._learn, []

    def watched(*given: Any, **named: Any) -> Any:
        answer = learn(*given, **named)
        found.append(sum(weight.grad is not None for weight in weights) / len(weights))
        return answer

    run._learn = watched  # type: ignore[method-assign]
    next(iter(run))
    return found


def work(folder: Path, world: World, how: str) -> dict[str, Any]:
    """Every case from the beginning, and some from the checkpoints that another kind of world left."""
    shards = Shards.open(folder / "shards", verify=False)
    found: dict[str, Any] = {}
    for name in CASES:
        if not (how == "fsdp" and name == WHOLE):
            found[name] = figures(name, shards, world, how, None, folder / how / name)
    other = {"ddp": "alone", "fsdp": "ddp"}.get(how, "fsdp")
    for name in RESUMED if how != "alone" else ():
        found[f"{name}, resumed"] = figures(name, shards, world, how, folder / other / name / f"step-{SAVED}", None)
        found[f"{name}, again"] = figures(name, shards, world, how, folder / how / name / f"step-{SAVED}", None)
    if how == "fsdp":
        found["gradients"] = gradients(shards, world)
    return found


if __name__ == "__main__":
    place = Path(sys.argv[1])
    with join() as joined:
        for kind in ("ddp", "fsdp"):
            told = work(place, joined, kind)
            if joined.first:
                (place / f"{kind}.json").write_text(json.dumps(told))
