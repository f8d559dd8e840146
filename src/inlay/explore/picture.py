"""The map as a PNG, drawn by matplotlib, in fonts that have every character of its words."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError, missing_extra
from inlay.evaluate.shown import text
from inlay.explore.labels import fit, place
from inlay.explore.map import PointMap
from inlay.live import say

_INCHES, _DPI = (12.0, 9.0), 150
_MARGIN, _HEAD = 60.0, 70.0
"""Pixels around the points, and above them for the title."""
PAPER, INK, MUTED, ACCENT = "#fdfdfb", "#1c2024", "#59626c", "#0a6a86"
SHADES = ("#0a6a86", "#c2410c", "#6d3fd1", "#2f7d32", "#b8256b", "#8f6400", "#2456c9", "#6b747d")
"""The colours of groups, those of the page in light; the last one is grey."""
_LEGEND = 34
"""Characters of a group's name."""
_FIRST = "DejaVu Sans"
"""The font that comes with matplotlib."""
_GOOD = ("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "PingFang SC", "Microsoft YaHei")
_LAST_RESORT = "Last Resort"
"""A font whose glyphs are boxes that name a block of characters."""


def draw_png(shown: PointMap, path: Path) -> int:
    """Draw the map, and return how many words have their label; words that no font can write are points alone.

    A note says how many these are. Raises InputError where no installed font has the characters of any word.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise missing_extra("a .png", "matplotlib", "viz") from None
    words = [text(word) for word in shown.names]
    legend = [text(name, _LEGEND) or "(empty)" for name in shown.order]
    families, missing = fonts({character for word in [*words, *legend] for character in word})
    written = [not missing & set(word) for word in words]
    _report(words, written, missing)

    figure = Figure(figsize=_INCHES, dpi=_DPI, facecolor=PAPER)
    canvas = FigureCanvasAgg(figure)
    width, height = _INCHES[0] * _DPI, _INCHES[1] * _DPI
    points = fit(shown.points, width, height - _HEAD, _MARGIN) + (0, _HEAD)
    n = len(points)
    size = 9.5 if n <= 150 else 8.0 if n <= 500 else 7.0
    labels = [
        figure.text(0, 0, word if has else "", family=families, fontsize=size, color=INK, va="top", parse_math=False)
        for word, has in zip(words, written, strict=True)
    ]
    boxes = [label.get_window_extent(canvas.get_renderer()) for label in labels]
    sizes = np.array([(box.width + 2, box.height + 2) for box in boxes])
    corners = place(points, sizes, (width, height), gap=9.0, all_of_them=shown.chosen)
    drawn = 0
    for label, corner, has in zip(labels, corners, written, strict=True):
        if has and not np.isnan(corner[0]):
            label.set_position((corner[0] / width, 1 - corner[1] / height))
            drawn += 1
        else:
            label.set_visible(False)
    _dots(figure, shown, points, width, height)
    for at, name in enumerate(legend):
        left, top = 0.02 + at % 4 * 0.245, 0.945 - at // 4 * 0.022
        figure.text(left, top, "●", fontsize=9, color=SHADES[at], va="center", family=_FIRST)
        said = "".join("\ufffd" if character in missing else character for character in name)
        figure.text(left + 0.012, top, said, family=families, fontsize=9, color=INK, va="center", parse_math=False)
    figure.text(0.018, 0.982, shown.title, family=families, fontsize=12, color=MUTED, va="top", parse_math=False)
    figure.savefig(path, format="png", metadata={"Software": "inlay"})
    return drawn


def _dots(figure: Any, shown: PointMap, points: NDArray[np.float64], width: float, height: float) -> None:
    axes = figure.add_axes((0, 0, 1, 1), zorder=-1)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.axis("off")
    colours = ACCENT if shown.groups is None else [SHADES[shown.shade(at)] for at in range(len(points))]
    axes.scatter(points[:, 0], points[:, 1], s=14, c=colours, alpha=0.75, linewidths=0)


def fonts(characters: set[str]) -> tuple[list[str], set[str]]:
    """The font families that together have these characters, each taken for what those before it lack; and the
    characters that no font has."""
    from matplotlib import font_manager

    missing = {character for character in characters if not character.isspace()}
    upright = [
        entry
        for entry in font_manager.fontManager.ttflist
        if entry.style == "normal" and entry.weight in (400, "normal", "regular") and _LAST_RESORT not in entry.name
    ]
    has: dict[str, set[str]] = {}
    for entry in upright:
        if entry.name not in has:  # the first file of a name is the one that matplotlib takes
            path = font_manager.findfont(font_manager.FontProperties(family=entry.name))
            has[entry.name] = missing & _characters(path)
    families = [_FIRST]
    missing -= has.get(_FIRST, set())
    while missing:
        best = max(has, key=lambda name: (len(has[name] & missing), name in _GOOD, not _is_odd(name), name))
        if not has[best] & missing:
            break
        families.append(best)
        missing -= has[best]
    return families, missing


def _characters(path: str) -> set[str]:
    from matplotlib.ft2font import FT2Font

    try:
        return set(map(chr, FT2Font(path).get_charmap()))
    except (OSError, RuntimeError):  # listed, but gone or damaged
        return set()


def _is_odd(name: str) -> bool:
    return any(mark in name for mark in ("Mono", "Serif", "Condensed", "Narrow", "Light", "Display"))


def _report(words: list[str], written: Iterable[bool], missing: set[str]) -> None:
    without = [word for word, has in zip(words, written, strict=True) if not has]
    way_out = "install one that has, such as Noto Sans CJK for Chinese, or write .html, which the browser's fonts draw"
    if len(without) == len(words):
        raise InputError(f"no installed font has {sorted(missing)[0]!r}, as in {without[0]!r}; {way_out}")
    if without:
        say(
            f"note: {len(without):,} of {len(words):,} words have no label: "
            f"no installed font has {sorted(missing)[0]!r}; {way_out}"
        )
