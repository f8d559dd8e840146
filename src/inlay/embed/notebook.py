"""How embedders and their reports look in a notebook: small tables, in which every text is escaped."""

from collections.abc import Mapping, Sequence
from html import escape


def facts(name: str, known: Mapping[str, object]) -> str:
    """A table of names and values under a heading; a value that is None is left out."""
    lines = "".join(
        f"<tr><th>{escape(key)}</th><td>{_shown(value)}</td></tr>" for key, value in known.items() if value is not None
    )
    return f"<p>{escape(name)}</p><table>{lines}</table>"


def rows(name: str, head: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    """A table with a head under a heading."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{_shown(cell)}</td>" for cell in line) + "</tr>" for line in lines)
    return f"<p>{escape(name)}</p><table><tr>{top}</tr>{body}</table>"


def shorten(text: str, most: int) -> str:
    """The text on one line of at most so many characters; an ellipsis says that it goes on."""
    line = " ".join(text[: 4 * most].split())
    return line if len(line) <= most and len(text) <= 4 * most else line[: most - 1] + "…"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3f}" if isinstance(value, float) else escape(str(value))
