"""Ground: what every stage of a fit stands on, once the text is read: documents, held-out questions, tokenizer."""

# N documents

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from inlay.embed import grams
from inlay.embed.rungs import Material
from inlay.embed.static import count_matrix
from inlay.errors import InputError
from inlay.evaluate.heldout import HeldOut
from inlay.files import write_json
from inlay.live import Live, say
from inlay.pipeline.config import FitConfig
from inlay.text.check import check
from inlay.text.corpus import Corpus
from inlay.text.dedup import dedup
from inlay.text.document import Document
from inlay.text.pairs import Pair, mine_all
from inlay.tokenize.tokenizer import Tokenizer
from inlay.vectors.wordvectors import WordVectors

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_DOCUMENTS_A_SECOND = 700
"""Of everything that a rung does with a document, as the cost model has it; machines differ, results must not."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Ground:
    """The text and what was made of it."""

    config: FitConfig
    lang: str
    distinct: list[Document]
    """The documents that are trained on: each once."""
    held: HeldOut
    tokenizer: Tokenizer
    vectors: WordVectors | None

    @cached_property
    def rest(self) -> list[int]:
        """Places of the documents that are not held out."""
        secret = set(self.held.positions)
        return [at for at in range(len(self.distinct)) if at not in secret]

    @cached_property
    def features(self) -> "csr_matrix":
        """(V, F) the character 4-grams that the tokens are made of."""
        return grams.matrix(list(self.tokenizer.vocabulary), self.lang, grams.fourgrams)

    def counted(self, texts: Sequence[str]) -> "csr_matrix":
        """(N, V) how often each token stands in each text."""
        return count_matrix(self.tokenizer.encode(texts), self.tokenizer.size)

    def measured(self) -> Material:
        """What the rungs are made from that are measured: nothing of what is asked."""
        return self.material(self.rest, beside=self.held.reduced, avoid=self.held.secret)

    def material(self, positions: Sequence[int], *, beside: Sequence[str] = (), avoid: Sequence[str] = ()) -> Material:
        """What tables are made from: the documents at these places, and pairs of them."""
        config = self.config
        most = int(config.seconds(0.25) * _DOCUMENTS_A_SECOND)
        rng = np.random.default_rng([config.seed, 4])
        if len(positions) > most:
            say(f"note: tables are fitted to {most:,} of {len(positions):,} documents; more --minutes take more")
            positions = sorted(rng.choice(np.array(positions), most, replace=False).tolist())
        limit = config.tune.steps * config.tune.batch
        pairs: list[Pair] = mine_all(self.distinct, positions, rng, limit=limit, avoid=avoid)
        texts = [*(self.distinct[at].full for at in positions), *beside]
        return Material(
            self.tokenizer, self.lang, texts, pairs, self.vectors, dim=config.dim, tune=config.tune, seed=config.seed
        )


def read(corpus: Corpus, lang: str, sources: Sequence[str], part: Path) -> None:
    """The documents, which of them are distinct, and what the check says of them, as files of the stage's folder."""
    with Live("read", unit="documents") as live:
        documents = list(live.over(corpus))
    found = check(Corpus(documents), lang=None if lang == "auto" else lang, report=True)
    if not found.trainable:
        raise InputError(f"this text cannot be trained on: {found.problems[0]}")
    for problem in found.problems:
        say(f"note: {problem}")
    place = {id(document): at for at, document in enumerate(documents)}
    filled = [document for document in documents if document.text]
    write_json(part / "distinct.json", [place[id(document)] for document in dedup(filled)])
    with open(part / "documents.jsonl", "w", encoding="ascii", newline="\n") as file:
        for document in documents:
            file.write(json.dumps([document.id, document.title, document.text]) + "\n")
    write_json(part / "check.json", {"sources": list(sources), **found.to_tree()})


def stored(file: Path) -> Iterator[Document]:
    """The documents that `read` left in a file."""
    with open(file, encoding="ascii") as lines:
        for line in lines:
            id, title, text = json.loads(line)
            yield Document(id=id, title=title, text=text)
