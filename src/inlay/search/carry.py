"""Carry: the documents of a model made ready for search by another, vectors kept as codes where wanted."""

from pathlib import Path

from inlay.embed.embedder import load
from inlay.search.codes import Storage
from inlay.search.hybrid import Ranker
from inlay.search.index import Index
from inlay.search.quantised import QuantisedIndex
from inlay.search.searcher import Searcher


def carry(folder: str | Path, out: str | Path, storage: Storage | None = None) -> int:
    """Index the documents of `folder` with the model in `out`, and save them there as `folder` has them; how many.

    `storage` says in what the vectors are kept; None: in floats. Ranking is fused as it was. Raises InputError where
    `folder` has no documents.
    """
    found = Searcher.load(folder)
    lexical, fusion = found.ranker.lexical, found.ranker.fusion
    built = Searcher.build(found.documents, load(out), lang=lexical.lang, fusion=fusion, mode=found.mode)
    index = built.ranker.index
    if storage is not None:
        assert isinstance(index, Index)
        ranker = Ranker(built.ranker.lexical, QuantisedIndex.of(index, storage), fusion)
        built = Searcher(built.documents, built.embedder, ranker, built.mode)
    built.save(out)
    return len(built.documents)
