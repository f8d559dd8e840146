"""`inlay info`: what a folder or a file holds, told without running it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inlay.commands import show
from inlay.commands.options import Json
from inlay.errors import InputError

if TYPE_CHECKING:
    from inlay.embed.context import ContextEmbedder
    from inlay.embed.folder import Parts


def info(
    path: Annotated[
        str,
        typer.Argument(
            metavar="DIR|FILE",
            show_default=False,
            help="A model's folder, a name on the hub (owner/model), or a file of word vectors.",
        ),
    ],
    json: Json = False,
) -> None:
    """Show what a model holds and how good it is.

    Of an encoder: its family, layers and dimensions, how its rows become a vector, how long texts may be and what
    becomes of longer ones, its prompts, and which backend would run it. Every file that has a checksum is compared
    with it.

    Examples:
    inlay info sentence-transformers/all-MiniLM-L6-v2
    inlay info vectors.safetensors --json
    """
    known = _file_info(Path(path)) if Path(path).is_file() else _folder_info(path)
    fitted = known.pop("fitted", None)
    if json:
        show.tree(known | ({"ladder": fitted["ladder"], "choice": fitted["choice"]} if fitted else {}))
        return
    show.facts({name.replace("_", " "): value for name, value in known.items()})
    if fitted:
        show.line()
        show.ladder(fitted)
        show.line()
        show.choice(fitted)


def _file_info(path: Path) -> dict[str, Any]:
    from inlay.vectors.wordvectors import WordVectors

    vectors = WordVectors.load(path)
    return {
        "path": str(path),
        "kind": "word vectors",
        "words": len(vectors),
        "dim": vectors.dim,
        "megabytes": path.stat().st_size / 1e6,
        "with_counts": vectors.counts is not None,
        "with_context": vectors.context is not None,
        "with_ngrams": vectors.subwords is not None,
    }


def _folder_info(name: str) -> dict[str, Any]:
    from inlay.embed.embedder import is_hub_name
    from inlay.embed.folder import read_folder
    from inlay.embed.static import StaticEmbedder

    if not Path(name).exists() and not is_hub_name(name):
        raise InputError(f"{name}: no such model folder or vector file; `inlay fit SOURCE --out {name}` makes one")
    parts = read_folder(name)
    path = parts.place
    if parts.kind == "encoder":
        known = _encoder_info(parts) | _files_info(path)
    else:
        model = StaticEmbedder.load(path)
        known = {"path": str(path), "kind": "static model", "dim": model.dim, "tokens": len(model.table)}
        known |= _files_info(path)
    fitted = _fitted(path)
    if fitted:
        data = fitted["data"]
        known |= {"language": fitted["lang"], "sources": ", ".join(data["sources"]), "documents": data["documents"]}
        known["fitted"] = fitted
    return known


def _fitted(path: Path) -> dict[str, Any] | None:
    """What fit measured, where the folder is of a fit."""
    from inlay.files import read_json

    # What other commands save has an inlay.json too; a fit's has a search beside it.
    file = path / "inlay.json"
    if not file.is_file() or not (path / "search").is_dir():
        return None
    tree = read_json(file)
    keys = ("lang", "data", "held_out", "ladder", "choice")
    if not isinstance(tree, dict) or not all(tree.get(key) for key in keys):
        raise InputError(f"{file}: lacks one of {', '.join(keys)}; copy it again or fit the model anew")
    return tree


def _encoder_info(parts: "Parts") -> dict[str, Any]:
    """What the settings and the headers of the weights tell, and how the encoder would be run as an embedder."""
    from inlay.convert import read_config
    from inlay.embed.folder import open_encoder
    from inlay.model.budget import count

    model = read_config(parts.inner)
    stacks = [stack for stack in (model.encoder, model.decoder) if stack is not None]
    known = {
        "path": str(parts.place),
        "kind": "Transformer" if parts.layout == "transformers" else "encoder",
        "layout": parts.layout,
        "family": model.family,
        "parameters": count(model),
        "layers": " + ".join(str(stack.n_layers) for stack in stacks),
        "dim": model.d_model,
        "tokens": model.vocab_size,
        "heads": ", ".join(head.name for head in model.heads) or "none",
    }
    try:
        embedder = open_encoder(parts)
    except InputError as error:
        if parts.layout != "transformers":
            raise
        return known | {"embeds": f"no: {error}"}
    return known | _embedder_info(embedder)


def _embedder_info(embedder: "ContextEmbedder") -> dict[str, Any]:
    config = embedder.config
    prompts = {name: text for name, text in config.prompts.items() if text}
    return {
        "dim": embedder.dim,
        "pooling": ", ".join(_said(pool) for pool in config.pools) + ("" if config.pool_prompt else ", not of prompts"),
        "of_layer": _said(config.layer),
        "dense": ", ".join(f"{one.size[0]} to {one.size[1]}, {one.activation}" for one in embedder.dense) or "none",
        "normalized": config.normalize,
        "max_length": embedder.max_length,
        "longer_texts": _said(config.long),
        "prompts": ", ".join(f"{name}: {text!r}" for name, text in prompts.items()) or "none",
        "default_prompt": config.default_prompt or "none",
        "backend": embedder.backend.name,
    }


def _said(part: object) -> str:
    """A part as it is written, such as Windows(stride=128); the usual ones in words."""
    from inlay.embed.layers import At
    from inlay.embed.long import Truncate
    from inlay.model.literal import literal

    if isinstance(part, At):
        return "the last" if part.layer == -1 else str(part.layer)
    if isinstance(part, Truncate):
        return f"cut, {part.keep} kept" if part.keep != "both" else "cut in the middle"
    return literal(part).removesuffix("()")


def _files_info(path: Path) -> dict[str, Any]:
    from inlay.files import CHECKSUMS, verify_checksums

    checked = sum(verify_checksums(file.parent) for file in sorted(path.rglob(CHECKSUMS)))
    return {
        "megabytes": sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 1e6,
        "checksums": f"{checked} files as written" if checked else "none to compare with",
    }
