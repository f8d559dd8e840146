"""ContextEmbedder: a text's vector is pooled from rows that an encoder made of the text as a whole."""

# N texts, D dimensions

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, Self, overload

import numpy as np
from numpy.typing import NDArray

from inlay.batch import Batch
from inlay.embed import units
from inlay.embed.backend import Array, Backend, Name
from inlay.embed.dense import Dense
from inlay.embed.embedder import EncodeReport, kept, prompt_of, total
from inlay.embed.layers import At, Layer, needed
from inlay.embed.long import LateChunks, Long, Pieces, Truncate, Windows, pieces
from inlay.embed.pool import Mean, Pool, Segments, pool
from inlay.embed.reading import Content, Reader, blocks, counted
from inlay.embed.static import unit
from inlay.embed.summing import Running, Runs, pooled
from inlay.embed.units import By, Units
from inlay.errors import InputError, did_you_mean
from inlay.tokenize.tokenizer import Tokenizer

OnDrop = Literal["report", "error"]
_UNLIMITED = 8192
"""Tokens that are read at a time where neither folder nor encoder names a limit: attention grows as the square."""


@dataclass(frozen=True, kw_only=True)
class EmbedConfig:
    """How an encoder's rows become a text's vector."""

    pools: tuple[Pool, ...] = (Mean(),)
    """Several are put side by side."""
    layer: Layer = At(layer=-1)
    """Which layers' rows are pooled."""
    long: Long = Truncate()
    """What becomes of a text that has more tokens than fit."""
    normalize: bool = True
    """Vectors are brought to length 1."""
    dim: int | None = None
    """The first so many dimensions are kept, where the model was trained for it (Matryoshka); None: all."""
    max_length: int | None = None
    """Tokens of a text that are read at a time, special ones included; None: as many as the encoder takes."""
    prompts: dict[str, str] = field(default_factory=dict)
    """What goes before a text, by the name that `encode(prompt=…)` calls it."""
    default_prompt: str | None = None
    """The name of the prompt that is used where `encode` is told none."""
    pool_prompt: bool = True
    """The prompt's rows are pooled too; without them, [CLS] before the prompt is left out as well."""

    def __post_init__(self) -> None:
        if not self.pools:
            raise InputError("pools is empty; name at least one, for example Mean")
        if self.default_prompt is not None and self.default_prompt not in self.prompts:
            raise InputError(
                f"default_prompt={self.default_prompt!r} is no prompt{did_you_mean(self.default_prompt, self.prompts)}"
            )
        for name, least in (("max_length", self.max_length), ("dim", self.dim)):
            if least is not None and (not isinstance(least, Integral) or least < 1):
                raise InputError(f"{name}={least} must be at least 1, and whole")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Bare:
    """What a text without a token of its own has: its vector, and whether the encoder saw anything of it."""

    vector: Array
    read: bool


class ContextEmbedder:
    """A tokenizer, an encoder behind a backend, and how its rows are read. `encode` changes nothing in it."""

    def __init__(
        self, tokenizer: Tokenizer, backend: Backend, config: EmbedConfig | None = None, dense: Sequence[Dense] = ()
    ) -> None:
        self.tokenizer, self.backend, self.config = tokenizer, backend, config or EmbedConfig()
        self.dense = tuple(dense)
        needed(self.config.layer, backend.n_layers)
        size = Running(backend=backend, layer=self.config.layer).width * len(self.config.pools)
        for number, layer in enumerate(self.dense):
            if layer.size[0] != size:
                raise InputError(f"dense layer {number} takes {layer.size[0]} numbers, and is given {size}")
            size = layer.size[1]
        if self.config.dim is not None and self.config.dim > size:
            raise InputError(f"dim={self.config.dim} must lie between 1 and {size}, the model's own")
        self._full = size
        self.source: Path | None = None
        """The folder that the weights were read from, where they were."""

    def changed(self, **fields: Any) -> Self:
        """The same encoder, read otherwise: `changed(long=Windows())` has the config with these fields changed.

        Weights are shared, and nothing is loaded again. Raises InputError for fields that EmbedConfig does not have.
        """
        known = [one.name for one in dataclasses.fields(EmbedConfig)]
        if unknown := next((name for name in fields if name not in known), None):
            raise InputError(f"{unknown!r} is no field of EmbedConfig{did_you_mean(unknown, known)}")
        made = type(self)(self.tokenizer, self.backend, dataclasses.replace(self.config, **fields), self.dense)
        made.source = self.source
        return made

    @property
    def dim(self) -> int:
        """D"""
        return self.config.dim or self._full

    @property
    def max_length(self) -> int:
        """Tokens of a text that are read at a time, special ones included."""
        known = [n for n in (self.config.max_length or self.tokenizer.max_length, self.backend.most_tokens) if n]
        return min(known, default=_UNLIMITED)

    def __repr__(self) -> str:
        return f"ContextEmbedder({self.backend.n_layers} layers, {self.dim} dimensions, {self.backend.name})"

    def _repr_html_(self) -> str:
        from inlay.embed.notebook import facts

        known: dict[str, object] = {"dimensions": self.dim, "layers": self.backend.n_layers}
        known |= {"pools": ", ".join(map(repr, self.config.pools)), "layer": repr(self.config.layer)}
        known |= {"tokens at most": self.max_length, "vocabulary": self.tokenizer.size, "backend": self.backend.name}
        return facts("ContextEmbedder", known | {"prompts": ", ".join(map(repr, self.config.prompts)) or None})

    @overload
    def encode(
        self,
        texts: Sequence[str],
        *,
        dim: int | None = None,
        batch_size: int = 1024,
        prompt: str | None = None,
        report: Literal[False] = False,
        on_drop: OnDrop = "report",
        threads: int | None = None,
        exact: bool = False,
    ) -> NDArray[np.float32]: ...

    @overload
    def encode(
        self,
        texts: Sequence[str],
        *,
        dim: int | None = None,
        batch_size: int = 1024,
        prompt: str | None = None,
        report: Literal[True],
        on_drop: OnDrop = "report",
        threads: int | None = None,
        exact: bool = False,
    ) -> tuple[NDArray[np.float32], EncodeReport]: ...

    def encode(
        self,
        texts: Sequence[str],
        *,
        dim: int | None = None,
        batch_size: int = 1024,
        prompt: str | None = None,
        report: bool = False,
        on_drop: OnDrop = "report",
        threads: int | None = None,
        exact: bool = False,
    ) -> Any:
        """The vectors (N, D) of the texts, in their order; with `report`, also what became of their tokens.

        `dim` keeps the first so many dimensions (and brings them to length 1 again); `batch_size` bounds memory, which
        is that of some thousand tokens whatever the texts' lengths. `prompt` names one of the model's; `query` and
        `document` may always be asked for, and are nothing where the model has none. `on_drop="error"` refuses texts
        that lose tokens. Batch size, neighbours and threads change a vector by rounding only; with `exact`, by no bit.
        Raises InputError for a single string, for what is no text, and for arguments out of range.
        """
        width = kept(dim, self.dim)
        reader = self.reader(prompt)
        running = self.running(threads=threads, exact=exact)
        vectors = np.empty((counted(texts), width), np.float32)
        reports: list[EncodeReport] = []
        bare: _Bare | None = None
        for start, block in blocks(texts, batch_size):
            content = self.content(reader, block, on_drop, start)
            found, read, bare = self._encode(reader, running, content, bare)
            vectors[start : start + len(block)] = self.cut(found, width)
            reports.append(self.told(content, read))
        return (vectors, total(reports)) if report else vectors

    def tokens(
        self,
        texts: Sequence[str],
        *,
        prompt: str | None = None,
        on_drop: OnDrop = "report",
        threads: int | None = None,
        exact: bool = False,
    ) -> Units:
        """A vector for every token of the texts: its row as the chosen layer has it, in the context of its text."""
        running = self.running(threads=threads, exact=exact)
        return units.tokens(self, texts, prompt=prompt, on_drop=on_drop, running=running)

    def words(
        self,
        texts: Sequence[str],
        *,
        by: By = "mean",
        lang: str | None = None,
        prompt: str | None = None,
        on_drop: OnDrop = "report",
        threads: int | None = None,
        exact: bool = False,
    ) -> Units:
        """A vector for every word of the texts: the row of its first or last token, or the mean over its tokens.

        Words are those of the language's segmenter; without `lang`, runs of letters, cut as Chinese where they are Han.
        """
        running = self.running(threads=threads, exact=exact)
        return units.words(self, texts, by=by, lang=lang, prompt=prompt, on_drop=on_drop, running=running)

    def chunks(
        self,
        texts: Sequence[str],
        size: int = 256,
        *,
        dim: int | None = None,
        prompt: str | None = None,
        on_drop: OnDrop = "report",
        threads: int | None = None,
        exact: bool = False,
    ) -> Units:
        """A vector for every `size` tokens of the texts, comparable with `encode`'s, made with the whole text in view.

        A word is not cut while it is shorter than a chunk. Texts that do not fit are read in windows that overlap,
        unless `long` is Truncate. Raises InputError for models that read one token's row only ([CLS], the last).
        """
        running = self.running(threads=threads, exact=exact)
        width = kept(dim, self.dim)
        return units.chunks(self, texts, size, dim=width, prompt=prompt, on_drop=on_drop, running=running)

    def running(self, *, threads: int | None = None, exact: bool = False) -> Running:
        """How this model's encoder is run."""
        if threads is not None and threads < 1:
            raise InputError(
                f"threads={threads} must be at least 1; leave it out for as many as the machine gains from"
            )
        return Running(backend=self.backend, layer=self.config.layer, threads=threads, exact=exact)

    def reader(self, prompt: str | None = None) -> Reader:
        """What reads texts for this model with the prompt of this name before each of them."""
        said = prompt_of(self.config.prompts, prompt, self.config.default_prompt)
        return Reader(self.tokenizer, self.max_length, said)

    def content(
        self, reader: Reader, texts: Sequence[str], on_drop: OnDrop, first: int, *, places: bool = False
    ) -> Content:
        """The tokens of the texts that are read; `first` is the number of the first text, for messages."""
        if on_drop not in ("report", "error"):
            raise InputError(f"on_drop={on_drop!r} is no choice{did_you_mean(str(on_drop), ('report', 'error'))}")
        content = reader.read(texts, places=places)
        if not isinstance(self.config.long, Truncate):
            return content
        content = reader.truncated(content, self.config.long)
        if on_drop == "error" and content.dropped.any():
            at = int(np.flatnonzero(content.dropped)[0])
            raise InputError(
                f"text {first + at} has {content.dropped[at] + content.lengths[at]:,} tokens, {content.dropped[at]:,} "
                f'more than the {reader.room:,} that fit; read it in windows, or count it with on_drop="report"'
            )
        return content

    def pieces(self, reader: Reader, content: Content, *, overlap: bool = False) -> Pieces:
        """What the encoder reads of these texts at a time; `overlap` asks windows for context on both sides."""
        long, room = self.config.long, reader.room
        if isinstance(long, Truncate):
            return pieces(content.lengths, room, room)
        half = max(room // 2, 1)
        if isinstance(long, LateChunks):
            return pieces(content.lengths, room, long.stride or half)
        return pieces(content.lengths, room, min(long.stride or half, half) if overlap else long.stride or room)

    def finished(self, vectors: Array, *, exact: bool = False) -> Array:
        """What the pools gave, through the dense layers; brought to length 1 where the model does that."""
        for layer in self.dense:
            vectors = layer(vectors, exact=exact)
        return unit(vectors) if self.config.normalize else vectors

    def cut(self, vectors: Array, width: int) -> Array:
        """The first `width` dimensions of finished vectors, of length 1 again where the model does that."""
        if width == vectors.shape[1]:
            return vectors
        return unit(vectors[:, :width]) if self.config.normalize else vectors[:, :width]

    def told(self, content: Content, read: NDArray[np.bool_] | None = None) -> EncodeReport:
        """What became of the texts' tokens; `read` (N,) says of which texts the encoder has seen anything."""
        unknown = self.tokenizer.roles.get("unk")
        return EncodeReport(
            texts=len(content.lengths),
            tokens=len(content.ids),
            dropped=int(content.dropped.sum()),
            unknown=int((content.ids == self.tokenizer.vocabulary.get(unknown or "", -1)).sum()),
            empty=0 if read is None else int((~read).sum()),
            shortened=int((content.dropped > 0).sum()),
        )

    def _encode(
        self, reader: Reader, running: Running, content: Content, known: _Bare | None
    ) -> tuple[Array, NDArray[np.bool_], _Bare | None]:
        """The finished vectors (B, all dimensions) of a block, and of which texts the encoder saw anything (B,).

        All texts without a token of their own have one vector, `known` once it is made: a million cost what one does.
        """
        n_texts, long = len(content.lengths), self.config.long
        bare = reader.bare(content)
        asked = ~bare if known else ~bare | (np.cumsum(bare) == 1)
        found = self.pieces(reader, content)
        found = found.of(asked[found.texts])
        found = found.of(reader.sizes(content, found) > 0)
        batch = reader.batch(content, found)
        alone = isinstance(long, Windows)
        runs = self._runs(reader, content, found, batch, alone=alone)
        n_groups = len(found) if alone else n_texts
        vectors = self.finished(pooled(running, batch, runs, self.config.pools, n_groups), exact=running.exact)
        counts = np.bincount(found.texts, minlength=n_texts)
        read = counts > 0
        if isinstance(long, Windows):
            vectors = pool(vectors, counts, long.pool)
            vectors = unit(vectors) if self.config.normalize else vectors
        elif not read.all():
            vectors[~read] = 0  # a dense layer makes something even of nothing
        if bare.any():
            first = int(bare.argmax())
            known = known or _Bare(vector=vectors[first].copy(), read=bool(read[first]))
            vectors[bare], read[bare] = known.vector, known.read
        return vectors, read, known

    def _runs(self, reader: Reader, content: Content, found: Pieces, batch: Batch, *, alone: bool) -> Runs:
        """The rows of each piece that are pooled: all where pieces are texts of their own, else each token's once."""
        before = reader.before.n_tokens + content.head_lengths[found.texts]
        skipped = 0 if self.config.pool_prompt or not len(reader.prompt_ids) else before
        begins, ends = found.begins | alone, found.ends | alone
        starts = np.where(begins, skipped, before + found.first - found.starts)
        stops = np.where(ends, batch.lengths, before + found.last - found.starts)
        some = stops > starts
        groups = np.arange(len(found)) if alone else found.texts
        places = np.where(begins, starts, before + found.first)
        segments = Segments(groups=groups[some], sizes=(stops - starts)[some], places=places[some])
        return Runs(pieces=np.flatnonzero(some), starts=starts[some], segments=segments)

    @classmethod
    def load(cls, folder: str | Path, *, backend: Name = "auto", device: str | None = None) -> Self:
        """Open a folder of an encoder, or a name on the hub: of sentence-transformers, transformers, or inlay's own.

        Raises InputError for what `inlay.embed.folder.read_folder` refuses, and for what does not fit together.
        """
        from inlay.embed.folder import open_encoder

        made = open_encoder(folder, backend=backend, device=device)
        loaded = cls(made.tokenizer, made.backend, made.config, made.dense)
        loaded.source = made.source
        return loaded
