"""The heat map as a PNG, drawn by matplotlib, in fonts that have every character of its texts."""

from pathlib import Path

import numpy as np

from inlay.errors import InputError, missing_extra
from inlay.evaluate.shown import text
from inlay.explore.heat import Heat
from inlay.explore.picture import ACCENT, INK, MUTED, PAPER, fonts

_DPI = 150
_NAME, _NUMBERED = 40, 25


def draw_png(shown: Heat, path: Path) -> None:
    """Draw the heat map; raises InputError where no installed font has a character of the texts."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.colors import LinearSegmentedColormap
        from matplotlib.figure import Figure
    except ImportError:
        raise missing_extra("a .png", "matplotlib", "viz") from None
    names = [text(name, _NAME) for name in shown.names]
    families, missing = fonts({character for name in names for character in name})
    if missing:
        raise InputError(
            f"no installed font has {sorted(missing)[0]!r}; install one that has, such as Noto Sans CJK for Chinese, "
            "or write .html, which the browser's fonts draw"
        )
    n = len(names)
    side = min(max(0.42 * n, 3.0), 14.0)
    size = float(np.clip(72 * side / n * 0.62, 3.5, 10.0))
    room = 0.4 + max(map(_wide, names)) * size / 72
    figure = Figure(figsize=(room + side + 1.0, side + 1.1), dpi=_DPI, facecolor=PAPER)
    FigureCanvasAgg(figure)
    width, height = figure.get_size_inches()
    axes = figure.add_axes((room / width, 0.5 / height, side / width, side / height))
    colours = LinearSegmentedColormap.from_list("inlay", ["#ffffff", ACCENT])
    image = axes.imshow(shown.values, cmap=colours, vmin=shown.least, vmax=1.0, interpolation="nearest")
    axes.set_yticks(range(n), [f"{name}  {at}" for at, name in enumerate(names, 1)])
    axes.set_xticks(range(n), [str(at) for at in range(1, n + 1)], rotation=90 if n > _NUMBERED else 0)
    for label in [*axes.get_yticklabels(), *axes.get_xticklabels()]:
        label.set(family=families, fontsize=size, color=INK, parse_math=False)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if n <= _NUMBERED:
        for row in range(n):
            for column in range(n):
                value = float(shown.values[row, column])
                ink = "#ffffff" if shown.share(value) > 0.72 else INK
                axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=0.75 * size, color=ink)
    bar = figure.add_axes(((room + side + 0.15) / width, 0.5 / height, 0.14 / width, side / height))
    figure.colorbar(image, cax=bar).ax.tick_params(labelsize=7, colors=MUTED, length=2)
    figure.text(
        0.15 / width,
        1 - 0.2 / height,
        shown.title,
        fontsize=10,
        color=MUTED,
        va="top",
        family=families,
        parse_math=False,
    )
    figure.savefig(path, format="png", metadata={"Software": "inlay"})


def _wide(name: str) -> float:
    """About how wide a name and its number are, in heights of the font."""
    from inlay.explore.labels import width

    return 0.95 * width(name) + 2.5
