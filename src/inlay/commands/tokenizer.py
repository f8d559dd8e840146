"""`inlay tokenizer train` and `encode`."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from inlay.commands import show
from inlay.commands.options import Force, Json, Sources, reads_corpus
from inlay.text.document import CorpusConfig

Kind = Literal["wordpiece", "bpe", "unigram", "bytebpe", "bytes", "characters", "words"]


@reads_corpus
def train(
    sources: Sources,
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", show_default=False, help="Folder of the tokenizer.")],
    kind: Annotated[Kind, typer.Option(help="How texts are cut.")] = "wordpiece",
    size: Annotated[
        int | None, typer.Option(metavar="N", show_default="16000", help="Tokens at most; bytes has no choice.")
    ] = None,
    assign: Annotated[
        list[str],
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of the kind, such as lowercase=false. Repeatable."),
    ] = [],  # noqa: B006 - typer reads it, nobody writes
    force: Force = False,
    json: Json = False,
    corpus: CorpusConfig,
) -> None:
    """Learn a tokenizer from text.

    One pass over the text; the result is a tokenizer.json that other tools read too.

    Examples:
    inlay tokenizer train docs/ --kind wordpiece --size 16000 --out tokenizer
    inlay tokenizer train zh-retrieval-derived-drcd-test --kind characters --out tokenizer
    """
    from inlay.config import from_tree, parse_assignments
    from inlay.files import atomic_folder, claim_output
    from inlay.text.corpus import Corpus
    from inlay.tokenize.kinds import KINDS, TokenizerConfig
    from inlay.tokenize.tokenizer import Tokenizer

    names = {name.lower(): name for name in KINDS}
    tree: dict[str, Any] = parse_assignments(assign) | {"kind": names[kind]}
    config: TokenizerConfig = from_tree(TokenizerConfig, tree if size is None else tree | {"size": size})  # type: ignore[arg-type]
    claim_output(out, force=force)
    tokenizer = Tokenizer.train(Corpus(*sources, config=corpus).texts(), config)
    if out.exists():
        tokenizer.save(out)  # its own files alone: what else is there stays
    else:
        with atomic_folder(out) as folder:
            tokenizer.save(folder)
    if json:
        show.tree({"out": str(out), "kind": kind, "size": tokenizer.size})
    else:
        show.line(f"{tokenizer.size:,} tokens in {out}")


def encode(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", show_default=False, help="A tokenizer or model folder, or a tokenizer.json."),
    ],
    text: Annotated[str, typer.Argument(metavar="TEXT", show_default=False, help="The text to cut.")],
    max_length: Annotated[
        int | None, typer.Option(metavar="N", min=1, show_default="no limit", help="Cut off what is longer.")
    ] = None,
    json: Json = False,
) -> None:
    """Show the tokens of a text.

    Prints each token with its id, and how many were cut off.

    Examples:
    inlay tokenizer encode tokenizer "Where do words end?"
    inlay tokenizer encode model "a long text" --max-length 2 --json
    """
    from inlay.tokenize.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(folder)
    batch = tokenizer.encode([text], max_length=max_length)
    ids = [int(number) for number in batch.ids]
    tokens = tokenizer.tokens(text)[: len(ids)]
    cut = int(batch.cut[0])
    if json:
        show.tree({"tokens": tokens, "ids": ids, "cut": cut})
        return
    show.table(["token", "id"], [(token, str(number)) for token, number in zip(tokens, ids, strict=True)])
    show.line(f"{len(ids):,} tokens, {cut:,} cut off")
