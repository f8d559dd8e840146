"""Runs side by side: what their folders say of them, and their curves, also of those that are still going."""

import math
import os
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

from inlay.config import load_yaml
from inlay.errors import InputError, did_you_mean
from inlay.files import read_json
from inlay.live import duration
from inlay.tensorfile import read_header
from inlay.train.log import NAME as LOG
from inlay.train.log import Row, read_log

Across = Literal["steps", "tokens", "seconds"]

_COLUMN: dict[Across, str] = {"steps": "step", "tokens": "tokens", "seconds": "seconds"}
_EXACT = {"lr"}
_MOST = 1 << 22
"""Bytes of the largest metrics that are read."""
_UNKNOWN = "-"


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run folder: its log, what it was asked, and what came of it."""

    name: str
    folder: Path
    rows: tuple[Row, ...]
    """Of training; each has `step` and `loss`."""
    looks: tuple[Row, ...]
    """At held-out text."""
    config: dict[str, Any]
    """config.yaml; empty without one."""
    parameters: int | None
    """Of the model; None where no weights were saved yet."""
    metrics: dict[str, Any]
    """metrics.json of a run that is over; empty for one that is not."""
    written: float
    """When the log was written last, in seconds of the system's clock."""

    @property
    def steps(self) -> int:
        return self.rows[-1]["step"] if self.rows else 0

    @property
    def is_done(self) -> bool:
        """It ended by itself: its metrics are of its last step."""
        return bool(self.metrics) and self.metrics.get("steps") == self.steps

    @property
    def best(self) -> Row | None:
        """The look with the lowest held-out loss."""
        looks = [look for look in self.looks if look.get("heldout_loss") is not None]
        return min(looks, key=lambda look: look["heldout_loss"], default=None)

    def summary(self) -> dict[str, Any]:
        """What the table shows, plain JSON; None where nothing is known."""
        last: Row = self.rows[-1] if self.rows else {}
        rates = sorted(row["tokens_per_s"] for row in self.rows if row.get("tokens_per_s") is not None)
        best = self.best or {}
        return {
            "run": self.name,
            "objective": _part(self.config, "objective").get("kind"),
            "preset": _part(self.config, "model").get("preset"),
            "seed": self.config.get("seed"),
            "parameters": self.parameters,
            "steps": self.steps,
            "of": _part(self.config, "train").get("steps"),
            "tokens": last.get("tokens"),
            "loss": last.get("loss"),
            "heldout_loss": best.get("heldout_loss"),
            "heldout_step": best.get("step"),
            "tokens_per_s": rates[len(rates) // 2] if rates else None,
            "seconds": last.get("seconds"),
            "done": self.is_done,
        }


HEAD = ("run", "objective", "preset", "parameters", "steps", "tokens", "loss", "held out", "at", "tokens/s", "time", "")
"""What stands over the cells of a run."""


def cells(run: Run, *, now: float) -> list[str]:
    """The run's line of the table; `now` is the time, which tells how long ago a run that is not over wrote last."""
    found = run.summary()
    steps, of = f"{found['steps']:,}", found["of"]
    return [
        run.name,
        *(str(found[name] or _UNKNOWN) for name in ("objective", "preset")),
        _whole(found["parameters"]),
        steps if found["done"] or not of else f"{steps} of {of:,}",
        _whole(found["tokens"]),
        *(_UNKNOWN if found[name] is None else f"{found[name]:.4f}" for name in ("loss", "heldout_loss")),
        _whole(found["heldout_step"]),
        _whole(found["tokens_per_s"]),
        _UNKNOWN if found["seconds"] is None else duration(float(found["seconds"])),
        "done" if found["done"] else f"last row {duration(round(max(now - run.written, 0)))} ago",
    ]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One run's numbers along x."""

    run: str
    x: list[float]
    y: list[float | None]
    """None where the number was not finite."""
    smooth: list[float | None]
    """The running mean."""
    looks: list[tuple[float, float]]
    """(x, the number on held-out text)."""


def read_runs(folders: Iterable[str | Path]) -> list[Run]:
    """The runs in these folders: each is a run, or has runs in it. InputError for one that has none."""
    found: list[Path] = []
    for place in map(Path, folders):
        inside = [place] if (place / LOG).is_file() else sorted(log.parent for log in place.glob(f"*/{LOG}"))
        if not inside:
            if not place.is_dir():
                raise InputError(f"{place}: no such folder; give a run's folder, or one that has runs in it")
            raise InputError(f"{place}: no {LOG} in it nor in the folders below it; give a run's folder")
        found += [folder for folder in inside if folder.resolve() not in [one.resolve() for one in found]]
    return [_read(folder, name) for folder, name in zip(found, _names(found), strict=True)]


def curves(runs: Sequence[Run], y: str = "loss", across: Across = "steps", smooth: int | None = None) -> list[Curve]:
    """The numbers of a column of the logs, and the same of held-out text where it is there.

    `smooth` is of how many steps around each the mean is taken; None: a fiftieth of the run's, and for the step size,
    which is exact, one. InputError for a column that no log has.
    """
    if smooth is not None and smooth < 1:
        raise InputError(f"smooth={smooth} must be at least 1, which leaves the numbers as they are")
    if not any(run.rows for run in runs):
        raise InputError("there is no step to draw yet; ask again when the runs have made one")
    has = [run for run in runs if any(y in row for row in run.rows)]
    if not has:
        names = {name for run in runs for row in run.rows for name, value in row.items() if _is_number(value)}
        raise InputError(f"no log has a column {y!r}{did_you_mean(y, sorted(names - {'step'}))}")
    return [_curve(run, y, _COLUMN[across], smooth) for run in has]


def smoothed(values: Sequence[float | None], over: int) -> list[float | None]:
    """The mean of the `over` values around each, as many before it as after it, so that it does not lag behind.

    Near the beginning, where losses fall fast, of fewer; near the end of those before it and what there is after it.
    None stays None, and counts nowhere.
    """
    sums, counts = [0.0], [0]
    for value in values:
        sums.append(sums[-1] + (value or 0.0))
        counts.append(counts[-1] + (value is not None))
    found: list[float | None] = []
    for place, value in enumerate(values):
        reach = min(over // 2, place)
        first, end = place - reach, min(place + reach + 1, len(values))
        alone = value is None or not reach
        found.append(value if alone else (sums[end] - sums[first]) / (counts[end] - counts[first]))
    return found


def _curve(run: Run, y: str, column: str, smooth: int | None) -> Curve:
    rows = [row for row in run.rows if y in row and _is_number(row.get(column))]
    x = [float(row[column]) for row in rows]
    values = [float(row[y]) if _is_number(row[y]) else None for row in rows]
    steps = [row["step"] for row in rows]
    looks = []
    for look in run.looks:
        at = bisect_right(steps, look["step"])  # the row of that step, or the last before it
        if at and _is_number(look.get(f"heldout_{y}")):
            looks.append((x[at - 1], float(look[f"heldout_{y}"])))
    over = smooth or (1 if y in _EXACT else max(len(rows) // 50, 1))
    return Curve(run=run.name, x=x, y=values, smooth=smoothed(values, over), looks=looks)


def _read(folder: Path, name: str) -> Run:
    log = folder / LOG
    rows = read_log(log)
    config = load_yaml(dict[str, Any], folder / "config.yaml") if (folder / "config.yaml").is_file() else {}
    metrics = read_json(folder / "metrics.json", most=_MOST) if (folder / "metrics.json").is_file() else {}
    metrics = metrics if isinstance(metrics, dict) else {}
    return Run(
        name=name,
        folder=folder,
        rows=tuple(row for row in rows if "loss" in row),
        looks=tuple(row for row in rows if "heldout_loss" in row),
        config=config,
        parameters=metrics.get("parameters") or _saved(folder),
        metrics=metrics,
        written=log.stat().st_mtime,
    )


def _saved(folder: Path) -> int | None:
    """Numbers of the model in a checkpoint, where its objective's are too; the headers tell."""
    for place in folder.glob("checkpoints/step-*/model"):
        try:
            headers = [read_header(file)[0] for file in place.glob("*.safetensors")]
        except (InputError, OSError):  # it is just going away, or damaged
            continue
        entries = [item for header in headers for item in header.items()]
        return sum(prod(entry.shape) for name, entry in entries if name.startswith("model.")) or None
    return None


def _names(folders: Sequence[Path]) -> list[str]:
    """What tells the folders apart: their last names, or as much of their paths as differs."""
    paths = [folder.resolve().parts for folder in folders]
    for length in range(1, max(map(len, paths), default=1) + 1):
        names = [os.path.join(*parts[-length:]) for parts in paths]
        if len(set(names)) == len(names):
            return names
    raise AssertionError("a folder is read once")


def _whole(value: Any) -> str:
    return f"{value:,.0f}" if _is_number(value) else _UNKNOWN


def _part(tree: dict[str, Any], key: str) -> dict[str, Any]:
    found = tree.get(key)
    return found if isinstance(found, dict) else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
