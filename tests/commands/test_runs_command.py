"""`inlay runs`: the table, JSON, and the files that it writes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from inlay.cli import run
from inlay.train.log import Log

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name, floor in (("bert", 2.0), ("gpt2", 3.0)):
        with Log(tmp_path / "runs" / name / "log.jsonl") as log:
            for step in range(1, 31):
                log.write({"step": step, "loss": floor + 5 / step, "lr": 0.1, "tokens": 10 * step, "seconds": step})
            log.write({"step": 30, "heldout_loss": floor})
    return tmp_path / "runs"


def test_a_line_for_each_run(runs: Path, capsys: Capture) -> None:
    assert run(["runs", str(runs)]) == 0
    out, err = capsys.readouterr()
    head, *lines = out.splitlines()
    assert head.split()[:3] == ["run", "objective", "preset"]
    assert [line.split()[0] for line in lines] == ["bert", "gpt2"]
    assert lines[0].split()[4:9] == ["30", "300", "2.1667", "2.0000", "30"]
    assert err == ""


def test_json_is_the_same(runs: Path, capsys: Capture) -> None:
    assert run(["runs", str(runs / "gpt2"), str(runs / "bert"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(row["run"], row["steps"], row["heldout_loss"]) for row in found] == [("gpt2", 30, 3.0), ("bert", 30, 2.0)]


def test_curves_are_written_as_a_picture_and_as_a_page(runs: Path, tmp_path: Path, capsys: Capture) -> None:
    pytest.importorskip("matplotlib")
    png, html = tmp_path / "curves.png", tmp_path / "runs.html"
    words = ["runs", str(runs), "--plot", str(png), "--html", str(html), "--x", "tokens", "--smooth", "5"]
    assert run(words) == 0
    assert png.read_bytes().startswith(b"\x89PNG")
    text = html.read_text()
    assert "<h2>loss</h2>" in text
    assert "<h2>lr</h2>" in text
    assert "Along x: tokens." in text
    capsys.readouterr()
    assert run(words) == 1  # they are there now
    assert "exists" in capsys.readouterr().err
    assert run([*words, "--force"]) == 0


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--plot", "OUT/curves.jpg"], "curves.jpg: must end in .png; name it so"),
        (["--html", "OUT/runs.png"], "runs.png: must end in .html; name it so"),
        (["--plot", "OUT/curves.png", "--y", "los"], "no log has a column 'los'; did you mean 'loss'"),
        (["--html", "OUT/runs.html", "--y", "los"], "no log has a column 'los'; did you mean 'loss'"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(
    more: list[str], expected: str, runs: Path, tmp_path: Path, refused: Callable[[list[str], str], None]
) -> None:
    refused(["runs", str(runs), *(word.replace("OUT", str(tmp_path)) for word in more)], expected)


def test_a_log_that_is_damaged_is_named(runs: Path, refused: Callable[[list[str], str], None]) -> None:
    log = runs / "bert" / "log.jsonl"
    log.write_bytes(log.read_bytes()[:300] + b"\0\0\0" + log.read_bytes()[300:])
    refused(["runs", str(runs)], "bert/log.jsonl line 5: not a row of a log")
