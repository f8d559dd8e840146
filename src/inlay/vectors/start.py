"""Where a training starts: anew, from given vectors, or going on with trained ones whose vocabulary grows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.live import Live
from inlay.vectors.tokens import copied, renumbered
from inlay.vectors.vocabulary import Encoded, LineFiles, Vocabulary, read
from inlay.vectors.wordvectors import WordVectors

# V words of the training's vocabulary, D dimensions

_BLOCK = 4096
"""Rows that are copied at a time, so that vectors in a file are never in memory as a whole."""


@dataclass(frozen=True, eq=False)
class Grow:
    """Go on with trained vectors: all their words stay, the source's words join them, and counts add up.

    The old words begin with their old vectors, as centres and, where these were kept, as contexts; the nodes of a tree
    begin anew, since new counts make another tree. A word without a count has occurred once.
    """

    vectors: WordVectors


@dataclass(frozen=True, eq=False)
class Init:
    """Begin with given vectors where they know a word of the source, which alone decides on the vocabulary."""

    vectors: WordVectors
    frozen: bool = False
    """The given vectors stay as they are, bit for bit; the other words learn beside them."""


Start = Grow | Init


def begin(
    source: Iterable[Sequence[str]] | LineFiles | Encoded,
    start: Start | None,
    *,
    min_count: int,
    max_vocab: int | None,
) -> Encoded:
    """The corpus to train on; with `Grow`, its vocabulary holds the old words too, whether they occur in it or not.

    `min_count` and `max_vocab` limit the new words alone; an Encoded corpus has its words already, and they change
    nothing. Raises InputError where the source has no word left.
    """
    if isinstance(source, Encoded):
        corpus = source
    else:
        known = start.vectors.index if isinstance(start, Grow) else ()
        with Live("read", unit="words") as live:
            corpus = read(source, min_count=min_count, max_vocab=max_vocab, known=known, on_words=live.at)
            live.at(corpus.n_words)
    if corpus.n_words == 0:
        raise InputError("the text has no word to train on; give more text")
    if not isinstance(start, Grow):
        return corpus
    return _joined(corpus.vocabulary, copied(corpus.tokens) if corpus is source else corpus.tokens, start.vectors)


def check_dim(start: Start | None, dim: int) -> None:
    """Raise an InputError where the vectors to start from have another length than is asked for."""
    if start is not None and start.vectors.dim != dim:
        given = start.vectors.dim
        raise InputError(f"dim={dim}, but the vectors to start from have {given}; set dim={given}")


def carry(
    name: Literal["matrix", "context"], start: Start | None, vocabulary: Vocabulary, table: NDArray[np.float32]
) -> None:
    """Write the vectors of that name into the rows (≥ V, ≥ D) of the words that they know; the rest stays as it is."""
    given = None if start is None else getattr(start.vectors, name)
    if start is None or given is None:
        return
    there = rows(start.vectors, vocabulary)
    here = np.flatnonzero(there >= 0)
    for first in range(0, len(here), _BLOCK):
        block = here[first : first + _BLOCK]
        vectors = given[there[block]]
        finite = np.isfinite(vectors).all(axis=1)
        if not finite.all():
            word = vocabulary.words[block[finite.argmin()]]
            raise InputError(f"the vector of {word!r} to start from is not finite; leave the word out, or mend it")
        table[block, : given.shape[1]] = vectors


def frozen(start: Start | None, vocabulary: Vocabulary) -> NDArray[np.bool_]:
    """(V,) True for a word whose vector stays as it is; empty where all may change."""
    if not isinstance(start, Init) or not start.frozen:
        return np.zeros(0, np.bool_)
    return rows(start.vectors, vocabulary) >= 0


def rows(vectors: WordVectors, vocabulary: Vocabulary) -> NDArray[np.int64]:
    """(V,) each word's row in the vectors, -1 for a word that they do not know."""
    return np.array([vectors.index.get(word, -1) for word in vocabulary.words], np.int64)


def _joined(new: Vocabulary, tokens: NDArray[np.int32], old: WordVectors) -> Encoded:
    """The corpus, its tokens numbered anew in place, with the old words in its vocabulary too, by falling count."""
    counts = (
        dict.fromkeys(old.words, 1) if old.counts is None else dict(zip(old.words, old.counts.tolist(), strict=True))
    )
    for word, count in zip(new.words, new.counts.tolist(), strict=True):
        counts[word] = counts.get(word, 0) + count
    words = sorted(counts, key=lambda word: (-counts[word], word))
    # Counts weigh the noise and build the tree, where a word that never occurred would have no place.
    vocabulary = Vocabulary(words=words, counts=np.array([max(counts[word], 1) for word in words], np.int64))
    numbers = np.array([vocabulary.index[word] for word in new.words], np.int32)
    return Encoded(vocabulary=vocabulary, tokens=renumbered(tokens, numbers))
