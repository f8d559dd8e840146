"""Weights written over others are the old ones or the new ones at every moment, in one file or in shards."""

import contextlib
import errno
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from inlay.convert import weights
from inlay.convert.folder import INDEX, SINGLE
from inlay.errors import InputError

ONE, MANY = 5000, 1e-4


def some(seed: int, n: int = 5) -> dict[str, torch.Tensor]:
    return {f"w{number}": torch.full((4, 3), float(seed)) for number in range(n)}


def seed_in(folder: Path) -> int | None:
    """Which of `some` the folder holds: all tensors of one, or the test fails; None where there are no weights."""
    if not (folder / SINGLE).exists() and not (folder / INDEX).exists():
        return None
    found = weights.read(folder)
    (seed,) = {int(tensor[0, 0]) for tensor in found.values()}
    expected = some(seed, len(found))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)
    return seed


CASES = pytest.mark.parametrize(
    ("before", "after"),
    [(None, ONE), (None, MANY), (ONE, ONE), (ONE, MANY), (MANY, ONE), (MANY, MANY)],
    ids=lambda case: {None: "nothing", ONE: "one", MANY: "many"}[case],
)


@CASES
@pytest.mark.parametrize("n", [5, 7])  # as many shards as come after, and more
def test_a_fault_at_any_step_leaves_old_or_new(
    n: int, before: float | None, after: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = ["fsync", "replace", "chmod", "unlink"]
    monkeypatch.setattr(os, "fsync", lambda _: None)  # slow, and no power is lost here
    genuine = {name: getattr(os, name) for name in steps}
    for fatal in range(100):
        folder = tmp_path / str(fatal)
        if before is not None:
            weights.write(some(1, n), folder, shard_mb=before)
        done = 0

        def step(name: str, fatal: int = fatal) -> Callable[..., Any]:
            def call(*arguments: Any, **options: Any) -> Any:
                nonlocal done
                done += 1
                if done == fatal + 1:
                    raise OSError(errno.EIO, "injected")
                return genuine[name](*arguments, **options)

            return call

        with monkeypatch.context() as faults:
            for name in steps:
                faults.setattr(os, name, step(name))
            with contextlib.suppress(OSError):
                weights.write(some(2), folder, shard_mb=after, force=True)
        assert seed_in(folder) in (2, None if before is None else 1)
        if done <= fatal:  # nothing failed any more
            assert seed_in(folder) == 2
            return
        weights.write(some(3), folder, shard_mb=after, force=True)  # what was left behind is in nobody's way
        assert seed_in(folder) == 3
        files = {path.name for path in folder.iterdir() if not path.name.endswith(".part")}
        assert (
            files == {SINGLE} if after == ONE else {INDEX} | {weights.read(folder).file(f"w{n}").name for n in range(5)}
        )
    raise AssertionError("the writer takes more steps than were tried")


SAVE = """
import os, sys
from pathlib import Path
import torch
from inlay.convert import weights
folder, shard_mb = Path(sys.argv[1]), float(sys.argv[2])
seed = 2
while True:
    weights.write({f"w{n}": torch.full((4, 3), float(seed)) for n in range(5)}, folder, shard_mb=shard_mb, force=True)
    if seed == 2:
        print("ready", flush=True)
    seed, shard_mb = seed + 1, 1e-4 if shard_mb == 5000 and len(sys.argv) > 3 else float(sys.argv[2])
"""


@pytest.mark.parametrize("arguments", [[str(ONE)], [str(MANY)], [str(ONE), "in turn"]], ids=" ".join)
def test_a_writer_killed_at_a_random_moment_leaves_old_or_new(arguments: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    weights.write(some(1), folder)
    with subprocess.Popen([sys.executable, "-c", SAVE, str(folder), *arguments], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(random.random() * 0.3)
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    seen = seed_in(folder)
    assert seen is not None
    assert seen > 1
    weights.write(some(0), folder, force=True)
    assert seed_in(folder) == 0


@CASES
def test_weights_are_replaced_when_asked_and_the_rest_is_left_alone(
    before: float | None, after: float, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "adapter.safetensors").write_bytes(b"not ours")
    if before is not None:
        weights.write(some(1), tmp_path, shard_mb=before)
        with pytest.raises(InputError, match="exists; give another folder, or force"):
            weights.write(some(2), tmp_path, shard_mb=after)
        assert seed_in(tmp_path) == 1
    weights.write(some(2), tmp_path, shard_mb=after, force=True)
    assert seed_in(tmp_path) == 2
    assert (tmp_path / "config.json").read_text() == "{}"
    assert (tmp_path / "adapter.safetensors").read_bytes() == b"not ours"
    assert (tmp_path / SINGLE).exists() == (after == ONE)
    assert (tmp_path / INDEX).exists() == (after == MANY)


def test_a_file_is_no_folder_to_write_into(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(InputError, match="x is a file; name the folder"):
        weights.write(some(1), tmp_path / "x", force=True)


@pytest.mark.parametrize("shard_mb", [ONE, MANY], ids=["one", "many"])
def test_mapped_weights_can_be_written_over_and_stay_what_they_were(shard_mb: float, tmp_path: Path) -> None:
    weights.write(some(1), tmp_path, shard_mb=shard_mb)
    mapped = weights.read(tmp_path)
    weights.write({name: mapped[name] + 1 for name in mapped}, tmp_path, shard_mb=shard_mb, force=True)
    assert seed_in(tmp_path) == 2
    weights.write(mapped, tmp_path, shard_mb=shard_mb, force=True)
    assert seed_in(tmp_path) == 1


def test_a_full_disk_is_said_and_the_old_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights.write(some(1), tmp_path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as faults:
        faults.setattr(os, "fsync", full)
        with pytest.raises(InputError, match="the disk is full"):
            weights.write(some(2), tmp_path, force=True)
    assert seed_in(tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()] == [SINGLE]


MEASURE = """
import sys
import torch
from inlay.convert import weights
def megabytes(key):
    return int(next(line for line in open("/proc/self/status") if line.startswith(key)).split()[1]) / 1000
model = {f"w{n}": torch.ones(2000, 2000).t() for n in range(10)}  # 16 MB each, none as it stands in the file
weights.write({"x": torch.ones(3)}, sys.argv[1])  # imports what it needs
before = megabytes("VmRSS")
weights.write(model, sys.argv[1], force=True)
written = megabytes("VmHWM") - before
del model
before = megabytes("VmRSS")
found = weights.read(sys.argv[1])
opened = megabytes("VmRSS") - before
print(written, opened, float(found["w3"][0, 0]))
"""


def test_writing_takes_the_memory_of_one_tensor_and_reading_none(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True, check=True)
    written, opened, number = map(float, done.stdout.split())
    assert written < 40
    assert opened < 8
    assert number == 1
