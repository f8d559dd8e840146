"""Measured: the figures of one task, each with its 95 % interval, and what must be known to read them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A value with its 95 % interval; NaN where it is undefined."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "undefined"
        return f"{self.value:.3f}" if math.isnan(self.low) else f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def tree(self) -> dict[str, float | None]:
        """Plain values for JSON; null for NaN."""
        return {
            name: None if math.isnan(value) else value
            for name, value in (("value", self.value), ("low", self.low), ("high", self.high))
        }


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one task said of an embedder."""

    kind: str
    """sts, pairs, clusters, probe, retrieval or rerank."""
    n: int
    """What was judged."""
    unit: str
    """What that is: pairs, texts or queries."""
    figures: Mapping[str, Figure]
    """By the name of the measure; the first is the task's own."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else was found: thresholds, seeds, sizes."""
    notes: Sequence[str] = ()
    """What a reader must know before comparing the figures."""
    on: str = ""
    """The name of the data."""
    lang: str = ""
    seconds: float = 0.0

    @property
    def measure(self) -> str:
        """The name of the task's own measure."""
        return next(iter(self.figures))

    @property
    def main(self) -> Figure:
        """The task's own figure."""
        return self.figures[self.measure]

    def tree(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "on": self.on,
            "kind": self.kind,
            "lang": self.lang,
            "n": self.n,
            "unit": self.unit,
            "main": self.measure,
            "figures": {name: figure.tree() for name, figure in self.figures.items()},
            "facts": dict(self.facts),
            "notes": list(self.notes),
            "seconds": round(self.seconds, 3),
        }

    def _repr_html_(self) -> str:
        return html([self])


def html(results: Sequence[Measured]) -> str:
    """A table of all figures for a notebook; every text is escaped."""
    head = "".join(f"<th>{name}</th>" for name in ("on", "task", "measure", "value", "95 % interval", "judged"))
    lines = []
    for result in results:
        for name, figure in result.figures.items():
            known = not math.isnan(figure.low)
            cells = [
                escape(result.on),
                escape(result.kind),
                escape(name),
                "undefined" if math.isnan(figure.value) else f"{figure.value:.3f}",
                f"{figure.low:.3f} to {figure.high:.3f}" if known else "",
                f"{result.n:,} {escape(result.unit)}",
            ]
            lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    notes = "".join(
        f"<p>{escape(f'{one.on}: ' if one.on else '')}{escape(note)}</p>" for one in results for note in one.notes
    )
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>{notes}"
