"""Finding by vectors alone: rankings of a whole corpus, and of the few candidates that a query comes with."""

# Q queries, N documents, D dimensions

import numpy as np
from numpy.typing import NDArray

from inlay.embed.embedder import Embedder
from inlay.evaluate.beir import Beir
from inlay.evaluate.encoding import Encoder, zero_note
from inlay.evaluate.judged import Candidates
from inlay.evaluate.measured import Figure, Measured
from inlay.evaluate.retrieval import Scores, measure

_DEPTH = 100


def dense_retrieval(embedder: Embedder | Encoder, test: Beir, *, seed: int = 0) -> Measured:
    """nDCG@10, MRR@10 and recall of the ranking by cosine over the test's whole corpus; nothing is fused with it.

    A query with the vector zero finds nothing.
    """
    encoder = Encoder.of(embedder)
    documents = encoder.units([document.full for document in test.corpus], "document")
    queries = encoder.units(list(test.queries.values()), "query")
    notes = [*test.notes, *zero_note(queries, "as queries they find nothing")]
    ids = [document.id for document in test.corpus]
    run = {}
    for name, query in zip(test.queries, queries, strict=True):
        run[name] = [ids[at] for at in _best(documents @ query, _DEPTH)] if query.any() else []
    scores = measure(run, test.qrels)
    facts = {"documents": len(ids)}
    names = ("ndcg@10", "mrr@10", "recall@10", "recall@100")
    return Measured(
        kind="retrieval",
        n=len(queries),
        unit="queries",
        figures=_figures(scores, names, seed),
        facts=facts,
        notes=notes,
    )


def reranking(embedder: Embedder | Encoder, data: Candidates, *, seed: int = 0) -> Measured:
    """MAP and MRR@10 of each query's candidates ranked by cosine; equal cosines are ordered by chance (`seed`)."""
    encoder = Encoder.of(embedder)
    every = list(dict.fromkeys(text for texts in data.texts for text in texts))
    row = {text: at for at, text in enumerate(every)}
    documents, queries = encoder.units(every, "document"), encoder.units(list(data.queries), "query")
    rng = np.random.default_rng(seed)
    run: dict[str, list[str]] = {}
    qrels: dict[str, dict[str, int]] = {}
    for at, (query, texts, relevant) in enumerate(zip(queries, data.texts, data.relevant, strict=True)):
        shuffled = rng.permutation(len(texts))
        cosine = documents[[row[texts[place]] for place in shuffled]] @ query
        run[str(at)] = [str(place) for place in shuffled[np.argsort(-cosine, kind="stable")]]
        qrels[str(at)] = {str(place): int(right) for place, right in enumerate(relevant)}
    figures = _figures(measure(run, qrels), ("map", "mrr@10"), seed)
    sizes = [len(texts) for texts in data.texts]
    notes = zero_note(queries, "their candidates are in an order of chance")
    facts = {"candidates": float(np.mean(sizes))}
    return Measured(kind="rerank", n=len(queries), unit="queries", figures=figures, facts=facts, notes=notes)


def _figures(scores: Scores, names: tuple[str, ...], seed: int) -> dict[str, Figure]:
    figures = {}
    for name in names:
        low, high = scores.interval(name, seed=seed)
        figures[name] = Figure(value=scores[name], low=low, high=high)
    return figures


def _best(scores: NDArray[np.float32], k: int) -> NDArray[np.intp]:
    """The k highest, best first; of equal ones the first comes first."""
    return np.argsort(-scores, kind="stable")[:k]
