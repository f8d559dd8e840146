"""`inlay fit`: settings reach the library in their order, and what was measured is shown."""

import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from inlay.cli import run
from inlay.fit import FitConfig, Fitted

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def fitted(model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """A fit that does nothing but keep its arguments; its result is that of the small model."""
    calls: list[dict[str, Any]] = []
    tree = json.loads((model / "inlay.json").read_text())

    def pretend(*sources: str, **options: Any) -> Fitted:
        calls.append({"sources": sources, **options})
        if options["resume"]:
            raise KeyboardInterrupt
        return Fitted(folder=model, tree=tree)

    monkeypatch.setattr(sys.modules["inlay.fit"], "fit", pretend)
    return calls


def test_fit_takes_its_settings_from_the_file_then_set_then_flags(
    fitted: list[dict[str, Any]], tmp_path: Path, capsys: Capture
) -> None:
    file = tmp_path / "fit.yaml"
    file.write_text("minutes: 7\nseed: 1\ndim: 64\ntune: {steps: 9}\n")
    options = f"--config {file} --set seed=2 --set tune.batch=32 --set dim=32 --seed 3 --threads 2 --unit line"
    command = [
        "fit",
        "a",
        "b",
        "--out",
        str(tmp_path / "m"),
        "--background",
        "c",
        "--background",
        "d",
        *options.split(),
    ]
    assert run(command) == 0
    (call,) = fitted
    config: FitConfig = call["config"]
    assert call["sources"] == ("a", "b")
    assert call["background"] == ["c", "d"]
    assert call["corpus"].unit == "line"
    assert (config.minutes, config.seed, config.dim, config.tune.steps, config.tune.batch) == (7, 3, 32, 9, 32)
    assert config.vectors.threads == 2
    assert (call["force"], call["resume"]) == (False, False)


def test_flags_of_a_base_count_more_than_a_recipe_and_that_more_than_quick(
    fitted: list[dict[str, Any]], tmp_path: Path
) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text("held_out: 77\nbase: {ridge: 3, ship: table, tune: {max_length: 64}}\n")
    options = f"--quick --recipe {file} --base some/encoder --ship base --tune --pairs p.jsonl --minutes 2"
    assert run(["fit", "a", "--out", "m", *options.split()]) == 0
    config: FitConfig = fitted[0]["config"]
    assert (config.minutes, config.held_out, config.tune.steps, config.encoder) == (2, 77, 30, None)
    assert config.base is not None
    assert (config.base.folder, config.base.ship, config.base.ridge) == ("some/encoder", "base", 3)
    assert config.base.pairs == "p.jsonl"
    assert config.base.tune is not None
    assert config.base.tune.max_length == 64


def test_an_encoder_is_asked_for_whatever_the_minutes(fitted: list[dict[str, Any]]) -> None:
    assert run(["fit", "a", "--out", "m", "--encoder"]) == 0
    encoder = fitted[0]["config"].encoder
    assert encoder is not None
    assert encoder.least == 0


@pytest.mark.parametrize(
    ("recipe", "options", "message"),
    [
        ("tune: {stps: 3}\n", "", "unknown key 'tune.stps' for Tune; did you mean 'steps'?"),
        ("- 3\n", "", "must be a table"),
        ("3: 4\n", "", "unknown key '3' for FitConfig"),
        ("", "--ship table", "--ship is about a base encoder, and none is given; add --base DIR"),
        ("", "--tune", "--tune is about a base encoder"),
        ("", "--base x --ship tabel", "base.ship='tabel' is not a choice; did you mean 'table'?"),
        ("", "--base x --pairs p.jsonl", "add --tune"),
    ],
)
def test_a_mistake_in_a_recipe_or_flag_is_one_line(
    recipe: str, options: str, message: str, fitted: list[dict[str, Any]], tmp_path: Path, capsys: Capture,
    spoken: Callable[[str], str],
) -> None:  # fmt: skip
    file = tmp_path / "recipe.yaml"
    file.write_text(recipe)
    assert run(["fit", "a", "--out", "m", "--recipe", str(file), *options.split()]) == 1
    assert message in spoken(capsys.readouterr().err)
    assert not fitted


def test_fit_shows_the_ladder_the_choice_and_what_is_next(
    fitted: list[dict[str, Any]], model: Path, capsys: Capture
) -> None:
    assert run(["fit", "a", "--out", "m"]) == 0
    out = capsys.readouterr().out
    tree = json.loads((model / "inlay.json").read_text())
    for rung in tree["ladder"]:
        assert re.search(rf"^\W*{re.escape(rung['name'])} ", out, re.MULTILINE), rung["name"]
    assert len(re.findall(r"^\* ", out, re.MULTILINE)) == sum(rung["shipped"] for rung in tree["ladder"])
    for reason in tree["choice"]["why"]:
        assert reason in out
    assert f"inlay search {model} " in out
    assert f"open {model / 'report.html'}" in out
    assert run(["fit", "a", "--out", "m", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == tree


def test_the_next_command_holds_the_question_as_one_word(
    fitted: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    question = """what's `touch a` and $(touch b) in "code"?"""
    pretend = sys.modules["inlay.fit"].fit

    def asked(*sources: str, **options: Any) -> Fitted:
        found = pretend(*sources, **options)
        return Fitted(folder=found.folder, tree=found.tree | {"examples": [{"query": question, "hits": []}]})

    monkeypatch.setattr(sys.modules["inlay.fit"], "fit", asked)
    assert run(["fit", "a", "--out", "m"]) == 0
    command = next(line for line in capsys.readouterr().out.splitlines() if "inlay search" in line)
    assert shlex.split(command)[-1] == question
    assert "'\"'\"'" in command  # single quotes: the shell runs nothing inside


def test_an_interrupted_fit_says_how_to_go_on(
    fitted: list[dict[str, Any]], capsys: Capture, spoken: Callable[[str], str]
) -> None:
    assert run(["fit", "a", "--out", "m", "--resume"]) == 130
    assert "interrupted; give the same command with --resume" in spoken(capsys.readouterr().err)
