"""Results on stdout: lines, aligned tables and JSON."""

import json
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = Sequence[object]

# A word of a file may hold what breaks a line or steers a terminal.
_ESCAPED = {code: repr(chr(code))[1:-1] for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)}


def line(text: str = "") -> None:
    """Write one line of the result."""
    sys.stdout.write(text + "\n")


def running(text: str) -> str:
    """The text with its lines and tabs, and all else that steers a terminal written out."""
    return text.translate(_ESCAPED | {ord("\n"): "\n", ord("\t"): "\t"})


def tree(value: Any, *, compact: bool = False) -> None:
    """Write JSON: indented, or `compact` on a line of its own, one after the other."""
    ascii_only = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    line(json.dumps(value, ensure_ascii=ascii_only, indent=None if compact else 2, allow_nan=False))


def table(head: Row, rows: Iterable[Row]) -> None:
    """Write a table; columns of numbers lean to the right, the last column is never padded."""
    listed = [[_cell(cell) for cell in row] for row in rows]
    numeric = [all(_is_number(row[at]) for row in listed) for at in range(len(head))]
    lines = [[str(cell) for cell in head], *listed]
    widths = [max(_width(row[at]) for row in lines) for at in range(len(head))]
    for row in lines:
        cells = [
            " " * (width - _width(cell)) + cell if right else cell + " " * (width - _width(cell))
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ]
        line("  ".join(cells).rstrip())


def facts(pairs: Mapping[str, object]) -> None:
    """Write a name and a value a line, the values under each other."""
    width = max(map(_width, pairs))
    for name, value in pairs.items():
        line(f"{name}{' ' * (width - _width(name))}  {_cell(value)}")


def ladder(fitted: Mapping[str, Any]) -> None:
    """Write the measured rungs of a fitted model, from its inlay.json: a mark for what it ships, and the intervals."""
    rungs = fitted["ladder"]
    kinds = [kind for kind in ("title", "sentence") if any(kind in rung["scores"] for rung in rungs)]
    rows = []
    for rung in rungs:
        scores = [rung["scores"].get(kind) for kind in kinds]
        cells = [f"{s['ndcg@10']:.3f} [{s['low']:.3f}, {s['high']:.3f}]" if s else "-" for s in scores]
        rows.append(["*" if rung["shipped"] else "", rung["name"], *cells, rung["mean"], rung["what"]])
    asked = ", ".join(f"{fitted['held_out']['queries'].get(kind, 0):,} {kind}" for kind in kinds)
    line(f"nDCG@10 with 95 % intervals on held-out queries ({asked}); * is what the model ships")
    table(["", "method", *(f"by {kind}" for kind in kinds), "mean", "what"], rows)


def choice(fitted: Mapping[str, Any]) -> None:
    """Write what was chosen, and why."""
    chosen = fitted["choice"]
    line(f"chosen: {chosen['mode']} search, vectors by {chosen['dense']}")
    for reason in chosen["why"]:
        line(f"  {reason}")


def shorten(text: str, width: int) -> str:
    """The text on one line of at most `width` columns; an ellipsis says that it goes on."""
    text = " ".join(text[: 4 * width].split()) + ("…" if len(text) > 4 * width else "")
    if _width(text) <= width:
        return text
    while _width(text) >= width:
        text = text[:-1]
    return text + "…"


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3f}" if isinstance(value, float) else str(value).translate(_ESCAPED)


def _is_number(cell: str) -> bool:
    return bool(cell) and cell[-1].isdigit() and cell.replace(",", "").replace(".", "").lstrip("-").isdigit()


def _width(text: str) -> int:
    """Columns on a terminal, where Chinese takes two for each character."""
    return len(text) + sum(unicodedata.east_asian_width(character) in "WF" for character in text)
