"""The ladder in the report: every method on the same held-out queries, as numbers and as dots with whiskers."""

from inlay.evaluate import svg
from inlay.evaluate.shown import (
    MISSING,
    Tree,
    baseline,
    count,
    escape,
    mean,
    number,
    part,
    query_kinds,
    rows,
    score,
    seconds,
    shipped,
)

_EXPLAINED = {
    "title": "A title query asks with a document's title for its text.",
    "sentence": "A sentence query asks with a sentence taken out of a document for the rest of it.",
}


def section(tree: Tree) -> str:
    """The section's HTML, empty where nothing was measured. Rungs stand in the order in which they are given."""
    kinds = query_kinds(tree)
    if not rows(tree, "ladder"):
        return ""
    axis = _axis(tree, kinds)
    scale = f'<div class="measure">{svg.scale(axis)}</div>' if axis else ""
    heads = "".join(f'<th scope="col">{_kind(tree, kind)}{scale}</th>' for kind in kinds)
    body = "\n".join(_row(tree, rung, kinds, axis) for rung in rows(tree, "ladder"))
    return f"""{_note(tree, kinds)}
<table class="ladder"><caption>nDCG@10 by kind of query</caption>
<thead><tr><th scope="col">Method</th>{heads}<th scope="col" class="num">Mean</th>
<th scope="col" class="num">Took</th></tr></thead>
<tbody>
{body}
</tbody></table>
{_more(tree, kinds)}"""


def _note(tree: Tree, kinds: list[str]) -> str:
    held_out = part(tree, "held_out")
    told = ["nDCG@10: 1 = the right document always first, 0 = never among the first ten."]
    if any(_interval(rung, kind) != (None, None) for rung in rows(tree, "ladder") for kind in kinds):
        told.append("Whiskers are 95\u202f% bootstrap intervals.")
    if baseline(tree):
        told.append("The dashed line is BM25.")
    asked = [_EXPLAINED[kind] for kind in kinds if kind in _EXPLAINED]
    apart, among = number(held_out.get("documents")), number(held_out.get("index"))
    if apart is not None:
        within = f" among {count(among)}" if among is not None else ""
        asked.append(f"{count(apart)} documents were asked for{within}; they gave no training pair.")
    if shipped(tree):
        asked.append("What is shipped was chosen on these queries, which flatters it a little.")
        if part(tree, "model").get("kind") != "encoder":
            asked.append("Its vectors were then fitted again, to all documents.")
    return "".join(f'<p class="note">{" ".join(paragraph)}</p>' for paragraph in (told, asked) if paragraph)


def _row(tree: Tree, rung: Tree, kinds: list[str], axis: svg.Axis | None) -> str:
    mark = ' class="shipped"' if rung is shipped(tree) else ""
    tag = '<span class="tag">shipped</span>' if mark else ""
    what = f'<span class="what">{escape(rung.get("what"), 160)}</span>' if rung.get("what") else ""
    cells = "".join(
        f'<td class="wide" data-label="{_kind_name(kind)}">{_measure(tree, rung, kind, axis)}</td>' for kind in kinds
    )
    return (
        f'<tr{mark}><th scope="row"><bdi>{escape(rung.get("name"), 80) or MISSING}</bdi>{tag}{what}</th>{cells}'
        f'<td class="num" data-label="Mean">{score(mean(rung))}</td>'
        f'<td class="num" data-label="Took">{seconds(rung.get("seconds") or None)}</td></tr>'
    )


def _measure(tree: Tree, rung: Tree, kind: str, axis: svg.Axis | None) -> str:
    value = _ndcg(rung, kind)
    if value is None or axis is None:
        return MISSING
    low, high = _interval(rung, kind)
    range_ = f'<span class="range">{score(low)} – {score(high)}</span>' if low is not None else ""
    picture = svg.whisker(axis, value, low, high, _ndcg(baseline(tree), kind))
    return f'<div class="measure">{picture}<span>{score(value)}{range_}</span></div>'


def _more(tree: Tree, kinds: list[str]) -> str:
    """The other measures, folded away; empty where there are none."""
    measured = [
        (kind, name, label)
        for kind in kinds
        for name, label in (("mrr@10", "MRR@10"), ("recall@10", "Recall@10"))
        if any(number(part(part(rung, "scores"), kind).get(name)) is not None for rung in rows(tree, "ladder"))
    ]
    if not measured:
        return ""
    heads = "".join(f'<th scope="col" class="num">{_kind_name(kind)}: {label}</th>' for kind, _, label in measured)
    body = "".join(
        f'<tr><th scope="row"><bdi>{escape(rung.get("name"), 80) or MISSING}</bdi></th>'
        + "".join(
            f'<td class="num">{score(part(part(rung, "scores"), kind).get(name))}</td>' for kind, name, _ in measured
        )
        + "</tr>"
        for rung in rows(tree, "ladder")
    )
    return f"""<details><summary>Recall and MRR</summary><div class="scroll"><table>
<caption>MRR@10: the mean of 1 / rank of the right document. Recall@10: how often it is among the first ten.</caption>
<thead><tr><th scope="col">Method</th>{heads}</tr></thead><tbody>{body}</tbody></table></div></details>"""


def _axis(tree: Tree, kinds: list[str]) -> svg.Axis | None:
    """One axis for all kinds, so that every dot can be held against every other."""
    shown = [
        value
        for rung in rows(tree, "ladder")
        for kind in kinds
        for value in (_ndcg(rung, kind), *_interval(rung, kind))
        if value is not None
    ]
    return svg.Axis.around(shown) if shown else None


def _ndcg(rung: Tree, kind: str) -> float | None:
    return number(part(part(rung, "scores"), kind).get("ndcg@10"))


def _interval(rung: Tree, kind: str) -> tuple[float | None, float | None]:
    """Both ends of the interval, or neither."""
    scores = part(part(rung, "scores"), kind)
    low, high = number(scores.get("low")), number(scores.get("high"))
    return (low, high) if low is not None and high is not None else (None, None)


def _kind(tree: Tree, kind: str) -> str:
    asked = number(part(part(tree, "held_out"), "queries").get(kind))
    return _kind_name(kind) + (f", {count(asked)}" if asked else "")


def _kind_name(kind: str) -> str:
    return f"{escape(kind, 40).capitalize()} queries"
