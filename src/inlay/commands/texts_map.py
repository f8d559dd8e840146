"""`inlay map`: a picture of texts as a model sees them."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from inlay.commands import show
from inlay.commands.options import Force, Json, Seed, reads_corpus
from inlay.errors import InputError
from inlay.live import say
from inlay.text.document import CorpusConfig

if TYPE_CHECKING:
    from inlay.text.corpus import Corpus
    from inlay.text.document import Document


@reads_corpus
def draw_map(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", show_default=False, help="A model folder, or a file of word vectors.")
    ],
    sources: Annotated[
        list[str],
        typer.Argument(metavar="INPUT", show_default=False, help="Files, folders, globs, '-' or data sets."),
    ],
    *,
    out: Annotated[Path, typer.Option(metavar="FILE", show_default=False, help="X.html, or X.png.")],
    colour: Annotated[
        str | None,
        typer.Option("--colour", "--color", metavar="NAME", show_default=False, help="Field or column to colour by."),
    ] = None,
    method: Annotated[
        Literal["pca", "tsne", "umap"],
        typer.Option(help="pca: where texts differ most, at once; tsne, umap: neighbours together, in seconds."),
    ] = "pca",
    top: Annotated[int, typer.Option(metavar="N", help="Texts at most; of more a sample is drawn.")] = 1000,
    heat: Annotated[
        bool, typer.Option("--heat", help="A table of the cosines of each two texts instead: 120 texts at most.")
    ] = False,
    seed: Seed = 0,
    force: Force = False,
    json: Json = False,
    corpus: CorpusConfig,
) -> None:
    """Draw a map of texts, alike ones near each other.

    The .html is one file that can be enlarged and searched, tells a text under the pointer, and needs nothing else.
    --colour reads a column beside the text: of more than eight values the most frequent have a colour, and numbers are
    cut into ranges. tsne, umap and .png need: pip install 'inlay[viz]'.

    Examples:
    inlay map model articles.jsonl --colour topic --method umap --out map.html
    inlay map model questions.txt --unit line --heat --out heat.png
    """
    from inlay.embed.embedder import load
    from inlay.explore.map import claim, draw
    from inlay.explore.plane import method_of
    from inlay.explore.texts import lay_out_texts, sample
    from inlay.text.corpus import Corpus

    claim(out, force=force)
    if heat:
        if colour is not None:
            raise InputError(f"--colour {colour} is of a map; --heat has its colours from the cosines")
        _draw_heat(folder, Corpus(*sources, config=corpus), out, force, json)
        return
    kept = sample(_with_colours(sources, corpus, colour), top, seed)
    found = lay_out_texts(
        load(folder),
        [document for document, _ in kept],
        None if colour is None else [group for _, group in kept],
        method=method_of(method, seed % 2**32),
        column=colour or "",
    )
    labels = draw(found, out, force=force)
    if json:
        show.tree(
            {
                "out": str(out),
                "texts": len(found.names),
                "labels": labels,
                "method": method,
                "groups": list(found.order),
            }
        )
    else:
        show.line(f"{len(found.names):,} texts in {out}")


def _draw_heat(folder: Path, corpus: "Corpus", out: Path, force: bool, json: bool) -> None:
    from itertools import islice

    from inlay.embed.embedder import load
    from inlay.explore.heat import MOST, draw_heat, similarities

    documents = list(islice(corpus, MOST + 1))
    if len(documents) > MOST:
        raise InputError(f"--heat shows {MOST} texts at most, and there are more; give fewer, or draw a map without it")
    found = similarities(load(folder), [d.full for d in documents], [d.title or d.text for d in documents])
    draw_heat(found, out, force=force)
    if json:
        show.tree({"out": str(out), "names": found.names, "cosines": found.values.round(6).tolist()})
    else:
        show.line(f"{len(documents)} texts in {out}")


def _with_colours(sources: list[str], config: CorpusConfig, colour: str | None) -> "Iterator[tuple[Document, str]]":
    """The documents, each with what the column says of it."""
    from dataclasses import replace

    from inlay.text.corpus import Corpus

    corpus = Corpus(*sources, config=config)
    if colour is None:
        yield from ((document, "") for document in corpus)
        return
    if "-" in sources:
        raise InputError("--colour reads the input twice, which stdin cannot be; write it to a file first")
    # The column is read as if it were the title: that is how every format gives it.
    beside = Corpus(*sources, config=replace(config, title_field=colour))
    try:
        empty = True
        for document, coloured in zip(corpus, beside, strict=True):
            empty = empty and not coloured.title
            yield document, coloured.title
    except InputError as error:
        raise InputError(str(error).replace("--title-field", "--colour")) from None
    if empty:
        say(f"note: no text has anything in {colour!r}; plain text has no columns")
