"""Runs side by side: what the table says, where curves go, and runs that are not over or hold what is no number."""

import json
import math
import os
import struct
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inlay.errors import InputError
from inlay.explore.runs import HEAD, cells, curves, read_runs, smoothed
from inlay.explore.runs_page import page
from inlay.train.log import Log

SVG = "{http://www.w3.org/1999/xhtml}"


def make(folder: Path, steps: int = 6, *, of: int = 6, metrics: bool = True, scale: float = 1.0) -> Path:
    """A run with a row a step and a look at held-out text every second."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(
        f"objective: {{kind: MaskedLM}}\nmodel: {{preset: bert-tiny}}\ntrain: {{steps: {of}}}\nseed: 3\n"
    )
    with Log(folder / "log.jsonl") as log:
        for step in range(1, steps + 1):
            row = {"step": step, "loss": scale * 6 / step, "lr": 1e-3, "tokens": 100 * step, "seconds": 0.5 * step}
            log.write(row | {"tokens_per_s": 200.0 + step})
            if step % 2 == 0:
                log.write({"step": step, "heldout_loss": scale * (7 / step if step < 6 else 3)})
    if metrics:
        (folder / "metrics.json").write_text(json.dumps({"steps": steps, "parameters": 123_456}))
    return folder


def test_the_table_says_what_a_run_is_and_came_to(tmp_path: Path) -> None:
    (run,) = read_runs([make(tmp_path / "bert")])
    assert run.summary() == {
        **{"run": "bert", "objective": "MaskedLM", "preset": "bert-tiny", "seed": 3, "parameters": 123_456},
        **{"steps": 6, "of": 6, "tokens": 600, "loss": 1.0, "heldout_loss": 7 / 4, "heldout_step": 4},
        **{"tokens_per_s": 204.0, "seconds": 3.0, "done": True},
    }
    assert dict(zip(HEAD, cells(run, now=0), strict=True)) == {
        **{"run": "bert", "objective": "MaskedLM", "preset": "bert-tiny", "parameters": "123,456", "steps": "6"},
        **{"tokens": "600", "loss": "1.0000", "held out": "1.7500", "at": "4", "tokens/s": "204", "time": "3.0 s"},
        "": "done",
    }


def test_a_run_that_is_not_over_says_how_far_it_is(tmp_path: Path) -> None:
    make(tmp_path / "going", 4, metrics=False)
    make(tmp_path / "longer", 6, of=9)
    log = tmp_path / "longer" / "log.jsonl"
    log.write_text(log.read_text() + '{"step": 7, "loss": 0.5}\n{"step": 8, "lo')  # its metrics are of step 6
    going, longer = read_runs([tmp_path])
    told = [dict(zip(HEAD, cells(run, now=run.written + 75.2), strict=True)) for run in (going, longer)]
    assert [told[0][name] for name in ("steps", "parameters", "")] == ["4 of 6", "-", "last row 1 min 15 s ago"]
    assert [told[1][name] for name in ("steps", "loss", "tokens", "")] == [
        *("7 of 9", "0.5000", "-", "last row 1 min 15 s ago"),
    ]


def test_a_folder_that_has_a_log_alone_is_a_run(tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "log.jsonl").write_text("")
    (run,) = read_runs([tmp_path / "bare"])
    assert cells(run, now=run.written)[1:] == ["-", "-", "-", "0", *"-" * 6, "last row 0 s ago"]
    with pytest.raises(InputError, match="there is no step to draw yet"):
        curves([run])


def test_the_parameters_of_a_run_that_goes_on_are_those_of_a_checkpoint(tmp_path: Path) -> None:
    folder = make(tmp_path / "going", 4, metrics=False) / "checkpoints" / "step-2" / "model"
    folder.mkdir(parents=True)
    header = json.dumps(
        {
            "model.a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
            "objective.b": {"dtype": "F32", "shape": [1], "data_offsets": [24, 28]},
        }
    ).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(28))
    assert read_runs([tmp_path])[0].parameters == 6
    (folder / "model.safetensors").write_bytes(b"torn")
    assert read_runs([tmp_path])[0].parameters is None


def test_runs_are_told_apart_by_as_much_of_their_paths_as_differs(tmp_path: Path) -> None:
    for place in ("a/bert", "b/bert", "gpt2"):
        make(tmp_path / place)
    found = read_runs([tmp_path / "a", tmp_path / "b" / "bert", tmp_path / "gpt2", tmp_path / "b"])
    assert [run.name for run in found] == ["a/bert", "b/bert", f"{tmp_path.name}/gpt2"]


def test_a_place_without_runs_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no log.jsonl in it nor in the folders below it"):
        read_runs([tmp_path])
    with pytest.raises(InputError, match="none: no such folder; give a run's folder"):
        read_runs([tmp_path / "none"])


@pytest.mark.parametrize(("across", "scale"), [("steps", 1.0), ("tokens", 100.0), ("seconds", 0.5)])
def test_curves_run_along_steps_tokens_or_seconds(across: Any, scale: float, tmp_path: Path) -> None:
    (curve,) = curves(read_runs([make(tmp_path / "bert")]), across=across, smooth=1)
    assert curve.x == [scale * step for step in range(1, 7)]
    assert curve.y == curve.smooth == [6 / step for step in range(1, 7)]
    assert curve.looks == [(2 * scale, 3.5), (4 * scale, 1.75), (6 * scale, 3)]


def test_another_column_is_drawn_and_a_wrong_one_refused(tmp_path: Path) -> None:
    runs = read_runs([make(tmp_path / "bert")])
    (curve,) = curves(runs, "tokens_per_s")
    assert (curve.y[0], curve.looks) == (201.0, [])
    with pytest.raises(InputError, match="no log has a column 'los'; did you mean 'loss'"):
        curves(runs, "los")
    with pytest.raises(InputError, match="smooth=0 must be at least 1"):
        curves(runs, smooth=0)


def test_the_running_mean_does_not_lag_behind() -> None:
    line: list[float | None] = [3.0 * step + 1 for step in range(50)]
    assert smoothed(line, 9)[:-4] == pytest.approx(line[:-4])
    assert smoothed(line, 9)[-1] == pytest.approx(np.mean(line[-5:]))  # type: ignore[arg-type]
    noisy = np.random.default_rng(0).standard_normal(2000).tolist()
    assert np.std(smoothed(noisy, 100)[100:-100]) == pytest.approx(101**-0.5, rel=0.35)
    assert smoothed(noisy, 1) == noisy


def test_what_is_no_number_leaves_a_gap_and_counts_nowhere() -> None:
    values = [1.0, 1.0, None, 4.0, 4.0]
    assert smoothed(values, 3) == [1.0, 1.0, None, 4.0, 4.0]
    assert smoothed([None, None], 3) == [None, None]


def drawn(tmp_path: Path, runs: int = 2) -> ElementTree.Element:
    for number in range(runs):
        make(tmp_path / f"run {number} <&>", scale=1 + number)
    found = read_runs([tmp_path])
    panels = {name: curves(found, name) for name in ("loss", "lr")}
    return ElementTree.fromstring(page(panels, [cells(run, now=0) for run in found], across="steps"))


def test_the_page_draws_each_run_in_each_panel(tmp_path: Path) -> None:
    root = drawn(tmp_path)
    figures = list(root.iter(f"{SVG}figure"))
    assert [figure.find(f"{SVG}h2").text for figure in figures] == ["loss", "lr"]  # type: ignore[union-attr]
    assert [len(list(figure.iter(f"{SVG}path"))) for figure in figures] == [2, 2]
    points = [circle.find(f"{SVG}title").text for circle in figures[0].iter(f"{SVG}circle")]  # type: ignore[union-attr]
    assert points[:2] == ["run 0 <&>, 2 steps: 3.5000", "run 0 <&>, 4 steps: 1.7500"]
    assert len(points) == 6
    rows = [["".join(cell.itertext()) for cell in row] for row in root.iter(f"{SVG}tr")]
    assert rows[0] == list(HEAD)
    assert [row[0] for row in rows[1:]] == ["run 0 <&>", "run 1 <&>"]


def test_a_path_goes_through_the_places_of_its_numbers(tmp_path: Path) -> None:
    root = drawn(tmp_path, runs=1)
    figure = next(root.iter(f"{SVG}figure"))
    (path,) = figure.iter(f"{SVG}path")
    commands = path.attrib["d"].replace("h.01", "").replace("M", "L").split("L")[1:]
    x, y = np.array([command.split() for command in commands], float).T
    assert np.allclose(x, 1000 * np.arange(1, 7) / 6, atol=0.1)
    values = 6 / np.arange(1, 7)
    slope = (y[1:] - y[0]) / (values[1:] - values[0])
    assert np.allclose(slope, slope[0], rtol=0.01)
    assert slope[0] < 0  # down on the screen is a larger y


def test_the_page_loads_nothing_and_runs_nothing(tmp_path: Path) -> None:
    text = ElementTree.tostring(drawn(tmp_path), encoding="unicode")
    assert "default-src 'none'" in text
    assert "<script" not in text.replace("html:script", "script")
    assert not [mark for mark in ("http://", "https://", "url(") if mark in text.replace("http://www.w3.org/", "")]


def test_more_runs_than_colours_differ_in_their_lines(tmp_path: Path) -> None:
    root = drawn(tmp_path, runs=10)
    styles = [line.attrib["style"] for line in root.iter(f"{SVG}line") if "style" in line.attrib]
    assert len(styles) == len(set(styles)) == 10


def test_a_long_run_is_drawn_by_as_many_points_as_a_screen_shows(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with Log(tmp_path / "run" / "log.jsonl") as log:
        for step in range(1, 5001):
            log.write({"step": step, "loss": None if 2000 < step < 3000 else 5 + math.sin(step / 100)})
    found = read_runs([tmp_path])
    root = ElementTree.fromstring(page({"loss": curves(found)}, [cells(found[0], now=0)], across="steps"))
    for path in root.iter(f"{SVG}path"):
        assert 300 < path.attrib["d"].count("L") < 600
        assert path.attrib["d"].count("M") == 2  # before the gap, and after it


def test_a_column_without_a_finite_number_is_said(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"step": 1, "loss": NaN}\n{"step": 2, "loss": null}\n')
    found = read_runs([tmp_path])
    assert cells(found[0], now=0)[6] == "-"
    assert "No finite number yet." in page({"loss": curves(found)}, [cells(found[0], now=0)], across="steps")


def test_a_png_has_the_curves_in_their_colours(tmp_path: Path) -> None:
    image = pytest.importorskip("matplotlib.image")
    from inlay.explore.runs_picture import draw_png

    for number, name in enumerate(("$bert$", "猫_1")):
        make(tmp_path / name, scale=1 + number)
    (tmp_path / "$bert$" / "log.jsonl").open("a").write('{"step": 7, "loss": null, "tokens": 700, "seconds": 4}\n')
    draw_png(curves(read_runs([tmp_path]), smooth=3), tmp_path / "curves.png", y="loss", across="steps")
    pixels = (image.imread(tmp_path / "curves.png")[:, :, :3] * 255).round().astype(int)
    for colour in ((0x0A, 0x6A, 0x86), (0xC2, 0x41, 0x0C)):
        assert (np.abs(pixels - colour).sum(2) < 6).sum() > 300
    assert (np.abs(pixels - (0x6D, 0x3F, 0xD1)).sum(2) < 6).sum() == 0


def test_a_missing_package_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from inlay.explore.runs_picture import draw_png

    found = curves(read_runs([make(tmp_path / "bert")]))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InputError, match=r"a .png needs matplotlib: pip install 'inlay\[viz\]'"):
        draw_png(found, tmp_path / "x.png", y="loss", across="steps")
    assert "x.png" not in os.listdir(tmp_path)
