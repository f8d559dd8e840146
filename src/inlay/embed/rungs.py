"""The rungs of the ladder: every way to a token table that `fit` tries and measures, from the plainest to the best."""

# N documents, V tokens, P pairs, D dimensions

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from inlay.embed import grams, lsa
from inlay.embed.static import count_matrix, unit
from inlay.embed.tune import Tune, tune
from inlay.errors import InputError
from inlay.text.pairs import Pair
from inlay.text.words import is_unspaced
from inlay.tokenize.tokenizer import Tokenizer
from inlay.vectors.wordvectors import WordVectors

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Array = NDArray[np.float32]

_SIF = 1e-3
"""Words much rarer than this share of the text keep their weight (Arora et al. 2017)."""


class Material:
    """What tables are made from: the tokenised documents and pairs, and word vectors of the same text."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        lang: str,
        texts: Sequence[str],
        pairs: Sequence[Pair],
        vectors: WordVectors | None,
        *,
        dim: int,
        tune: Tune,
        seed: int,
    ) -> None:
        self.tokenizer, self.lang, self.vectors = tokenizer, lang, vectors
        self.dim, self.tune, self.seed = dim, tune, seed
        self.counts = self._count(texts)
        """(N, V) tokens of the documents."""
        self.queries = self._count([pair.query for pair in pairs])
        """(P, V) tokens of the pairs' queries."""
        self.positives = self._count([pair.positive for pair in pairs])
        """(P, V) tokens of the texts that answer them."""
        self.documents = np.array([pair.document for pair in pairs], np.int64)
        """(P,) the document of each pair."""

    @cached_property
    def tokens(self) -> list[str]:
        """(V,) the tokens by number."""
        return list(self.tokenizer.vocabulary)

    @cached_property
    def frequency(self) -> NDArray[np.float64]:
        """(V,) how often each token stands in the documents."""
        return np.asarray(self.counts.sum(axis=0), np.float64).ravel()

    @cached_property
    def lsa_stems(self) -> Array:
        """(V, D) LSA over stems."""
        return self._lsa(grams.stems)

    @cached_property
    def lsa_grams(self) -> Array:
        """(V, D) LSA over the 4-grams of stems."""
        return self._lsa(grams.fourgrams)

    @cached_property
    def word_table(self) -> Array:
        """(V, D') the word vectors by token; zero for tokens without one."""
        if self.vectors is None:
            raise InputError("this rung needs word vectors, and none were trained")
        table = np.zeros((len(self.tokens), self.vectors.dim), np.float32)
        for number, token in enumerate(self.tokens):
            bare = token.removeprefix("##")
            if bare in self.vectors and (bare == token or is_unspaced(bare)):
                table[number] = self.vectors[bare]
        return table

    def tuned(self, start: Array) -> tuple[Array, list[float]]:
        """A table tuned on the pairs, and its losses."""
        rng = np.random.default_rng([self.seed, 1])
        return tune(start, self.queries, self.positives, self.documents, self.tune, rng)

    def _count(self, texts: Sequence[str]) -> "csr_matrix":
        counts = count_matrix(self.tokenizer.encode(texts), self.tokenizer.size)
        # Some operations of scipy do this in place, and then the rungs that follow would sum in another order.
        counts.sum_duplicates()
        return counts

    def _lsa(self, features: grams.Features) -> Array:
        made_of = grams.matrix(self.tokens, self.lang, features)
        return lsa.table(self.counts, made_of, dim=self.dim, seed=self.seed)


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One way to a token table (V, D); the losses are empty where nothing is tuned."""

    name: str
    what: str
    build: Callable[[Material], tuple[Array, list[float]]]
    needs_vectors: bool = False
    needs_pairs: bool = False


def mean_vectors(material: Material) -> Array:
    """Every word counts alike."""
    return material.word_table


def idf_vectors(material: Material) -> Array:
    """Rare words count more: log(N / documents with the word)."""
    n_documents = material.counts.shape[0]
    per_token = np.asarray((material.counts > 0).sum(axis=0)).ravel()
    idf = np.log((1 + n_documents) / (1 + per_token)).astype(np.float32)
    return material.word_table * idf[:, None]


def sif_vectors(material: Material) -> Array:
    """Smooth inverse frequency, and the first component of the documents' vectors removed from the table itself."""
    share = material.frequency / max(material.frequency.sum(), 1)
    table = material.word_table * (_SIF / (_SIF + share)).astype(np.float32)[:, None]
    vectors = unit(material.counts @ table)
    common = np.linalg.eigh((vectors.T @ vectors).astype(np.float64))[1][:, -1].astype(np.float32)
    # Taking a direction out of every token takes it out of every sum of tokens.
    return np.asarray(table - (table @ common)[:, None] * common, np.float32)


def random_table(material: Material) -> Array:
    """(V, D) small random numbers: what contrastive tuning makes of the pairs alone."""
    rng = np.random.default_rng([material.seed, 2])
    return rng.standard_normal((len(material.tokens), material.dim), np.float32)


def _untuned(table: Callable[[Material], Array]) -> Callable[[Material], tuple[Array, list[float]]]:
    return lambda material: (table(material), [])


RUNGS = (
    Rung(
        name="vectors-mean",
        what="mean of the words' skip-gram vectors",
        build=_untuned(mean_vectors),
        needs_vectors=True,
    ),
    Rung(name="vectors-idf", what="the same, weighted by IDF", build=_untuned(idf_vectors), needs_vectors=True),
    Rung(
        name="vectors-sif",
        what="the same, weighted by SIF, common component removed",
        build=_untuned(sif_vectors),
        needs_vectors=True,
    ),
    Rung(name="lsa", what="LSA over word stems", build=_untuned(lambda m: m.lsa_stems)),
    Rung(name="lsa-grams", what="LSA over 4-grams of stems", build=_untuned(lambda m: m.lsa_grams)),
    Rung(
        name="tuned-random",
        what="contrastive, from random numbers",
        build=lambda m: m.tuned(random_table(m)),
        needs_pairs=True,
    ),
    Rung(
        name="tuned-vectors",
        what="contrastive, from skip-gram vectors",
        build=lambda m: m.tuned(idf_vectors(m)),
        needs_vectors=True,
        needs_pairs=True,
    ),
    Rung(
        name="tuned-lsa",
        what="contrastive, from LSA over 4-grams",
        build=lambda m: m.tuned(m.lsa_grams),
        needs_pairs=True,
    ),
)

DEFAULT = "tuned-lsa"
"""The rung that ships unless another is measurably better."""
UNTUNED = "lsa-grams"
"""What ships where there is nothing to tune on."""


def rung(name: str) -> Rung:
    """The rung of that name."""
    return next(rung for rung in RUNGS if rung.name == name)
