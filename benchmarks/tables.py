"""The tables of the README and the handbook, written from benchmarks/results: documents quote nothing else.

    python benchmarks/tables.py         rewrite what stands between `<!-- table: NAME -->` and `<!-- end -->`

The tests check that the documents are what this writes.
"""

import json
import re
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*ROOT.glob("README*.md"), *(ROOT / "docs").glob("*.md")]
_PLACE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.S)

_METHODS = {
    "bm25": "BM25",
    "bm25 over words alone": "BM25, words alone",
    "vectors-sif": "vectors-sif",
    "lsa": "lsa",
    "lsa-grams": "lsa-grams",
    "tuned-random": "tuned-random",
    "tuned-vectors": "tuned-vectors",
    "tuned-lsa": "tuned-lsa",
    "all-MiniLM-L6-v2": "all-MiniLM-L6-v2",
    "shipped dense alone": "**shipped, dense alone**",
    "shipped": "**shipped**",
}


def retrieval() -> str:
    """nDCG@10 on true judgements: a row a method, a column a set."""
    found = _read("fit_retrieval")
    sets = found["sets"]
    short = {name: "drcd (zh)" if name.startswith("zh") else name for name in sets}
    lines = ["| nDCG@10 | " + " | ".join(short.values()) + " |", "| --- |" + " ---: |" * len(sets)]
    for method, label in _METHODS.items():
        cells = [sets[name]["methods"].get(method, {}).get("ndcg@10") for name in sets]
        if any(cell is not None for cell in cells):
            lines.append(f"| {label} | " + " | ".join("–" if cell is None else f"{cell:.3f}" for cell in cells) + " |")
    rows: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
        ("documents", lambda s: f"{s['documents']:,}"),
        ("judged queries", lambda s: f"{s['queries']:,}"),
        ("Spearman, held-out against true", lambda s: f"{_mean(s['spearman of mined and true over methods']):.2f}"),
        ("fit, s (CPU s)", lambda s: f"{_mean(s['fit wall s']):.0f} ({_mean(s['fit cpu s']):.0f})"),
        ("ms a query", lambda s: f"{_mean(s['ms a query']):.1f}"),
    ]
    for label, cell in rows:
        lines.append(f"| {label} | " + " | ".join(cell(sets[name]) for name in sets) + " |")
    return "\n".join(lines)


def summary() -> str:
    """The means over the English sets."""
    means = _read("fit_retrieval")["summary"]["mean of the English sets"]
    names = {
        "bm25": "BM25",
        "all-MiniLM-L6-v2": "all-MiniLM-L6-v2",
        "shipped dense alone": "inlay, dense alone",
        "shipped": "**inlay**",
    }
    known = [name for name in names if name in means]
    head = "| | " + " | ".join(names[name] for name in known) + " |\n| --- |" + " ---: |" * len(known)
    return head + "\n| nDCG@10 | " + " | ".join(f"{means[name]:.3f}" for name in known) + " |"


def word2vec() -> str:
    """Speed as a ratio, quality beside it."""
    found = _read("word2vec_vs_gensim")["summary"]
    lines = ["| | inlay | gensim | |", "| --- | ---: | ---: | ---: |"]
    costs = {
        "D=100, CPU s": "3 epochs, D=100, one thread, CPU s",
        "D=300 on a part, CPU s": "1 epoch of a part, D=300, one thread, CPU s",
        "count and encode, CPU s": "count and encode the text, CPU s",
        "load text vectors, CPU s": "load 100,000 × 300 from text, CPU s",
        "peak memory, MB": "peak memory, MB",
    }
    for key, label in costs.items():
        row = found[key]
        lines.append(f"| {label} | {row['median_inlay']:,.1f} | {row['median_gensim']:,.1f} | {row['ratio']:.1f}× |")
    quality = {"analogies": "analogies, %", "ws353": "WS-353, Spearman × 100", "simlex": "SimLex-999, Spearman × 100"}
    for key, label in quality.items():
        row = found[f"{key}, 1 thread, %"]
        cells = (f"{min(row[tool]):.1f} – {max(row[tool]):.1f}" for tool in ("inlay", "gensim"))
        lines.append(f"| {label}, three seeds | " + " | ".join(cells) + " | |")
    return "\n".join(lines)


TABLES: dict[str, Callable[[], str]] = {"retrieval": retrieval, "summary": summary, "word2vec": word2vec}


def written(text: str) -> str:
    """The document with its tables made anew."""
    return _PLACE.sub(lambda place: f"{place[1]}{TABLES[place[2]]()}\n{place[3]}", text)


def _read(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))


def _mean(values: list[float]) -> float:
    return statistics.mean(values)


if __name__ == "__main__":
    for document in DOCUMENTS:
        document.write_text(written(document.read_text(encoding="utf-8")), encoding="utf-8")
