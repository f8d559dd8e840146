"""The rows of a run's log and its live line, of a real run of a tiny model."""

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from inlay.batch import Batch
from inlay.live import Live
from inlay.model.presets import preset
from inlay.objective.causal import CausalLM
from inlay.tokenize.tokenizer import Tokenizer
from inlay.train.log import TIMES, Log, read_log
from inlay.train.peak import training_flops
from inlay.train.progress import Progress
from inlay.train.trainer import Step, TrainConfig, Trainer

TOKENIZER = Tokenizer.from_vocabulary(["sea", "ship"], ["##s"], specials=("[PAD]", "[UNK]", "[MASK]"))


@dataclass(frozen=True)
class Counted:
    """Two texts of sixteen tokens, other ones for each number."""

    per_epoch: int = 10
    identity: Any = None

    def batch(self, number: int) -> Batch:
        return Batch.of(np.random.default_rng(number).integers(5, 9, (2, 16)).tolist())


def trainer(**settings: Any) -> Trainer:
    config = preset("gpt2-tiny")
    return Trainer(config.build(), CausalLM().build(config, TOKENIZER), Counted(), TrainConfig(**settings))


def test_a_row_has_what_a_log_has(tmp_path: Path) -> None:
    run = trainer(steps=3, accumulate=2)
    with Progress(run, peak=1e9) as progress, Log(tmp_path / "log") as log:
        for step in run:
            log.write(progress.row(step))
    rows = read_log(tmp_path / "log")
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert [row["tokens"] for row in rows] == [64, 128, 192]
    assert list(rows[0]) == [
        *("step", "loss", "nll", "lr", "norm", "tokens", "tokens_per_s", "seconds", "share_of_peak"),
    ]
    assert rows[-1]["seconds"] == pytest.approx(run.seconds, abs=0.001)
    for row in rows:
        needed = training_flops(run.model.config, [16, 16], heads={"language": 30}) / 32
        assert row["share_of_peak"] == pytest.approx(needed * row["tokens_per_s"] / 1e9, rel=0.01, abs=1e-4)


def test_watching_a_run_does_not_change_it() -> None:
    alone, watched = trainer(steps=4), trainer(steps=4)
    with Progress(watched, peak=1e9) as progress:
        rows = [progress.row(step) for step in watched]
    steps = list(alone)
    assert [row["loss"] for row in rows] == [step.figures["loss"] for step in steps]
    same = rows[-1].keys() - TIMES
    assert {name: rows[-1][name] for name in same} == {
        "step": 4,
        **steps[-1].figures,
        "lr": steps[-1].lr,
        "norm": steps[-1].norm,
        "tokens": 128,
    }


def test_without_a_peak_there_is_no_share() -> None:
    run = trainer(steps=1)
    with Progress(run, peak=0) as progress:
        assert "share_of_peak" not in progress.row(next(iter(run)))


def test_the_line_tells_loss_rate_share_and_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Live, "enabled", True)
    run: Any = trainer(steps=200)
    with Progress(run, peak=1e9) as progress:
        progress._live._wait = 0
        progress.flops_per_token = 1e6
        step = Step(number=50, figures={"loss": 3.14159}, lr=2e-4, norm=1.0, tokens=400, seen=20_000, seconds=2.0)
        run.step = 50
        progress.row(step)
        progress.row(replace(step, skipped=True))
    line = capsys.readouterr().err.splitlines()[0]
    assert line.split()[:4] == ["pretrain", "25%", "50", "steps"]
    assert " s left  loss 3.142  lr 0.0002  200 tokens/s  20% of peak" in line


def test_time_left_follows_whatever_ends_the_run_first(capsys: pytest.CaptureFixture[str]) -> None:
    run = trainer(steps=1000, tokens=320)
    with Progress(run, peak=0) as progress:
        progress._live._wait = 0
        step = next(iter(run))
        progress.row(step)
    assert " 10% " in capsys.readouterr().err


def test_the_peak_is_that_of_the_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(
        "inlay.train.progress.measured_peak", lambda device, dtype: asked.append((device.type, dtype)) or 1e9
    )
    for precision in ("fp32", "bf16"):
        run = SimpleNamespace(**vars(trainer(steps=1)) | {"config": TrainConfig(precision=precision)})
        Progress(run)  # type: ignore[arg-type]
    assert asked == [("cpu", torch.float32), ("cpu", torch.bfloat16)]
