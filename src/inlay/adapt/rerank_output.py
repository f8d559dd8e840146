"""From sources to the folder of a reranker: documents read, questions held out, trained, measured; or nothing."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inlay.adapt.output import claimed, read_all
from inlay.adapt.rerank import RerankReport, forget, train_reranker
from inlay.adapt.rerank_config import RerankConfig
from inlay.errors import InputError
from inlay.evaluate.heldout import hold_out
from inlay.files import atomic_folder, write_checksums, write_json
from inlay.text.corpus import Corpus
from inlay.text.labelled import read_pairs

REPORT = "rerank.json"
_SEARCHED, _ASKED = 2_000, 150
"""Documents that questions are asked among, and that are asked for, at most: each question is many pairs to read."""


@dataclass(frozen=True, kw_only=True)
class Reranked:
    """The folder of the reranker, if there is one, and what was measured."""

    folder: Path | None
    """None: it was no better than BM25 alone, and nothing was written."""
    report: RerankReport
    tree: dict[str, Any]
    """What is in its rerank.json."""


def reranked(
    base: str | Path,
    corpus: Corpus,
    out: Path,
    config: RerankConfig,
    *,
    lang: str = "auto",
    seed: int = 0,
    pairs: Path | None = None,
    embedder: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
) -> Reranked:
    """Train a reranker for the corpus; `out` holds it, with rerank.json, only if it passed the bar.

    `pairs` is a file of labelled pairs, `embedder` a model whose neighbours are hard negatives too. Until all is done
    the work stands in `OUT.part`, where `resume` goes on after a break. Raises InputError for all that
    `train_reranker` refuses, for an `out` that is taken, and for an unfinished run that is neither resumed nor thrown
    away (`force`).
    """
    part, begun = claimed(out, REPORT, "inlay reranker train", resume=resume, force=force)
    given = read_pairs(pairs) if pairs is not None else []
    found = None
    if embedder is not None:
        from inlay.embed.embedder import load

        found = load(embedder)
    if begun and not resume:
        shutil.rmtree(part)
    documents, language = read_all(corpus, lang)
    held = hold_out(documents, seed=seed, most=_ASKED, searched=_SEARCHED)
    try:
        report = train_reranker(base, documents, held, language, config, part, seed=seed, given=given, embedder=found)
    except InputError:
        if not (part / "pairs").is_dir():
            forget(part)
        raise
    tree = report.tree() | {
        "base": str(base),
        "model": str(out) if report.kept else None,
        "lang": language,
        "documents": len(documents),
        "questions": {kind: len(queries) for kind, queries in held.queries.items()},
    }
    if report.model is not None:
        with atomic_folder(out) as made:
            shutil.copytree(report.model, made, dirs_exist_ok=True)
            write_json(made / REPORT, tree)
            write_checksums(made)
    forget(part)
    return Reranked(folder=out if report.kept else None, report=report, tree=tree)
