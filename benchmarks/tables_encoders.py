"""The tables of encoders: how fast they are, what they bring to search, what making them smaller costs."""

import statistics
from collections.abc import Callable
from typing import Any

from figures import beside, mean, number, read

_SHORT = {"zh-retrieval-derived-drcd-test": "drcd (zh)"}
_METHODS = {
    "bm25": "BM25",
    "base": "all-MiniLM-L6-v2",
    "bm25 + base": "BM25 + 2 × all-MiniLM-L6-v2 (zh: ¼ ×)",
    "bm25 + base + feedback": "**with feedback: `fit --base`**",
    "fitted": "table fitted to it",
    "bm25 + fitted": "BM25 + 2 × fitted table (zh: ¼ ×)",
    "bm25 + fitted + feedback": "with feedback",
    "distilled": "distilled table",
    "bm25 + distilled": "BM25 + distilled table",
    "scratch: encoder": "encoder from scratch",
    "bm25 + scratch: encoder": "BM25 + encoder from scratch",
    "scratch: shipped": "`fit` without a base",
}


def adaptation() -> str:
    """nDCG@10 of what an encoder brings to search: a row a method, a column a set."""
    sets = read("adapt")["sets"]
    lines = _head("nDCG@10", sets)
    for method, label in _METHODS.items():
        cells = [_score(found["methods"].get(method)) for found in sets.values()]
        if any(cell != "–" for cell in cells):
            lines.append(_line(label, cells))
    return "\n".join(lines)


def fitted_tables() -> str:
    """The token table fitted to an encoder beside that encoder, as far as both are measured."""
    sets = read("adapt")["sets"]
    lines = _head("nDCG@10", sets)
    for method in ("bm25", "base", "fitted", "bm25 + fitted", "bm25 + fitted + feedback"):
        lines.append(_line(_METHODS[method], [_score(found["methods"].get(method)) for found in sets.values()]))
    return "\n".join(lines)


def tuning_recipes() -> str:
    """Of each recipe of tuning: on how many sets and seeds it gained or lost, and what the gate let pass."""
    lines = ["| tuned | gained | lost | kept and gained | kept and lost | change, mean | worst | STS-B |"]
    lines.append("| --- |" + " ---: |" * 7)
    rows = read("adapt", "summary")["recipes"]
    if not rows:
        raise FileNotFoundError("no recipe has been measured yet")
    for recipe, row in rows.items():
        changes = row["changes"]
        sts = [one["whole"] - one["base"] for one in row["sts"] if one["base"] is not None]
        cells = [str(row[key]) for key in ("gained", "lost", "kept and gained", "kept and lost")]
        cells += [f"{mean(changes):+.3f}", f"{min(changes):+.3f}", f"{mean(sts):+.3f}" if sts else "–"]
        lines.append(_line(recipe, cells))
    return "\n".join(lines)


def reranking() -> str:
    """Search before and after a reranker, on the queries that it was asked."""
    sets = {name: found for name, found in read("adapt")["sets"].items() if "reranked" in found["told"]}
    if not sets:
        raise FileNotFoundError("no reranker has been measured yet")
    lines = _head("nDCG@10", sets)
    for method, label in (("bm25", "BM25"), ("bm25 + base + feedback", "`fit --base`")):
        for key, said in ((f"reranked: {method}, before", label), (f"reranked: {method}", f"{label}, reranked")):
            lines.append(_line(said, [_score(found["methods"].get(key)) for found in sets.values()]))
    told = [list(found["told"]["reranked"].values()) for found in sets.values()]
    lines.append(_line("kept by its own bar", [f"{sum(one['kept'] for one in row)} of {len(row)}" for row in told]))
    costs = [statistics.median([one["ms a query"] for one in row if "ms a query" in one] or [0]) for row in told]
    lines.append(_line("ms a query", [number(cost) for cost in costs]))
    return "\n".join(lines)


_TOOLS = {"inlay": "inlay", "sentence-transformers": "sentence-transformers", "onnxruntime": "onnxruntime"}


def encoding() -> str:
    """An encoder beside its peers: speed, padding, share of the machine's rate, difference, start."""
    found = read("embed_speed", "summary")
    tools = [*_TOOLS, "model2vec"]
    lines = ["| | " + " | ".join([*_TOOLS.values(), "model2vec (static)"]) + " |", "| --- |" + " ---: |" * len(tools)]
    parts = {"sorted": "4,000 sentences", "mixed": "200 texts of mixed lengths"}
    figures: dict[str, tuple[str, Callable[[float], str]]] = {
        "texts_per_s": ("texts a CPU second", number),
        "tokens_per_s": ("tokens a CPU second", number),
        "padding": ("padding", _percent),
        "share": ("of the rate of a matrix product", _percent),
        "difference": ("largest difference", lambda value: f"{value:.0e}"),
        "peak_mb": ("MB at most", number),
    }
    for part, label in parts.items():
        for key, (said, show) in figures.items():
            lines.append(_line(f"{label}: {said}", _medians(found, f"{part}: {key}", tools, show)))
    lines.append(_line("two threads, 4,000 sentences: texts a second", _medians(
        found, "threads: texts_per_wall_s", tools, number)))  # fmt: skip
    speedups = found.get("two threads against one", {})
    cells = [f"{speedups[tool]:.2f}×" if tool in speedups else "–" for tool in tools]
    lines.append(_line("two threads against one", cells))
    lines.append(_line("import, load, first vector: CPU s", _medians(found, "cold: CPU s", tools, _two)))
    lines.append(_line("– MB", _medians(found, "cold: MB", tools, number)))
    lines.append(_line("MB more after a million short texts", _medians(
        found, "memory: MB more at the end", tools, number)))  # fmt: skip
    return "\n".join(lines)


def static_encoding() -> str:
    """A static model beside model2vec: the first time that texts are seen, and the second."""
    rows = {}
    for part, label in (("english", "English"), ("chinese", "Chinese")):
        rows[f"{part}, first time, CPU ms"] = f"{label}, texts seen for the first time: CPU ms"
        rows[f"{part}, second time, CPU ms"] = "– the same once more"
        rows[f"{part}, peak MB"] = "– MB at most"
    return beside("static_speed", {"inlay": "inlay", "model2vec": "model2vec"}, rows)


def smaller_models() -> str:
    """What `inlay compress --report` says: a row a variant, the sets side by side."""
    found, sets = read("compression", "summary"), ("cranfield", "medline")
    variants = dict.fromkeys(
        key.removeprefix("cranfield, ").removesuffix(" model_mb")
        for key in found
        if key.startswith("cranfield, ")
        and key.endswith(" model_mb")
        and f"medline{key.removeprefix('cranfield')}" in found
    )
    if not variants:
        raise FileNotFoundError("no smaller model has been measured on both sets yet")
    lines = ["| all-MiniLM-L6-v2 | model MB | texts a second | queries a second | nDCG@10 cranfield | medline |"]
    lines.append("| --- |" + " ---: |" * 5)
    for variant in variants:
        figures = {
            key: [statistics.median(found[f"{name}, {variant} {key}"]["inlay"]) for name in sets]
            for key in ("model_mb", "texts_per_second", "queries_per_second", "ndcg_100")
        }
        cells = [number(figures[key][0]) for key in ("model_mb", "texts_per_second", "queries_per_second")]
        lines.append(_line(variant, [*cells, *(f"{value / 100:.3f}" for value in figures["ndcg_100"])]))
    return "\n".join(lines)


def smaller_vectors() -> str:
    """Vectors as codes: recall against exact search, time and size."""
    found = read("compression", "summary")
    storages = [key.removesuffix(", recall_100") for key in found if key.endswith(", recall_100")]
    if not storages:
        raise FileNotFoundError("no smaller vectors have been measured yet")
    lines = ["| 100,000 vectors of 384 | MB | recall@10 | ms a query, in a batch | one by one |"]
    lines.append("| --- |" + " ---: |" * 4)
    for storage in storages:
        value = {key: statistics.median(found[f"{storage}, {key}"]["inlay"]) for key in (
            "mb", "recall_100", "batch_ms", "single_ms")}  # fmt: skip
        cells = [
            number(value["mb"]),
            f"{value['recall_100'] / 100:.3f}",
            _two(value["batch_ms"]),
            _two(value["single_ms"]),
        ]
        lines.append(_line(storage, cells))
    return "\n".join(lines)


ENCODERS: dict[str, Callable[[], str]] = {
    table.__name__: table
    for table in (
        adaptation, fitted_tables, tuning_recipes, reranking, encoding, static_encoding, smaller_models,
        smaller_vectors,
    )
}  # fmt: skip


def _head(said: str, sets: dict[str, Any]) -> list[str]:
    return [_line(said, [_SHORT.get(name, name) for name in sets]), "| --- |" + " ---: |" * len(sets)]


def _line(label: str, cells: list[str]) -> str:
    return f"| {label} | " + " | ".join(cells) + " |"


def _score(seeds: dict[str, float] | None) -> str:
    return "–" if not seeds else f"{mean(list(seeds.values())):.3f}"


def _medians(found: dict[str, Any], row: str, tools: list[str], show: Callable[[float], str]) -> list[str]:
    line = found.get(row, {})
    return [show(statistics.median(line[tool])) if tool in line else "–" for tool in tools]


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def _two(value: float) -> str:
    return f"{value:.2f}"
