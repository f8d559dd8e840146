"""`inlay vectors convert`: from one file format to another, smaller, or through a pipe."""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from inlay.commands import show
from inlay.commands.options import Force, Json
from inlay.errors import InputError

if TYPE_CHECKING:
    from inlay.vectors.wordvectors import WordVectors

Format = Literal["word2vec", "glove", "fasttext", "safetensors"]
_PIPED = ("word2vec", "glove")


def convert(
    source: Annotated[
        Path, typer.Argument(metavar="IN", show_default=False, help="A file of word vectors; '-' is stdin.")
    ],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", show_default=False, help="X.safetensors, .txt, .vec or .bin; '-' is text on stdout."
        ),
    ],
    format: Annotated[
        Format | None, typer.Option(show_default="by the suffix", help="Where a suffix has several formats.")
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="Numbers of two bytes; .safetensors alone.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="Numbers of one byte; .safetensors alone.")] = False,
    top: Annotated[
        int | None, typer.Option(metavar="N", show_default="all", help="Only the most frequent words.")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write word vectors in another format.

    What IN is, its content tells: safetensors, word2vec text or binary, GloVe, fastText. A .safetensors keeps all there
    is, fastText's .bin all of fastText vectors; the other formats keep words and vectors alone.

    Examples:
    inlay vectors convert vectors.bin vectors.safetensors --half --top 100000
    inlay vectors convert vectors.safetensors - --format glove > vectors.txt
    """
    from inlay.vectors import formats

    piped = str(out) == "-"
    if half and int8:
        raise InputError("--half and --int8 are two sizes; give one of them")
    if (half or int8) and out.suffix != ".safetensors":
        raise InputError(f"{out}: only .safetensors keeps {'--half' if half else '--int8'} numbers; name it so")
    if piped and json:
        raise InputError("--json and OUT '-' both write to stdout; give one of them")
    if piped and format not in (None, *_PIPED):
        raise InputError(f"stdout takes text alone, word2vec or glove, not {format}; name a file")
    if top is not None and top < 1:
        raise InputError(f"--top {top} must be at least 1")
    if not piped:
        formats.claim(out, force=force)
    with _given(source) as path:
        vectors = _first(path, top)
        if half or int8:
            vectors = vectors.packed("half" if half else "int8")
        if piped:
            _write_to_stdout(vectors, format)
            return
        vectors.save(out, format=format, force=force)
    if json:
        show.tree({"out": str(out), "words": len(vectors), "dim": vectors.dim, "megabytes": out.stat().st_size / 1e6})
    else:
        show.line(f"{len(vectors):,} words of {vectors.dim} dimensions in {out}, {out.stat().st_size / 1e6:,.1f} MB")


@contextlib.contextmanager
def _given(source: Path) -> Iterator[Path]:
    """The file; for '-' one that holds what came from stdin, as long as the block runs."""
    if str(source) != "-":
        yield source
        return
    if sys.stdin is None:
        raise InputError("stdin is closed; pipe vectors into it, or name a file")
    with tempfile.TemporaryDirectory(prefix="inlay-") as folder:
        path = Path(folder) / "stdin"
        with open(path, "wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        if not path.stat().st_size:
            raise InputError("stdin is empty; pipe vectors into it, or name a file")
        yield path


def _first(path: Path, top: int | None) -> "WordVectors":
    """The vectors, or those of the first words: files are in the order of frequency."""
    from dataclasses import replace

    import numpy as np

    from inlay.vectors.wordvectors import WordVectors

    vectors = WordVectors.load(path)
    if top is None or top >= len(vectors):
        return vectors
    subwords = vectors.subwords
    if subwords is not None:
        buckets = subwords.inputs[len(vectors) :]
        subwords = replace(subwords, inputs=np.concatenate([subwords.inputs[:top], buckets]))
    counts, context = vectors.counts, vectors.context
    return WordVectors(
        vectors.words[:top],
        vectors.matrix[:top],
        None if counts is None else counts[:top],
        None if context is None else context[:top],
        subwords,
    )


def _write_to_stdout(vectors: "WordVectors", format: Format | None) -> None:
    with tempfile.TemporaryDirectory(prefix="inlay-") as folder:
        path = Path(folder) / "stdout.txt"
        vectors.save(path, format=format)
        with open(path, "rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
    sys.stdout.flush()
