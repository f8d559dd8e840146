"""Rows of coloured tokens under each other, as one picture: what docs/objectives.py draws with."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inlay.explore.picture import ACCENT, INK, MUTED, PAPER, fonts

WIDTH, LEFT, LINE = 15.6, 1.85, 0.3
"""Inches: of the page, to the left of the tokens, and of a line of them."""
FILLS = {
    "text": ("#eef0ed", INK),
    "special": (PAPER, MUTED),
    "mask": ("#0a6a86", "#ffffff"),
    "other": ("#e58a5b", INK),
    "kept": ("#f4dc8b", INK),
    "asked": ("#cfe6ee", INK),
    "vector": ("#b9783f", "#ffffff"),
    "second": ("#dcd6ec", INK),
    "no": ("#f1f2f0", "#a9b0b6"),
}
"""Of each kind of cell, its colour and that of its text."""


@dataclass(frozen=True)
class Row:
    """Tokens side by side, each with its kind; with `under`, they stand under the places of the row before."""

    label: str
    cells: tuple[tuple[str, str], ...]
    under: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False)
class Panel:
    """An objective: its name, a line about it, what it shows, and who sees whom."""

    name: str
    note: str
    rows: tuple[Row, ...]
    grids: tuple[tuple[str, Any], ...] = ()


def draw(shown: Sequence[Panel], path: Path, title: str, notes: Sequence[str]) -> None:
    """Write the panels one under another, all in inches from the left and from the top."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    written = {char for panel in shown for text in _texts(panel) for char in text} | set(title.join(notes))
    families, _ = fonts(written)
    height = 0.8 + sum(_height(panel) for panel in shown)
    figure = Figure(figsize=(WIDTH, height), dpi=100, facecolor=PAPER)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(height, 0)
    axes.axis("off")
    write = Pen(axes, canvas.get_renderer(), families)
    write.text(0.25, 0.36, title, size=17, weight="bold")
    for number, note in enumerate(notes):
        write.text(WIDTH - 0.25, 0.3 + 0.22 * number, note, size=10.5, color=MUTED, ha="right")
    top = 0.8
    for panel in shown:
        _panel(write, panel, top)
        top += _height(panel)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    picture.quantize(128).save(path, optimize=True)  # few colours, and a third of the bytes


@dataclass(frozen=True)
class Pen:
    """What writes and fills on a page of inches."""

    axes: Any
    renderer: Any
    families: list[str]

    def text(self, x: float, y: float, said: str, *, size: float = 10, color: str = INK, **more: Any) -> Any:
        """Text, upright in the middle of its line."""
        more = {"ha": "left", "va": "center_baseline", **more}
        return self.axes.text(x, y, said, family=self.families, fontsize=size, color=color, parse_math=False, **more)

    def wide(self, said: str, size: float = 10) -> float:
        """Inches that a text takes."""
        drawn = self.text(0, 0, said, size=size)
        width = drawn.get_window_extent(self.renderer).width / 100
        drawn.remove()
        return width

    def box(self, x: float, y: float, width: float, height: float, color: str, edge: str = "none") -> None:
        """A filled rectangle."""
        from matplotlib.patches import Rectangle

        self.axes.add_patch(Rectangle((x, y), width, height, facecolor=color, edgecolor=edge, linewidth=0.8))


def _panel(pen: Pen, panel: Panel, top: float) -> None:
    pen.axes.plot([0.25, WIDTH - 0.25], [top, top], color="#dfe2de", linewidth=0.8)
    pen.text(0.25, top + 0.24, panel.name, size=12.5, weight="bold")
    pen.text(0.25 + pen.wide(panel.name, 12.5) * 1.12 + 0.2, top + 0.24, panel.note, size=10.5, color=MUTED)
    y = top + 0.48
    groups = _grouped(panel.rows)
    for group in groups:
        places = _places(pen, group)
        for row in group:
            pen.text(LEFT - 0.12, y + LINE / 2, row.label, size=9.5, color=MUTED, ha="right")
            for place, (said, kind) in zip(row.under or range(len(row.cells)), row.cells, strict=True):
                x, width = places[place]
                fill, ink = FILLS[kind]
                width = max(width, pen.wide(said, 9.5) + 0.14) if kind == "second" else width
                pen.box(x, y + 0.02, width, LINE - 0.04, fill, "#c9cec9" if kind == "special" else "none")
                pen.text(x + width / 2, y + LINE / 2, said, size=9.5, color=ink, ha="center")
            y += LINE
    x = WIDTH - 0.25
    for name, sees in reversed(panel.grids):
        x -= _grid(pen, name, sees, x, top + 0.48) + 0.25


def _grid(pen: Pen, name: str, sees: Any, right: float, top: float) -> float:
    """Squares, filled where a row sees a column; its width."""
    rows, columns = sees.shape
    side = min(0.11, 0.8 / rows)
    left = right - columns * side
    for i in range(rows):
        for j in range(columns):
            color = ("#e7e9e6", ACCENT, "#b9783f")[int(sees[i, j])]
            pen.box(left + j * side + 0.008, top + i * side + 0.008, side - 0.016, side - 0.016, color)
    pen.text(right, top - 0.12, name, size=8.5, color=MUTED, ha="right")
    return columns * side


def _grouped(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows with those that stand under them."""
    found: list[list[Row]] = []
    for row in rows:
        if row.under is None:
            found.append([])
        found[-1].append(row)
    return found


def _places(pen: Pen, group: Sequence[Row]) -> list[tuple[float, float]]:
    """(left, width) of each place: as wide as the widest text in it."""
    widths = [0.0] * len(group[0].cells)
    for row in group:
        for place, (said, kind) in zip(row.under or range(len(row.cells)), row.cells, strict=True):
            if kind != "second" or row.under is None:
                widths[place] = max(widths[place], pen.wide(said, 9.5) + 0.14, 0.24)
    edges = LEFT + np.cumsum([0.0, *(width + 0.04 for width in widths)])
    return [(float(edge), width) for edge, width in zip(edges, widths, strict=False)]


def _height(panel: Panel) -> float:
    return 0.48 + max(LINE * len(panel.rows), 0.86 if panel.grids else 0) + 0.2


def _texts(panel: Panel) -> list[str]:
    return [panel.name, panel.note, *(name for name, _ in panel.grids)] + [
        text for row in panel.rows for text in (row.label, *(said for said, _ in row.cells))
    ]
