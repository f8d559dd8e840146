"""The loop. It knows a model, an objective and batches; it has never heard of BERT.

    for step in Trainer(model, objective, batches, TrainConfig(steps=1000)):
        print(step.number, step.figures["loss"])

The body of that loop is the callback system, and `break` is early stopping. The trainer owns what is the same for every
run: accumulation, clipping, precision, the step size, means over all that is predicted on all machines, and the check
that the loss is finite. Step s reads the micro-batches M·s … M·s + M - 1, and all that is random in micro-batch m
follows from (seed, m): where a run stands is one number.
"""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from inlay.convert.weights import check_finite
from inlay.errors import InputError
from inlay.model.model import Model
from inlay.objective.objective import Example, Objective
from inlay.stages import difference
from inlay.text.pack import Batches
from inlay.train import checkpoint, optim
from inlay.train.learner import Learner
from inlay.train.schedule import Linear, Schedule
from inlay.train.shares import shared, whole
from inlay.train.world import Spread, World, check, spread, together

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How long and how hard a model learns."""

    steps: int | None = 1000
    """Updates of the weights; with `minutes` or `tokens` too, whichever ends first. null: no limit."""
    minutes: float | None = None
    """Time to learn in; the steps that it allows depend on the machine."""
    tokens: int | None = None
    """Tokens to read."""
    optimizer: optim.Optimizer = field(default_factory=optim.AdamW)
    """How weights move."""
    schedule: Schedule = field(default_factory=Linear)
    """How the step size goes over the run."""
    layer_decay: float = 1.0
    """Step size of a layer, relative to the layer above it."""
    accumulate: int = 1
    """Micro-batches of an update, on all machines together."""
    clip: float | None = 1.0
    """The largest norm of a gradient; longer ones are made so long. null: no limit."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Numbers of matrix products; weights and what sums up stay fp32."""
    ema: float = 0.0
    """Keep an average of the weights that forgets so slowly (0.999), and give that as the model; 0: none."""
    checkpointing: bool = False
    """Compute activations twice instead of keeping them: less memory, a third more time."""
    parallel: Spread = "ddp"
    """With torchrun: every process holds the whole model (ddp), or a share of every weight (fsdp)."""

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None and self.tokens is None:
            raise InputError("train needs an end: set steps, minutes or tokens")
        for name in ("steps", "minutes", "tokens", "accumulate", "clip"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"{name}={value} must be above 0")
        if not 0 <= self.ema < 1:
            raise InputError(f"ema={self.ema} must be at least 0 and below 1")
        if self.parallel == "fsdp" and isinstance(self.optimizer, optim.Adafactor):
            raise InputError(
                "Adafactor needs whole matrices, of which parallel=fsdp leaves each process a share; take AdamW or "
                "Muon, or parallel=ddp"
            )
        if not 0 < self.layer_decay <= 1:
            raise InputError(f"layer_decay={self.layer_decay} must be above 0 and at most 1")


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one update was like."""

    number: int
    """Updates so far, with this one."""
    figures: Mapping[str, float]
    """`loss` and the terms of the objective, means over all that was predicted."""
    lr: float
    """The step size of the first group."""
    norm: float
    """The gradient's norm before it was clipped."""
    tokens: int
    """Tokens of this update."""
    seen: int
    """Tokens so far."""
    seconds: float
    """What this update took."""
    skipped: bool = False
    """fp16 alone: the gradient was too large for it, and nothing moved."""


class NotFinite(InputError):
    """The loss or its gradient is no number; weights are those before the step."""


class Trainer:
    """Updates of a model, one for each turn of a `for` loop, until its steps, minutes or tokens are used up."""

    def __init__(
        self,
        model: Model,
        objective: Objective,
        batches: Batches,
        config: TrainConfig,
        *,
        seed: int = 0,
        world: World | None = None,
    ) -> None:
        self.world = world or World(device=model.device)
        check(self.world, config.accumulate)
        objective.bind(model)
        self.model, self.objective, self.batches = model, objective, batches
        self.config, self.seed = config, seed
        self.step, self.seen, self.seconds = 0, 0, 0.0
        """Where the run stands: updates, tokens, and the time they took."""
        objective.to(model.device)
        self.learner = Learner(model, objective)
        self._spread = spread(self.learner, self.world, config.parallel)
        self.optimizers = optim.build(config.optimizer, self.learner, layer_decay=config.layer_decay)
        self.scaler = torch.amp.GradScaler(model.device.type, enabled=config.precision == "fp16")
        self.average = {name: value.detach().clone() for name, value in self.learner.tensors()} if config.ema else None
        for stack in (model.encoder, model.decoder):
            if stack is not None:
                stack.checkpointing = config.checkpointing

    @property
    def progress(self) -> float:
        """How much of the run is over, 0 … 1: by steps, minutes or tokens, whichever is furthest."""
        return self._progress(self.step, self.seen)

    def _progress(self, step: int, seen: int) -> float:
        c = self.config
        done = ((step, c.steps), (seen, c.tokens), (self.seconds, c.minutes and 60 * c.minutes))
        return min(max(part / whole for part, whole in done if whole), 1.0)

    def __iter__(self) -> Iterator[Step]:
        """Go on from where the run stands; a loop that is left by `break` can be entered again."""
        cards = [self.world.device] if self.world.device.type == "cuda" else []
        with ThreadPoolExecutor(1) as ahead:
            drawn: Future[list[tuple[int, int, Example]]] | None = None
            while self.progress < 1:
                begin = time.monotonic()
                examples = drawn.result() if drawn else self._draw(self.step)
                drawn = ahead.submit(self._draw, self.step + 1)  # while the model learns from these
                with torch.random.fork_rng(cards):  # the loop's body keeps its own random numbers
                    step = self._update(examples, begin)
                yield step

    def _draw(self, step: int) -> list[tuple[int, int, Example]]:
        """(number, tokens, example) of this process's micro-batches of a step."""
        found = []
        first = step * self.config.accumulate
        for number in range(first + self.world.rank, first + self.config.accumulate, self.world.size):
            batch = self.batches.batch(number)
            example = self.objective.draw(batch, np.random.default_rng((self.seed, number)))
            found.append((number, batch.n_tokens, example))
        return found

    def _update(self, examples: list[tuple[int, int, Example]], begin: float) -> Step:
        self.learner.train()
        self.model.input.at_step(self.step)
        over, tokens = self._counts(examples)
        figures = self._figures(
            [self._learn(*example, over=over, last=example is examples[-1]) for example in examples]
        )
        for optimizer in self.optimizers:
            self.scaler.unscale_(optimizer)
        norm = self._clip()
        if not self._fp16:
            self._refuse(norm, "the norm of the gradient", self._numbers)
        lr = self._step_optimizers(self._share(tokens))
        self.step += 1
        self.seen += tokens
        seconds = self._elapsed(begin)
        self.seconds += seconds
        return Step(
            number=self.step,
            figures=figures,
            lr=lr,
            norm=norm,
            tokens=tokens,
            seen=self.seen,
            seconds=seconds,
            skipped=self._fp16 and not np.isfinite(norm),
        )

    def _counts(self, examples: list[tuple[int, int, Example]]) -> tuple[dict[str, float], int]:
        """(predictions of each term, tokens) of the whole step, on all processes."""
        names = list(examples[0][2].counts)
        mine = [sum(example.counts[name] for _, _, example in examples) for name in names]
        *counts, tokens = self.world.sum([*mine, sum(tokens for _, tokens, _ in examples)])
        return dict(zip(names, counts, strict=True)), int(tokens)

    def _learn(
        self, number: int, _: int, example: Example, *, over: Mapping[str, float], last: bool
    ) -> dict[str, Tensor]:
        """Add one micro-batch's gradient; its share of every figure."""
        torch.manual_seed(self._torch_seed(number))
        low = self.config.precision != "fp32"
        with together(self._spread, last=last):
            with torch.autocast(self.model.device.type, _TYPES.get(self.config.precision), low):
                answer = self._spread(example, over)
            self.scaler.scale(answer["loss"]).backward()
        return {name: value.detach() for name, value in answer.items()}

    def _figures(self, answers: list[dict[str, Tensor]]) -> dict[str, float]:
        """The figures of the whole step; NotFinite where the loss of a micro-batch is no number."""
        names = list(answers[0])
        table = torch.stack([torch.stack([answer[name].float() for name in names]) for answer in answers]).tolist()
        losses = [0.0] * self.config.accumulate
        losses[self.world.rank :: self.world.size] = [row[names.index("loss")] for row in table]
        found = self.world.sum([*losses, *map(sum, zip(*table, strict=True))])
        for number, loss in zip(self._numbers, found, strict=False):
            self._refuse(loss, "the loss", range(number, number + 1))
        return dict(zip(names, found[len(losses) :], strict=True))

    @property
    def _numbers(self) -> range:
        """Of the micro-batches of this step."""
        return range(self.step * self.config.accumulate, (self.step + 1) * self.config.accumulate)

    def _clip(self) -> float:
        norm = nn.utils.clip_grad_norm_(self.learner.parameters(), self.config.clip or float("inf"))
        return float(whole({"norm": norm})["norm"])

    def _elapsed(self, begin: float) -> float:
        """Seconds since then by the first process's clock, so that all end a run of so many minutes at one step."""
        seconds = time.monotonic() - begin
        return self.world.sum([seconds if self.world.first else 0.0])[0] if self.config.minutes else seconds

    def _step_optimizers(self, factor: float) -> float:
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["largest"] * factor
            self.scaler.step(optimizer)
            optimizer.zero_grad(set_to_none=True)
        self.scaler.update()
        if self.average is not None:
            self._average()
        return self.optimizers[0].param_groups[0]["lr"]

    def _share(self, tokens: int) -> float:
        """The share of the largest step size that this step has: by the run's progress in the middle of it."""
        middle = (self.progress + self._progress(self.step + 1, self.seen + tokens)) / 2
        return self.config.schedule.at(middle, self.step)

    @torch.no_grad()
    def _average(self) -> None:
        assert self.average is not None
        keep = min(self.config.ema, (1 + self.step) / (10 + self.step))  # early weights are soon forgotten
        for name, value in self.learner.tensors():
            if value.is_floating_point():
                self.average[name].lerp_(value.detach(), 1 - keep)
            else:
                self.average[name].copy_(value)

    def _refuse(self, value: float, what: str, batches: range) -> None:
        if np.isfinite(value):
            return
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        which = f"batch {batches[0]}" if len(batches) == 1 else f"batches {batches[0]} to {batches[-1]}"
        raise NotFinite(
            f"step {self.step + 1}: {what} of {which} is {value}; the weights are those before it: lower "
            "train.optimizer.lr, warm up longer, or go on from the last checkpoint"
        )

    @property
    def _fp16(self) -> bool:
        return self.config.precision == "fp16"

    def _torch_seed(self, micro: int) -> int:
        return int(np.random.SeedSequence((self.seed, micro, 1)).generate_state(1, np.uint64)[0] >> 1)

    def state(self) -> dict[str, Any]:
        """Where the run stands, in plain JSON."""
        return {
            "step": self.step,
            "seen": self.seen,
            "seconds": self.seconds,
            "seed": self.seed,
            "batches": dict(self.batches.identity),
            "accumulate": self.config.accumulate,
            "optimizer": type(self.config.optimizer).__name__,
            "precision": self.config.precision,
            "average": self.average is not None,
            "scaler": self.scaler.state_dict(),
        }

    def save(self, folder: str | Path, **more: Any) -> None:
        """Write a checkpoint, from which `load` goes on bit for bit; `more` is kept in its state.

        All processes must ask, and the first one writes. InputError for weights that are no numbers.
        """
        first = self.world.first
        parts = {"model": whole(dict(self.learner.tensors()), keep=first)}
        names = {weight: name for name, weight in self.learner.named_parameters()}
        if remembered := checkpoint.of_optimizers(self.optimizers, names):
            parts["optimizer"] = whole(remembered, keep=first)
        if self.average is not None:
            parts["average"] = whole(self.average, keep=first)

        def write() -> None:
            check_finite(parts["model"], f"step {self.step}")
            checkpoint.write(Path(folder), parts, self.state() | more)

        self.world.lead(write)

    def load(self, folder: str | Path) -> dict[str, Any]:
        """Go on from a checkpoint; its state. InputError where it is damaged, or of another model, data or seed."""
        return self.take(*checkpoint.read(Path(folder)), place=Path(folder))

    def take(self, parts: Mapping[str, Mapping[str, Tensor]], state: dict[str, Any], place: Path) -> dict[str, Any]:
        """Go on from what `checkpoint.read` read at that place; as `load`."""
        folder, ours = place, self.state()
        for key in ("seed", "accumulate", "batches", "optimizer", "precision", "average"):
            if changed := difference(state.get(key), ours[key], key):
                raise InputError(
                    f"{folder} is of another run: {changed}; give the same settings, or begin a new run in another "
                    "folder"
                )
        own = dict(self.learner.tensors())
        for part in ("model", "average") if self.average is not None else ("model",):
            _check_same(parts.get(part, {}), own, folder / part)
        self.learner.fill(parts["model"])
        if self.average is not None:
            # A copy, for what is read from a file keeps all of the file for as long as it lives.
            self.average = {name: shared(value, own[name]).clone() for name, value in parts["average"].items()}
        checkpoint.into_optimizers(self.optimizers, dict(self.learner.named_parameters()), parts.get("optimizer", {}))
        self.scaler.load_state_dict(state["scaler"])
        self.step, self.seen, self.seconds = int(state["step"]), int(state["seen"]), float(state["seconds"])
        return state


def _check_same(given: Mapping[str, Tensor], own: Mapping[str, Tensor], place: Path) -> None:
    if odd := sorted(given.keys() ^ own.keys()):
        raise InputError(f"{place}: {odd[0]!r} is on one side only; the checkpoint is of another model or objective")
    for name, value in own.items():
        if given[name].shape != value.shape:
            raise InputError(
                f"{place}: {name!r} has the shape {tuple(given[name].shape)}, the model {tuple(value.shape)}; "
                "the checkpoint is of another model"
            )
