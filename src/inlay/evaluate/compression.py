"""What each way of making a model or its vectors smaller costs: size, speed and nDCG@10, before and after."""

# Q queries, N documents, D dimensions

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inlay.embed.compress import Depth, Half, Heads, Int8Weights, Magnitude, Vocabulary, Way, compress
from inlay.embed.embedder import Embedder, load
from inlay.embed.folder import read_folder
from inlay.errors import InputError
from inlay.evaluate.beir import Beir
from inlay.evaluate.heldout import hold_out
from inlay.evaluate.retrieval import Scores, measure, paired
from inlay.search.codes import Binary, Int8, Product, Storage
from inlay.search.index import Index
from inlay.search.quantised import QuantisedIndex
from inlay.text.document import Document

METRIC = "ndcg@10"
_RUNS, _SECONDS = 3, 1.0
_BATCH = 1024
Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Questions:
    """Texts to search, and queries whose answers among them are known."""

    name: str
    texts: tuple[str, ...]
    """(N,) what is searched; ids are the places."""
    queries: tuple[str, ...]
    qrels: Mapping[str, Mapping[str, int]]
    """The place of a query -> the place of a text, or an id that is no text's -> grade."""

    @classmethod
    def mined(
        cls, documents: Sequence[Document], *, seed: int = 0, most: int = 300, searched: int = 2000
    ) -> "Questions":
        """Of unlabelled text: titles ask for bodies, left-out sentences for their documents."""
        held = hold_out(documents, seed=seed, most=most, searched=searched)
        asked = [
            (query, at)
            for kind in held.queries
            for query, at in zip(held.queries[kind], held.answers[kind], strict=True)
        ]
        if not asked:
            raise InputError(
                f"{len(documents)} documents ask no question: they have no titles and fewer than three sentences each; "
                "give a folder with judged queries"
            )
        qrels = {str(number): {str(at): 1} for number, (_, at) in enumerate(asked)}
        return cls(name="mined", texts=held.texts, queries=tuple(query for query, _ in asked), qrels=qrels)

    @classmethod
    def judged(cls, test: Beir, name: str) -> "Questions":
        """Of a test with judgements."""
        place = {document.id: str(at) for at, document in enumerate(test.corpus)}
        grades = [
            {place.get(id, f"missing {id}"): grade for id, grade in test.qrels[query].items()} for query in test.queries
        ]
        return cls(
            name=name,
            texts=tuple(document.full for document in test.corpus),
            queries=tuple(test.queries.values()),
            qrels={str(number): one for number, one in enumerate(grades)},
        )


@dataclass(frozen=True, kw_only=True)
class Row:
    """One variant, measured."""

    name: str
    what: str
    """What was done, in words."""
    model_mb: float
    """Weights and tokenizer on disk."""
    vectors_mb: float
    """What the index holds of the documents searched."""
    texts_per_second: float
    queries_per_second: float
    """Of search alone, once the queries are vectors."""
    ndcg: float
    change: float
    """nDCG@10 less that of the model as it is."""
    low: float
    high: float
    """The 95 % interval of the change, over the queries."""

    def tree(self) -> dict[str, Any]:
        """A plain tree for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A variant that this model cannot have, and why."""

    name: str
    why: str


def report(
    folder: str | Path, questions: Questions, ways: Mapping[str, Sequence[Way]] | None = None
) -> Iterator[Row | Skipped]:
    """The model as it is, its ways to be smaller (by default all that are built in), then its vectors in fewer bytes.

    The vocabulary is trimmed to the texts searched, not to the queries. Raises InputError for what is no model folder.
    """
    with tempfile.TemporaryDirectory(prefix="inlay-compress-") as place:
        base = Path(place) / "base"
        compress(folder, base, [])
        before, queries, documents, scores = _measured(base, questions)
        yield before
        for name, way in (usual(folder) if ways is None else ways).items():
            out = Path(place) / "smaller"
            try:
                compress(folder, out, way, texts=questions.texts, force=True)
            except InputError as error:
                yield Skipped(name=name, why=str(error))
                continue
            yield _measured(out, questions, name, _words(way), scores)[0]
    yield from _vectors(before, documents, queries, questions, scores)


def usual(folder: str | Path) -> dict[str, tuple[Way, ...]]:
    """The ways that are tried by themselves, by name."""
    found: dict[str, tuple[Way, ...]] = {
        "float16": (Half(),),
        "int8": (Int8Weights(),),
        "vocabulary": (Vocabulary(),),
        "vocabulary + int8": (Vocabulary(), Int8Weights()),
        "weights - 30 %": (Magnitude(share=0.3),),
    }
    if (parts := read_folder(folder)).kind == "static":
        return found
    from inlay.convert.convert import read_config

    config = read_config(parts.inner)
    stack = config.encoder or config.decoder
    assert stack is not None
    half = max(1, stack.n_layers // 2)
    return found | {"heads - 25 %": (Heads(share=0.25),), f"{half} of {stack.n_layers} layers": (Depth(layers=half),)}


def _measured(
    folder: Path, questions: Questions, name: str = "as it is", what: str = "float32", before: Scores | None = None
) -> tuple[Row, Array, Array, Scores]:
    """A model measured: its row, the vectors of queries (Q, D) and documents (N, D), and the scores."""
    embedder = load(folder)
    embedder.encode(questions.texts[:8], prompt="document")  # what is made once is not counted
    start = time.perf_counter()
    documents = _encoded(embedder, questions.texts, "document")
    seconds = time.perf_counter() - start
    queries = _encoded(embedder, questions.queries, "query")
    index = _floats(documents)
    scores = _scores(index.search, queries, questions)
    row = _row(
        name,
        what,
        scores,
        before or scores,
        model_mb=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6,
        vectors_mb=documents.nbytes / 1e6,
        texts_per_second=len(questions.texts) / seconds,
        queries_per_second=_speed(index.search, queries),
    )
    return row, queries, documents, scores


def _vectors(
    before: Row, documents: Array, queries: Array, questions: Questions, scores: Scores
) -> Iterator[Row | Skipped]:
    """The same vectors in fewer bytes: dimensions cut off, codes, and both."""
    dim = documents.shape[1]
    part = min(4, dim)
    codes: dict[str, tuple[str, int, Storage | None]] = {
        f"vectors {dim // 2}": ("the first half of the dimensions", dim // 2, None),
        f"vectors {dim // 4}": ("the first quarter of the dimensions", dim // 4, None),
        "vectors int8": ("a byte for each number", dim, Int8()),
        "vectors binary": ("signs, the best 10 times as many scored again by int8", dim, Binary()),
        "vectors binary only": ("signs, scored again by the query's numbers", dim, Binary(rescore=None)),
        "vectors product": ("a byte for 4 numbers, the best again by int8", dim, Product(part=part, rescore=Int8())),
        "vectors product only": ("a byte for 4 numbers", dim, Product(part=part)),
        f"vectors {dim // 2} int8": ("both", dim // 2, Int8()),
    }
    for name, (what, width, storage) in codes.items():
        if not width:
            continue
        index: Index | QuantisedIndex = _floats(documents[:, :width])
        size = 4 * documents.shape[0] * width
        if storage is not None:
            assert isinstance(index, Index)
            index = QuantisedIndex.of(index, storage)
            size = index.nbytes
        found = _scores(index.search, queries[:, :width], questions)
        yield _row(
            name,
            what,
            found,
            scores,
            model_mb=before.model_mb,
            vectors_mb=size / 1e6,
            texts_per_second=before.texts_per_second,
            queries_per_second=_speed(index.search, queries[:, :width]),
        )


Search = Callable[[Array, int], tuple[list[list[str]], Array]]


def _row(name: str, what: str, scores: Scores, before: Scores, **sizes: float) -> Row:
    change = paired(scores, before, METRIC)
    told = {"ndcg": scores[METRIC], "change": change.mean, "low": change.low, "high": change.high}
    return Row(name=name, what=what, **told, **sizes)


def _floats(vectors: Array) -> Index:
    index = Index(vectors.shape[1], approximate_above=len(vectors))
    index.add([str(at) for at in range(len(vectors))], vectors)
    return index


def _encoded(embedder: Embedder, texts: Sequence[str], role: str) -> Array:
    blocks = [
        embedder.encode(texts[at : at + _BATCH], prompt=role, batch_size=_BATCH) for at in range(0, len(texts), _BATCH)
    ]
    return np.concatenate(blocks)


def _scores(search: Search, queries: Array, questions: Questions) -> Scores:
    ids, _ = search(queries, 100)
    return measure({str(number): found for number, found in enumerate(ids)}, questions.qrels)


def _speed(search: Search, queries: Array) -> float:
    """Queries a second, the best of a few runs."""
    best, began = np.inf, time.perf_counter()
    for _ in range(_RUNS):
        start = time.perf_counter()
        search(queries, 10)
        best = min(best, time.perf_counter() - start)
        if time.perf_counter() - began > _SECONDS:
            break
    return len(queries) / best


def _words(ways: Sequence[Way]) -> str:
    return ", then ".join(_WORDS[type(way).__name__] for way in ways)


_WORDS = {
    "Half": "weights of 16 bits",
    "Int8Weights": "weights of 8 bits, read by inlay alone",
    "Vocabulary": "tokens of these texts only",
    "Magnitude": "the smallest weights put to 0",
    "Heads": "attention heads cut out",
    "Depth": "layers left out",
    "Dimensions": "dimensions cut off",
}
