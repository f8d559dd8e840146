"""One live line on stderr for long work: how far, how fast, how long still; plain lines where there is no terminal."""

import sys
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self, TypeVar

Item = TypeVar("Item")


class Live:
    """A progress line, to be used in `with`; on a terminal it redraws itself, elsewhere it prints a line now and then.

    `unit` is what is counted; `total` may be unknown (None), or become known later. Work that is resumed begins at
    `done`, and its rate is that of what is done now. Redrawn at most ten times a second; off a terminal a line is
    printed every `quiet_s` seconds and one at the end.
    """

    enabled = True
    """Set to False by `--quiet`: nothing is printed at all."""

    def __init__(
        self, label: str, total: float | None = None, unit: str = "", quiet_s: float = 10.0, done: float = 0.0
    ) -> None:
        self.label, self.total, self.unit = label, total, unit
        self._done = self._begun = done
        self._note = ""
        self._start = time.monotonic()
        self._shown = 0.0 if sys.stderr.isatty() else self._start
        self._wait = 0.1 if sys.stderr.isatty() else quiet_s

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._print(last=True)
        elif self.enabled and sys.stderr.isatty():
            sys.stderr.write("\n")

    def advance(self, amount: float = 1, note: str | None = None) -> None:
        """Count `amount` more units done; `note` replaces the text at the end of the line."""
        self.at(self._done + amount, note)

    def at(self, done: float, note: str | None = None) -> None:
        """Say that `done` units are done in all."""
        self._done = done
        if note is not None:
            self._note = note
        now = time.monotonic()
        if now - self._shown >= self._wait:
            self._shown = now
            self._print(last=False)

    def over(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items, counting each."""
        for item in items:
            yield item
            self.advance()

    def _print(self, *, last: bool) -> None:
        if not self.enabled:
            return
        seconds = max(time.monotonic() - self._start, 1e-9)
        parts = [f"{self.label:<24}"]
        if self.total and not last:
            parts.append(f"{min(self._done / self.total, 1):4.0%}")
        if self._done:
            parts.append(f"{human(self._done)} {self.unit}".rstrip())
            parts.append(f"{human((self._done - self._begun) / seconds)}/s")
        parts.append(duration(seconds) if last else self._left(seconds))
        if self._note:
            parts.append(self._note)
        line = "  ".join(part for part in parts if part)
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{line}" + ("\n" if last else ""))
        else:
            sys.stderr.write(line + "\n")
        sys.stderr.flush()

    def _left(self, seconds: float) -> str:
        if not self.total or self._done <= self._begun:
            return duration(round(seconds))
        left = seconds * max((self.total - self._done) / (self._done - self._begun), 0)
        return f"{duration(round(left))} left"


def say(text: str) -> None:
    """One message on stderr, unless `--quiet`."""
    if Live.enabled:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def duration(seconds: float) -> str:
    """A time as it is said: 12.3 s, 2 min 05 s or 3 h 20 min; whole seconds without a point."""
    if seconds < 59.95:
        return f"{seconds} s" if isinstance(seconds, int) else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def human(number: float) -> str:
    """A count in at most four signs and a letter: 950, 12.3k, 4.56M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * size:  # what rounds to the next letter has it
            return f"{number / size:.3g}{letter}"
    return f"{number:.0f}" if number >= 10 or number == int(number) else f"{number:.2g}"
