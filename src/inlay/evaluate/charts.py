"""Sections of the report that are drawings, each empty where the tree has nothing to draw."""

from inlay.evaluate import svg
from inlay.evaluate.shown import Tree, count, escape, items, megabytes, number, part, rows, seconds, text

_TITLE = 120


def lengths(tree: Tree) -> str:
    """How many words the documents have, as columns."""
    found = part(part(tree, "data"), "lengths")
    bins = []
    for entry in items(found, "bins"):
        low, high, height = map(number, entry) if isinstance(entry, list | tuple) and len(entry) == 3 else (None,) * 3
        if low is not None and high is not None and height is not None:
            bins.append((low, high, max(height, 0.0)))
    if not any(height for *_, height in bins):
        return ""
    known = [("the shortest", "min"), ("the median", "median"), ("95\u202f% at most", "p95"), ("the longest", "max")]
    told = ", ".join(f"{name} {count(found[key])}" for name, key in known if number(found.get(key)) is not None)
    description = f"Words per document{': ' + told if told else ''}."
    drawing = svg.histogram(bins, "lengths-svg", "Documents by number of words", description)
    note = f"{description} Each column begins at the number of words under it and ends before the next."
    return f'<p class="note">{note}</p><figure>{drawing}</figure>'


def documents(tree: Tree) -> str:
    """The map: a dot for each document."""
    drawing, legend = svg.scatter(part(tree, "map"), "map-svg", "Map of the documents")
    if not drawing:
        return ""
    note = (
        "Each dot is a document, and near ones have like vectors. Two dimensions cannot hold all of that, "
        "so read neighbourhoods, not distances. Titles show under the pointer."
    )
    return f'<p class="note">{note}</p><figure>{drawing}{legend}</figure>'


def losses(tree: Tree) -> str:
    """A curve for each rung that was tuned."""
    figures: list[str] = []
    for name in part(tree, "losses"):
        values = [number(value) for value in items(tree["losses"], name)]
        there = [value for value in values if value is not None]
        if not there:
            continue
        ends = f"From {there[0]:.3g} to {there[-1]:.3g} in {len(values):,} steps"
        gaps = f"; {len(values) - len(there):,} without a finite loss" if len(there) < len(values) else ""
        drawing = svg.curve(values, f"loss-{len(figures)}", f"Loss of {text(name, _TITLE)}", f"{ends}{gaps}.")
        figures.append(f'<figure><h3>{escape(name, _TITLE)}</h3><p class="note">{ends}{gaps}.</p>{drawing}</figure>')
    if not figures:
        return ""
    note = "Loss at each step; lower is better, and a line that has become level has learned what it can. "
    note += "Pale: single steps; bold: their running mean."
    return f'<p class="note">{note}</p><div class="curves">{"".join(figures)}</div>'


def stages(tree: Tree) -> str:
    """Time and memory of each stage, as a table with bars."""
    ran = [stage for stage in rows(tree, "stages") if number(stage.get("seconds")) is not None]
    if not ran:
        return ""
    times = [max(number(stage["seconds"]) or 0.0, 0.0) for stage in ran]
    cells = "".join(
        f'<tr><th scope="row">{escape(stage.get("name"), _TITLE)}</th>'
        f"<td>{svg.bar(time / (max(times) or 1), seconds(time))}</td>"
        f'<td class="num">{seconds(time)}</td><td class="num">{seconds(stage.get("cpu_s"))}</td>'
        f'<td class="num">{megabytes(stage.get("peak_mb"))}</td></tr>'
        for stage, time in zip(ran, times, strict=True)
    )
    peaks = [peak for stage in ran if (peak := number(stage.get("peak_mb"))) is not None]
    total = seconds(sum(times)) + " in all" + (f", {megabytes(max(peaks))} at the peak" if peaks else "")
    return f"""<p class="note">{total}. CPU time is above clock time where several cores worked.</p>
<div class="scroll"><table class="bars"><caption>Stages, in the order in which they ran</caption>
<thead><tr><th scope="col">Stage</th><th scope="col">Share of the longest</th><th scope="col" class="num">Time</th>
<th scope="col" class="num">CPU</th><th scope="col" class="num">Peak memory</th></tr></thead>
<tbody>{cells}</tbody></table></div>"""
