"""Stages: long work as a row of folders, each made whole or not at all, so that a killed run goes on where it was."""

import hashlib
import json
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from inlay.errors import InputError
from inlay.files import atomic_folder, read_json, verify_checksums, write_checksums, write_json
from inlay.live import say

_RUN, COST = "run.json", "cost.json"


class Run:
    """A folder of finished stages. What a stage leaves is always read back from disk, so that a resumed run and an
    unbroken one see the same bytes."""

    def __init__(self, folder: Path, identity: dict[str, Any], *, resume: bool) -> None:
        """Begin a run, or go on with the one that is there; InputError where that one is of other settings."""
        self.folder = folder
        self.costs: list[dict[str, Any]] = []
        there = (folder / _RUN).is_file()
        if there and resume:
            before = read_json(folder / _RUN)
            if not isinstance(before, dict):
                raise InputError(f"{folder / _RUN}: must be a table of settings; it is damaged: --force begins anew")
            changed = difference(before, identity)
            if changed:
                raise InputError(f"cannot resume {folder}: {changed}; give the same settings, or --force to begin anew")
        else:
            write_json(folder / _RUN, identity)

    def stage(self, name: str, make: Callable[[Path], None]) -> Path:
        """The folder of a stage, made by `make` unless an earlier run finished it; its bytes are checked then."""
        done = self.folder / name
        if done.is_dir():
            verify_checksums(done)
            say(f"{name:<24}  done before")
        else:
            begin, cpu = time.monotonic(), time.process_time()
            with atomic_folder(done) as part:
                make(part)
                cost = {
                    "name": name,
                    "seconds": round(time.monotonic() - begin, 3),
                    "cpu_s": round(time.process_time() - cpu, 3),
                    "peak_mb": round(peak_mb()),
                }
                write_json(part / COST, cost)
                write_checksums(part)
        self.costs.append(read_json(done / COST))
        return done


def fingerprint(tree: Any) -> str:
    """The sum of a plain tree: what an identity holds in place of many texts."""
    return hashlib.sha256(json.dumps(tree).encode("ascii")).hexdigest()


def unfinished(folder: Path) -> bool:
    """Whether a run broke off in a folder of stages; InputError where the folder holds what no run left there.

    Such things would go when the run ends. Hidden entries are a run's own, killed before it began.
    """
    if (folder / _RUN).is_file():
        return True
    if strange := sorted(path.name for path in folder.glob("[!.]*")):
        raise InputError(
            f"{folder} holds {strange[0]!r}, but the stages are kept there; move it, or give another --out"
        )
    return False


@contextmanager
def nothing_left(folder: Path) -> Iterator[None]:
    """Within it, work that ends before its first stage is done leaves no folder behind."""
    try:
        yield
    except BaseException:
        if not any(entry.is_dir() for entry in folder.iterdir()):
            shutil.rmtree(folder, ignore_errors=True)
        raise


def clear(folder: Path) -> None:
    """Remove what a run left in its folder; its own file last, so that what is half removed is still unfinished."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name == _RUN):
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name != ".lock":
            entry.unlink()


def difference(before: Any, now: Any, path: str = "") -> str:
    """The first setting that is another now, with both values; empty where all are the same."""
    if isinstance(before, dict) and isinstance(now, dict):
        inner = (difference(before.get(key), now.get(key), f"{path}.{key}".lstrip(".")) for key in {**before, **now})
        return next((found for found in inner if found), "")
    return "" if before == now else f"{path} was {before!r} and is {now!r} now"


def peak_mb() -> float:
    """The most memory that this process has held so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
