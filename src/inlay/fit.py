"""The main job: raw text in, a measured, searchable embedding model of it out.

check → hold out → tokenizer → word vectors → every rung measured → choice with its reasons → fitted again on all
documents → model folder, search index, report. Each stage is a folder of its own until all is done (see docs/fit.md).
With a base (`FitConfig.base`) an encoder joins the rungs, and a token table that is fitted to it.
"""

import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from inlay.config import to_tree
from inlay.errors import InputError
from inlay.files import claim_output, lock, sha256
from inlay.pipeline import Base, FitConfig, Pipeline, Scratch
from inlay.pipeline.base import place as place_of
from inlay.stages import Run, clear, nothing_left, unfinished
from inlay.text.corpus import Corpus, CorpusConfig, Document

__all__ = ["Base", "FitConfig", "Fitted", "Scratch", "fit"]

Source = str | Path | Document | Iterable[str | Document]


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """Where the model is, and what was measured on the way (the tree of its inlay.json)."""

    folder: Path
    tree: dict[str, Any]

    def _repr_html_(self) -> str:
        from inlay.embed.notebook import rows

        kinds = dict.fromkeys(kind for rung in self.tree["ladder"] for kind in rung["scores"])
        lines = [
            ["shipped" if rung["shipped"] else "", rung["name"]]
            + [rung["scores"][kind]["ndcg@10"] if rung["scores"].get(kind) else "" for kind in kinds]
            + [rung["mean"], rung["what"]]
            for rung in self.tree["ladder"]
        ]
        head = ["", "method", *(f"nDCG@10 by {kind}" for kind in kinds), "mean", "what"]
        return rows(f"Fitted: {self.folder}", head, lines)


def fit(
    *sources: Source,
    out: str | Path,
    background: Sequence[Source] = (),
    config: FitConfig | None = None,
    corpus: CorpusConfig | None = None,
    force: bool = False,
    resume: bool = False,
) -> Fitted:
    """Fit a searchable embedding model to the documents of the sources, and prove it on questions held out from them.

    `background` is general text that the word vectors learn from and that is not indexed. The folder `out` appears when
    all is done; until then the stages stand in `OUT.part`, where `resume` goes on after a break: the running stage
    is lost at most. Raises InputError for sources that cannot be read or trained on, for an `out` that is taken
    (unless `force`), for files in `OUT.part` that no run left there, and for an unfinished run that is neither resumed
    nor thrown away (`force`).
    """
    from inlay import __version__

    config, corpus = config or FitConfig(), corpus or CorpusConfig()
    out = Path(out)
    if out.name in ("", ".."):
        raise InputError(f"{out} is no name for a folder that is made new; give another --out, such as model")
    part = out.with_name(out.name + ".part")
    begun = unfinished(part)
    claim_output(out, force=force or (resume and begun), whole=True)
    if out.exists() and not (out / "inlay.json").is_file() and (out.is_file() or any(out.iterdir())):
        raise InputError(f"{out} is no model (it has no inlay.json), and only a model is replaced; give another --out")
    # A source that is not there is told before anything is written.
    documents = Corpus(*sources, config=corpus)
    general = Corpus(*background, config=corpus) if background else None
    base = _sums(config.base) if config.base is not None else {}
    identity = {
        "inlay": __version__,
        "sources": [_name(source) for source in sources],
        "background": [_name(source) for source in background],
        "config": to_tree(config),
        "corpus": to_tree(corpus),
        "base": base,
    }
    with lock(part):
        with nothing_left(part):
            if begun and not resume:
                if not force:
                    raise InputError(f"{part} is an unfinished run; --resume goes on with it, --force begins anew")
                clear(part)
            run = Run(part, identity, resume=resume)
            tree = Pipeline(run, config, identity["sources"]).make(documents, general, out)
        clear(part)
    shutil.rmtree(part, ignore_errors=True)
    return Fitted(folder=out, tree=tree)


def _sums(base: Base) -> dict[str, str]:
    """What of the base a run depends on: its files, and the labelled pairs; InputError where it cannot be opened."""
    from inlay.embed.embedder import load

    embedder = load(base.folder)
    try:
        embedder.encode(["a text"])  # weights that are no numbers are told before hours are spent
    except InputError as error:
        raise InputError(f"{base.folder}: {error}") from None
    if base.pairs is not None:
        from inlay.text.labelled import read_pairs

        read_pairs(base.pairs)
    place = place_of(base)
    files = [place] if place.is_file() else [*sorted(place.rglob("*.safetensors")), *sorted(place.rglob("*.json"))]
    root = place.parent if place.is_file() else place
    sums = {str(file.relative_to(root)): sha256(file) for file in files}
    return sums | ({"pairs": sha256(Path(base.pairs))} if base.pairs else {})


def _name(source: Source) -> str:
    return str(source) if isinstance(source, str | Path) else "texts"


class _Callable(ModuleType):
    """`inlay.fit(...)` works whether the name `inlay.fit` has come to mean the function or this module."""

    def __call__(self, *sources: Source, **options: Any) -> Fitted:
        return fit(*sources, **options)


sys.modules[__name__].__class__ = _Callable
