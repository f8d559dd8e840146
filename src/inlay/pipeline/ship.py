"""What is shipped: the chosen rung made again from all documents, its search index, and the folder with its report."""

# N documents, D dimensions

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inlay.embed.context import ContextEmbedder
from inlay.embed.embedder import Embedder, load
from inlay.embed.folder_save import ABOUT, save_embedder
from inlay.embed.rungs import rung
from inlay.embed.static import StaticEmbedder
from inlay.evaluate.card import card
from inlay.evaluate.choice import Choice
from inlay.evaluate.report import html
from inlay.files import CHECKSUMS, atomic_folder, read_json, write_checksums, write_json, write_text
from inlay.pipeline import base
from inlay.pipeline.ground import Ground
from inlay.search.searcher import Searcher
from inlay.stages import COST
from inlay.text.document import Document

CARD = "README.md"
_MAP = 1_000
_SHOWN = 5


def model(ground: Ground, dense: str, encoder: Path | None, part: Path) -> None:
    """The chosen rung again, now from all documents, the held-out ones too; an encoder as it was measured."""
    if dense == base.FITTED:
        assert encoder is not None
        base.fitted_to_all(ground, encoder).save(part)
    elif encoder is not None:
        embedder = load(encoder)
        assert isinstance(embedder, ContextEmbedder | StaticEmbedder), "there is no other kind"
        save_embedder(embedder, part)
    else:
        table, _ = rung(dense).build(ground.material(range(len(ground.distinct))))
        StaticEmbedder(ground.tokenizer, np.ascontiguousarray(table)).save(part)


def index(folder: Path, ground: Ground, documents: list[Document], choice: Choice, part: Path) -> None:
    """All documents with text, duplicates too: they may all be looked for."""
    embedder = load(folder)
    filled = [document for document in documents if document.text]
    searcher = Searcher.build(filled, embedder, lang=ground.lang, fusion=choice.fusion, mode=choice.mode)
    searcher.save(part)
    queries = [query for kind in ground.held.queries.values() for query in kind[:_SHOWN]]
    examples = [
        {"query": query, "hits": [{"title": h.title, "text": h.text[:300], "score": h.score} for h in hits]}
        for query, hits in zip(queries, searcher.search_all(queries, 3), strict=True)
    ]
    shown = {"examples": examples, "map": _map(filled, searcher.ranker.index.vectors, ground.config.seed)}
    write_json(part / "shown.json", {**shown, "model": _about(folder, embedder)})


def said(model: Path) -> dict[str, Any]:
    """What the folder of an encoder says of itself beside its settings: where it is from, and how its rows are read."""
    about = read_json(model / ABOUT) if (model / ABOUT).is_file() else {}
    return {key: about[key] for key in ("source", "embed") if key in about}


def assemble(model: Path, index: Path, tree: dict[str, Any], out: Path) -> None:
    """The folder of the finished model, whole or not at all."""
    with atomic_folder(out) as part:
        skip = shutil.ignore_patterns(COST, CHECKSUMS, CARD)
        shutil.copytree(model, part, dirs_exist_ok=True, ignore=skip)
        write_json(part / ABOUT, tree)
        write_checksums(part)
        shutil.copytree(index / "search", part / "search")
        write_text(part / CARD, card(tree))
        write_text(part / "report.html", html(tree))


def _about(folder: Path, embedder: Embedder) -> dict[str, Any]:
    """What the model is, for people."""
    weights = sum(file.stat().st_size for file in folder.rglob("*.safetensors"))
    about: dict[str, Any] = {"kind": "static" if isinstance(embedder, StaticEmbedder) else "encoder"}
    about |= {"dim": embedder.dim, "megabytes": round(weights / 1e6, 1)}
    if isinstance(embedder, StaticEmbedder):
        return about | {"tokens": len(embedder.table)}
    tokenizer = getattr(embedder, "tokenizer", None)
    return about | ({"tokens": tokenizer.size} if tokenizer is not None else {})


def _map(
    documents: list[Document], vectors_of: Callable[[Sequence[str]], NDArray[np.float32]], seed: int
) -> dict[str, Any]:
    """The two directions in which a sample of the documents differs most."""
    rng = np.random.default_rng([seed, 5])
    chosen = sorted(rng.permutation(len(documents))[:_MAP].tolist())
    vectors = vectors_of([str(at) for at in chosen])
    centred = vectors - vectors.mean(axis=0)
    directions = np.linalg.eigh((centred.T @ centred).astype(np.float64))[1][:, ::-1][:, :2]
    flat = np.zeros((len(chosen), 2))  # a model of one dimension has no second direction
    flat[:, : directions.shape[1]] = centred @ directions
    x, y = flat.T.round(4).tolist()
    titles = [documents[at].title or documents[at].text[:60] for at in chosen]
    return {"x": x, "y": y, "titles": titles, "groups": None}
