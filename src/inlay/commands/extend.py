"""inlay tokenizer extend: words of the user's text as tokens of their own, in a tokenizer or in a model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from inlay.commands import show
from inlay.commands.options import Force, Json, Seed, reads_corpus
from inlay.text.document import CorpusConfig

if TYPE_CHECKING:
    from inlay.model.grow import Start

_MODEL = ("config.json", "modules.json")


@reads_corpus
def extend(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", show_default=False, help="A tokenizer's folder, or a model's, which grows too."),
    ],
    *,
    on: Annotated[
        list[str],
        typer.Option(metavar="SOURCE", show_default=False, help="Where to look for words: as for train. Repeatable."),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", show_default=False, help="The folder to write.")],
    words: Annotated[int, typer.Option(metavar="N", min=1, help="Words to add at most.")] = 1000,
    min_count: Annotated[int, typer.Option(metavar="N", min=1, help="Leave out words that occur less often.")] = 5,
    numbers: Annotated[bool, typer.Option("--numbers", help="Take words without a letter too.")] = False,
    addresses: Annotated[bool, typer.Option("--addresses", help="Take what stands in URLs too.")] = False,
    start: Annotated[
        Literal["pieces", "vectors", "mean"] | None,
        typer.Option(show_default="pieces", help="What a model's new rows start from."),
    ] = None,
    vectors: Annotated[
        Path | None, typer.Option(metavar="FILE", show_default=False, help="Word vectors, for --start vectors.")
    ] = None,
    seed: Seed = 0,
    force: Force = False,
    json: Json = False,
    corpus: CorpusConfig,
) -> None:
    """Add the words of a text to a tokenizer.

    Frequent words that are cut into many pieces become tokens of the vocabulary itself; old ids stay. A model gets a
    row for each, and gives the same as before for texts without new words. Every tenth document is held out to tell
    what is saved elsewhere.

    Examples:
    inlay tokenizer extend minilm --on medline --out minilm-medical --words 2000
    inlay tokenizer extend bert --on notes/ --out bert-notes --start vectors --vectors notes.safetensors
    """
    from inlay.errors import InputError
    from inlay.files import atomic_folder, claim_output
    from inlay.text.corpus import Corpus
    from inlay.tokenize.extend import Extend
    from inlay.tokenize.extend import extend as extended
    from inlay.tokenize.tokenizer import Tokenizer

    has_model = any((folder / name).is_file() for name in _MODEL)
    begin = _start(start, vectors)
    if begin is not None and not has_model:
        raise InputError(f"{folder}: is a tokenizer without a model, so no row starts from {start}; leave --start out")
    claim_output(out, force=force, whole=has_model)
    config = Extend(words=words, min_count=min_count, numbers=numbers, addresses=addresses)
    texts = Corpus(*on, config=corpus).texts()
    told: dict[str, Any] = {"out": str(out)}
    if has_model:
        from inlay.convert import load_pair, save_model
        from inlay.convert.convert import SAME
        from inlay.model.grow import grow

        model, tokenizer = load_pair(folder, dtype=SAME)
        extension = extended(tokenizer, texts, config)
        model, growth = grow(model, extension, begin, seed=seed)
        save_model(model, out, tokenizer=extension.tokenizer, force=force)
        beside = (model.source or {}).get("left_out", []) + (model.source or {}).get("beside", [])
        told |= extension.to_dict() | {"model": growth.to_dict(), "left_out": beside}
        lines = [str(extension), f"model       {growth}", *([f"left out    {', '.join(beside)}"] if beside else [])]
    else:
        extension = extended(Tokenizer.load(folder), texts, config)
        if out.exists():
            extension.tokenizer.save(out)  # its own files alone: what else is there stays
        else:
            with atomic_folder(out) as part:
                extension.tokenizer.save(part)
        told |= extension.to_dict()
        lines = [str(extension)]
    if json:
        show.tree(told)
    else:
        show.line(show.running("\n".join(lines)))


def _start(start: str | None, vectors: Path | None) -> "Start | None":
    """What was asked for new rows; None: nothing was."""
    from inlay.errors import InputError

    if start is None and vectors is None:
        return None
    if (start == "vectors") != (vectors is not None):
        raise InputError("--start vectors and --vectors FILE go together; give both, or neither")
    if vectors is not None and not vectors.is_file():
        raise InputError(f"{vectors}: no such file of word vectors")  # now, and not when the text has been read
    from inlay.model.grow import FromMean, FromPieces, FromVectors

    if vectors is not None:
        return FromVectors(vectors)
    return FromPieces() if start == "pieces" else FromMean()
