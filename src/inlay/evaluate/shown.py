"""What may be shown of a tree from `inlay.json`: parts that are there, numbers that are finite, text that is valid.

The report and the model card are drawn from files that may be older, cut short or edited: a part that is missing or
of another type reads as empty, and never stops the drawing.
"""

import html
import math
import re
from collections.abc import Mapping
from numbers import Real
from typing import Any

from inlay.live import duration

Tree = Mapping[str, Any]

MISSING = "–"

# What XML does not allow, and with it the control characters and lone surrogates that no reader of HTML can show.
_INVALID = re.compile(r"[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def part(tree: Any, key: str) -> Tree:
    """The mapping under `key`, empty where there is none."""
    found = tree.get(key) if isinstance(tree, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def items(tree: Any, key: str) -> list[Any]:
    """The list under `key`, empty where there is none."""
    found = tree.get(key) if isinstance(tree, Mapping) else None
    return list(found) if isinstance(found, list | tuple) else []


def rows(tree: Any, key: str) -> list[Tree]:
    """The mappings in the list under `key`."""
    return [row for row in items(tree, key) if isinstance(row, Mapping)]


def number(value: Any) -> float | None:
    """The value as a float, or None where it is no finite number."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def text(value: Any, limit: int | None = None) -> str:
    """The value as text on one line without invalid characters, cut with an ellipsis after `limit` characters."""
    if value is None or (isinstance(value, Real) and not isinstance(value, bool) and number(value) is None):
        return ""
    whole = " ".join(_INVALID.sub("\ufffd", str(value)).split())
    if limit is None or len(whole) <= limit:
        return whole
    cut = whole[: limit - 1]
    # Between two words, where there is a space within reach.
    return cut[: max(cut.rfind(" "), limit * 3 // 4)].rstrip() + "…"


def escape(value: Any, limit: int | None = None) -> str:
    """`text` for HTML, inside and outside of attributes."""
    return html.escape(text(value, limit))


def count(value: Any) -> str:
    """12,345"""
    found = number(value)
    return MISSING if found is None else f"{found:,.0f}"


def score(value: Any) -> str:
    """0.412"""
    found = number(value)
    return MISSING if found is None else f"{found:.3f}"


def share(value: Any) -> str:
    """97.2 %"""
    found = number(value)
    return MISSING if found is None else f"{found:.1%}".replace("%", "\u202f%")


def seconds(value: Any) -> str:
    """0.42 s, 12.3 s, 2 min 05 s or 3 h 20 min"""
    found = number(value)
    if found is None or found < 0:
        return MISSING
    return f"{found:.2f} s" if found < 1 else duration(found)


def megabytes(value: Any) -> str:
    """8 kB, 0.4 MB, 31.9 MB, 310 MB or 1.2 GB"""
    found = number(value)
    if found is None or found < 0:
        return MISSING
    if 0 < found < 0.0995:
        return f"{max(1000 * found, 1):.0f} kB"
    if found < 999.5:
        return f"{found:.1f} MB" if found < 99.95 else f"{found:.0f} MB"
    return f"{found / 1000:,.1f} GB"


def query_kinds(tree: Tree) -> list[str]:
    """The kinds of queries that any rung of the ladder was measured on, in the order in which they are named."""
    named = [kind for rung in rows(tree, "ladder") for kind, scores in part(rung, "scores").items() if scores]
    return list(dict.fromkeys(named))


def shipped(tree: Tree) -> Tree:
    """The rung that was shipped, empty where none is marked."""
    return next((rung for rung in rows(tree, "ladder") if rung.get("shipped") is True), {})


def mean(rung: Tree) -> float | None:
    """The rung's mean over the kinds of queries, None where it was measured on none."""
    return number(rung.get("mean")) if part(rung, "scores") else None


def baseline(tree: Tree) -> Tree:
    """The rung of BM25, empty where it was not measured."""
    return next((rung for rung in rows(tree, "ladder") if rung.get("name") == "bm25"), {})
