"""Drawings of the report as inline SVG. They stretch to the width they are given, and their text does not."""

# Places along x are percentages of the width, so that a drawing needs no view box, which would scale its text too.

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from inlay.evaluate.shown import Tree, count, escape, items, number, text

_GROUPS = 7
"""Colours of groups; what is left is drawn as "other" in an eighth."""
_MAP_POINTS, _MAP_TITLE = 1000, 60
_MAP_WIDTH, _MAP_MARGIN = 1000, 24
_CURVE_POINTS = 300
_HUGE = 1e100
"""Numbers beyond it are drawn at the edge; no measurement is."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A stretch of numbers between two round ones, `first` and `last` times `step`, with a tick at every step."""

    first: int
    last: int
    step: float

    @classmethod
    def around(cls, values: Sequence[float], *, ticks: int = 4) -> "Axis":
        """The shortest round stretch that holds all values, with about so many ticks, 1, 2 or 5 of a unit apart."""
        low, high = (min(max(end, -_HUGE), _HUGE) for end in (min(values), max(values)))
        if high - low <= 1e-9 * max(abs(low), abs(high)) + 1 / _HUGE:  # one value, or as good as one
            spread = max(abs(low) * 0.1, 1e-6)
            low, high = low - spread, high + spread
        raw = (high - low) / ticks
        unit = 10.0 ** math.floor(math.log10(raw))
        step = unit * next(factor for factor in (1, 2, 5, 10) if factor * unit >= raw * 0.999)
        return cls(first=math.floor(low / step + 1e-9), last=math.ceil(high / step - 1e-9), step=step)

    def share(self, value: float) -> float:
        """Where the value stands, from 0 at the first tick to 1 at the last."""
        return min(max((value / self.step - self.first) / (self.last - self.first), 0.0), 1.0)

    def ticks(self) -> list[tuple[float, str]]:
        """(share, label) of every tick."""
        places = max(0, -math.floor(math.log10(self.step) + 1e-9))
        form = f".{places}f" if places < 7 and self.step < 1e6 else ".1e"
        marks = [place * self.step for place in range(self.first, self.last + 1)]
        return [(self.share(mark), format(mark, form)) for mark in marks]


def scale(axis: Axis) -> str:
    """The labels of an axis, to stand over a column of `whisker`s."""
    ticks = axis.ticks()
    if len(ticks) > 4:  # as many as there is room for, and both ends among them
        ticks = ticks[::2] if len(ticks) % 2 else [ticks[0], ticks[-1]]
    labels = [f'<text x="{_percent(at)}" y="11" text-anchor="{_anchor(at)}">{label}</text>' for at, label in ticks]
    return f'<svg height="14" aria-hidden="true">{"".join(labels)}</svg>'


def whisker(axis: Axis, value: float, low: float | None, high: float | None, reference: float | None) -> str:
    """A dot with its interval, and a dashed line at `reference`."""
    title = f"{value:.3f}" + (
        f", 95 % interval {low:.3f} to {high:.3f}" if low is not None and high is not None else ""
    )
    marks = f'<circle cx="{_percent(axis.share(value))}" cy="50%" r="4.5"/>'
    if low is not None and high is not None:
        ends = _percent(axis.share(low)), _percent(axis.share(high))
        marks = f'<line x1="{ends[0]}" x2="{ends[1]}" y1="50%" y2="50%"/>{marks}'
    if reference is not None:
        at = _percent(axis.share(reference))
        marks = f'<line class="reference" x1="{at}" x2="{at}" y1="-40%" y2="140%"/>{marks}'
    return f'<svg class="whisker" height="20" role="img" aria-label="{title}"><title>{title}</title>{marks}</svg>'


def bar(part_of_all: float, title: str) -> str:
    """A horizontal bar, as long as its share of the width."""
    mark = f'<rect class="mark" width="{_percent(max(part_of_all, 0.003))}" height="100%" rx="1.5"/>'
    return f'<svg height="12" role="img" aria-label="{escape(title)}"><title>{escape(title)}</title>{mark}</svg>'


def histogram(bins: Sequence[tuple[float, float, float]], name: str, title: str, description: str) -> str:
    """A column for each (low, high, count), labelled with what it holds and how often."""
    width, highest = 1 / len(bins), max(height for _, _, height in bins)
    every = math.ceil(len(bins) / 16)
    marks = ['<line class="grid" x1="0" x2="100%" y1="190" y2="190"/>']
    for place, (low, high, height) in enumerate(bins):
        middle, tall = _percent((place + 0.5) * width), 160 * (height / highest)
        label = f"{low:,.0f}" if low == high else f"{low:,.0f}–{high:,.0f}"
        marks.append(
            f'<rect class="mark" x="{_percent((place + 0.06) * width)}" width="{_percent(0.88 * width)}" '
            f'y="{190 - tall:.1f}" height="{tall:.1f}"><title>{label} words: {count(height)} documents</title></rect>'
        )
        if place % every == 0:
            # Every second label goes where the page is narrow.
            odd = ' class="alternate"' if place // every % 2 else ""
            for y, said in ((207, low), (184 - tall, height)):
                label = _short_count(said)
                marks.append(f'<text{odd} x="{middle}" y="{y:.1f}" text-anchor="middle">{label}</text>')
    return _drawing(name, title, description, 214, marks)


def curve(values: Sequence[float | None], name: str, title: str, description: str) -> str:
    """A line through the values at steps 1 to N; None leaves a gap. A long noisy one is drawn pale under its mean."""
    axis = Axis.around([value for value in values if value is not None], ticks=3)
    marks, labels = [], ['<text x="0" y="207">1</text>']
    labels.append(f'<text x="100%" y="207" text-anchor="end">{len(values):,} steps</text>')
    for at, label in axis.ticks():
        y = 190 - 170 * at
        marks.append(f'<line class="grid" x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>')
        labels.append(f'<text x="100%" y="{y - 4:.1f}" text-anchor="end">{label}</text>')
    window = max(1, len(values) // 30)
    paths = [f'<path class="line" d="{_path(axis, _means(values, window), window)}"/>']
    if window > 1:
        paths.insert(0, f'<path class="line faint" d="{_path(axis, *_thinned(values))}"/>')
    ends = max(len(values) - 1, 1)
    # The line alone is stretched: its box is one unit a step, and its stroke keeps its width.
    marks.append(f'<svg y="20" height="170" viewBox="0 0 {ends} 170" preserveAspectRatio="none">{"".join(paths)}</svg>')
    return _drawing(name, title, description, 214, [*marks, *labels])


def scatter(tree: Tree, name: str, title: str) -> tuple[str, str]:
    """The map of the documents and its legend: a dot for each, with its title on hover, coloured by group if given.

    Both directions have the same scale. Of more than 1,000 points, evenly spread ones are drawn; the description says
    so. Both are empty where no point is finite.
    """
    titles, groups = items(tree, "titles"), items(tree, "groups")
    points = [
        (x, y, _at(titles, row), _at(groups, row))
        for row, (x, y) in enumerate(
            (number(x), number(y)) for x, y in zip(items(tree, "x"), items(tree, "y"), strict=False)
        )
        if x is not None and y is not None
    ]
    if not points:
        return "", ""
    step = math.ceil(len(points) / _MAP_POINTS)
    drawn = points[::step]
    left, right = min(point[0] for point in drawn), max(point[0] for point in drawn)
    bottom, top = min(point[1] for point in drawn), max(point[1] for point in drawn)
    wide, tall = right / 2 - left / 2, top / 2 - bottom / 2
    # A flat or tall cloud keeps its shape, within a frame that is half to three quarters as high as wide.
    height = _MAP_WIDTH * min(max(tall / wide if wide else 1.0, 0.5), 0.75)
    unit = max(wide / (_MAP_WIDTH - 2 * _MAP_MARGIN), tall / (height - 2 * _MAP_MARGIN)) or 1.0
    names = [group for group, _ in Counter(group for *_, group in points if group).most_common()]
    kept = names if len(names) <= _GROUPS + 1 else names[:_GROUPS]
    colour = {group: f"g{place}" for place, group in enumerate(kept)}
    dots = []
    for x, y, label, group in drawn:
        across = _MAP_WIDTH / 2 + ((x / 2 - left / 2) - wide / 2) / unit
        down = height / 2 - ((y / 2 - bottom / 2) - tall / 2) / unit
        told = escape(" · ".join(part for part in (label, group) if part))
        hover = f"<title>{told}</title>" if told else ""
        shade = colour.get(group, "g7") if names else "g0"
        dots.append(f'<circle class="{shade}" cx="{across:.0f}" cy="{down:.0f}" r="5">{hover}</circle>')
    description = (
        f"{count(len(drawn))} of {count(len(points))} documents" if step > 1 else f"{count(len(points))} documents"
    )
    picture = (
        f'<svg class="map" viewBox="0 0 {_MAP_WIDTH} {height:.0f}" role="img" aria-labelledby="{name}-t {name}-d">'
        f'<title id="{name}-t">{escape(title)}</title><desc id="{name}-d">{description}, each a dot.</desc>'
        f"{''.join(dots)}</svg>"
    )
    entries = [(colour[group], escape(group)) for group in kept]
    if any(group not in colour for *_, group in points) and names:
        entries.append(("g7", "other"))
    swatch = '<svg viewBox="0 0 10 10" aria-hidden="true"><circle class="{}" cx="5" cy="5" r="5"/></svg>'
    legend = "".join(f"<li>{swatch.format(shade)}<bdi>{label}</bdi></li>" for shade, label in entries)
    return picture, f'<ul class="legend">{legend}</ul>' if legend else ""


def _drawing(name: str, title: str, description: str, height: int, marks: Sequence[str]) -> str:
    return (
        f'<svg height="{height}" role="img" aria-labelledby="{name}-t {name}-d"><title id="{name}-t">{escape(title)}'
        f'</title><desc id="{name}-d">{escape(description)}</desc>{"".join(marks)}</svg>'
    )


def _at(values: Sequence[object], place: int) -> str:
    return text(values[place], _MAP_TITLE) if place < len(values) else ""


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%"


def _anchor(at: float) -> str:
    return "start" if at < 0.08 else "end" if at > 0.92 else "middle"


def _short_count(value: float) -> str:
    """1,234 as 1.2k, so that labels of neighbours do not meet."""
    for size, mark in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.1f}".removesuffix(".0") + mark
    return f"{value:.0f}"


def _means(values: Sequence[float | None], window: int) -> list[float | None]:
    """The mean of each run of `window` values that are there."""
    means: list[float | None] = []
    for start in range(0, len(values), window):
        there = [value for value in values[start : start + window] if value is not None]
        means.append(math.fsum(value / len(there) for value in there) if there else None)
    return means


def _thinned(values: Sequence[float | None]) -> tuple[list[float | None], int]:
    window = math.ceil(len(values) / _CURVE_POINTS)
    return _means(values, window), window


def _path(axis: Axis, values: Sequence[float | None], window: int) -> str:
    """Moves and lines through the values, each in the middle of its window; a value between gaps is a short dash."""
    commands, pen_down = [], False
    for place, value in enumerate(values):
        if value is not None:
            x = place * window + (window - 1) / 2
            commands.append(
                f"{'L' if pen_down else 'M'}{x:g} {170 - 170 * axis.share(value):.1f}" + ("h.01" * (not pen_down))
            )
        pen_down = value is not None
    return "".join(commands)
