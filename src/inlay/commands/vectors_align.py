"""`inlay vectors align`: two trainings compared, of two corpora or two periods."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from inlay.commands import show
from inlay.commands.options import Force, Json, K

_NEIGHBOURS = 5
"""Neighbours of a word that are shown."""


def align(
    first: Annotated[Path, typer.Argument(metavar="A", show_default=False, help="A file of word vectors.")],
    second: Annotated[Path, typer.Argument(metavar="B", show_default=False, help="Another, of the same length.")],
    *,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", show_default=False, help="Write A here, turned to lie over B.")
    ] = None,
    top: Annotated[
        int, typer.Option(metavar="N", min=1, help="Shared words, the most frequent, whose change is measured.")
    ] = 5000,
    k: K = 10,
    force: Force = False,
    json: Json = False,
) -> None:
    """Compare two spaces, and show the words that changed most.

    A is turned to lie over B by the best rotation (orthogonal Procrustes), which keeps all cosines within A. A word has
    changed as far as its similarities to its neighbours have, from 0 to 2; that needs no rotation.

    Examples:
    inlay vectors align before.safetensors after.safetensors
    inlay vectors align ours.bin general.bin --out turned.safetensors --top 2000 -k 20 --json
    """
    from inlay.vectors import formats, geometry
    from inlay.vectors.wordvectors import WordVectors

    if out is not None:
        formats.claim(out, force=force)
    a, b = WordVectors.load(first), WordVectors.load(second)
    found = geometry.align(a, b)
    changed = geometry.drift(a, b, top=top)[:k]
    if out is not None:
        found.apply(a).save(out, force=force)
    if json:
        fit = {"pairs": found.pairs, "before": found.before, "after": found.after}
        show.tree(({"out": str(out)} if out else {}) | fit | {"changed": [asdict(one) for one in changed]})
        return
    show.line(f"{found.pairs:,} shared words; mean cosine {found.before:.3f}, after the rotation {found.after:.3f}")
    rows = [
        (one.word, one.change, *(" ".join(near[:_NEIGHBOURS]) for near in (one.neighbours, one.neighbours_after)))
        for one in changed
    ]
    show.table(["word", "change", f"near it in {first.name}", f"in {second.name}"], rows)
    if out is not None:
        show.line(f"{len(a):,} words of {first.name}, turned, in {out}")
