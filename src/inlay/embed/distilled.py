"""Distilled static models: what an encoder says of each token alone, with fewer dimensions, common tokens held back.

Token outputs, PCA and SIF weights as in model2vec (Tulkens & van Dongen 2024); PCA after Mu & Viswanath 2018,
arXiv:1702.01417; SIF after Arora et al. 2017. The model needs no encoder afterwards.
"""

# V tokens, D dimensions, E dimensions of the encoder, N texts, P pairs

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from inlay.embed.batches import encoded
from inlay.embed.context import ContextEmbedder
from inlay.embed.embedder import kept
from inlay.embed.layers import combined, needed
from inlay.embed.long import pieces
from inlay.embed.pool import pool
from inlay.embed.reading import Content, Reader
from inlay.embed.static import StaticEmbedder, count_matrix
from inlay.embed.tune import Tune, tune
from inlay.errors import InputError
from inlay.text.pairs import Pair
from inlay.tokenize.tokenizer import Tokenizer

Array = NDArray[np.float32]

_INSIDE = "##"
_USUAL = 256


@dataclass(frozen=True, kw_only=True)
class Distil:
    """How a table is made of an encoder."""

    dim: int | None = None
    """Dimensions that are kept, the strongest; None: 256, or all where the encoder has fewer."""
    sif: float = 1e-4
    """Tokens much rarer than this share of the text keep their weight."""
    tune: Tune | None = None
    """How the table is tuned where there are pairs; None: it is not."""
    seed: int = 0
    """Of the order of the pairs."""

    def __post_init__(self) -> None:
        if self.dim is not None and self.dim < 1:
            raise InputError(f"dim={self.dim} must be at least 1; {_USUAL} is usual")
        if not 0 < self.sif < 1:
            raise InputError(f"sif={self.sif} must lie between 0 and 1; 0.0001 is usual")
        if self.seed < 0:
            raise InputError(f"seed={self.seed} must not be negative")


def distil_static(
    embedder: ContextEmbedder,
    config: Distil | None = None,
    *,
    words: Sequence[str] = (),
    texts: Sequence[str] = (),
    pairs: Sequence[Pair] = (),
) -> StaticEmbedder:
    """A static model of the encoder that model2vec and sentence-transformers read too, and give equal vectors with.

    Its tokens are the encoder's; with `words`, these whole, and the encoder's pieces for all others. Weights are by
    how often tokens stand in `texts`; without texts, by their place in the vocabulary (Zipf). With `config.tune` the
    table is tuned on the pairs. Unknown tokens do not move a vector. Raises InputError for a `dim` beyond the
    encoder's, and for words that no vocabulary can hold.
    """
    config = config or Distil()
    dim = kept(config.dim or min(_USUAL, embedder.dim), embedder.dim)
    own = embedder.tokenizer
    tokenizer = _over_words(own, words) if words else own
    tokens = list(tokenizer.vocabulary)
    numbers = np.array(list(tokenizer.vocabulary.values()))  # ids may have holes
    meant = np.array([not _means_nothing(token, tokenizer) for token in tokens])
    outputs = _outputs(embedder, [token for token, means in zip(tokens, meant, strict=True) if means], bool(words))
    table = np.zeros((tokenizer.size, dim), np.float32)
    table[numbers[meant]] = principal(outputs, dim)
    table *= _weights(tokenizer, numbers[meant], texts, config.sif)[:, None]
    if config.tune is not None:
        counts = [
            count_matrix(tokenizer.encode(side), tokenizer.size)
            for side in ([pair.query for pair in pairs], [pair.positive for pair in pairs])
        ]
        documents = np.array([pair.document for pair in pairs], np.int64)
        table, _ = tune(table, counts[0], counts[1], documents, config.tune, np.random.default_rng([config.seed, 1]))
    return StaticEmbedder(tokenizer, np.ascontiguousarray(table), skip_unknown=True)


def principal(vectors: Array, dim: int) -> Array:
    """(V, D) the vectors (V, E) less their mean, along the directions in which they differ most, the strongest first.

    The sign of each direction is fixed, so that the same vectors give the same result.
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    directions = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :dim]  # (E, D)
    signs = np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])])
    return np.asarray(centred @ (directions * np.where(signs == 0, 1, signs)), np.float32)


def _over_words(own: Tokenizer, words: Sequence[str]) -> Tokenizer:
    """A tokenizer that keeps the words whole, and cuts others into the pieces of one that marks pieces as BERT does."""
    known = set(words)
    inside = any(token.startswith(_INSIDE) for token in own.vocabulary)
    pieces = [token for token in own.vocabulary if inside and token not in known and not _means_nothing(token, own)]
    return Tokenizer.from_vocabulary(words, pieces)


def _means_nothing(token: str, tokenizer: Tokenizer) -> bool:
    """Whether a token stands for no text: [CLS] and its like, and rows that were never used."""
    return token in tokenizer.roles.values() or token.startswith("[unused")


def _outputs(embedder: ContextEmbedder, tokens: Sequence[str], as_words: bool) -> Array:
    """(V, E) what the encoder makes of each token alone, pooled as it pools texts, but of its own length."""
    own, known = embedder.tokenizer, embedder.tokenizer.vocabulary
    reader = Reader(own, embedder.max_length)
    inside = any(token.startswith(_INSIDE) for token in known)
    texts = [token.removeprefix(_INSIDE) for token in tokens]
    # A token of the encoder's own goes in by number: as text, a piece inside a word would be another token.
    direct = [token in known and (inside or not as_words) for token in tokens]
    # No word is longer than what fits, but a text that somebody calls a word may be.
    others = own.encode([text for text, d in zip(texts, direct, strict=True) if not d], max_length=reader.room)
    cut = iter(np.split(others.ids, others.starts[1:])) if len(others) else iter(())
    rows = [[known[token]] if d else next(cut).tolist() for token, d in zip(tokens, direct, strict=True)]
    lengths = np.array([len(row) for row in rows], np.int64)
    batch = reader.batch(_content(rows, lengths), pieces(lengths, reader.room, reader.room))
    layer, raw = embedder.config.layer, embedder.changed(normalize=False)
    found = np.zeros((len(rows), embedder.dim), np.float32)
    for which, sizes, states in encoded(embedder.backend, batch, needed(layer, embedder.backend.n_layers)):
        parts = [pool(combined(states, layer), sizes, how) for how in embedder.config.pools]
        found[which] = raw.finished(np.concatenate(parts, axis=1))[:, : embedder.dim]
    return found


def _content(rows: list[list[int]], lengths: NDArray[np.int64]) -> Content:
    """Tokens that are known by number, as texts without a prompt."""
    none = np.zeros_like(lengths)
    ids, heads = np.fromiter(chain.from_iterable(rows), np.int32), np.zeros(0, np.int32)
    return Content(ids, lengths, heads, none, none, np.zeros((0, 2), np.int64))


def _weights(tokenizer: Tokenizer, meant: NDArray[np.int64], texts: Sequence[str], sif: float) -> Array:
    """(V,) what each row weighs: sif / (sif + share of the text that the token is)."""
    share = np.zeros(tokenizer.size)
    if len(texts):
        share = np.bincount(tokenizer.encode(texts).ids, minlength=tokenizer.size).astype(np.float64)
    else:
        share[meant] = 1 / np.arange(2, len(meant) + 2)
    return np.asarray(sif / (sif + share / max(share.sum(), 1e-12)), np.float32)
