"""A run of two processes by torchrun: one folder, one voice; killed, stopped or refused, all end, and it goes on."""

import json
import os
import re
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
from inlay.convert import load_model
from inlay.errors import InputError
from inlay.train import checkpoint
from inlay.train.log import TIMES, read_log
from inlay.train.voice import speaks
from inlay.train.world import World, join

RECIPE = """
data: {packing: {kind: SentencePairs, length: 32}, batch: 4, held_out: 0.1}
tokenizer: {kind: WordPiece, size: 300}
model: {preset: bert-tiny, n_layers: 2, d_model: 16, n_heads: 2, d_ffn: 32, input: {frozen: 3}}
train: {accumulate: 2, ema: 0.9, schedule: {kind: Cosine, warmup: 0.2}, optimizer: {kind: AdamW, lr: 0.01}}
"""
# What goes wrong, and in which process: said by the first word, done in the first attempt alone.
CHILD = """
    import os, signal, sys, time
    import torch
    from inlay.cli import run

    what, rank = sys.argv[1], int(os.environ["RANK"])
    first_time = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
    from inlay.train import pretrain, trainer
    update, learn = trainer.Trainer._update, pretrain.Work.tokenizer

    def spoilt(self, *rest):
        if what == "killed" and rank == 1 and self.step == 5 and first_time:
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "slow":
            time.sleep(0.2)
        if what == "nan" and self.step == 2:
            with torch.no_grad():
                next(self.model.parameters()).fill_(torch.nan)
        if what == "one" and self.step == 2 and rank == 1:
            raise MemoryError
        return update(self, *rest)

    def waiting(self, part):
        if what == "one" and rank == 0:
            time.sleep(4)  # longer than the processes wait for each other below
        learn(self, part)

    trainer.Trainer._update, pretrain.Work.tokenizer = spoilt, waiting
    if what == "one":
        pretrain.join.__wrapped__.__kwdefaults__["timeout_s"] = 2
    sys.exit(run(sys.argv[2:]))
"""


def words(corpus: Path, out: Path, *more: str) -> list[str]:
    recipe = out.parent / "recipe.yaml"
    recipe.write_text(RECIPE)
    given = f"pretrain {recipe} data.source={corpus} out={out} train.steps=8 train.checkpoint_every=2 seed=3"
    return [*given.split(), "train.threads=1", *more]


def torchrun(*given: str, what: str = "", restarts: int = 0) -> subprocess.Popen[str]:
    begin = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    begin += ["--max-restarts", str(restarts)]
    script = [] if not what else ["--no-python", sys.executable, "-c", textwrap.dedent(CHILD), what]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*begin, *(script or ["-m", "inlay"]), *given],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def ended(process: subprocess.Popen[str], seconds: float = 120) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        process.kill()
    return process.returncode, out, err


def errors(err: str) -> list[str]:
    return [line for line in err.splitlines() if line.startswith("error: ")]


def rows(out: Path) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in TIMES} for row in read_log(out / "log.jsonl")]


def check_same(out: Path, alone: Path) -> None:
    """Weights and figures are those of one process, but for the rounding of sums."""
    found, known = rows(out), rows(alone)
    assert [row["step"] for row in found] == [row["step"] for row in known]
    for row, row_then in zip(found, known, strict=True):
        assert row == pytest.approx(row_then, rel=1e-4)
    weights, weights_then = (load_model(folder / "model").state_dict() for folder in (out, alone))
    for name, value in weights_then.items():
        torch.testing.assert_close(weights[name], value, rtol=1e-3, atol=1e-5)
    metrics = [json.loads((folder / "metrics.json").read_text()) for folder in (out, alone)]
    assert metrics[0]["heldout_loss"] == pytest.approx(metrics[1]["heldout_loss"], rel=1e-5)


@pytest.fixture(scope="module")
def alone(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out, threads = tmp_path_factory.mktemp("alone") / "run", torch.get_num_threads()
    assert run(words(corpus, out)) == 0
    torch.set_num_threads(threads)
    return out


def test_two_processes_make_the_folder_that_one_makes(corpus: Path, alone: Path, tmp_path: Path) -> None:
    """By fsdp, from raw text to the saved model; one of them talks."""
    out = tmp_path / "run"
    code, told, err = ended(torchrun(*words(corpus, out, "train.parallel=fsdp")))
    assert code == 0, err
    assert told.count("held-out loss") == 1
    assert [line.split()[0] for line in err.splitlines() if "torch/distributed" not in line] == [
        "tokenizer", "shards", "note:", "pretrain",
    ]  # fmt: skip
    check_same(out, alone)
    assert {path.name for path in out.iterdir()} == {path.name for path in alone.iterdir()}
    for path in (*out.rglob("*"), *alone.rglob("*")):
        assert not path.name.endswith(".part")
    for step, path in checkpoint.steps(out / "checkpoints"):
        parts, state = checkpoint.read(path)
        known, state_then = checkpoint.read(alone / "checkpoints" / f"step-{step}")
        assert {name: set(part) for name, part in parts.items()} == {name: set(part) for name, part in known.items()}
        assert state.keys() == state_then.keys()


def test_killed_all_end_and_a_restart_goes_on_to_the_same_end(corpus: Path, alone: Path, tmp_path: Path) -> None:
    """By ddp, from a folder that is not there, with the command that a restart gives again; then by one process."""
    out = tmp_path / "run"
    begin = time.monotonic()
    code, _, err = ended(torchrun(*words(corpus, out, "--resume", "auto"), what="killed", restarts=1))
    assert code == 0, err
    assert time.monotonic() - begin < 100
    # torchrun may end the other process before it has noticed by itself.
    assert all(" has ended" in line or "interrupted" in line for line in errors(err)), err
    assert len(errors(err)) <= 1, err
    assert "done before" in err
    check_same(out, alone)


def test_asked_to_end_all_stop_at_one_step_and_one_process_goes_on(corpus: Path, alone: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = torchrun(*words(corpus, out), what="slow")
    while process.poll() is None and not ((out / "log.jsonl").is_file() and (out / "log.jsonl").read_text()):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    code, _, err = ended(process)
    assert code != 0
    (line,) = errors(err)
    assert line == "error: interrupted; give the same command with --resume auto to go on"
    step = rows(out)[-1]["step"]
    assert 0 < step < 8
    assert checkpoint.steps(out / "checkpoints")[-1][0] == step
    assert run(words(corpus, out, "--resume", "auto")) == 0
    check_same(out, alone)


@pytest.mark.parametrize(
    ("what", "more", "message"),
    [
        ("", ("objective={kind: CausalLM}",), r"CausalLM"),
        ("", ("--fast",), r"no such option: --fast"),
        ("nan", (), r"step 3: the loss of batch 4 is nan"),
        ("one", (), r"out of memory"),
    ],
    ids=["of the first", "of the command", "of all", "of the second, after a long wait"],
)
def test_an_error_is_said_once_and_ends_all(
    what: str, more: tuple[str, ...], message: str, corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    code, told, err = ended(torchrun(*words(corpus, out, *more), what=what))
    assert code != 0
    assert told == ""
    (line,) = errors(err)
    assert re.search(message, line)
    assert out.exists() == bool(what)


def test_a_student_learns_from_two_processes_what_it_learns_from_one(corpus: Path, alone: Path, tmp_path: Path) -> None:
    settings = (
        "train.steps=3 train.accumulate=2 train.threads=1 data.batch=2 data.held_out=0.1 train.evaluate_batches=3"
    )
    given = ["distill", str(alone / "model"), "--on", str(corpus), "--layers", "1", *settings.split()]
    code, told, err = ended(torchrun(*given, "--out", str(tmp_path / "two"), "train.parallel=fsdp"))
    assert code == 0, err
    assert told.count("next:") == 1
    assert run([*given, "--out", str(tmp_path / "one")]) == 0
    check_same(tmp_path / "two", tmp_path / "one")


def test_a_dry_run_is_done_by_the_first_process_alone(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("inlay.train.rehearse.rehearse", lambda _: asked.append(os.environ["RANK"]) or {})
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        assert run([*words(corpus, tmp_path / "run"), "--dry-run", "--json"]) == 0
    assert asked == ["0"]
    assert capsys.readouterr() == ("{}\n", "")


def test_processes_that_cannot_meet_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(InputError, match=r"WORLD_SIZE=2, .* variable RANK .*start them by torchrun, or unset"), join():
        pass


def test_alone_there_is_nothing_to_agree_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with join() as world:
        assert (world.size, world.first) == (1, True)
        assert world.sum([1, 2.5]) == [1, 2.5]
        assert world.lead(lambda: 3) == 3
        assert world.tell("word") == "word"
    assert World().first
    assert speaks()
