"""`inlay vectors map`: a picture of words."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from inlay.commands import show
from inlay.commands.options import Force, Json, Seed, Vectors, as_utf8
from inlay.commands.vectors import note_unseen
from inlay.errors import InputError
from inlay.live import say


def draw_map(
    file: Vectors,
    *,
    out: Annotated[Path, typer.Option(metavar="FILE", show_default=False, help="X.html, or X.png.")],
    words: Annotated[
        str | None, typer.Option(metavar="A,B,...", show_default="the most frequent", help="The words to show.")
    ] = None,
    top: Annotated[
        int | None, typer.Option(metavar="N", show_default="300", help="How many of the most frequent to show.")
    ] = None,
    method: Annotated[
        Literal["pca", "tsne", "umap"],
        typer.Option(help="pca: where words differ most, at once; tsne, umap: neighbours together, in seconds."),
    ] = "pca",
    seed: Seed = 0,
    force: Force = False,
    json: Json = False,
) -> None:
    """Draw a map of words, alike ones near each other.

    The .html is one file that can be enlarged and searched, and needs nothing else. Labels that would cover others are
    left out until there is room; words given by --words all have theirs. tsne, umap, .png: pip install 'inlay[viz]'.

    Examples:
    inlay vectors map vectors.safetensors --method tsne --out map.html
    inlay vectors map vectors.txt --words 北京,上海,猫,狗,红茶,绿茶 --out map.png
    """
    from inlay.explore.map import claim, draw, lay_out
    from inlay.explore.plane import method_of
    from inlay.vectors.wordvectors import WordVectors

    if words is not None and top is not None:
        raise InputError("--words and --top are two ways to choose; give one of them")
    claim(out, force=force)
    listed = None if words is None else as_utf8(words).replace("，", ",").split(",")
    chosen = None if listed is None else [word for word in map(str.strip, listed) if word]
    vectors = WordVectors.load(file)
    note_unseen(vectors, chosen or ())
    found = lay_out(
        vectors,
        chosen,
        top=300 if top is None else top,
        method=method_of(method, seed),
    )
    labels = draw(found, out, force=force)
    if json:
        show.tree({"out": str(out), "words": len(found.names), "labels": labels, "method": method})
        return
    show.line(f"{len(found.names):,} words in {out}")
    if labels < len(found.names):
        say(f"note: {labels:,} of them have their label; for the others there is no room")
