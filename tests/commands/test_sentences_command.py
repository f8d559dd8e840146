"""`inlay evaluate DIR --suite small`, and files of one's own: one table, JSON beside it, nothing left out unsaid."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from inlay.cli import evaluating, run
from inlay.text import data as sets

Capture = pytest.CaptureFixture[str]
VERBS = ["sentences", "retrieval", "vectors", "lm"]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.csv"
    rows = [("king", "queen", 4), ("king", "猫", 1), ("man", "woman", 3.5), ("狗", "猫", 5), ("man", "狗", 0)]
    path.write_text("text1,text2,score\n" + "".join(f"{a},{b},{c}\n" for a, b, c in rows), encoding="utf-8")
    return path


@pytest.fixture
def sts_zh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of data sets with a small sts-zh, and no other set anywhere."""
    monkeypatch.delenv("INLAY_DATA", raising=False)
    monkeypatch.setenv("INLAY_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "sets" / "sts-zh"
    folder.mkdir(parents=True)
    (folder / "sts-b-test.txt").write_text("猫\t狗\t3\n猫\t猫\t5\nking\t狗\t0\nking\tqueen\t4\n", encoding="utf-8")
    return folder.parent


@pytest.mark.parametrize(
    ("words", "verb"),
    [
        (["model"], "sentences"),
        (["model", "--suite", "small"], "sentences"),
        (["model", "--suite=small"], "sentences"),
        (["--json", "model", "--data", "x"], "sentences"),
        (["model", "--on", "pairs.csv", "--task", "sts"], "sentences"),
        (["model", "--on", "cranfield"], "retrieval"),
        (["--on=cranfield", "model"], "retrieval"),
        (["lm", "model"], "lm"),
        (["vectors", "model"], "vectors"),
    ],
)
def test_the_verb_that_is_not_said_is_found_by_the_options(words: list[str], verb: str) -> None:
    assert evaluating(words, VERBS)[0] == verb


def test_a_suite_runs_what_is_here_and_names_what_is_not(vectors: Path, sts_zh: Path, capsys: Capture) -> None:
    out = sts_zh.parent / "figures.json"
    assert run(["-q", "evaluate", str(vectors), "--suite", "small", "--data", str(sts_zh), "--out", str(out)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[1].split() == ["on", "task", "lang", "measure", "score", "judged"]
    assert printed[2].split()[:4] == ["sts-zh", "sts", "zh", "spearman"]
    assert printed[2].endswith("4 pairs")
    tree = json.loads(out.read_text())
    assert [one["on"] for one in tree["results"]] == ["sts-zh"]
    skipped = [line for line in printed if line.startswith("skipped: ")]
    assert len(skipped) == len(tree["skipped"]) == 15
    assert any("stsbenchmark sts: not in" in line and "inlay data pull stsbenchmark" in line for line in skipped)


def test_json_on_stdout_is_what_out_writes(vectors: Path, sts_zh: Path, capsys: Capture) -> None:
    out = sts_zh.parent / "x.json"
    words = ["-q", "evaluate", "sentences", str(vectors), "--on", "sts-zh", "--data", str(sts_zh), "--out", str(out)]
    assert run([*words, "--json"]) == 0
    printed, written = json.loads(capsys.readouterr().out), json.loads(out.read_text())
    for tree in (printed, written):
        tree["results"][0].pop("seconds")
    assert printed == written
    assert printed["suite"] is None
    assert run(words) == 1  # it is there
    assert run([*words, "--force"]) == 0


def test_a_file_of_ones_own_is_measured_by_its_task(vectors: Path, pairs: Path, capsys: Capture) -> None:
    assert run(["-q", "evaluate", str(vectors), "--on", str(pairs), "--task", "sts", "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert (result["on"], result["kind"], result["n"], result["main"]) == ("pairs.csv", "sts", 5, "spearman")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--on", "PAIRS", "--task", "pairs"], "pairs.csv line 2: no field 'label'|label '4' must be 1"),
        (["--on", "PAIRS", "--task", "probe"], "pairs.csv line 2: no field 'text'"),
        (["--on", "PAIRS", "--suite", "small"], "two ways to choose"),
        (["--on", "PAIRS", "--data", "."], "a file needs --task, one of sts"),
        (["--on", "sts-z", "--data", "."], "sts-z: no such file or data set; did you mean 'sts-zh'"),
        (["--task", "sts"], "--task sts needs a file"),
        (["--train", "PAIRS"], "goes with a file of your own"),
        (["--task", "sts", "--on", "PAIRS", "--data", "."], "takes no --suite or --data"),
        (["--out", "figures.txt"], "name the file .json"),
        (["--data", "nowhere"], "nowhere: no such folder of data sets"),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    options: list[str], expected: str, vectors: Path, pairs: Path, refused: Callable[[list[str], str], None]
) -> None:
    refused(["evaluate", str(vectors), *(str(pairs) if one == "PAIRS" else one for one in options)], f"({expected})")


def test_a_suite_of_which_nothing_is_here_is_refused(
    vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Callable[[list[str], str], None]
) -> None:
    monkeypatch.delenv("INLAY_DATA", raising=False)
    monkeypatch.setenv("INLAY_CACHE", str(tmp_path))
    refused(
        ["evaluate", str(vectors)], "none of the 16 tasks can be run; .*: .* is not in .*; get it by: inlay data pull"
    )


def test_every_named_task_is_of_a_data_set_there_is() -> None:
    from inlay.evaluate.named import TASKS

    for task in TASKS:
        assert task.data_set in sets.NAMES
    assert len({(task.name, task.kind) for task in TASKS}) == len(TASKS)
