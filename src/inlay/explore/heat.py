"""A heat map: how alike each two of some texts are, by the cosine of their vectors."""

# N texts, D dimensions

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inlay.embed.embedder import Embedder
from inlay.errors import InputError
from inlay.explore.map import claim
from inlay.files import atomic_path

MOST = 120
"""Texts at most: with more a cell could not be seen."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Heat:
    """Texts, and the cosine of each two."""

    names: Sequence[str]
    values: NDArray[np.float64]
    """(N, N) from -1 to 1; 0 where a text has no vector."""
    title: str

    @property
    def least(self) -> float:
        """Where the colours begin: the lowest cosine, rounded down to a tenth."""
        return float(np.floor(self.values.min() * 10 + 1e-9) / 10)

    def share(self, value: float) -> float:
        """How deep the colour of a cosine is, from 0 to 1."""
        return float(np.clip((value - self.least) / max(1.0 - self.least, 0.1), 0.0, 1.0))

    def _repr_html_(self) -> str:
        from inlay.explore.heat_page import table

        return table(self)


def similarities(embedder: Embedder, texts: Sequence[str], names: Sequence[str] | None = None) -> Heat:
    """The cosine of each two of the texts, in their order; raises InputError for fewer than 2 texts or more than 120.

    `names` stand at the edges in place of the texts.
    """
    if isinstance(texts, str):
        raise InputError(f"one text ({texts[:40]!r}) where a list of texts is wanted; put it in a list")
    if not 2 <= len(texts) <= MOST:
        raise InputError(f"a heat map shows from 2 to {MOST} texts, not {len(texts):,}; give others")
    rows = embedder.encode(list(texts)).astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    units = rows / np.where(lengths > 0, lengths, 1.0)
    values = np.clip(units @ units.T, -1.0, 1.0)
    return Heat(
        names=list(texts) if names is None else list(names), values=values, title=f"{len(texts)} texts by cosine"
    )


def draw_heat(shown: Heat, path: str | Path, *, force: bool = False) -> None:
    """Write the heat map as .png or .html, which the suffix decides.

    Raises InputError for another suffix, a file that exists (without `force`), and a .png whose texts no installed font
    can write.
    """
    path = claim(path, force=force)
    with atomic_path(path) as temporary:
        if path.suffix == ".png":
            from inlay.explore.heat_picture import draw_png

            draw_png(shown, temporary)
        else:
            from inlay.explore.heat_page import page

            temporary.write_text(page(shown), encoding="utf-8")
