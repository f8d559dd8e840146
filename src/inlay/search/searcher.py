"""Searcher: a folder of documents that answers questions; embedder, both indexes, texts and how they are fused."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from inlay.config import from_tree, to_tree
from inlay.embed.embedder import Embedder, load
from inlay.errors import InputError, did_you_mean
from inlay.files import CHECKSUMS, atomic_path, read_json, sha256, verify_checksums, write_json
from inlay.live import Live
from inlay.search.hybrid import MODES, Fusion, Mode, Ranker, top
from inlay.search.index import Index
from inlay.search.lexical import Lexical
from inlay.search.quantised import open_index
from inlay.text.document import Document

if TYPE_CHECKING:
    from inlay.embed.reranker import Reranker

CANDIDATES = 50
"""Documents that a reranker reads of a ranking, unless it is told otherwise."""
_FOLDER = "search"
_SETTINGS, _DOCUMENTS = "search.json", "documents.jsonl"
_BLOCK = 256
"""Queries at a time at most."""
_EMBEDDED = 512
"""Documents embedded at a time: an encoder takes some seconds for them, and then the live line moves."""
_EXACT = 200_000
"""Documents up to which dense search is exact: a product with so many vectors is quicker than building a graph."""
_SCORES = 1 << 23
"""Scores at a time: 32 MB, of which a fused ranking holds several."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """A document that was found; `score` compares the hits of one query only."""

    id: str
    score: float
    title: str
    text: str
    reranked: float | None = None
    """What a reranker says of query and document, where one was asked: then it is what the hits are ordered by."""


class Hits(list[Hit]):
    """The hits of a query, best first: a list that a notebook shows as a table."""

    def _repr_html_(self) -> str:
        from inlay.embed.notebook import rows, shorten

        again = any(hit.reranked is not None for hit in self)
        head = ("", "score", *(["reranked"] if again else []), "id", "title", "text")
        lines = [(place, hit.score, *([hit.reranked] if again else []), hit.id, shorten(hit.title, 60),
                  shorten(hit.text, 120)) for place, hit in enumerate(self, 1)]  # fmt: skip
        return rows(f"{len(self)} hits", head, lines)


class Searcher:
    """Documents, and the three ways to find them: `hybrid`, `dense`, `lexical`; `mode` is the default one."""

    def __init__(
        self, documents: Sequence[Document], embedder: Embedder, ranker: Ranker, mode: Mode = "hybrid"
    ) -> None:
        self.documents, self.embedder, self.ranker, self.mode = documents, embedder, ranker, mode

    @classmethod
    def build(
        cls,
        documents: Iterable[Document],
        embedder: Embedder,
        *,
        lang: str,
        fusion: Fusion | None = None,
        mode: Mode = "hybrid",
    ) -> Self:
        """Index the documents; an id that was there before gets a number behind it, so that every hit has its own."""
        documents = list(_told_apart(documents))
        index = Index(embedder.dim, approximate_above=_EXACT)
        texts = [document.full for document in documents]
        with Live("index vectors", len(texts), "documents") as live:
            for start in range(0, len(texts), _EMBEDDED):
                block = slice(start, start + _EMBEDDED)
                index.add(
                    [str(number) for number in range(len(texts))[block]],
                    embedder.encode(texts[block], prompt="document"),
                )
                live.advance(len(texts[block]))
        with Live("index terms", len(texts), "documents") as live:
            lexical = Lexical.build(live.over(texts), lang)
        return cls(documents, embedder, Ranker(lexical, index, fusion or Fusion()), mode)

    def search(
        self,
        query: str,
        k: int = 10,
        mode: Mode | None = None,
        *,
        reranker: "Reranker | None" = None,
        candidates: int = CANDIDATES,
    ) -> Hits:
        """The k best documents for a query, best first; none for a query of which nothing is known.

        By words or vectors alone, a document that shares nothing with the query is no hit; the hybrid ranks them all.
        With a reranker, the best `candidates` of that ranking are ordered by it, and the k best of these are left.
        """
        if reranker is None:
            return self.search_all([query], k, mode)[0]
        if candidates < k:
            raise InputError(
                f"candidates={candidates} are fewer than the k={k} hits that are wanted; {CANDIDATES} is usual"
            )
        return Hits(reranker.rerank(query, self.search_all([query], candidates, mode)[0], k))

    def search_all(self, queries: Sequence[str], k: int = 10, mode: Mode | None = None) -> list[Hits]:
        """The hits of each query, in the order of the queries."""
        return [
            Hits(
                Hit(id=document.id, score=score, title=document.title, text=document.text)
                for document, score in ((self.documents[row], score) for row, score in ranking)
            )
            for ranking in self._rankings(queries, k, mode)
        ]

    def rank(self, queries: Sequence[str], k: int = 100, mode: Mode | None = None) -> list[list[str]]:
        """The ids of the k best documents of each query."""
        return [[self.documents[row].id for row, _ in ranking] for ranking in self._rankings(queries, k, mode)]

    def _rankings(self, queries: Sequence[str], k: int, mode: Mode | None) -> Iterator[list[tuple[int, float]]]:
        mode = mode or self.mode
        if mode not in MODES:
            raise InputError(f"mode={mode!r} is unknown{did_you_mean(mode, MODES)}")
        if k < 1:
            raise InputError(f"k={k} must be at least 1; 10 is usual")
        block = min(_BLOCK, max(1, _SCORES // max(1, len(self.documents))))
        for start in range(0, len(queries), block):
            texts = queries[start : start + block]
            if mode == "dense":
                found, scores = self.ranker.index.search(self.embedder.encode(texts, prompt="query"), k)
                for ids, row in zip(found, scores, strict=True):
                    yield [(int(id), float(score)) for id, score in zip(ids, row, strict=True) if score]
                continue
            hybrid = mode == "hybrid"
            vectors = self.embedder.encode(texts, prompt="query") if hybrid else np.zeros((len(texts), 1), np.float32)
            scores = self.ranker.scores(texts, vectors, mode)
            known = (self.ranker.lexical.queries(texts).getnnz(axis=1) > 0) | vectors.any(axis=1)
            for row, best, asks in zip(scores, top(scores, k), known, strict=True):
                # A fused score is relative to the other documents': it may be 0 or less for a good one.
                least = 0 if mode == "lexical" else -np.inf
                yield [(int(at), float(row[at])) for at in best if row[at] > least] if asks else []

    def save(self, folder: str | Path) -> None:
        """Write everything but the embedder below `folder`/search; the model folder itself holds the embedder."""
        folder = Path(folder) / _FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        self.ranker.lexical.save(folder / "lexical")
        self.ranker.index.save(folder / "index")
        with atomic_path(folder / _DOCUMENTS) as part, open(part, "w", encoding="ascii", newline="\n") as file:
            for document in self.documents:
                file.write(json.dumps([document.id, document.title, document.text]) + "\n")
        write_json(folder / _SETTINGS, {"mode": self.mode, "fusion": to_tree(self.ranker.fusion)})
        write_json(folder / CHECKSUMS, {name: sha256(folder / name) for name in (_SETTINGS, _DOCUMENTS)})

    @classmethod
    def load(cls, folder: str | Path, *, verify: bool = True) -> Self:
        """Open a folder that `inlay fit` made; InputError where a part of it is missing or damaged."""
        embedder = load(folder)
        folder = Path(folder) / _FOLDER
        if not (folder / _SETTINGS).is_file():
            raise InputError(f"{folder.parent} holds a model but no documents to search; `inlay fit` makes both")
        if verify and not verify_checksums(folder):
            raise InputError(f"{folder}: its checksums are missing; copy the folder again, or fit the model again")
        settings, file = read_json(folder / _SETTINGS), folder / _DOCUMENTS
        if not file.is_file() or not isinstance(settings, dict) or settings.get("mode") not in MODES:
            raise InputError(f"{folder}: {_SETTINGS} or {_DOCUMENTS} is missing or damaged; fit the model again")
        lexical = Lexical.load(folder / "lexical", verify=verify)
        index = open_index(folder / "index", verify=verify)
        fusion = from_tree(Fusion, settings.get("fusion", {}))
        documents = StoredDocuments(file)
        if len(documents) != len(index):
            raise InputError(f"{file} holds {len(documents)} documents, the index {len(index)}; fit the model again")
        if index.dim != embedder.dim:
            raise InputError(f"{folder}: the index has {index.dim} dimensions, the model {embedder.dim}; fit it again")
        return cls(documents, embedder, Ranker(lexical, index, fusion), settings["mode"])


class StoredDocuments(Sequence[Document]):
    """The documents of a file, read when they are asked for: a search shows ten of perhaps a million."""

    def __init__(self, file: Path) -> None:
        self._file = file
        data = np.fromfile(file, np.uint8)
        self._ends = np.flatnonzero(data == ord("\n")) + 1

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, at: int) -> Document:  # type: ignore[override]
        start, stop = (int(self._ends[at - 1]) if at else 0), int(self._ends[at])
        with open(self._file, "rb") as file:
            file.seek(start)
            id, title, text = json.loads(file.read(stop - start))
        return Document(id=id, title=title, text=text)


def _told_apart(documents: Iterable[Document]) -> Iterator[Document]:
    taken: set[str] = set()
    times: dict[str, int] = {}
    for document in documents:
        id = document.id
        while id in taken:
            times[document.id] = times.get(document.id, 1) + 1
            id = f"{document.id} ({times[document.id]})"
        taken.add(id)
        yield document if id == document.id else replace(document, id=id)
