"""Stages: each made once and whole; a killed run goes on where it was and ends as an unbroken one."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from inlay.errors import InputError
from inlay.files import write_json
from inlay.stages import Run, clear, peak_mb

IDENTITY = {"inlay": "0.1.0", "config": {"seed": 0, "dims": []}}


def run(folder: Path, *, resume: bool = False, **changes: object) -> Run:
    return Run(folder, {**IDENTITY, **changes}, resume=resume)


def test_a_stage_is_made_once_and_read_back_from_disk(tmp_path: Path) -> None:
    made: list[str] = []

    def make(part: Path) -> None:
        made.append("once")
        (part / "deep").mkdir()
        (part / "deep" / "result.txt").write_text("42")

    for attempt in range(3):
        stages = run(tmp_path, resume=bool(attempt))
        done = stages.stage("first one", make)
        assert done == tmp_path / "first one"
        assert (done / "deep" / "result.txt").read_text() == "42"
        assert [cost["name"] for cost in stages.costs] == ["first one"]
    assert made == ["once"]


def test_a_stage_says_what_it_cost(tmp_path: Path) -> None:
    def make(part: Path) -> None:
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass

    stages = run(tmp_path)
    stages.stage("work", make)
    (cost,) = stages.costs
    assert cost["seconds"] >= 0.04
    assert cost["cpu_s"] >= 0.04
    assert 5 < cost["peak_mb"] <= peak_mb() + 1
    # A resumed run tells what the stage cost when it was made.
    again = run(tmp_path, resume=True)
    again.stage("work", lambda part: pytest.fail("made again"))
    assert again.costs == stages.costs


def test_a_stage_that_fails_leaves_nothing_and_is_made_again(tmp_path: Path) -> None:
    def fail(part: Path) -> None:
        (part / "half").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path).stage("work", fail)
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.json"]
    run(tmp_path, resume=True).stage("work", lambda part: write_json(part / "whole.json", 1))
    assert (tmp_path / "work" / "whole.json").exists()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"inlay": "0.2.0"}, "inlay was '0.1.0' and is '0.2.0'"),
        ({"config": {"seed": 1}}, "config"),
        ({"new": 1}, "new"),
    ],
)
def test_other_settings_cannot_go_on_with_a_run(changes: dict[str, object], named: str, tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(InputError, match=f"cannot resume .*{named}.*--force"):
        run(tmp_path, resume=True, **changes)
    run(tmp_path, resume=True)


def test_settings_are_compared_as_they_are_written(tmp_path: Path) -> None:
    run(tmp_path, sources=["a"], corpus={"encoding": None, "max": 16.0})
    run(tmp_path, resume=True, sources=["a"], corpus={"encoding": None, "max": 16.0})


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_stage_is_found(damage: str, tmp_path: Path) -> None:
    run(tmp_path).stage("work", lambda part: write_json(part / "table.json", list(range(100))))
    file = tmp_path / "work" / "table.json"
    whole = file.read_bytes()
    if damage == "remove":
        file.unlink()
    else:
        file.write_bytes(whole[:-5] if damage == "cut" else whole[:50] + bytes([whole[50] ^ 1]) + whole[51:])
    with pytest.raises(InputError, match=r"table\.json"):
        run(tmp_path, resume=True).stage("work", lambda part: None)


def test_a_damaged_list_of_settings_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "run.json", [])
    with pytest.raises(InputError, match=r"run\.json: must be a table .* --force"):
        run(tmp_path, resume=True)


def test_clearing_removes_all_but_the_lock_and_the_mark_of_an_unfinished_run_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = run(tmp_path)
    for name in ("a", "z"):
        stages.stage(name, lambda part: write_json(part / "x.json", 1))
    (tmp_path / ".lock").touch()
    gone: list[str] = []
    unlink = Path.unlink
    monkeypatch.setattr(Path, "unlink", lambda path, **options: (gone.append(path.name), unlink(path, **options)))
    clear(tmp_path)
    assert gone[-1] == "run.json"
    assert [entry.name for entry in tmp_path.iterdir()] == [".lock"]


CHILD = """
    import json, sys, time
    from pathlib import Path
    from inlay.stages import Run

    folder, resume = Path(sys.argv[1]), sys.argv[2] == "resume"
    stages = Run(folder, {"seed": 0}, resume=resume)

    def make(number):
        def work(part):
            before = json.loads((folder / str(number - 1) / "out.json").read_text()) if number else [1]
            (part / "begun").touch()
            with open(folder.parent / "log", "a") as log:
                log.write(f"{number} ")
            (part / "out.json").write_text(json.dumps([*before, 3 * before[-1] + number]))
            if number == 2 and not resume and len(sys.argv) > 3:
                print("within", flush=True)
                time.sleep(60)
        return work

    for number in range(4):
        stages.stage(str(number), make(number))
"""


def child(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(CHILD), str(folder), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_killed_within_a_stage_goes_on_and_ends_as_an_unbroken_one(how: signal.Signals, tmp_path: Path) -> None:
    broken, whole = tmp_path / "broken" / "run", tmp_path / "whole" / "run"
    for folder in (broken, whole):
        folder.mkdir(parents=True)
    process = child(broken, "begin", "sleep")
    assert process.stdout is not None
    assert process.stdout.readline() == "within\n"
    os.kill(process.pid, how)
    assert process.wait(10) != 0
    assert sorted(entry.name for entry in broken.iterdir() if entry.name[0] != ".") == ["0", "1", "run.json"]
    assert child(broken, "resume").wait(20) == 0
    assert child(whole, "begin").wait(20) == 0
    assert (broken.parent / "log").read_text() == "0 1 2 2 3 "
    for number in range(4):
        assert (broken / str(number) / "out.json").read_bytes() == (whole / str(number) / "out.json").read_bytes()
    assert json.loads((broken / "3" / "out.json").read_text()) == [1, 3, 10, 32, 99]
