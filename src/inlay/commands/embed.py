"""`inlay embed`: a corpus into a file of vectors, whatever makes them."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from inlay.commands import show
from inlay.commands.options import Force, Json, Resume, reads_corpus, resumable
from inlay.text.document import CorpusConfig

if TYPE_CHECKING:
    from inlay.embed.embedder import Embedder

LongText = Literal["head", "tail", "both", "windows", "late-chunks"]


@reads_corpus
def embed(
    folder: Annotated[
        str,
        typer.Argument(
            metavar="DIR",
            show_default=False,
            help="A model's folder, a name on the hub (owner/model), or a file of word vectors.",
        ),
    ],
    sources: Annotated[
        list[str],
        typer.Argument(metavar="INPUT", show_default=False, help="Files, folders, globs, '-' or data sets."),
    ],
    *,
    out: Annotated[
        Path,
        typer.Option(metavar="FILE", show_default=False, help="X.npy, X.parquet or X.jsonl; the suffix is the format."),
    ],
    prompt: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default="the model's own",
            help="The prompt before each text: one of the model's, or query or document.",
        ),
    ] = None,
    dim: Annotated[
        int | None,
        typer.Option(metavar="N", show_default="all", help="Keep the first N dimensions, of length 1 again."),
    ] = None,
    long: Annotated[
        LongText | None,
        typer.Option(
            show_default="as the model says, else head",
            help="What is read of a text that does not fit: its head, tail or both, or all of it piece by piece.",
        ),
    ] = None,
    on_drop: Annotated[
        Literal["report", "error"], typer.Option(help="Tokens that do not fit are counted, or end the command.")
    ] = "report",
    backend: Annotated[
        Literal["auto", "lean", "torch"], typer.Option(help="What runs an encoder; auto takes the faster on a CPU.")
    ] = "auto",
    device: Annotated[
        str | None, typer.Option(metavar="NAME", show_default="the CPU", help="Where torch runs it, such as cuda.")
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Let no bit of a vector depend on the batch size, at some cost in speed.")
    ] = False,
    batch_size: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Texts at a time; with an encoder it may change how a vector is rounded."
        ),
    ] = 1024,
    resume: Resume = False,
    force: Force = False,
    json: Json = False,
    corpus: CorpusConfig,
) -> None:
    """Write a vector for each document.

    The output has exactly one row for each document, in their order.
    .parquet and .jsonl hold id and vector; .npy holds the vectors, and the ids stand in X.ids.jsonl beside it. A text
    without a known word has the vector zero; tokens that do not fit into an encoder are counted in the line at the end.
    Memory stays flat however long the input is; a run that broke off goes on with --resume to the same bytes.

    Examples:
    inlay embed model articles.jsonl --out articles.parquet
    inlay embed sentence-transformers/all-MiniLM-L6-v2 notes/ --unit paragraph --long windows --out notes.npy --resume
    """
    from inlay.embed.embedder import load
    from inlay.embed.store import embed_file
    from inlay.text.corpus import Corpus

    documents = Corpus(*sources, config=corpus)
    embedder = _reading(load(folder, backend=backend, device=device), long)
    with resumable("give the same command with --resume to go on"):
        report = embed_file(
            embedder,
            documents,
            out,
            batch_size=batch_size,
            dim=dim,
            prompt=prompt,
            on_drop=on_drop,
            exact=exact,
            resume=resume,
            force=force,
        )
    if json:
        show.tree({"out": str(out), **asdict(report)})
    else:
        show.line(report.line())


def _reading(embedder: "Embedder", long: LongText | None) -> "Embedder":
    """The same, that does with long texts what was asked for; to a model that reads all of every text it is nothing."""
    from inlay.embed.context import ContextEmbedder
    from inlay.embed.long import LateChunks, Long, Truncate, Windows

    if long is None or not isinstance(embedder, ContextEmbedder):
        return embedder
    how: dict[str, Long] = {"windows": Windows(), "late-chunks": LateChunks()}
    return embedder.changed(long=how.get(long) or Truncate(keep=long))  # type: ignore[arg-type]
