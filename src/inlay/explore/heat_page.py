"""The heat map as one HTML file, complete in itself, and as a table for a notebook."""

from inlay.evaluate.shown import escape
from inlay.explore.heat import Heat
from inlay.explore.page import whole

_NUMBERED = 25
"""Texts up to which each cell holds its number."""
_NAME = 60
_DEEP = (10, 106, 134)
"""The colour of the cosine 1; lower ones are paler."""

_STYLE = """
header, main, footer { max-width: 80rem; }
header { padding-top: 1.75rem; }
main { overflow-x: auto; }
.heat { width: auto; border-collapse: separate; border-spacing: 1px; font-size: .8rem; }
.heat th, .heat td { border: 0; padding: .2rem .35rem; }
.heat thead th { text-align: center; }
.heat tbody th { max-width: 24rem; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.heat td { min-width: 1.1rem; height: 1.4rem; text-align: center; color: #1c2024; }
.heat td.deep { color: #fff; }
.heat td:hover { outline: 2px solid #c2410c; }
footer { margin-top: 1rem; padding-bottom: 1.5rem; }
"""


def page(shown: Heat) -> str:
    """The page: a cell for each two texts, which names both and their cosine under the pointer."""
    footer = f"Pale is {shown.least:.1f} or less, deep is 1: the cosine of two texts' vectors. A cell names its texts."
    return whole(escape(shown.title), "heat map", "", table(shown), footer, style=_STYLE)


def table(shown: Heat) -> str:
    """The heat map as a table that carries its colours with it; every text is escaped."""
    names = [escape(name, _NAME) for name in shown.names]
    head = "".join(f'<th scope="col" title="{name}">{at}</th>' for at, name in enumerate(names, 1))
    lines = []
    for row, name in enumerate(names):
        cells = []
        for column, other in enumerate(names):
            value = float(shown.values[row, column])
            share = shown.share(value)
            red, green, blue = (round(255 + share * (end - 255)) for end in _DEEP)
            deep = ' class="deep"' if share > 0.72 else ""
            said = f"{value:.2f}" if len(names) <= _NUMBERED else ""
            style = f"background: rgb({red}, {green}, {blue}); color: {'#fff' if deep else '#1c2024'}"
            cells.append(f'<td{deep} style="{style}" title="{name} · {other}: {value:.3f}">{said}</td>')
        lines.append(f'<tr><th scope="row" title="{name}">{row + 1} {name}</th>{"".join(cells)}</tr>')
    body = "\n".join(lines)
    return f'<table class="heat"><thead><tr><th></th>{head}</tr></thead>\n<tbody>{body}</tbody></table>'
