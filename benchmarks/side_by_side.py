"""The harness of a comparison: the same jobs done by each tool, taking turns, every job in a process of its own.

A script names its jobs, its parts and the rows of its summary in a `Comparison`, and ends in `main(comparison)`:

    python benchmarks/SCRIPT.py [--quick] [--only PART ...] [--out FILE]

Times are CPU seconds of the process, because other work on the machine moves wall time more. The file of results is
written anew after each job, so that a run that is cut leaves what it has; with --only, the other parts stay in it.
"""

import argparse
import contextlib
import json
import lzma
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

DATA = Path(os.environ.get("INLAY_DATA", ""))
RESULTS = Path(__file__).parent / "results"

Job = dict[str, Any]
"""The arguments of a job; `what` names the function that does it, `text` the text that it works on."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the summary: the values of `key` in the runs of `part` that agree with `where`, their medians, and how
    many times as much each other tool takes as the first one (`ratio`, of the second tool; for costs alone)."""

    name: str
    part: str
    key: str
    where: dict[str, Any] = field(default_factory=dict)
    cost: bool = True
    """False for a quality: then there is no ratio."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What is compared, and how."""

    script: str
    """The script's own `__file__`; the results are named after it."""
    tools: tuple[str, ...]
    """The first one is ours."""
    parts: dict[str, str]
    """The name of each part, and what it measures."""
    jobs: dict[str, Callable[..., Job]]
    """What a job may be: function(tool=..., **job) -> its results; runs in a process of its own."""
    plan: Callable[[bool], Iterator[tuple[str, Job]]]
    """plan(quick): the jobs of every part, in order, each to be done by every tool (or by the one in `tool`)."""
    rows: Sequence[Row]
    texts: dict[str, Callable[[Path, bool], int]] = field(default_factory=dict)
    """prepare(path, quick) -> words, for each name that a job may have as its `text`; made when first needed."""
    warm_up: Sequence[Job] = ()
    """Jobs done before all others and not counted: they compile."""
    settings: dict[str, Any] = field(default_factory=dict)
    """What all the jobs have in common, to be written beside the results."""
    packages: tuple[str, ...] = ("numpy", "numba", "llvmlite", "gensim")
    """Whose versions are written beside the results."""
    extra: Callable[[dict[str, Any]], dict[str, Any]] = lambda summary: {}
    """More rows for the summary, computed from its other rows."""


def main(comparison: Comparison, description: str | None = None) -> Path | None:
    """Run everything and return the file of results, or run one job of it in this process."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small part of the text, one seed")
    parser.add_argument("--only", nargs="+", choices=comparison.parts, help="parts to measure (default: all)")
    parser.add_argument("--out", type=Path, default=RESULTS / f"{Path(comparison.script).stem}.json")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        job = json.loads(arguments.job)
        print(json.dumps(comparison.jobs[job.pop("what")](**job)))
        return None
    only = arguments.only or list(comparison.parts)
    print(table(compare(comparison, only, quick=arguments.quick, out=arguments.out), comparison.tools))
    return arguments.out


def compare(comparison: Comparison, only: list[str], *, quick: bool, out: Path) -> dict[str, Any]:
    """Measure the parts named in `only`, and write and return all results."""
    os.environ["OMP_NUM_THREADS"] = "1"
    kept: dict[str, Any] = {}
    if out.exists() and set(only) < set(comparison.parts):
        kept = json.loads(out.read_text())
        if kept.get("quick", False) != quick:
            raise SystemExit(
                f"{out}: its other parts were measured {'without' if quick else 'with'} --quick; name another --out"
            )
    runs: list[Job] = [run for run in kept.get("runs", []) if run["part"] not in only]
    result = {
        "machine": machine(comparison.packages),
        "settings": comparison.settings,
        "quick": quick,
        "parts": comparison.parts,
        "words": kept.get("words", {}),
        "runs": runs,
    }
    with tempfile.TemporaryDirectory() as folder:

        def do(**job: Any) -> Job:
            """The job and its results; a text is given by name, and made when it is first needed."""
            name = job.get("text")
            if name is None:
                return {**job, **_in_a_process(comparison.script, job)}
            path = Path(folder) / f"{name}.txt"
            if not path.exists():
                result["words"][name] = comparison.texts[name](path, quick)
            return {**job, **_in_a_process(comparison.script, {**job, "text": str(path)})}

        warm = not comparison.warm_up
        for part, job in comparison.plan(quick):
            if part not in only:
                continue
            if not warm:
                warm = all(do(**first) for first in comparison.warm_up)
            for tool in (job["tool"],) if "tool" in job else comparison.tools:
                runs.append({"part": part, **do(**{**job, "tool": tool})})
                shown = summary(runs, comparison)
                result["summary"] = {**shown, **comparison.extra(shown)}
                out.parent.mkdir(parents=True, exist_ok=True)
                out.write_text(json.dumps(result, indent=1) + "\n")
    return result


def _in_a_process(script: str, job: Job) -> Job:
    """The results of one job, from a fresh process; what it writes to stderr is shown where it fails."""
    command = [sys.executable, script, "--job", json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"job {job} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def summary(runs: list[Job], comparison: Comparison) -> dict[str, Any]:
    """What each tool reached in each row, the medians, and their ratios (above 1: ours takes less)."""
    found: dict[str, Any] = {}
    for row in comparison.rows:
        chosen = [run for run in runs if run["part"] == row.part and row.where.items() <= run.items()]
        values = {
            tool: [run[row.key] for run in chosen if run["tool"] == tool and row.key in run]
            for tool in comparison.tools
        }
        values = {tool: taken for tool, taken in values.items() if taken}
        if not values:
            continue
        medians = {tool: statistics.median(taken) for tool, taken in values.items()}
        found[row.name] = {**values, **{f"median_{tool}": median for tool, median in medians.items()}}
        ours, *others = (tool for tool in comparison.tools if tool in medians)
        if row.cost and ours == comparison.tools[0] and others:
            ratios = {tool: medians[tool] / medians[ours] for tool in others}
            found[row.name] |= {"ratio": ratios[others[0]], "ratios": ratios}
    return found


def table(result: dict[str, Any], tools: Sequence[str]) -> str:
    """The summary, to be read."""
    lines = [f"{'':36}" + "".join(f"{tool:>26}" for tool in tools) + f"{'ratio':>8}"]
    for name, row in result.get("summary", {}).items():
        cells = "".join(f"{' '.join(f'{value:.1f}' for value in row.get(tool, [])):>26}" for tool in tools)
        lines.append(f"{name:36}{cells}" + (f"{row['ratio']:8.2f}" if "ratio" in row else ""))
    return "\n".join(lines)


@contextlib.contextmanager
def clock() -> Iterator[Job]:
    """Yields a dictionary that holds `cpu_s` and `wall_s` of this process once the block has ended."""
    took: Job = {}
    cpu, wall = time.process_time(), time.perf_counter()
    yield took
    took.update(cpu_s=time.process_time() - cpu, wall_s=time.perf_counter() - wall)


def peak_mb() -> float:
    """The most memory that this process has held; getrusage would count its parent's from before the start too."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) / 1024  # type: ignore[index]


def program(*command: str | Path) -> Job:
    """Run another program to its end: its `cpu_s`, `wall_s` and `peak_mb` (at least this process's own)."""
    begin = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if status:
            said.seek(0)
            raise SystemExit(f"{command[0]} ended with {process.returncode}:\n{said.read()}")
    return {
        "cpu_s": used.ru_utime + used.ru_stime,
        "wall_s": time.perf_counter() - begin,
        "peak_mb": used.ru_maxrss / 1024,
    }


def machine(packages: Sequence[str]) -> dict[str, Any]:
    """What the figures depend on."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    versions = {}
    for package in packages:
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    return {
        "cpu": model[1] if model else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **versions,
        "load_average_at_start": round(os.getloadavg()[0], 2),
    }


def english(path: Path, lines: int | None = None) -> int:
    """Write the first lines of the Wikipedia sample as lower-case words, a paragraph a line; returns how many words."""
    with lzma.open(DATA / "enwiki-2014-sample" / "enwiki_sample.txt.xz", "rt", encoding="utf-8") as source:
        return _write_words(path, source, re.compile(r"[a-z0-9]+").findall, lines)


def chinese(path: Path, lines: int | None = None) -> int:
    """Write the first lines of the Fudan documents, each document once, cut into words by rjieba, a sentence a line;
    returns how many words."""
    from inlay.text.words import segmenter

    def sentences() -> Iterator[str]:
        with lzma.open(DATA / "fudan-zh-test" / "fudan_test.jsonl.xz", "rt", encoding="utf-8") as source:
            for record in map(json.loads, source):
                if not record["dup"]:
                    yield from re.split(r"[。！？；\n]", record["text"])

    return _write_words(path, sentences(), segmenter("zh"), lines)


def _write_words(path: Path, source: Iterator[str], cut: Callable[[str], list[str]], lines: int | None) -> int:
    """Write the words of each line that has two or more; returns how many words."""
    words = written = 0
    with open(path, "w", encoding="utf-8") as target:
        for line in source:
            if written == lines:
                break
            if len(found := cut(line.lower())) > 1:
                words += len(found)
                written += 1
                target.write(" ".join(found) + "\n")
    return words
