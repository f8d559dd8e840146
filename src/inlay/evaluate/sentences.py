"""What an embedder is worth on texts that people judged: one function for every kind of task."""

import time
from dataclasses import replace

from inlay.embed.embedder import Embedder
from inlay.evaluate.beir import Beir
from inlay.evaluate.clustering import clusters
from inlay.evaluate.encoding import Encoder
from inlay.evaluate.finding import dense_retrieval, reranking
from inlay.evaluate.judged import Candidates, Halves, JudgedPairs, Labelled, ScoredPairs
from inlay.evaluate.measured import Measured
from inlay.evaluate.probe import probe
from inlay.evaluate.similarity import pair_classification, sts

Judged = ScoredPairs | JudgedPairs | Labelled | Halves | Candidates | Beir

KINDS = ("sts", "pairs", "clusters", "probe", "rerank")
"""The kinds of task that a file of the user's own can hold."""


def evaluate(embedder: Embedder | Encoder, data: Judged, *, on: str = "", lang: str = "", seed: int = 0) -> Measured:
    """The figures of the embedder on judged texts, by the task that their type is for, with 95 % intervals.

    ScoredPairs: correlation with the scores; JudgedPairs: average precision; Labelled: V-measure of k-means; Halves: a
    linear probe; Candidates: reranking; Beir: retrieval by vectors alone. Pass an `Encoder` to encode texts that
    several tasks share only once. A note says how many tokens were dropped from texts that the model cannot hold.
    """
    started, encoder = time.perf_counter(), Encoder.of(embedder)
    tokens, dropped = encoder.tokens, encoder.dropped
    match data:
        case ScoredPairs():
            found = sts(encoder, data, seed=seed)
        case JudgedPairs():
            found = pair_classification(encoder, data, seed=seed)
        case Labelled():
            found = clusters(encoder, data, seed=seed)
        case Halves():
            found = probe(encoder, data, seed=seed)
        case Candidates():
            found = reranking(encoder, data, seed=seed)
        case Beir():
            found = dense_retrieval(encoder, data, seed=seed)
    notes = list(found.notes)
    if encoder.dropped > dropped:
        lost, all_of_them = encoder.dropped - dropped, encoder.tokens - tokens + encoder.dropped - dropped
        notes.append(f"{lost:,} of {all_of_them:,} tokens were dropped: texts longer than the model takes")
    return replace(found, on=on, lang=lang, notes=notes, seconds=time.perf_counter() - started)


def texts_of(data: Judged) -> int:
    """How many texts a task encodes, at most: some stand there twice."""
    match data:
        case ScoredPairs():
            return 2 * len(data.first)
        case JudgedPairs():
            return 2 * len(data.first) + (texts_of(data.dev) if data.dev else 0)
        case Labelled():
            return len(data.texts)
        case Halves():
            return len(data.train.texts) + len(data.test.texts)
        case Candidates():
            return len(data.queries) + len({text for texts in data.texts for text in texts})
        case Beir():
            return len(data.queries) + len(data.corpus)
