"""A suite: named tasks that are run one after the other, and what could not be run, and why."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inlay.embed.embedder import Embedder
from inlay.errors import InputError, did_you_mean
from inlay.evaluate import named
from inlay.evaluate.encoding import Encoder
from inlay.evaluate.measured import Measured, html
from inlay.evaluate.named import Task
from inlay.evaluate.sentences import Judged, evaluate, texts_of
from inlay.live import Live
from inlay.text import data

SUITES: dict[str, tuple[Task, ...]] = {
    "small": named.TASKS,
    "small-en": tuple(task for task in named.TASKS if task.lang == "en"),
    "small-zh": tuple(task for task in named.TASKS if task.lang == "zh"),
}
"""`small` takes a minute or two with a small encoder on a laptop; the others are its halves by language."""


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A task that was not run, and why."""

    on: str
    kind: str
    why: str


@dataclass(frozen=True, kw_only=True)
class SuiteReport:
    """What the tasks said, and which of them were skipped."""

    results: Sequence[Measured]
    skipped: Sequence[Skipped] = ()

    def means(self) -> dict[str, tuple[float, int]]:
        """Of each language, the mean of the tasks' own figures, and how many have one."""
        means = {}
        for lang in dict.fromkeys(one.lang for one in self.results):
            values = [one.main.value for one in self.results if one.lang == lang and np.isfinite(one.main.value)]
            if values:
                means[lang] = (float(np.mean(values)), len(values))
        return means

    def tree(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "results": [one.tree() for one in self.results],
            "skipped": [{"on": one.on, "kind": one.kind, "why": one.why} for one in self.skipped],
            "means": {lang: {"mean": mean, "tasks": n} for lang, (mean, n) in self.means().items()},
        }

    def _repr_html_(self) -> str:
        from html import escape

        skipped = "".join(f"<p>skipped: {escape(f'{one.on} ({one.kind}): {one.why}')}</p>" for one in self.skipped)
        return html(self.results) + skipped


def run(
    embedder: Embedder, suite: str | Sequence[str] = "small", *, folder: str | Path | None = None, seed: int = 0
) -> SuiteReport:
    """Run the tasks of a suite, or of these data sets, each with the figures of `evaluate`.

    A data set is looked for in `folder`, then where `inlay data` has its sets; a task whose set is not here, or whose
    package is not installed, is skipped, and the report says how to get it. A live line tells how far it is. Raises
    InputError for unknown names, and where all tasks would be skipped.
    """
    tasks = chosen(suite)
    if folder is not None and not Path(folder).is_dir():
        raise InputError(f"{folder}: no such folder of data sets; inlay data list shows what they are called")
    there: list[tuple[Task, Judged]] = []
    skipped: list[Skipped] = []
    for task in tasks:
        try:
            _need(task)
            place = _place(task, folder)
        except InputError as error:
            skipped.append(Skipped(on=task.name, kind=task.kind, why=str(error)))
            continue
        there.append((task, _read(task, place)))
    if not there:
        raise InputError(f"none of the {len(tasks)} tasks can be run; {skipped[0].on}: {skipped[0].why}")
    results = []
    with Live("evaluate", sum(texts_of(judged) for _, judged in there), "texts") as live:
        encoder = Encoder(embedder, live.advance)
        done = 0
        for task, judged in there:
            live.at(done, f"{task.name} {task.kind}")
            results.append(evaluate(encoder, judged, on=task.name, lang=task.lang, seed=seed))
            done += texts_of(judged)
        live.at(done, f"{len(there)} tasks")
    return SuiteReport(results=results, skipped=skipped)


def chosen(suite: str | Sequence[str]) -> Sequence[Task]:
    """The tasks of a suite by its name, or those of the named data sets; InputError for an unknown name."""
    if isinstance(suite, str):
        if suite not in SUITES:
            raise InputError(f"suite {suite!r} is unknown{did_you_mean(suite, SUITES)}")
        return SUITES[suite]
    if unknown := [name for name in suite if name not in named.NAMES]:
        raise InputError(f"no task is on {unknown[0]!r}{did_you_mean(unknown[0], named.NAMES)}")
    if not suite:
        raise InputError(f"no data set is named; choose from {', '.join(named.NAMES)}")
    return [task for task in named.TASKS if task.name in suite]


def _place(task: Task, folder: str | Path | None) -> Path:
    if folder is not None and (found := Path(folder) / task.data_set).is_dir():
        return found
    try:
        return data.path(task.data_set)
    except InputError as error:
        raise InputError(f"not in {folder}; {error}" if folder is not None else str(error)) from None


def _read(task: Task, place: Path) -> Judged:
    try:
        return task.read(place)
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        why = f"{type(error).__name__}: {error}"
        raise InputError(f"{place}: cannot be read for {task.name} ({why:.120}); the data set is not whole") from None


def _need(task: Task) -> None:
    """InputError where a package that the task works with is not installed."""
    if task.kind in ("clusters", "probe"):
        from importlib.util import find_spec

        from inlay.errors import missing_extra

        if find_spec("sklearn") is None:
            raise missing_extra(f"the task {task.kind}", "scikit-learn", "eval")
