"""A run's log: `log.jsonl`, one JSON object a line; after a kill a resumed run continues it as if it had never broken.

A row of training has `step` and `loss`, the objective's terms, `lr`, `norm`, `tokens` (since the beginning) and the
TIMES; a row of an evaluation has `step`, `heldout_loss` and the like, and no `loss`.
"""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from inlay.errors import InputError
from inlay.files import atomic_path, disk_errors

NAME = "log.jsonl"
"""Its name in a run folder."""
TIMES = frozenset({"seconds", "tokens_per_s", "share_of_peak"})
"""Columns that two runs of one seed do not share."""

Row = dict[str, Any]


class Log:
    """Rows that are appended, each in the file before `write` returns; a kill can tear the last one alone.

    With `resume_at` the rows after that step are dropped, and a last line that is torn; the file is replaced whole or
    not at all. So what was evaluated at a step is kept if it was written before the step was saved. Without it the file
    must be new.
    Raises InputError for a log that exists, and for one that is damaged elsewhere than at its end.
    """

    def __init__(self, path: str | Path, resume_at: int | None = None) -> None:
        self.path = Path(path)
        self.last: Row | None = None
        """The last row of training that is in the file: where its `seconds` and `tokens` go on from."""
        if resume_at is None:
            if self.path.exists() and self.path.stat().st_size:
                raise InputError(f"{self.path} is the log of a run that was begun; resume it, or give another folder")
        elif self.path.exists():
            self._drop_after(resume_at)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)

    def write(self, row: Mapping[str, Any]) -> None:
        """Append the row; numbers that are not finite become null, which JSON has in their place.

        A full disk is an InputError, and leaves the rows before this one.
        """
        assert type(row.get("step")) is int, "a row says its step"
        line = _line(row)
        with disk_errors(self.path):
            before = os.fstat(self._file).st_size
            try:
                written = os.write(self._file, line)  # one call, so that little can come between
                while written < len(line):  # the disk is full, most likely, and says so at the next call
                    written += os.write(self._file, line[written:])
            except OSError:
                os.ftruncate(self._file, before)
                raise
        if "loss" in row:
            self.last = dict(row)

    def sync(self) -> None:
        """Make what was written outlast a loss of power; to be called before a checkpoint is."""
        with disk_errors(self.path):
            os.fsync(self._file)

    def close(self) -> None:
        """No more rows; a second time does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _drop_after(self, step: int) -> None:
        data = self.path.read_bytes()
        kept = [row for row in _rows(data, self.path) if row["step"] <= step]
        self.last = next((row for row in reversed(kept) if "loss" in row), None)
        whole = b"".join(map(_line, kept))
        if whole != data:
            with atomic_path(self.path) as temporary:
                temporary.write_bytes(whole)


def read_log(path: str | Path) -> list[Row]:
    """The rows of a log, also of a run that is still going; a last line that is not whole is left out.

    Numbers that are not finite are None. Raises InputError for a log that is missing, or damaged before its end.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; a run writes it at its first step") from None
    return _rows(data, path)


def _rows(data: bytes, path: Path) -> list[Row]:
    lines = data.split(b"\n")
    rows = []
    for number, line in enumerate(lines, 1):
        if not line and number == len(lines):
            break
        try:
            row = json.loads(line.decode("utf-8"), parse_constant=lambda name: None, parse_float=_float)
            if not isinstance(row, dict) or type(row.get("step")) is not int:
                raise ValueError("no row with a step")
        except (ValueError, RecursionError) as error:
            if number == len(lines):  # without the end that every line has: torn
                break
            reason = str(error).splitlines()[0]
            raise InputError(f"{path} line {number}: not a row of a log ({reason}); the file is damaged") from None
        rows.append(row)
    return rows


def _line(row: Mapping[str, Any]) -> bytes:
    plain = {name: _plain(value) for name, value in row.items()}
    return json.dumps(plain, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _plain(value: Any) -> Any:
    """What JSON can hold: numbers of NumPy and of torch as Python's."""
    if callable(item := getattr(value, "item", None)):
        value = item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _float(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None
