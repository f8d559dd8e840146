"""Folders of embedders: what is in them, told from their settings alone, and an encoder opened as its folder says."""

# D numbers of a row

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from inlay.convert.folder import MOST_BYTES, member
from inlay.convert.hub import locate
from inlay.embed.backend import Backend, Name, open_backend
from inlay.embed.context import ContextEmbedder, EmbedConfig
from inlay.embed.dense import Dense
from inlay.embed.folder_modules import (
    CONFIG,
    Module,
    Reading,
    read_dense,
    read_modules,
    read_normalize,
    read_pooling,
    read_prompts,
    read_reading,
)
from inlay.embed.folder_save import save_embedder as save_embedder
from inlay.embed.layers import width
from inlay.embed.static import is_static
from inlay.errors import InputError
from inlay.files import CHECKSUMS, read_json, verify_checksums

if TYPE_CHECKING:
    from inlay.tokenize.tokenizer import Tokenizer

Layout = Literal["sentence-transformers", "transformers", "model2vec"]
_RUN = "model"


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a folder holds, and how it is to be read; no weight of the Transformer was touched for it."""

    place: Path
    """The folder that was named, or the one in it that a run keeps its model in."""
    kind: Literal["encoder", "static"]
    layout: Layout
    inner: Path
    """Where weights and tokenizer lie: the folder itself, or one of its parts."""
    config: EmbedConfig
    dense: tuple[Dense, ...] = ()
    row: int | None = None
    """D, where the folder says it: what the Transformer must give."""
    lowercase: bool = False
    """Text is put into lower case before the tokenizer sees it."""
    snapshot: bool = False
    """It is a model of the hub, in the cache that all tools share."""


def read_folder(folder: str | Path) -> Parts:
    """What the folder, or the model of that name on the hub, holds.

    It is of sentence-transformers (classic or of version 6), of transformers (then the mean of the rows, brought to
    length 1), of model2vec, or one that inlay wrote: a model's, a run's (its `model`), a fit's. Raises InputError for
    modules and settings that are not read, with their names, and for damaged files; nothing is imported or unpickled.
    """
    fetched = locate(folder)
    place = _model_of(fetched.folder)
    modules = read_modules(place)
    snapshot = fetched.name is not None
    if not modules:
        if not (place / CONFIG).is_file():
            raise InputError(f"{place} is no model folder (it has no modules.json); `inlay fit` makes one")
        foreign = is_static(place)
        return Parts(
            place=place,
            kind="static" if foreign or _model_type(place) == "static" else "encoder",
            layout="model2vec" if foreign else "transformers",
            inner=place,
            config=EmbedConfig(),
            snapshot=snapshot,
        )
    if modules[0].kind == "StaticEmbedding":
        return Parts(
            place=place,
            kind="static",
            layout="sentence-transformers",
            inner=modules[0].folder,
            config=_prompted(EmbedConfig(normalize=any(one.kind == "Normalize" for one in modules)), place),
            snapshot=snapshot,
        )
    return _encoder(place, modules, snapshot)


def open_encoder(folder: str | Path | Parts, *, backend: Name = "auto", device: str | None = None) -> ContextEmbedder:
    """The encoder of a folder, or of the hub, as an embedder; files are held to their checksums where there are any.

    Raises InputError for what `read_folder` refuses, for a static model, a folder without a tokenizer, an unknown
    family, weights that are damaged or not finite, and for pooling that does not fit the rows.
    """
    parts = folder if isinstance(folder, Parts) else read_folder(folder)
    if parts.kind == "static":
        raise InputError(f"{parts.place}: is a static model, which has no encoder; open it with inlay.load")
    if parts.inner != parts.place:  # else the backend looks at every file that is listed there
        verify(parts)
    opened = open_backend(parts.inner, backend, device=device)
    check_rows(parts, opened)
    made = ContextEmbedder(tokenizer_of(parts), opened, parts.config, parts.dense)
    made.source = parts.inner
    return made


def verify(parts: Parts) -> None:
    """InputError where a file is not as it was written; what the hub's cache links to was checked when it came."""
    if not parts.snapshot and not (parts.place / CHECKSUMS).is_symlink():
        verify_checksums(parts.place)


def check_rows(parts: Parts, backend: Backend) -> None:
    """InputError where the pooling was made for rows of another length than the encoder's."""
    made = width(parts.config.layer, backend.dim)
    if parts.row is not None and parts.row != made:
        raise InputError(
            f"{parts.place}: the pooling is made for rows of {parts.row} numbers, the Transformer gives {made}; "
            "they are of different models, copy the folder again"
        )


def tokenizer_of(parts: Parts) -> "Tokenizer":
    """The tokenizer of a folder; in lower case where the folder says so and the tokenizer does not do it already."""
    from inlay.tokenize.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(parts.inner)
    if not parts.lowercase:
        return tokenizer
    tree = tokenizer.tree()
    before = tree.get("normalizer")
    listed = before["normalizers"] if before and before["type"] == "Sequence" else [before] if before else []
    if any(one["type"] == "Lowercase" or one.get("lowercase") for one in listed):
        return tokenizer
    return tokenizer.rebuilt(
        tree | {"normalizer": {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, *listed]}}
    )


def _model_of(folder: Path) -> Path:
    """The folder itself, or the model in the folder of a run."""
    inside = folder / _RUN
    bare = not (folder / CONFIG).is_file() and not (folder / "modules.json").is_file()
    return inside if bare and (inside / CONFIG).is_file() else folder


def _model_type(folder: Path) -> Any:
    tree = read_json(member(folder, CONFIG), most=MOST_BYTES)
    return tree.get("model_type") if isinstance(tree, dict) else None


def _encoder(place: Path, modules: list[Module], snapshot: bool) -> Parts:
    """A Transformer, a Pooling, and then any number of Dense layers and at the end a Normalize."""
    names = ", ".join(module.kind for module in modules)
    after = [module for module in modules[2:] if module.kind != "Dropout"]
    while len(after) > 1 and after[-1].kind == after[-2].kind == "Normalize":
        after.pop()
    normalize = bool(after) and after[-1].kind == "Normalize"
    layers = after[:-1] if normalize else after
    fits = [module.kind for module in modules[:2]] == ["Transformer", "Pooling"]
    if not fits or any(module.kind != "Dense" for module in layers):
        raise InputError(
            f"{place / 'modules.json'}: lists {names}; what is read is a Transformer, a Pooling, any number of Dense, "
            "and perhaps a Normalize, in this order, or a StaticEmbedding"
        )
    if normalize:
        read_normalize(after[-1].folder)
    pooling = read_pooling(modules[1].folder)
    dense = tuple(read_dense(module.folder) for module in layers)
    size = pooling.dim * len(pooling.pools)
    for module, layer in zip(layers, dense, strict=True):
        if layer.size[0] != size:
            raise InputError(
                f"{module.folder}: takes {layer.size[0]} numbers, and is given {size}; copy the folder again"
            )
        size = layer.size[1]
    reading: Reading = read_reading(modules[0].folder)
    config = EmbedConfig(
        pools=pooling.pools,
        normalize=normalize,
        max_length=reading.max_length,
        pool_prompt=pooling.include_prompt,
        layer=pooling.layer,
    )
    return Parts(
        place=place,
        kind="encoder",
        layout="sentence-transformers",
        inner=modules[0].folder,
        config=_prompted(config, place, size),
        dense=dense,
        row=pooling.dim,
        lowercase=reading.lowercase,
        snapshot=snapshot,
    )


def _prompted(config: EmbedConfig, place: Path, size: int | None = None) -> EmbedConfig:
    """The config with the model's prompts, and the dimensions that it keeps."""
    said = read_prompts(place)
    if said.dim is not None and size is not None and said.dim > size:
        raise InputError(f"{place}: truncate_dim={said.dim}, but a vector has {size} numbers; take it out")
    return replace(config, prompts=dict(said.texts), default_prompt=said.default, dim=said.dim, long=said.long)
