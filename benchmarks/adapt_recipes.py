"""Recipes of tuning that are compared: what each makes of a base on unlabelled documents, before the gate and after."""

import os
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from scipy.stats import spearmanr

from inlay.adapt.adapt import adapt
from inlay.adapt.config import MLM, TSDAE, AdaptConfig, Contrast, Hard
from inlay.embed.embedder import Embedder, load
from inlay.evaluate.heldout import hold_out
from inlay.text.dedup import dedup
from inlay.text.document import Document
from inlay.tokenize.extend import Extend

RECIPES: dict[str, AdaptConfig] = {
    "quick": AdaptConfig(tuning=Contrast(steps=5, negatives=None), shares=(1.0,)),
    "pairs": AdaptConfig(tuning=Contrast(negatives=None)),
    "pairs, hard negatives": AdaptConfig(tuning=Contrast(negatives=Hard())),
    "pairs, anchor": AdaptConfig(tuning=Contrast(negatives=None, anchor=1.0)),
    "mlm, pairs": AdaptConfig(text=MLM(), tuning=Contrast(negatives=None)),
    "tsdae, pairs": AdaptConfig(text=TSDAE(), tuning=Contrast(negatives=None)),
    "words, mlm, pairs": AdaptConfig(vocabulary=Extend(), text=MLM(), tuning=Contrast(negatives=None)),
}


def tuned_folders(
    recipe: str, base: str, documents: Sequence[Document], lang: str, seed: int, folder: Path
) -> tuple[dict[str, Any], dict[str, Path]]:
    """What the gate said, STS-B before and after, the minutes; and the folders: tuned to the end, and past the gate."""
    begin = time.monotonic()
    distinct = list(dedup([document for document in documents if document.text]))
    held = hold_out(distinct, seed=seed, searched=2_000)
    report = adapt(base, distinct, held, lang, RECIPES[recipe], folder / "adapt", seed=seed)
    minutes = (time.monotonic() - begin) / 60
    whole = next(path for path in (folder / "adapt" / "tuned" / "model", Path(base)) if path.is_dir())
    models = {"whole": whole} | ({"gated": report.model} if report.kept else {})
    sts = {"base": similarity(base), "whole": _similarity(load(whole)), "gated": _similarity(load(report.model))}
    told = {"kept": report.kept, "share": report.share, "why": list(report.why), "sts": sts, "minutes": minutes}
    return told, models


@cache
def similarity(folder: str) -> float | None:
    """STS-B of a model that does not change."""
    return _similarity(load(folder))


def _similarity(embedder: Embedder) -> float | None:
    """Spearman of cosines and judgements on the test part of STS-B; None where the data is not there."""
    found = sorted(Path(os.environ.get("INLAY_DATA", "")).glob("stsbenchmark/**/sts-test.csv"))
    if not os.environ.get("INLAY_DATA") or not found:
        return None
    rows = [line.split("\t") for line in found[0].read_text(encoding="utf-8").splitlines() if line.strip()]
    left, right = embedder.encode([row[5] for row in rows]), embedder.encode([row[6] for row in rows])
    return round(float(spearmanr((left * right).sum(axis=1), [float(row[4]) for row in rows]).statistic), 4)
