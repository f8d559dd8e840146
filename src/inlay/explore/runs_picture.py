"""Curves of runs as a PNG, drawn by matplotlib: pale as they are, bold as a running mean, held-out text as points."""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from inlay.errors import missing_extra
from inlay.evaluate.shown import text
from inlay.explore.picture import INK, MUTED, PAPER, fonts
from inlay.explore.runs import Curve

_INCHES, _DPI = (10.0, 6.0), 140
_COLOURS = ("#0a6a86", "#c2410c", "#6d3fd1", "#2f7d32", "#b8256b", "#8f6400", "#2456c9", "#6b747d")
_LINES = ("-", "--", ":")
"""The next eight runs have the same colours in another line."""
_FAINT = "#dfe2e0"
_NAME = 60


def draw_png(curves: Sequence[Curve], path: Path, *, y: str, across: str) -> None:
    """Write the picture. InputError where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import EngFormatter
    except ImportError:
        raise missing_extra("a .png", "matplotlib", "viz") from None
    names = [text(curve.run, _NAME) for curve in curves]
    families, _ = fonts({character for name in names for character in name})
    figure = Figure(figsize=_INCHES, dpi=_DPI, facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.add_subplot(facecolor=PAPER)
    looks = cycle((colour, line) for line in _LINES for colour in _COLOURS)
    for curve, name, (colour, line) in zip(curves, names, looks, strict=False):
        shown, smooth = _gaps(curve.y), _gaps(curve.smooth)
        if curve.smooth != curve.y:
            axes.plot(curve.x, shown, color=colour, linewidth=0.7, alpha=0.3)
        axes.plot(curve.x, smooth, color=colour, linewidth=1.6, linestyle=line, label=name)
        if len(curve.x) == 1:
            axes.plot(curve.x, smooth, color=colour, marker=".")
        if curve.looks:
            axes.scatter(
                *zip(*curve.looks, strict=True), s=26, color=colour, edgecolors=PAPER, linewidths=0.8, zorder=3
            )
    _frame(axes, curves)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel(across, color=MUTED)
    axes.set_ylabel(y.replace("_", " "), color=MUTED)
    if any(curve.looks for curve in curves):
        axes.set_title("points: held-out text", fontsize=9, color=MUTED, loc="right")
    legend = axes.legend(frameon=False, fontsize=9, labelcolor=INK, prop={"family": families, "size": 9})
    for label in legend.get_texts():
        label.set_parse_math(False)
    figure.savefig(path, format="png", metadata={"Software": "inlay"})


def _frame(axes: Any, curves: Sequence[Curve]) -> None:
    """The running means and the points are all in view; a single step may leave it."""
    seen = [value for curve in curves for value in (*curve.smooth, *(value for _, value in curve.looks))]
    there = [value for value in seen if value is not None]
    if there:
        low, high = min(there), max(there)
        room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
        axes.set_ylim(low - room, high + room)
    axes.margins(x=0.02)
    axes.grid(color=_FAINT, linewidth=0.8)
    axes.tick_params(colors=MUTED, labelsize=9, length=0)
    for side in axes.spines.values():
        side.set_visible(False)


def _gaps(values: Sequence[float | None]) -> list[float]:
    """matplotlib leaves out what is no number."""
    return [float("nan") if value is None else value for value in values]
