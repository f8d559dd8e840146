"""The log of a run: whole lines whatever ends it, and after a resume the rows of a run that was never broken."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inlay.errors import InputError
from inlay.train.log import TIMES, Log, read_log


def training(step: int) -> dict[str, Any]:
    return {"step": step, "loss": 7 / step, "lr": 1e-3, "norm": 0.1 + step, "tokens": 64 * step, "seconds": time.time()}


def run(log: Log, steps: range) -> None:
    for step in steps:
        log.write(training(step))
        if step % 3 == 0:
            log.write({"step": step, "heldout_loss": 8 / step})


def timeless(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    rows = [training(1), {"step": 1, "heldout_loss": 2.5, "said": "猫"}, training(2)]
    with Log(tmp_path / "run" / "log.jsonl") as log:
        for row in rows:
            log.write(row)
            assert read_log(log.path)[-1] == row  # at once
    assert read_log(log.path) == rows
    assert log.path.read_bytes().count(b"\n") == 3


@pytest.mark.parametrize("at", [0, 1, 3, 5, 6, 9, 10])
@pytest.mark.parametrize("torn", [b"", b'{"step": 11, "lo', b"{", b'{"step": 11, "loss": "\xe7'])
def test_a_resumed_log_is_that_of_an_unbroken_run(tmp_path: Path, at: int, torn: bytes) -> None:
    with Log(tmp_path / "whole") as whole:
        run(whole, range(1, 13))
    with Log(tmp_path / "broken") as broken:
        run(broken, range(1, 11))
    with open(broken.path, "ab") as file:
        file.write(torn)
    with Log(broken.path, resume_at=at) as resumed:
        assert resumed.last is None if at == 0 else resumed.last is not None and resumed.last["step"] == at
        run(resumed, range(at + 1, 13))
    assert timeless(read_log(broken.path)) == timeless(read_log(whole.path))
    assert all(json.loads(line) for line in broken.path.read_bytes().splitlines())


def test_a_log_that_is_all_there_is_not_written_anew(tmp_path: Path) -> None:
    with Log(tmp_path / "log") as log:
        run(log, range(1, 4))
    before = os.stat(log.path)
    Log(log.path, resume_at=3).close()
    after = os.stat(log.path)
    assert (before.st_ino, before.st_mtime_ns, before.st_size) == (after.st_ino, after.st_mtime_ns, after.st_size)


def test_a_run_resumed_without_its_log_begins_another(tmp_path: Path) -> None:
    with Log(tmp_path / "log", resume_at=5) as log:
        log.write(training(6))
    assert [row["step"] for row in read_log(log.path)] == [6]


def test_a_new_run_does_not_append_to_another(tmp_path: Path) -> None:
    with Log(tmp_path / "log") as log:
        log.write(training(1))
    with pytest.raises(InputError, match="log is the log of a run that was begun; resume it, or give another folder"):
        Log(log.path)
    assert len(read_log(log.path)) == 1


def test_a_last_line_without_its_end_counts_if_it_is_whole(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b'{"step": 1, "loss": 2}\n{"step": 2, "loss": 1}')
    assert [row["step"] for row in read_log(tmp_path / "log")] == [1, 2]
    with Log(tmp_path / "log", resume_at=2) as log:
        log.write(training(3))
    assert [row["step"] for row in read_log(log.path)] == [1, 2, 3]


@pytest.mark.parametrize("line", [b"", b"{", b"[1]", b'{"loss": 1}', b'{"step": "1"}', b'{"step": 1.0}', b"\xff"])
def test_damage_before_the_end_is_named(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "log").write_bytes(b'{"step": 1}\n' + line + b'\n{"step": 2}\n')
    for read in (read_log, lambda path: Log(path, resume_at=1)):
        with pytest.raises(InputError, match="log line 2: not a row of a log .*; the file is damaged") as error:
            read(tmp_path / "log")
        assert "\n" not in str(error.value)
    assert (tmp_path / "log").read_bytes().count(b"\n") == 3


def test_a_log_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file; a run writes it at its first step"):
        read_log(tmp_path / "log.jsonl")


def test_numbers_that_are_not_finite_are_null(tmp_path: Path) -> None:
    with Log(tmp_path / "log") as log:
        log.write({"step": 1, "loss": float("nan"), "norm": np.float32("inf"), "lr": np.float64(0.5), "n": np.int64(3)})
    text = log.path.read_text()
    assert text == '{"step": 1, "loss": null, "norm": null, "lr": 0.5, "n": 3}\n'
    (tmp_path / "theirs").write_text('{"step": 1, "loss": NaN, "norm": -Infinity, "lr": 1e999}\n')
    assert read_log(tmp_path / "theirs") == [{"step": 1, "loss": None, "norm": None, "lr": None}]


def test_every_digit_of_a_number_is_kept(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).standard_normal(100) * 10.0 ** np.arange(-50, 50)
    with Log(tmp_path / "log") as log:
        for number in numbers:
            log.write({"step": 1, "loss": number})
    assert [row["loss"] for row in read_log(log.path)] == numbers.tolist()


def test_a_full_disk_leaves_the_rows_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(tmp_path / "log")
    log.write(training(1))
    real, left = os.write, [5]

    def full(handle: int, data: bytes) -> int:
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(handle, data[: left.pop()])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(InputError, match="the disk is full"):
        log.write(training(2))
    monkeypatch.undo()
    log.write(training(3))
    log.close()
    assert [row["step"] for row in read_log(log.path)] == [1, 3]


_WRITER = """
import sys
from inlay.train.log import Log
log = Log(sys.argv[1])
for step in range(1, 10**9):
    log.write({"step": step, "loss": 1 / step, "said": "x" * (step % 5000)})
"""


def test_a_kill_tears_the_last_line_alone(tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path / "log")])
    end = time.monotonic() + 20
    while time.monotonic() < end and not ((tmp_path / "log").exists() and (tmp_path / "log").stat().st_size > 1 << 20):
        if (tmp_path / "log").exists():
            read_log(tmp_path / "log")  # also while it is written
        time.sleep(0.01)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    steps = [row["step"] for row in read_log(tmp_path / "log")]
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) >= (tmp_path / "log").read_bytes().count(b"\n") > 100
    with Log(tmp_path / "log", resume_at=steps[-1]) as log:
        log.write(training(steps[-1] + 1))
    lines = (tmp_path / "log").read_bytes().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [*steps, steps[-1] + 1]
