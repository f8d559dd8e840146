"""The live line of a run, and the rows of its log: loss, step size, tokens a second, share of the peak, time left."""

from types import TracebackType
from typing import Any, Self

import numpy as np
import torch

from inlay.live import Live, human
from inlay.train.peak import measured_peak
from inlay.train.trainer import Step, Trainer
from inlay.train.work import question_flops

_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_MEMORY = 0.95
"""How much of the rate that is shown comes from the steps before; about the last twenty count."""


class Progress:
    """Turns steps into rows of the log and draws the live line; to be used in `with`.

    Operations are counted of the run's next example and scaled by tokens, and the peak is that of the trainer's device
    in its precision, measured at the beginning unless it is given; 0 leaves the share out.
    """

    def __init__(self, trainer: Trainer, label: str = "pretrain", *, peak: float | None = None) -> None:
        self._trainer = trainer
        if peak is None:
            peak = measured_peak(trainer.model.device, _TYPES[trainer.config.precision])
        self._peak = peak * trainer.world.size
        self.flops_per_token = _flops_per_token(trainer) if self._peak else 0.0
        """Operations of forward and backward, for each token that is read."""
        self._live = Live(label, unit="steps", done=trainer.step)
        self._seconds = self._tokens = 0.0

    def row(self, step: Step) -> dict[str, Any]:
        """The row of the log for this step; the live line tells it too."""
        rate = step.tokens / step.seconds if step.seconds > 0 else 0.0
        row = {
            "step": step.number,
            **step.figures,
            "lr": step.lr,
            "norm": step.norm,
            "tokens": step.seen,
            "tokens_per_s": round(rate, 1),
            "seconds": round(self._trainer.seconds, 3),
        }
        if step.skipped:
            row["skipped"] = True
        if self._peak:
            row["share_of_peak"] = round(rate * self.flops_per_token / self._peak, 4)
        self._show(step)
        return row

    def _show(self, step: Step) -> None:
        self._seconds = _MEMORY * self._seconds + step.seconds
        self._tokens = _MEMORY * self._tokens + step.tokens
        rate = self._tokens / max(self._seconds, 1e-9)
        note = f"loss {step.figures['loss']:.4g}  lr {step.lr:.2g}  {human(rate)} tokens/s"
        if self._peak:
            note += f"  {rate * self.flops_per_token / self._peak:.0%} of peak"
        self._live.total = step.number / max(self._trainer.progress, 1e-9)
        self._live.at(step.number, note)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)


def _flops_per_token(trainer: Trainer) -> float:
    """Of the first micro-batch of the next step, whose example is drawn as the trainer will draw it."""
    number = trainer.step * trainer.config.accumulate
    batch = trainer.batches.batch(number)
    example = trainer.objective.draw(batch, np.random.default_rng((trainer.seed, number)))
    return question_flops(trainer.objective, example, trainer.model.config) / max(batch.n_tokens, 1)
