"""inlay convert: a model's folder, or a model of the hub, in another layout or another precision."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from inlay.commands import show
from inlay.commands.options import Force, Json

if TYPE_CHECKING:
    from inlay.model.model import Model
    from inlay.tokenize.tokenizer import Tokenizer

_TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model")


def convert(
    source: Annotated[
        str,
        typer.Argument(metavar="DIR", show_default=False, help="A model's folder, or a name on the hub: owner/model."),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", show_default=False, help="The folder to write.")],
    to: Annotated[
        str | None,
        typer.Option(
            metavar="FAMILY", show_default="as it is", help="The layout: bert, roberta, ..., or inlay, which holds all."
        ),
    ] = None,
    dtype: Annotated[
        Literal["float32", "float16", "bfloat16"] | None,
        typer.Option(show_default="as they are", help="The precision of the weights."),
    ] = None,
    head: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", show_default="all", help="A head to keep, can be repeated; 'none' keeps none."),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", show_default=False, help="Tensors to leave out, such as 'classifier.*'."),
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write a model in another layout or precision.

    DIR is of transformers, of sentence-transformers, or of inlay; its tokenizer goes with it. Weights must be
    safetensors; every one of them is used, or named: nothing is lost in silence, and nothing that came with a model is
    run. What is written in the layout of a family is read by transformers.

    Examples:
    inlay convert sentence-transformers/all-MiniLM-L6-v2 minilm
    inlay convert bert-base-chinese bert-zh --dtype bfloat16 --head none
    """
    from dataclasses import replace

    from inlay.convert import load_model, save_model
    from inlay.convert.convert import OWN, SAME
    from inlay.convert.folder import transformer_folder
    from inlay.convert.hub import locate
    from inlay.errors import InputError
    from inlay.files import claim_output
    from inlay.tokenize.tokenizer import Tokenizer

    claim_output(out, force=force, whole=True)
    fetched = locate(source)
    folder = transformer_folder(fetched.folder)
    if head and "none" in head and set(head) != {"none"}:
        raise InputError(f"--head none keeps no head, beside {len(head) - 1} to be kept; leave it out, or the others")
    heads = None if not head else [name for name in head if name != "none"]
    model = load_model(fetched, heads=heads, dtype=dtype or SAME, ignore=ignore or ())
    tokenizer = Tokenizer.load(folder) if any((folder / name).is_file() for name in _TOKENIZERS) else None
    if to is not None:
        model.config = replace(model.config, family="" if to == OWN else to)
    save_model(model, out, tokenizer=tokenizer, force=force)
    read = f"{fetched.name}@{fetched.revision}" if fetched.name else str(fetched.folder)
    told = {"read": read, **_told(model, tokenizer, out)}
    if json:
        show.tree(told)
    else:
        show.facts({key: _shown(value) for key, value in told.items()})


def _told(model: "Model", tokenizer: "Tokenizer | None", out: Path) -> dict[str, Any]:
    from inlay.convert.convert import OWN
    from inlay.convert.families import UNSHARED

    source, config = model.source or {}, model.config
    return {
        "out": str(out),
        "layout": OWN if config.family in UNSHARED else config.family,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
        "heads": [head.name for head in config.heads],
        "tokens": tokenizer.size if tokenizer else None,
        "left out": source.get("left_out", []) + source.get("beside", []),
        "megabytes": round(sum(file.stat().st_size for file in out.rglob("*") if file.is_file()) / 1e6, 1),
    }


def _shown(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:,.1f}"
    if isinstance(value, list):
        return ", ".join(value[:8]) + (f" and {len(value) - 8} more" if len(value) > 8 else "") or "nothing"
    return "no tokenizer" if value is None else value
