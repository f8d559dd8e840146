"""A tree as `inlay.json` holds it, full in every part, and ways to take it apart."""

from typing import Any


def scores(value: float) -> dict[str, float]:
    return {"ndcg@10": value, "low": value - 0.03, "high": value + 0.03, "mrr@10": value - 0.02, "recall@10": 0.9}


def fitted() -> dict[str, Any]:
    """A new tree as `inlay.json` holds it, full in every part."""
    methods = [("bm25", "lexical", 0.668, 0.702), ("lsa", "dense", 0.571, 0.633), ("both", "hybrid", 0.721, 0.737)]
    ladder = [
        {
            "name": name,
            "kind": kind,
            "what": f"what {name} is",
            "scores": {"title": scores(title), "sentence": scores(sentence)},
            "mean": (title + sentence) / 2,
            "seconds": 1.5,
            "shipped": name == "both",
        }
        for name, kind, title, sentence in methods
    ]
    bins = [(0, 0, 3), (1, 1, 12), (2, 3, 400), (4, 7, 685)]
    hits = [
        {"title": "json.dumps", "text": "json.dumps\nSerialize obj to a str.", "score": 4.8},
        {"title": "", "text": "No title at all.", "score": 1.25},
    ]
    return {
        "inlay": "0.1.0",
        "lang": "en",
        "config": {"seed": 0, "vectors": {"dim": 100, "sample": 0.001}, "tune": {"dims": [64, 128], "lr": None}},
        "data": {
            "sources": ["python-docs", "notes/*.md"],
            "documents": 1100,
            "words": 61234,
            "characters": 421055,
            "bytes": 431322,
            "language": "en",
            "scripts": {"Latin": 0.991, "Han": 0.009},
            "empty": 3,
            "duplicates": 80,
            "near_duplicates": 17,
            "lengths": {"min": 0, "median": 41.0, "mean": 53.9, "p95": 241.0, "max": 612, "bins": bins},
            "examples": ["Return True if all are true.", "長江是中國最長的河流。"],
            "faults": ["notes/b.md line 3: not UTF-8"],
            "problems": ["1 file could not be read to the end; see the faults"],
            "kept": 1000,
            "sha256": "9f2b7c31e0d44a4a",
        },
        "held_out": {"documents": 100, "index": 1000, "queries": {"title": 90, "sentence": 95}},
        "ladder": ladder,
        "choice": {"dense": "lsa", "mode": "hybrid", "weight": 0.75, "feedback": 1.0, "why": ["both is the best."]},
        "losses": {"tuned-lsa": [4 / (1 + step) + 1 for step in range(120)], "tuned-vectors": [3.0, 2.0]},
        "stages": [
            {"name": "check", "seconds": 4.2, "cpu_s": 4.1, "peak_mb": 310.0},
            {"name": "tune", "seconds": 81.7, "cpu_s": 160.2, "peak_mb": 1910.0},
        ],
        "map": {
            "x": [0.0, 1.0, 2.0],
            "y": [1.0, 0.0, 2.0],
            "titles": ["json.dumps", "os.walk", "長江"],
            "groups": ["json", "os", "zh"],
        },
        "examples": [{"query": "write a dict as text", "hits": hits}],
        "model": {"dim": 256, "tokens": 31204, "megabytes": 31.9},
    }


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The keys and positions that lead to every part of a tree; of a long list, to the first three."""
    keys = list(tree) if isinstance(tree, dict) else range(len(tree))[:3] if isinstance(tree, list) else ()
    return [deeper for key in keys for deeper in ((*path, key), *places(tree[key], (*path, key)))]


def changed(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """The full tree with another value at the path; `...` removes what is there."""
    tree = fitted()
    at: Any = tree
    for key in path[:-1]:
        at = at[key]
    if value is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return tree
