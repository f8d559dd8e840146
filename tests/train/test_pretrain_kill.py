"""A pretraining that is killed, at any moment, goes on and ends as one that was not: same weights, same log."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from inlay.cli import run
from inlay.errors import InputError
from inlay.train import checkpoint, trainer
from inlay.train.log import TIMES, read_log

# All that a run has beside weights is in here: dropout, two micro-batches a step, pairs drawn anew, an average, a table
# that is frozen at first, a step size that moves.
RECIPE = """
data: {packing: {kind: SentencePairs, length: 32}, batch: 4, held_out: 0.1}
tokenizer: {kind: WordPiece, size: 300}
model: {preset: bert-tiny, input: {frozen: 7}}
train: {accumulate: 2, ema: 0.9, schedule: {kind: Cosine, warmup: 0.2}}
"""
CHILD = """
    import os, signal, sys
    from inlay.cli import run

    def die(*_): os.kill(os.getpid(), signal.SIGKILL)

    where = sys.argv[1]
    if where == "shards":
        from inlay.text import shards
        shards._finish = die
    if where == "checkpoint":
        from inlay.train import checkpoint
        write = checkpoint.write

        def second(folder, parts, state):
            if state["step"] == 8:
                checkpoint.write_checksums = die  # the weights are written, nothing says that they are whole
            write(folder, parts, state)

        checkpoint.write = second
    sys.exit(run(sys.argv[2:]))
"""


def arguments(corpus: Path, out: Path) -> list[str]:
    recipe = out.parent / "recipe.yaml"
    recipe.write_text(RECIPE)
    return (
        f"-q pretrain {recipe} data.source={corpus} out={out} train.steps=12 train.checkpoint_every=4 train.threads=1 "
        "seed=3"
    ).split()


def child(where: str, words: list[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", textwrap.dedent(CHILD), where, *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def rows(out: Path) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in TIMES} for row in read_log(out / "log.jsonl")]


def weights(out: Path) -> bytes:
    return (out / "model" / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def unbroken(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unbroken") / "run"
    assert run(arguments(corpus, out)) == 0
    return out


def check_same(out: Path, unbroken: Path) -> None:
    assert weights(out) == weights(unbroken)
    assert rows(out) == rows(unbroken)
    times = {"seconds"}
    ours, theirs = (json.loads((folder / "metrics.json").read_text()) for folder in (out, unbroken))
    assert {key: ours[key] for key in ours.keys() - times} == {key: theirs[key] for key in theirs.keys() - times}
    left = [path.name for path in (*out.iterdir(), *(out / "checkpoints").iterdir()) if path.name.endswith(".part")]
    assert not left
    for _, path in checkpoint.steps(out / "checkpoints"):
        parts, _ = checkpoint.read(path)
        known, _ = checkpoint.read(unbroken / "checkpoints" / path.name)
        for part, tensors in parts.items():
            assert all(torch.equal(value, known[part][name]) for name, value in tensors.items())


def test_killed_at_a_random_moment_and_resumed_in_a_fresh_process(corpus: Path, unbroken: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words, rng = arguments(corpus, out), random.Random()
    process = child("", words)
    while process.poll() is None and not (out / "log.jsonl").is_file():
        time.sleep(0.005)
    time.sleep(rng.random())
    process.kill()
    process.communicate()
    again = child("", [*words, "--resume", "auto"])
    assert again.communicate()[1] == b""
    assert again.returncode == 0
    check_same(out, unbroken)


@pytest.mark.parametrize("where", ["shards", "checkpoint"])
def test_killed_while_something_is_written(where: str, corpus: Path, unbroken: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = arguments(corpus, out)
    process = child(where, words)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    steps = [step for step, _ in checkpoint.steps(out / "checkpoints")]
    assert steps == ([] if where == "shards" else [4])
    assert run([*words, "--resume", "auto"]) == 0
    check_same(out, unbroken)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_ends_with_the_step_saved(
    number: signal.Signals, corpus: Path, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    words, update = arguments(corpus, out), trainer.Trainer._update

    def interrupted(self: trainer.Trainer, *rest: Any) -> Any:
        if self.step == 5:
            os.kill(os.getpid(), number)  # in the middle of a step, so to speak
        return update(self, *rest)

    monkeypatch.setattr(trainer.Trainer, "_update", interrupted)
    handler = signal.getsignal(number)
    assert run(words) == 130
    assert signal.getsignal(number) is handler
    monkeypatch.undo()
    assert [step for step, _ in checkpoint.steps(out / "checkpoints")] == [4, 6]
    assert not (out / "model").exists()
    assert run([*words, "--resume", "auto"]) == 0
    assert weights(out) == weights(unbroken)
    assert rows(out) == rows(unbroken)


def test_a_full_disk_keeps_the_last_checkpoint(
    corpus: Path, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    words, write = arguments(corpus, out), checkpoint.write_checksums

    def full(folder: Path) -> None:
        if "step-8" in str(folder):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
        write(folder)

    monkeypatch.setattr(checkpoint, "write_checksums", full)
    assert run(words) == 1
    assert "step-8: the disk is full; what was there before is kept" in capsys.readouterr().err
    monkeypatch.undo()
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["step-4"]
    assert run([*words, "--resume", "auto"]) == 0
    assert weights(out) == weights(unbroken)
    assert rows(out) == rows(unbroken)


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_last_checkpoint(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    update = trainer.Trainer._update

    def spoilt(self: trainer.Trainer, *rest: Any) -> Any:
        if self.step == 6:
            with torch.no_grad():
                self.model.heads["pair"].out.weight.fill_(torch.nan)
        return update(self, *rest)

    monkeypatch.setattr(trainer.Trainer, "_update", spoilt)
    assert run(arguments(corpus, out)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: step 7: the loss of batch 12 is nan;")
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["step-4"]
    checkpoint.read(out / "checkpoints" / "step-4")
    assert not (out / "model").exists()
    assert not (out / "metrics.json").exists()


def test_weights_that_are_no_numbers_are_never_saved(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    update = trainer.Trainer._update

    def spoilt(self: trainer.Trainer, *rest: Any) -> Any:
        found = update(self, *rest)
        if self.step == 8:
            with torch.no_grad():
                self.model.heads["pair"].out.weight[0, 1] = torch.inf
        return found

    monkeypatch.setattr(trainer.Trainer, "_update", spoilt)
    assert run(arguments(corpus, out)) == 1
    assert "step 8: 'model.heads.pair.out.weight' is inf at [0, 1]" in capsys.readouterr().err
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["step-4"]


def test_two_processes_do_not_write_into_one_run(corpus: Path, unbroken: Path, tmp_path: Path) -> None:
    from inlay.files import lock

    with lock(unbroken), pytest.raises(InputError, match="being written by another process"), lock(unbroken):
        pass
    with lock(unbroken):
        assert run([*arguments(corpus, unbroken), "--resume", "auto"]) == 1
