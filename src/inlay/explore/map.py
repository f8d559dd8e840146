"""A map of words: every word a point in the plane, alike words near each other."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError, missing_extra
from inlay.files import atomic_path, claim_output
from inlay.vectors import storage
from inlay.vectors.wordvectors import NGrams, WordVectors

# N words of the map, D dimensions, C components

_MOST = 5000
"""Words of a map at most: more could not be told apart."""
_NOISE_FREE = 50
"""Components that t-SNE works on: the rest is noise, and costs time."""


@dataclass(frozen=True, kw_only=True)
class Pca:
    """The two directions in which the words differ most: fast, and far apart on the map is far apart in truth."""

    name = "PCA"


@dataclass(frozen=True, kw_only=True)
class Tsne:
    """t-SNE (van der Maaten & Hinton 2008): neighbours stay neighbours; distances between groups mean nothing."""

    perplexity: float = 30.0
    """About how many neighbours each word has; at most a third of the words."""
    seed: int = 0

    name = "t-SNE"

    def __post_init__(self) -> None:
        if not 1 <= self.perplexity < _MOST:
            raise InputError(f"perplexity={self.perplexity} must lie between 1 and {_MOST}; 30 is usual")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"seed={self.seed} must lie between 0 and {2**32 - 1}")


@dataclass(frozen=True, kw_only=True, eq=False)
class WordMap:
    """Where the words stand, the most important first."""

    words: list[str]
    points: NDArray[np.float64]
    """(N, 2)"""
    title: str
    """One line that says what is shown."""
    chosen: bool
    """Whether the words were asked for one by one, so that each must have its label."""


def lay_out(
    vectors: WordVectors, words: Sequence[str] | None = None, *, top: int = 300, method: Pca | Tsne = Pca()
) -> WordMap:
    """The map of the words, or of the `top` most frequent; by cosine, so a vector's length plays no part.

    Words that have no vector but n-grams are taken too, where the vectors know n-grams. Raises InputError for fewer
    than three words or more than 5,000, an unknown word, and a word given twice.
    """
    shown = list(vectors.words[:top]) if words is None else list(words)
    if not 3 <= len(shown) <= _MOST or top < 1:
        raise InputError(f"a map shows from 3 to {_MOST} words, not {len(shown) if top > 0 else top}; give others")
    if twice := [word for word, times in Counter(shown).items() if times > 1]:
        raise InputError(f"the word {twice[0]!r} stands twice; each word has one place on the map")
    rows = np.stack([vectors[word] for word in shown]) if vectors.subwords is None else vectors.rows(shown, NGrams())
    units = storage.units(rows).astype(np.float64)
    points = components(units, 2) if isinstance(method, Pca) else _tsne(units, method)
    what = f"{len(shown):,} words" if words is not None else f"the {len(shown):,} most frequent words"
    return WordMap(words=shown, points=points, title=f"{what}, by {method.name}", chosen=words is not None)


def draw(shown: WordMap, path: str | Path, *, force: bool = False) -> int:
    """Write the map as .png or .html, which the suffix decides, and return how many words have their label on it.

    On the page the others show theirs under the pointer, and when it is enlarged. Raises InputError for another suffix
    and a file that exists (without `force`), and for .png where no installed font can write any of the words.
    """
    path = claim(path, force=force)
    with atomic_path(path) as temporary:
        if path.suffix == ".png":
            from inlay.explore.picture import draw_png

            return draw_png(shown, temporary)
        from inlay.explore.page import page

        text, labels = page(shown)
        temporary.write_text(text, encoding="utf-8")
        return labels


def claim(path: str | Path, *, force: bool) -> Path:
    """The path, once it is certain that a map can be written there."""
    path = Path(path)
    if path.suffix not in (".png", ".html"):
        raise InputError(f"{path}: a map is written as .png or .html; name it so")
    return claim_output(path, force=force)


def components(rows: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """(N, C) the rows on their n main directions, the one that differs most first (zeros where there are fewer).

    Each direction points so that its largest number is positive: the same rows give the same map.
    """
    centred = rows - rows.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)  # (D, D): by growing variance
    axes = axes[:, ::-1][:, :n]
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    places = np.zeros((len(rows), n))
    places[:, : axes.shape[1]] = centred @ axes
    return places


def _tsne(units: NDArray[np.float64], method: Tsne) -> NDArray[np.float64]:
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        raise missing_extra("t-SNE", "scikit-learn", "viz") from None
    dense = components(units, max(min(_NOISE_FREE, units.shape[1]), 2))
    if not dense.any():
        return dense[:, :2]  # all words are one, and there is nothing to spread
    perplexity = min(method.perplexity, max(1.0, (len(units) - 1) / 3))
    found = TSNE(perplexity=perplexity, init="pca", random_state=method.seed).fit_transform(dense)
    return components(np.asarray(found, np.float64), 2)  # turned, so that it is wider than high
