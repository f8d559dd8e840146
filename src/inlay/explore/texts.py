"""A map of texts: the documents of a corpus as an embedder sees them, coloured by what a column says of each."""

# N documents of the map, D dimensions

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from inlay.embed.embedder import Embedder
from inlay.errors import InputError
from inlay.evaluate.shown import text
from inlay.explore.map import PointMap
from inlay.explore.plane import MOST, PCA, Method, flat
from inlay.live import Live
from inlay.text.document import Document

_COLOURS = 8
_RANGES = 6
_NAME, _TOLD = 28, 160
"""Characters of a label, and of what a point says under the pointer."""
_BLOCK = 512


def sample(documents: Iterable[tuple[Document, str]], most: int, seed: int = 0) -> list[tuple[Document, str]]:
    """At most so many of the documents with their groups, each as likely as the others, in their order; what is not
    drawn is not held in memory (Vitter 1985, algorithm R)."""
    if not 3 <= most <= MOST:
        raise InputError(f"a map shows from 3 to {MOST:,} texts, not {most:,}; give another number")
    rng = np.random.default_rng(seed)
    kept: list[tuple[int, tuple[Document, str]]] = []
    for number, one in enumerate(documents):
        if number < most:
            kept.append((number, one))
        elif (place := int(rng.integers(0, number + 1))) < most:
            kept[place] = (number, one)
    return [one for _, one in sorted(kept, key=lambda pair: pair[0])]


def lay_out_texts(
    embedder: Embedder,
    documents: Sequence[Document],
    groups: Sequence[str] | None = None,
    *,
    method: Method = PCA,
    column: str = "",
) -> PointMap:
    """The map of the documents, by cosine; `groups` says what each is coloured by, and `column` what that is called.

    Of more than eight groups the largest seven have a colour, and the others are grey together; numbers are cut into
    ranges that hold about as many documents each. Raises InputError for fewer than three documents, for more than
    5,000, and for a method whose package is not installed.
    """
    if not 3 <= len(documents) <= MOST:
        raise InputError(f"a map shows from 3 to {MOST:,} texts, and there are {len(documents):,}; give others")
    rows = np.empty((len(documents), embedder.dim), np.float64)
    with Live("encode", len(documents), "texts") as live:
        for start in range(0, len(documents), _BLOCK):
            block = [document.full for document in documents[start : start + _BLOCK]]
            rows[start : start + len(block)] = embedder.encode(block)
            live.advance(len(block))
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    points = flat(rows / np.where(lengths > 0, lengths, 1.0), method)
    coloured, order = shades(groups) if groups is not None else (None, [])
    named = [_named(document) for document in documents]
    told = named if groups is None else [
        f"{name} · {group}" if group else name for name, group in zip(named, groups, strict=True)
    ]  # fmt: skip
    by = f", coloured by {column}" if groups is not None and column else ""
    return PointMap(
        names=[text(name, _NAME) for name in named],
        points=points,
        title=f"{len(documents):,} texts, by {method.name}{by}",
        told=told,
        groups=coloured,
        order=order,
        about="Texts with like vectors stand near each other; two dimensions cannot hold all of that.",
    )


def shades(groups: Sequence[str]) -> tuple[list[str], list[str]]:
    """What each is coloured by, and these in the order of their colours: eight at most."""
    counts = Counter(groups)
    if len(counts) > _COLOURS and (numbers := _numbers(groups)) is not None:
        return _ranges(numbers)
    names = [name for name, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))]
    if len(names) <= _COLOURS:
        return list(groups), names
    kept = set(names[: _COLOURS - 1])
    rest = f"{len(names) - len(kept):,} others"
    return [group if group in kept else rest for group in groups], [*names[: _COLOURS - 1], rest]


def _numbers(groups: Sequence[str]) -> NDArray[np.float64] | None:
    """(N,) the groups as numbers, NaN for none; None where some are no numbers."""
    try:
        numbers = np.array([float(group) if group else math.nan for group in groups])
    except ValueError:
        return None
    return None if np.isinf(numbers).any() or np.isnan(numbers).all() else numbers


def _ranges(numbers: NDArray[np.float64]) -> tuple[list[str], list[str]]:
    known = ~np.isnan(numbers)
    borders = np.unique(np.quantile(numbers[known], np.linspace(0, 1, _RANGES + 1), method="nearest"))
    which = np.clip(np.searchsorted(borders, numbers, "right") - 1, 0, max(len(borders) - 2, 0))
    order = []
    for at in range(max(len(borders) - 1, 1)):
        inside = numbers[known & (which == at)]
        order.append(f"{inside.min():g} to {inside.max():g}")
    found = [order[at] if there else "" for at, there in zip(which.tolist(), known.tolist(), strict=True)]
    return found, [*order, *([""] if not known.all() else [])]


def _named(document: Document) -> str:
    """The title, or the beginning of the text, or the id."""
    return text(document.title, _TOLD) or text(document.text[: 4 * _TOLD], _TOLD) or text(document.id, _TOLD)
