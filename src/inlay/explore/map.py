"""A map of words, or of any named points: each a place in the plane, alike ones near each other."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.explore.plane import MOST, PCA, Method, flat
from inlay.files import atomic_path, claim_output
from inlay.vectors import storage
from inlay.vectors.wordvectors import NGrams, WordVectors

# N points of the map


@dataclass(frozen=True, kw_only=True, eq=False)
class PointMap:
    """Where the points stand, the most important first."""

    names: Sequence[str]
    """What stands beside a point."""
    points: NDArray[np.float64]
    """(N, 2)"""
    title: str
    """One line that says what is shown."""
    chosen: bool = False
    """Whether the points were asked for one by one, so that each must have its label."""
    told: Sequence[str] | None = None
    """What a point says under the pointer; None: its name."""
    groups: Sequence[str] | None = None
    """What the points are coloured by; None: by nothing."""
    order: Sequence[str] = ()
    """The groups, in the order of their colours; the last one is grey where there are eight."""
    about: str = "Words that are used alike stand near each other."
    """How to read the map."""

    def shade(self, at: int) -> int:
        """The number of the colour of a point."""
        return self.order.index(self.groups[at]) if self.groups is not None else 0


def lay_out(
    vectors: WordVectors, words: Sequence[str] | None = None, *, top: int = 300, method: Method = PCA
) -> PointMap:
    """The map of the words, or of the `top` most frequent; by cosine, so a vector's length plays no part.

    Words that have no vector but n-grams are taken too, where the vectors know n-grams. Raises InputError for fewer
    than three words or more than 5,000, an unknown word, and a word given twice.
    """
    shown = list(vectors.words[:top]) if words is None else list(words)
    if not 3 <= len(shown) <= MOST or top < 1:
        raise InputError(f"a map shows from 3 to {MOST} words, not {len(shown) if top > 0 else top}; give others")
    if twice := [word for word, times in Counter(shown).items() if times > 1]:
        raise InputError(f"the word {twice[0]!r} stands twice; each word has one place on the map")
    rows = np.stack([vectors[word] for word in shown]) if vectors.subwords is None else vectors.rows(shown, NGrams())
    units = storage.units(rows).astype(np.float64)
    what = f"{len(shown):,} words" if words is not None else f"the {len(shown):,} most frequent words"
    return PointMap(
        names=shown, points=flat(units, method), title=f"{what}, by {method.name}", chosen=words is not None
    )


def draw(shown: PointMap, path: str | Path, *, force: bool = False) -> int:
    """Write the map as .png or .html, which the suffix decides, and return how many points have their label on it.

    On the page the others show theirs under the pointer, and when it is enlarged. Raises InputError for another suffix
    and a file that exists (without `force`), and for .png where no installed font can write any of the names.
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
