"""What a token is made of: the stem of its word, or that stem's character n-grams, as a sparse matrix."""

# V tokens, F features

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from inlay.text.words import is_unspaced, stemmer, stop_words

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Features = Callable[[str, str], list[str]]


def stems(stem: str, form: str) -> list[str]:
    """The stem itself; of a piece inside a word (`##ing`) nothing."""
    return [stem] if not form.startswith("##") or is_unspaced(stem) else []


def fourgrams(stem: str, form: str) -> list[str]:
    """Character 4-grams of `<stem>`; of a Chinese word its characters, their bigrams and itself.

    A piece inside a word has no `<`, so that it meets the same grams inside other words.
    """
    if is_unspaced(stem):
        return [*stem, *(stem[i : i + 2] for i in range(len(stem) - 1)), *([stem] if len(stem) > 2 else [])]
    marked = f"{stem}>" if form.startswith("##") else f"<{stem}>"
    return [marked[i : i + 4] for i in range(max(1, len(marked) - 3))]


def matrix(tokens: Sequence[str], lang: str, features: Features) -> "csr_matrix":
    """(V, F) float32 counts of the features of each token; stop words, marks and specials have none."""
    from scipy.sparse import csr_matrix

    stem, stop = stemmer(lang), stop_words(lang)
    known: dict[str, int] = {}
    rows: list[int] = []
    columns: list[int] = []
    for row, token in enumerate(tokens):
        bare = token.removeprefix("##")
        if bare in stop or not bare.isalnum():
            continue
        for feature in features(bare if is_unspaced(bare) else stem(bare), token):
            rows.append(row)
            columns.append(known.setdefault(feature, len(known)))
    ones = np.ones(len(rows), np.float32)
    return csr_matrix((ones, (rows, columns)), shape=(len(tokens), max(len(known), 1)))
