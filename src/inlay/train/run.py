"""A run folder: what a Trainer does is written down as it goes, so that a kill costs little and changes nothing.

    DIR/log.jsonl  DIR/checkpoints/step-N/  DIR/model/  DIR/metrics.json

It knows a trainer and batches, and nothing of where they come from. What is written is written here alone.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal, Self

import torch

from inlay.convert import save_model
from inlay.errors import InputError
from inlay.files import write_json
from inlay.live import say
from inlay.text.pack import Batches
from inlay.train import checkpoint, heldout
from inlay.train.board import NAME as BOARD
from inlay.train.board import Board
from inlay.train.log import NAME as LOG
from inlay.train.log import Log
from inlay.train.progress import Progress
from inlay.train.shares import put_together
from inlay.train.trainer import Step, TrainConfig, Trainer

if TYPE_CHECKING:
    from inlay.tokenize.tokenizer import Tokenizer

CHECKPOINTS, MODEL, METRICS = "checkpoints", "model", "metrics.json"
FREE = frozenset(
    {
        *("steps", "minutes", "tokens", "threads", "device", "parallel", "checkpointing"),
        *("checkpoint_every", "keep", "evaluate_every", "evaluate_batches", "tensorboard"),
    }
)
"""Fields of RunConfig that may be others when a run is resumed: how long, where, and what is kept of it."""


@dataclass(frozen=True, kw_only=True)
class RunConfig(TrainConfig):
    """How a model learns, on what, and what is kept of it."""

    checkpoint_every: int = 200
    """Steps from one checkpoint to the next; the last step has one too."""
    keep: int = 2
    """Checkpoints that are kept, the newest ones; and the best on held-out text beside them."""
    evaluate_every: int | None = None
    """Steps from one look at held-out text to the next; null: at each checkpoint."""
    evaluate_batches: int = 50
    """Held-out batches at most that are looked at."""
    threads: int | None = None
    """Threads of torch; null: as many as it takes by itself. The same number gives the same bits."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where; auto takes the GPU if there is one."""
    tensorboard: bool = False
    """Write events for TensorBoard beside the log."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("checkpoint_every", "keep", "evaluate_every", "evaluate_batches", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name}={value} must be at least 1")

    def place(self) -> torch.device:
        """The device; the threads are set as well."""
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        found = torch.cuda.is_available()
        if self.device == "cuda" and not found:
            raise InputError("device=cuda, but torch finds no GPU here; set train.device=cpu")
        return torch.device("cuda" if found and self.device != "cpu" else "cpu")


@dataclass(frozen=True, kw_only=True)
class Point:
    """A checkpoint that was looked at and is sound; its tensors are read when a trainer takes them."""

    folder: Path
    state: dict[str, Any]

    @classmethod
    def read(cls, folder: Path, *, verify: bool = True) -> Self:
        """That of a folder; `verify` reads all of it."""
        _, state = checkpoint.read(folder, verify=verify)
        return cls(folder=folder, state=state)

    def check(self, config: "RunConfig") -> None:
        """InputError where the run is to end before it."""
        if config.steps is not None and self.state["step"] > config.steps:
            raise InputError(
                f"{self.folder} is beyond train.steps={config.steps}; set more, or name an earlier checkpoint"
            )


def find(folder: Path, resume: str | Path | None) -> Point | None:
    """The checkpoint to go on from: that of a path; with `auto` the newest sound one of the run, if it has any.

    A damaged one is passed over, and a line says so. InputError where there are checkpoints and none is sound.
    """
    if resume is None:
        return None
    if str(resume) != "auto":
        return Point.read(Path(resume))
    paths = [path for _, path in checkpoint.steps(folder / CHECKPOINTS)]
    while paths:
        try:
            return Point.read(paths.pop())
        except InputError as error:
            if not paths:
                raise InputError(f"{error}; no other checkpoint is sound: --force begins anew") from None
            say(f"note: {error}; going on from the checkpoint before it")
    return None


class Run:
    """A trainer at work in a folder: `for step in run: …`, then `run.finish(tokenizer)`.

    Each step is a row of the log; held-out text is looked at, and checkpoints written, as `config` says. Ctrl-C, and
    the signal that asks a process to end, wait for the step to be done: KeyboardInterrupt comes with it saved.
    A loss that is not finite, and a full disk, are InputErrors that leave the last checkpoint as it is.
    """

    def __init__(
        self,
        folder: Path,
        trainer: Trainer,
        config: RunConfig,
        held_out: Batches | None = None,
        *,
        begin: Point | None = None,
        label: str = "train",
    ) -> None:
        self.folder, self.trainer, self.config, self.held_out, self.label = folder, trainer, config, held_out, label
        self.told: dict[str, Any] = {"heldout": None, "best": None}
        """What checkpoints say beside the trainer's state: the last look at held-out text, and the best."""
        self.begin = begin
        if begin is not None:
            begin.check(config)
            parts, state = checkpoint.read(begin.folder, verify=False)
            trainer.take(parts, state, begin.folder)
            self.told = {key: state.get(key) for key in self.told}

    def __iter__(self) -> Iterator[Step]:
        trainer, config = self.trainer, self.config
        trainer.world.lead(self._forget_later)
        with _Stop() as stop, self._diary() as diary:
            for step in trainer:
                diary.step(step)
                yield step
                stops = trainer.world.sum([stop.asked])[0] > 0  # all end at one step, whoever was asked
                ends = trainer.progress >= 1 or stops
                saves = ends or not step.number % config.checkpoint_every
                looks = not step.number % (config.evaluate_every or config.checkpoint_every)
                if (looks or trainer.progress >= 1) and self.held_out is not None:
                    self._look(diary)
                if saves:
                    diary.sync()
                    self._save()
                if stops:
                    raise KeyboardInterrupt
            if self.held_out is not None and (self.told["heldout"] or {}).get("step") != trainer.step:
                self._look(diary)  # the run was to end where an earlier one was interrupted

    def _look(self, diary: "_Diary") -> None:
        assert self.held_out is not None
        trainer, most = self.trainer, self.config.evaluate_batches
        with averaged(trainer):
            found = heldout.evaluate(trainer.learner, self.held_out, seed=trainer.seed, most=most, world=trainer.world)
        told = {"step": trainer.step, **{f"heldout_{name}": value for name, value in found.items()}}
        diary.note(told)
        self.told["heldout"] = told

    @contextlib.contextmanager
    def _diary(self) -> "Iterator[_Diary]":
        """What is written down of the steps, by the first process alone."""
        trainer, at = self.trainer, self.folder / LOG
        if not trainer.world.first:
            yield _Diary()
            return
        with (
            Log(at, resume_at=trainer.step if at.exists() else None) as log,
            self._board(trainer.step) as board,
            Progress(trainer, self.label) as progress,
        ):
            yield _Diary(log, board, progress)

    def _board(self, step: int) -> "contextlib.AbstractContextManager[Board | None]":
        if not self.config.tensorboard:
            return contextlib.nullcontext()
        board = Board(self.folder / BOARD, resume_at=None if self.begin is None else step)
        board.watch(self.trainer)
        return board

    def _save(self) -> None:
        trainer, told = self.trainer, self.told
        looked, best = told["heldout"], told["best"]
        if looked and looked["step"] == trainer.step and (not best or looked["heldout_loss"] < best["heldout_loss"]):
            told["best"] = {"step": trainer.step, "heldout_loss": looked["heldout_loss"]}
        folder = self.folder / CHECKPOINTS
        trainer.save(folder / f"step-{trainer.step}", **told)
        if trainer.world.first:
            checkpoint.prune(folder, self.config.keep, told["best"] and told["best"]["step"])

    def _forget_later(self) -> None:
        """Who goes back to an earlier checkpoint leaves those after it: `auto` must not find them again."""
        if self.begin is not None and self.begin.folder.parent.resolve() == (self.folder / CHECKPOINTS).resolve():
            for step, path in checkpoint.steps(self.folder / CHECKPOINTS):
                if step > self.trainer.step:
                    checkpoint.remove(path)

    def finish(
        self, tokenizer: "Tokenizer | None" = None, *, save: Callable[..., None] = save_model, **more: Any
    ) -> dict[str, Any]:
        """Write the model folder, those of models that learnt beside it, and metrics.json, and give what is in that.

        `more` is written there too.
        """
        trainer = self.trainer
        world = trainer.world

        def keep() -> None:
            save(trainer.model, self.folder / MODEL, tokenizer=tokenizer, force=True)
            for name, beside in trainer.objective.models(trainer.model).items():
                save_model(beside, self.folder / name, tokenizer=tokenizer, force=True)

        with averaged(trainer), put_together(trainer.learner, keep=world.first):
            world.lead(keep)
            if self.config.tensorboard and tokenizer is not None and world.first:
                with Board(self.folder / BOARD) as board:
                    board.tokens(trainer.step, trainer.model.input.table(), tokenizer)
        looked = {name: value for name, value in (self.told["heldout"] or {}).items() if name != "step"}
        metrics = {
            "steps": trainer.step,
            "tokens": trainer.seen,
            "seconds": round(trainer.seconds, 3),
            "seed": trainer.seed,
            "parameters": sum(weight.numel() for weight in trainer.model.parameters()),
            "heldout_loss": None,
            **looked,
            "best": self.told["best"],
            **more,
        }
        world.lead(lambda: write_json(self.folder / METRICS, metrics))
        return metrics


@contextlib.contextmanager
def averaged(trainer: Trainer) -> Iterator[None]:
    """Within it the weights and their average have changed places, where the trainer keeps one."""
    if trainer.average is None:
        yield
        return
    trainer.learner.exchange(trainer.average)
    try:
        yield
    finally:
        trainer.learner.exchange(trainer.average)


class _Stop:
    """Ctrl-C, and the signal by which a machine is taken back, wait for the end of a step; a second one does not."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "_Stop":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        say("stopping when this step is done and saved; once more stops at once")


@dataclass(frozen=True, eq=False)
class _Diary:
    """The log, and the board where there is one; nothing at all where another process keeps them."""

    log: Log | None = None
    board: Board | None = None
    progress: Progress | None = None

    def step(self, step: Step) -> None:
        if self.progress is not None:
            self.note(self.progress.row(step))

    def note(self, row: Mapping[str, Any]) -> None:
        if self.log is not None:
            self.log.write(row)
        if self.board is not None:
            self.board.row(row)

    def sync(self) -> None:
        if self.log is not None:
            self.log.sync()
