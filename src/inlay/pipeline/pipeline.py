"""From documents to the finished folder, a stage at a time: what a stage leaves is read back from disk by the next."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inlay.config import to_tree
from inlay.evaluate.heldout import hold_out
from inlay.files import read_json, sha256
from inlay.pipeline import base, ground, ladder, ship, words
from inlay.pipeline.config import FitConfig
from inlay.stages import Run
from inlay.text.corpus import Corpus
from inlay.tokenize.tokenizer import Tokenizer
from inlay.vectors.wordvectors import WordVectors


class Pipeline:
    """A run and its settings; `make` does the work."""

    def __init__(self, run: Run, config: FitConfig, sources: Sequence[str] = ()) -> None:
        self.run, self.config, self.sources = run, config, list(sources)

    def make(self, corpus: Corpus, background: Corpus | None, out: Path) -> dict[str, Any]:
        """Run the stages that are not yet done, put the model folder at `out`, and return its inlay.json."""
        run, config = self.run, self.config
        read = run.stage("read", lambda part: ground.read(corpus, config.lang, self.sources, part))
        data = read_json(read / "check.json")
        everything = list(ground.stored(read / "documents.jsonl"))
        known = self._ground(data["language"], [everything[at] for at in read_json(read / "distinct.json")], background)

        found = ladder.climb(run, known)
        choice = found.choice
        model = run.stage("model", lambda part: ship.model(known, choice.dense, found.encoder, part))
        index = run.stage("index", lambda part: ship.index(model, known, everything, choice, part))
        tree = {
            "inlay": _version(),
            "lang": known.lang,
            "config": to_tree(config),
            "data": data | {"kept": len(known.distinct), "sha256": sha256(read / "documents.jsonl")},
            "held_out": {
                "documents": len(known.held.positions),
                "index": len(known.held.texts),
                "queries": {kind: len(queries) for kind, queries in known.held.queries.items()},
            },
            "ladder": found.rows,
            "choice": choice.tree(),
            "losses": found.losses,
            "stages": run.costs,
            **ship.said(model),
            **read_json(index / "shown.json"),
        }
        ship.assemble(model, index, tree, out)
        return tree

    def _ground(self, lang: str, distinct: list[Any], background: Corpus | None) -> ground.Ground:
        """The stages that every rung stands on."""
        config = self.config
        held = hold_out(distinct, seed=config.seed, most=config.held_out, searched=base.searched(config))
        made = self.run.stage("tokenizer", lambda part: words.tokenizer(distinct, lang, config, background, part))
        tokenizer = Tokenizer.load(made)
        secret = set(held.positions)
        texts = [document.full for at, document in enumerate(distinct) if at not in secret]
        made = self.run.stage(
            "word vectors", lambda part: words.word_vectors(texts, tokenizer, config, background, part)
        )
        file = made / words.VECTORS
        vectors = WordVectors.load(file) if file.exists() else None
        return ground.Ground(
            config=config, lang=lang, distinct=distinct, held=held, tokenizer=tokenizer, vectors=vectors
        )


def _version() -> str:
    from inlay import __version__

    return __version__
