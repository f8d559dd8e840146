"""The harness of the benchmarks: what is measured again replaces what was there, and nothing is mixed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1] / "benchmarks")!r})
from side_by_side import Comparison, Row, main

def write(path, quick):
    path.write_text("a b c")
    return 1 if quick else 3

def plan(quick):
    for part, text in (("one", "first"), ("two", "second")):
        yield part, {{"what": "measure", "text": text}}

def measure(tool, text):
    return {{"cost": {{"ours": 2.0, "theirs": 5.0}}[tool], "words": len(open(text).read().split())}}

main(Comparison(
    script=__file__, tools=("ours", "theirs"), parts={{"one": "", "two": ""}}, jobs={{"measure": measure}}, plan=plan,
    rows=[Row(name=part, part=part, key="cost") for part in ("one", "two")], texts={{"first": write, "second": write}},
))
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = folder / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), "--out", str(folder / "out.json"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_parts_measured_one_by_one_are_the_parts_measured_at_once(tmp_path: Path) -> None:
    found = []
    for calls in ([[]], [["--only", "one"], ["--only", "two"], ["--only", "one"]]):
        for call in calls:
            assert (done := run(tmp_path, *call)).returncode == 0, done.stderr
        found.append(json.loads((tmp_path / "out.json").read_text()))
        (tmp_path / "out.json").unlink()
    once, again = found
    assert once["words"] == again["words"] == {"first": 3, "second": 3}
    assert once["summary"] == again["summary"]
    medians = {"median_ours": 2.0, "median_theirs": 5.0}
    expected = {"ours": [2.0], "theirs": [5.0], **medians, "ratio": 2.5, "ratios": {"theirs": 2.5}}
    assert once["summary"]["one"] == expected
    assert sorted(run["part"] for run in again["runs"]) == ["one", "one", "two", "two"]


@pytest.mark.parametrize("first", [True, False], ids=["a quick one first", "a whole one first"])
def test_quick_and_whole_measurements_are_never_mixed(first: bool, tmp_path: Path) -> None:
    quick = ["--quick"]
    assert run(tmp_path, *quick * first).returncode == 0
    before = (tmp_path / "out.json").read_text()
    done = run(tmp_path, "--only", "one", *quick * (not first))
    assert done.returncode == 1
    assert done.stderr.endswith(f"measured {'with' if first else 'without'} --quick; name another --out\n")
    assert (tmp_path / "out.json").read_text() == before
