"""The report: one HTML file, complete in itself, that shows what was fitted, how well it searches, and why.

Nothing is loaded from outside and nothing runs. Whatever comes from the data is escaped, and what the tree lacks is
left out, section by section. The page is well-formed XML too, which is how the tests read it.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from inlay.evaluate import charts, rungs_table
from inlay.evaluate.shown import (
    MISSING,
    Tree,
    baseline,
    count,
    escape,
    items,
    mean,
    megabytes,
    number,
    part,
    rows,
    score,
    share,
    shipped,
    text,
)
from inlay.evaluate.style import STYLE

_TITLE, _SNIPPET, _LINE = 120, 240, 400
_MODES = {
    "hybrid": ("Hybrid", "words and vectors together"),
    "dense": ("Vectors", "alone, without BM25"),
    "lexical": ("BM25", "words alone, without vectors"),
}
_VECTORS = {
    "base": "vectors of the base encoder",
    "fitted": "vectors of a token table fitted to the base encoder",
    "encoder": "vectors of a Transformer that learned from it alone",
}


def html(tree: Tree) -> str:
    """The page for the tree of an `inlay.json`."""
    sections = [
        ("choice", "Choice", "What was chosen, and why", _choice(tree)),
        ("quality", "Quality", "How well each method searches", rungs_table.section(tree)),
        ("examples", "Examples", "Example queries", _examples(tree)),
        ("data", "Text", "The text", _data(tree)),
        ("lengths", "Lengths", "Length of the documents", charts.lengths(tree)),
        ("map", "Map", "Map of the documents", charts.documents(tree)),
        ("training", "Training", "Training", charts.losses(tree)),
        ("cost", "Cost", "Time and memory", charts.stages(tree)),
        ("config", "Configuration", "Configuration", _config(tree)),
    ]
    sections = [section for section in sections if section[-1]]
    links = "".join(f'<li><a href="#{name}">{short}</a></li>' for name, short, *_ in sections)
    body = "\n".join(
        f'<section id="{name}" aria-labelledby="{name}-h">\n<h2 id="{name}-h">{heading}</h2>\n{inner}\n</section>'
        for name, _, heading, inner in sections
    )
    name = escape(_name(tree), _TITLE)
    version = escape(tree.get("inlay"), 40)
    navigation = f'<nav aria-label="Sections"><ul>{links}</ul></nav>' if len(sections) > 1 else ""
    return f"""<!DOCTYPE html>
<html lang="en" xmlns="http://www.w3.org/1999/xhtml">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'" />
<title>{name} · inlay report</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<p>inlay report</p>
<h1><bdi>{name}</bdi></h1>
{navigation}
</header>
<main>
{body}
</main>
<footer>Made by inlay{" " + version if version else ""} from the numbers in <code>inlay.json</code>.</footer>
</body>
</html>
"""


def _name(tree: Tree) -> str:
    """The sources by the last part of their paths, two of them at most."""
    sources = [text(source) for source in items(part(tree, "data"), "sources")]
    names = [PurePath(source).name or source for source in sources if source]
    return ", ".join(names[:2]) + (" and others" if len(names) > 2 else "") or "Report"


def _choice(tree: Tree) -> str:
    data, choice, model, best, plain = (
        part(tree, "data"),
        part(tree, "choice"),
        part(tree, "model"),
        shipped(tree),
        baseline(tree),
    )
    mode = text(choice.get("mode"))
    label, meaning = _MODES.get(mode, (escape(mode, 20), ""))
    documents = data.get("kept") if number(data.get("kept")) is not None else data.get("documents")
    read, size = count(data.get("documents")), megabytes(_mega(data.get("bytes")))
    reached, before = mean(best), mean(plain)
    against = ""
    if before is not None and reached is not None:
        same = best.get("name") == plain.get("name")
        against = "BM25 itself" if same else f"BM25 {score(before)} ({_signed(reached - before)})"
    figures = [
        ("Documents", count(documents), f"distinct, of {read} read" if read != MISSING else ""),
        ("Words", count(data.get("words")), f"read, {size} of text" if size != MISSING else "read"),
        ("Search mode", label or MISSING, meaning),
        ("nDCG@10, held out", score(reached), against),
    ]
    shown = "".join(
        f'<div><dt>{name}</dt><dd class="big">{value}</dd><dd class="small">{below}</dd></div>'
        for name, value, below in figures
        if value != MISSING
    )
    why = "".join(f"<li>{escape(reason, _LINE)}</li>" for reason in items(choice, "why") if text(reason))
    facts = [
        ("Vectors from", escape(choice.get("dense"), _TITLE)),
        ("Weight of the vectors", _plain(choice.get("weight"), " beside BM25 at 1") if mode == "hybrid" else ""),
        ("Feedback", _feedback(choice.get("feedback")) if mode != "dense" else ""),
        ("Model", _model(model)),
    ]
    return "\n".join(
        piece
        for piece in (
            _lead(tree, mode, reached, before),
            f'<dl class="figures">{shown}</dl>' if shown else "",
            f'<ul class="why">{why}</ul>' if why else "",
            _facts(facts),
        )
        if piece
    )


def _lead(tree: Tree, mode: str, reached: float | None, before: float | None) -> str:
    vectors = _VECTORS.get(text(part(tree, "choice").get("dense")), "vectors learned from it")
    sentences = {
        "hybrid": f"Searches of this text rank by its words and by {vectors}, together.",
        "dense": f"Searches of this text rank by {vectors}.",
        "lexical": "Searches of this text rank by its words, with BM25; adding vectors did not better them.",
    }
    told = [sentences[mode]] if mode in sentences else []
    if reached is not None:
        beside = f"; BM25 alone reaches {score(before)}" if before is not None and mode != "lexical" else ""
        best = "where 1 is the right document always first"
        told.append(f"On queries held out of training, {best}, it reaches {score(reached)}{beside}.")
    return f'<p class="lead">{" ".join(told)}</p>' if told else ""


def _data(tree: Tree) -> str:
    data = part(tree, "data")
    scripts = [(name, number(of_all)) for name, of_all in part(data, "scripts").items()]
    facts = [
        ("Sources", "<br />".join(f"<bdi>{escape(source, _LINE)}</bdi>" for source in items(data, "sources"))),
        ("Documents", _counted(data, "documents", " read") + _counted(data, "kept", " distinct", before=", ")),
        ("Left out of training", ", ".join(_left_out(data))),
        ("Size", ", ".join(_sizes(data))),
        ("Language", escape(data.get("language") or tree.get("lang"), 20)),
        ("Scripts", ", ".join(f"{escape(name, 40)} {share(of_all)}" for name, of_all in scripts if of_all)),
        ("Fingerprint", f"<code>{escape(data.get('sha256'), 80)}</code>" if text(data.get("sha256")) else ""),
    ]
    parts = [_facts(facts)]
    for key, heading in (("problems", "What to mend"), ("faults", "Files that could not be read to the end")):
        listed = "".join(f"<li><bdi>{escape(line, _LINE)}</bdi></li>" for line in items(data, key))
        parts.append(f"<h3>{heading}</h3><ul>{listed}</ul>" if listed else "")
    if data.get("problems") == []:
        parts.append("<p>No problems were found.</p>")
    quotes = "".join(f"<li><bdi>{escape(line, _SNIPPET)}</bdi></li>" for line in items(data, "examples") if text(line))
    parts.append(
        f'<h3>How the first documents begin</h3><ul class="quotes"{_lang(tree)}>{quotes}</ul>' if quotes else ""
    )
    return "\n".join(piece for piece in parts if piece)


def _examples(tree: Tree) -> str:
    asked = []
    for example in rows(tree, "examples"):
        hits = "".join(_hit(hit) for hit in rows(example, "hits"))
        if text(example.get("query")) and hits:
            asked.append(
                f"<h3{_lang(tree)}><bdi>{escape(example['query'], _SNIPPET)}</bdi></h3>"
                f'<ol class="hits"{_lang(tree)}>{hits}</ol>'
            )
    if not asked:
        return ""
    note = "What a search finds first. Scores compare the hits of one query, not those of two."
    return f'<p class="note">{note}</p>{"".join(asked)}'


def _hit(hit: Tree) -> str:
    title, points = escape(hit.get("title"), _TITLE), number(hit.get("score"))
    body = hit.get("text")
    first, _, rest = body.partition("\n") if isinstance(body, str) else ("", "", "")
    # A title that is the first line of the text is not worth telling twice.
    snippet = escape(rest if rest and text(first) == text(hit.get("title")) else f"{first} {rest}", _SNIPPET)
    told = f'<p class="title"><bdi>{title}</bdi></p>' if title else ""
    told += f'<p class="snippet"><bdi>{snippet}</bdi></p>' if snippet else ""
    mark = "" if points is None else f'<span class="score" lang="en">{points:.2f}</span>'
    return f"<li><div>{told}</div>{mark}</li>" if told else ""


def _config(tree: Tree) -> str:
    cells = "".join(
        f'<tr><th scope="row"><code>{escape(key, _LINE)}</code></th><td><code>{escape(value, _LINE)}</code></td></tr>'
        for key, value in _flat(part(tree, "config"))
    )
    if not cells:
        return ""
    return f"""<p class="note">Every setting of this run; data, settings and seed together repeat it.</p>
<details><summary>Show the settings</summary>
<table><caption>Settings by their dotted names, as in a configuration file</caption>
<thead><tr><th scope="col">Setting</th><th scope="col">Value</th></tr></thead>
<tbody>{cells}</tbody></table></details>"""


def _flat(tree: Tree, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(dotted key, value as JSON) of every leaf; numbers that are not finite are shown as missing."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, float) and number(value) is None:
            yield f"{prefix}{key}", MISSING
        else:
            yield f"{prefix}{key}", value if isinstance(value, str) else json.dumps(_finite(value), ensure_ascii=False)


def _finite(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    if isinstance(value, Mapping):
        return {str(key): _finite(entry) for key, entry in value.items()}
    if value is None or isinstance(value, bool | str | int):
        return value
    return number(value) if isinstance(value, float) else str(value)


def _facts(facts: list[tuple[str, str]]) -> str:
    listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts if value)
    return f'<dl class="facts">{listed}</dl>' if listed else ""


def _counted(tree: Tree, key: str, after: str, before: str = "") -> str:
    return f"{before}{count(tree[key])}{after}" if number(tree.get(key)) is not None else ""


def _left_out(data: Tree) -> list[str]:
    named = [("empty", "empty"), ("duplicates", "duplicate"), ("near_duplicates", "near duplicate")]
    found = [(number(data.get(key)), name) for key, name in named]
    return [f"{count(many)} {name}{'s' * (many != 1 and name != 'empty')}" for many, name in found if many]


def _sizes(data: Tree) -> list[str]:
    size = _mega(data.get("bytes"))
    told = [_counted(data, "words", " words"), _counted(data, "characters", " characters")]
    return [entry for entry in (*told, "" if size is None else megabytes(size)) if entry]


def _mega(size: Any) -> float | None:
    found = number(size)
    return None if found is None else found / 1e6


def _model(model: Tree) -> str:
    told = [_counted(model, "dim", " dimensions"), _counted(model, "tokens", " tokens")]
    size = megabytes(model.get("megabytes"))
    return ", ".join(entry for entry in (*told, "" if size == MISSING else size) if entry)


def _plain(value: Any, after: str) -> str:
    found = number(value)
    return "" if found is None else f"{found:g}{after}"


def _feedback(value: Any) -> str:
    found = number(value)
    if found is None:
        return ""
    return f"on, strength {found:g}: the first hits widen the query, and the search runs again" if found else "off"


def _signed(difference: float) -> str:
    return f"{difference:+.3f}".replace("-", "−")


def _lang(tree: Tree) -> str:
    """The language of the data, so that a browser takes its fonts; the page around it is English."""
    code = text(tree.get("lang"))
    return f' lang="{code}"' if code.isascii() and code.isalpha() and len(code) < 9 else ""
