"""The Embedder contract, where static and contextual models meet, and `load`, which opens whatever is on disk."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from inlay.embed.backend import Name

# N texts, D dimensions

_FILES = (".txt", ".vec", ".bin", ".safetensors", ".gz", ".npy")


@dataclass(frozen=True, kw_only=True)
class EncodeReport:
    """What became of the texts of one `encode` call: nothing is left out in silence."""

    texts: int
    tokens: int
    """Tokens that were read, each once; the special ones and a prompt's are not counted."""
    dropped: int
    """Tokens that were not read because a text was longer than the model takes."""
    unknown: int
    """Tokens that the model does not know: they have no vector, or they are all the same one to an encoder."""
    empty: int
    """Texts without any token that has a vector; theirs is zero."""
    shortened: int = 0
    """Texts of which tokens were dropped."""

    def line(self) -> str:
        """The report as one line for people."""
        of = f" ({self.shortened:,} texts too long)" if self.shortened else ""
        return (
            f"{self.texts:,} texts, {self.tokens:,} tokens, {self.dropped:,} dropped{of}, {self.unknown:,} unknown, "
            f"{self.empty:,} texts without a known word (vector zero)"
        )

    def _repr_html_(self) -> str:
        from inlay.embed.notebook import facts

        return facts("EncodeReport", {field.name: getattr(self, field.name) for field in fields(self)})


def total(reports: Iterable[EncodeReport]) -> EncodeReport:
    """What became of the texts of several calls."""
    listed = list(reports)
    return EncodeReport(**{f.name: sum(getattr(report, f.name) for report in listed) for f in fields(EncodeReport)})


ASKED: Mapping[str, tuple[str, ...]] = {"query": ("query",), "document": ("document", "passage", "corpus")}
"""Prompts that may be asked of every embedder, and the names that models have for them."""


def kept(dim: int | None, own: int) -> int:
    """How many dimensions are kept of a model's own; None: all. InputError for what is no such number."""
    width = own if dim is None else dim
    if not isinstance(width, Integral) or not 1 <= width <= own:
        raise InputError(f"dim={dim} must lie between 1 and {own}, the model's own, and be whole")
    return int(width)


def prompt_of(prompts: Mapping[str, str], name: str | None, default: str | None = None) -> str:
    """What goes before a text: the prompt of this name, else the default one, else nothing.

    `query` and `document` are known to every model. Raises InputError for any other name that is not in `prompts`.
    """
    known = next((one for one in ASKED.get(name or "", (name,)) if one in prompts), None)
    if known is None and name is not None and name not in ASKED:
        raise InputError(f"prompt={name!r} is unknown{did_you_mean(name, [*prompts, *ASKED])}")
    return prompts.get(known or default or "", "")


class Embedder(Protocol):
    """Texts to vectors (N, D) float32, in the order of the texts, whatever the batch size.

    `prompt` may always be `query` or `document`: a model that tells them apart puts its words before the texts.
    """

    @property
    def dim(self) -> int:
        """D"""
        ...

    @overload
    def encode(
        self, texts: Sequence[str], *, dim: int | None = ..., batch_size: int = ..., prompt: str | None = ...
    ) -> NDArray[np.float32]: ...

    @overload
    def encode(
        self,
        texts: Sequence[str],
        *,
        dim: int | None = ...,
        batch_size: int = ...,
        prompt: str | None = ...,
        report: Literal[True],
    ) -> tuple[NDArray[np.float32], EncodeReport]: ...


def load(path: str | Path, *, backend: "Name" = "auto", device: str | None = None) -> Embedder:
    """Open what makes vectors of texts: a model folder, the name of a model on the hub, or a file of word vectors.

    Folders are those of inlay (of a model, a run or a fit), of sentence-transformers, transformers and model2vec.
    `backend` and `device` say how an encoder is run; a static model has no use for them. Raises InputError for what is
    none of these, for modules that are not read, for damaged files, and for pickles, which are never opened.
    """
    from inlay.embed.folder import open_encoder, read_folder
    from inlay.embed.static import StaticEmbedder

    if Path(path).is_file():
        from inlay.vectors.wordvectors import WordVectors

        return StaticEmbedder.from_vectors(WordVectors.load(path))
    if not Path(path).exists() and not is_hub_name(path):
        raise InputError(f"{path}: no such model folder or vector file; `inlay fit SOURCE --out {path}` makes one")
    parts = read_folder(path)
    if parts.kind == "static":
        return StaticEmbedder.load(parts.place)
    return open_encoder(parts, backend=backend, device=device)


def is_hub_name(path: str | Path) -> bool:
    """Whether a name that is nothing here may be a model's on the hub: not a path, and not named like a file."""
    text = str(path)
    name = text.partition("@")[0]
    plain = isinstance(path, str) and not text.startswith((".", "/", "~")) and "\\" not in text
    return plain and name.count("/") < 2 and not name.endswith((*_FILES, "/"))
