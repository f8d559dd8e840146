"""Figures of the results, read and set in the lines of Markdown tables."""

import json
import statistics
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def read(name: str, part: str | None = None) -> dict[str, Any]:
    """The results of a benchmark, or a part of them; FileNotFoundError where it has not been run."""
    found = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    if part is None:
        return found
    if part not in found:
        raise FileNotFoundError(f"{name}.json has no {part} yet")
    return found[part]


def mean(values: list[float]) -> float:
    return statistics.mean(values)


def beside(name: str, tools: dict[str, str], rows: dict[str, str]) -> str:
    """A row for each of the summary's: costs as medians with the peers' ratios to ours, qualities as ranges."""
    found = read(name)["summary"]
    lines = ["| | " + " | ".join(tools.values()) + " | |", "| --- |" + " ---: |" * (len(tools) + 1)]
    for key, label in rows.items():
        row = found[key]
        show = (lambda values: number(statistics.median(values))) if "ratio" in row else extent
        cells = [show(row[tool]) if tool in row else "–" for tool in tools]
        ratios = [f"{row['ratios'][tool]:.1f}×" for tool in tools if tool in row.get("ratios", {})]
        alone = [f"{row['ratio']:.1f}×"] if "ratio" in row and not ratios else []
        lines.append(f"| {label} | " + " | ".join([*cells, ", ".join(ratios or alone)]) + " |")
    return "\n".join(lines)


def extent(values: list[float]) -> str:
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} – {high}"


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}"
