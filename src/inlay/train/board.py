"""TensorBoard: the figures of a log, histograms of weights and gradients, and the token table in the projector.

An extra: `pip install 'inlay[tb]'`, then `tensorboard --logdir RUN/board`. The log is what a run is known by; this is
for looking at it.
"""

import importlib
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from inlay.errors import InputError, missing_extra
from inlay.train.shares import of_share

if TYPE_CHECKING:
    from inlay.tokenize.tokenizer import Tokenizer
    from inlay.train.trainer import Trainer

NAME = "board"
"""Its folder in a run folder."""
_SAMPLE = 1 << 20
"""Numbers of a tensor that a histogram is made of; of larger ones evenly spread ones."""
_FLUSH_S = 10
_TOKENS = "tokens"


class Board:
    """Events in a folder that TensorBoard reads; to be used in `with`.

    With `resume_at` TensorBoard forgets what was written of later steps. InputError where tensorboard is not installed.
    """

    def __init__(self, folder: str | Path, resume_at: int | None = None) -> None:
        self._hooks: list[Any] = []
        self._folder = Path(folder)
        self._writer = _writer()(
            str(folder), purge_step=None if resume_at is None else resume_at + 1, flush_secs=_FLUSH_S
        )

    def row(self, row: Mapping[str, Any]) -> None:
        """Draw the finite numbers of a row of the log, by their names: `train/loss`, `heldout/loss` …"""
        for name, value in row.items():
            if name != "step" and isinstance(value, int | float) and -torch.inf < value < torch.inf:
                part, _, rest = name.partition("_")
                tag = f"heldout/{rest}" if part == "heldout" and rest else f"train/{name}"
                self._writer.add_scalar(tag, value, row["step"])

    def watch(self, trainer: "Trainer", every: int = 100) -> None:
        """From now on draw every weight and its gradient, clipped, as they stand before each `every`-th update."""
        if every < 1:
            raise InputError(f"every={every} must be at least 1")
        names = {weight: name for name, weight in trainer.learner.named_parameters()}

        def before(optimizer: torch.optim.Optimizer, *_: Any) -> None:
            step = trainer.step + 1
            if step % every:
                return
            for group in optimizer.param_groups:
                for weight in group["params"]:
                    self._histogram(f"weights/{names[weight]}", weight, step)
                    if weight.grad is not None:
                        self._histogram(f"gradients/{names[weight]}", weight.grad, step)

        # The gradients are gone when the trainer hands over its step, so this looks just before.
        self._hooks += [optimizer.register_step_pre_hook(before) for optimizer in trainer.optimizers]

    def tokens(self, step: int, table: Tensor, tokenizer: "Tokenizer", most: int = 10_000) -> int:
        """Show the token table (V, E) in the projector, each row by its token: the first `most` ids, and how many.

        A page of the projector holds about ten thousand points, and common tokens have low ids.
        """
        ids = [number for number in tokenizer.vocabulary.values() if number < len(table)][:most]
        written = {number: token for token, number in tokenizer.vocabulary.items()}
        rows = table.detach()[torch.tensor(ids, device=table.device)].float().cpu()
        labels = [_label(written[number]) for number in ids]
        # Where there is one of this step already, the writer prints, to the output that may be somebody's JSON.
        shutil.rmtree(self._folder / f"{step:05}" / _TOKENS, ignore_errors=True)
        self._writer.add_embedding(rows, metadata=labels, global_step=step, tag=_TOKENS)
        return len(ids)

    def close(self) -> None:
        """Write what is left, and stop watching; a second time does nothing."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _histogram(self, tag: str, tensor: Tensor, step: int) -> None:
        numbers = of_share(tensor.detach()).flatten()
        numbers = numbers[:: -(-len(numbers) // _SAMPLE)] if len(numbers) > _SAMPLE else numbers
        if len(numbers) and bool(numbers.isfinite().all()):  # in fp16 a step whose gradient overflows is passed over
            self._writer.add_histogram(tag, numbers.float(), step)


def _writer() -> Any:
    # tensorboard takes files by tensorflow where that is installed, which costs seconds and the GPU's memory; a module
    # of this name tells it to take its own.
    name = "tensorboard.compat.notf"
    try:
        importlib.import_module("tensorboard.compat")
        sys.modules.setdefault(name, ModuleType(name))
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise missing_extra("TensorBoard", "tensorboard", "tb") from None
    return SummaryWriter


def _label(token: str) -> str:
    """The token on one line of its own, never empty: a table of labels has a line for each."""
    shown = token if token.isprintable() else repr(token)[1:-1]
    return shown if shown.strip() else repr(token)
