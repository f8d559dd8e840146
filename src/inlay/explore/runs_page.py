"""Runs as one HTML file, complete in itself: the table, and a curve of each run in every panel.

Nothing is loaded from outside and nothing runs. Lines are pale as they are and bold as a running mean; points are
held-out text, and tell their number under the pointer.
"""

from collections.abc import Mapping, Sequence

from inlay.evaluate.shown import escape
from inlay.evaluate.style import STYLE
from inlay.evaluate.svg import Axis
from inlay.explore.runs import HEAD, Curve
from inlay.live import human

_POINTS = 600
"""Places along x at most; of a longer run each is the mean of some steps."""
_NAME = 80
_COLOURS = 8
_DASHES = ("", "6 4", "2 3")
"""The next eight runs have the same colours in another line."""

_STYLE = """
header, main, footer { max-width: 76rem; }
header { padding-top: 2rem; }
.scroll { overflow-x: auto; margin-bottom: 1.5rem; }
table { font-size: .9rem; }
td, th { white-space: nowrap; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1.5rem 2rem; }
.panels figure:first-child { grid-column: 1 / -1; }
figure h2 { font-size: 1rem; }
.plot { display: grid; grid-template-columns: 3.75rem minmax(0, 1fr); }
.plot > svg { overflow: visible; }
.plot path { fill: none; stroke-width: 2; stroke-linejoin: round; vector-effect: non-scaling-stroke; }
.plot path.raw { stroke-width: 1; opacity: .3; }
.plot circle { stroke: var(--paper); stroke-width: 1.5; }
.swatch { display: inline-block; width: 1.4rem; height: .65rem; margin-right: .4rem; vertical-align: middle; }
.swatch line { stroke-width: 3; }
th .swatch { margin-right: .6rem; }
"""


def page(panels: Mapping[str, Sequence[Curve]], table: Sequence[Sequence[str]], *, across: str) -> str:
    """The page: `panels` by the name of their column, the first one large, and the cells of the runs under HEAD."""
    order = {cells[0]: place for place, cells in enumerate(table)}
    figures = "".join(
        f"<figure><h2>{escape(name.replace('_', ' '))}</h2>{_panel(name, curves, order, across, 180 if place else 380)}"
        "</figure>"
        for place, (name, curves) in enumerate(panels.items())
    )
    title = escape(", ".join(order) if len(order) <= 4 else f"{len(order)} runs", _NAME * 2)
    return f"""<!DOCTYPE html>
<html lang="en" xmlns="http://www.w3.org/1999/xhtml">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'" />
<title>{title} · inlay runs</title>
<style>{STYLE}{_STYLE}</style>
</head>
<body>
<header>
<p>inlay runs</p>
<h1><bdi>{title}</bdi></h1>
</header>
<main>
<div class="scroll">{_table(table)}</div>
<p class="note">Along x: {escape(across)}. Bold: a running mean; pale: each step; points: held-out text.</p>
<div class="panels">{figures}</div>
</main>
<footer>Made by inlay from the logs of the runs.</footer>
</body>
</html>
"""


def _table(table: Sequence[Sequence[str]]) -> str:
    numeric = [all(cell[:1].isdigit() or cell == "-" for cell in column) for column in zip(*table, strict=True)]
    head = "".join(f"<th{_lean(right)}>{name}</th>" for name, right in zip(HEAD, numeric, strict=True))
    body = ""
    for place, (name, *cells) in enumerate(table):
        swatch = f'<svg class="swatch" viewBox="0 0 22 10" aria-hidden="true">{_sample(place)}</svg>'
        row = "".join(f"<td{_lean(right)}>{escape(cell)}</td>" for cell, right in zip(cells, numeric[1:], strict=True))
        body += f'<tr><th scope="row">{swatch}<bdi>{escape(name, _NAME)}</bdi></th>{row}</tr>'
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _lean(right: bool) -> str:
    return ' class="num"' if right else ""


def _sample(place: int) -> str:
    return f'<line x1="0" x2="22" y1="5" y2="5" style="{_stroke(place)}"/>'


def _stroke(place: int) -> str:
    dash = _DASHES[place // _COLOURS % len(_DASHES)]
    return f"stroke: var(--g{place % _COLOURS})" + (f"; stroke-dasharray: {dash}" if dash else "")


def _panel(name: str, curves: Sequence[Curve], order: Mapping[str, int], across: str, height: int) -> str:
    seen = [value for one in curves for value in (*one.smooth, *(value for _, value in one.looks))]
    values = [value for value in seen if value is not None]
    places = [x for one in curves for x in one.x]
    if not values:
        return '<p class="note">No finite number yet.</p>'
    up, along = Axis.around(values), Axis.around([0.0, *places], ticks=6)
    marks, left, below = [], [], []
    for at, label in up.ticks():
        y = height * (1 - at)
        marks.append(f'<line class="grid" x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>')
        label = human(float(label)) if float(label) >= 10_000 else label
        left.append(f'<text x="3.25rem" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for at, label in along.ticks():
        anchor = "start" if at < 0.02 else "end" if at > 0.98 else "middle"
        below.append(f'<text x="{100 * at:.2f}%" y="{height + 18}" text-anchor="{anchor}">{human(float(label))}</text>')
    lines, points = [], []
    for one in curves:
        place, run = order[one.run], escape(one.run, _NAME)
        for kind, numbers in (("raw", one.y), ("mean", one.smooth)):
            if kind == "mean" or one.smooth != one.y:
                path = _path(one.x, numbers, up, along, height)
                lines.append(f'<path class="{kind}" style="{_stroke(place)}" d="{path}"><title>{run}</title></path>')
        points += [
            f'<circle cx="{100 * along.share(x):.2f}%" cy="{height * (1 - up.share(value)):.1f}" r="4" '
            f'style="fill: var(--g{place % _COLOURS})"><title>{run}, {human(x)} {across}: {value:.4f}</title></circle>'
            for x, value in one.looks
        ]
    # The lines alone are stretched to the width; text and points keep their shape.
    drawn = (
        f'<svg height="{height}" viewBox="0 0 1000 {height}" preserveAspectRatio="none" style="overflow: hidden">'
        f"{''.join(lines)}</svg>"
    )
    label = escape(f"{name.replace('_', ' ')} by {across}, of {len(curves)} runs")
    return (
        f'<div class="plot"><svg height="{height + 26}" aria-hidden="true">{"".join(left)}</svg>'
        f'<svg height="{height + 26}" role="img" aria-label="{label}">{"".join(marks)}{drawn}{"".join(points)}'
        f"{''.join(below)}</svg></div>"
    )


def _path(x: Sequence[float], y: Sequence[float | None], up: Axis, along: Axis, height: int) -> str:
    """Moves and lines through the numbers; a gap where there is none, and a dot for one between gaps."""
    commands, pen_down = [], False
    for at, value in _thinned(x, y):
        if value is not None:
            place = f"{1000 * along.share(at):.1f} {height * (1 - up.share(value)):.1f}"
            commands.append(f"L{place}" if pen_down else f"M{place}h.01")
        pen_down = value is not None
    return "".join(commands)


def _thinned(x: Sequence[float], y: Sequence[float | None]) -> list[tuple[float, float | None]]:
    """As many points as a screen shows: the means of runs of neighbours."""
    size = -(-len(x) // _POINTS) or 1
    found: list[tuple[float, float | None]] = []
    for start in range(0, len(x), size):
        there = [value for value in y[start : start + size] if value is not None]
        places = x[start : start + size]
        found.append((sum(places) / len(places), sum(there) / len(there) if there else None))
    return found
