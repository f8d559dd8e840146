"""Reranker: a query and a text read together by one encoder, and a number that says how well the text answers.

A cross-encoder (Nogueira & Cho 2019, arXiv:1901.04085): nothing can be computed before the query is known, so it is
asked about the best candidates of a search alone.
"""

# B pairs, K candidates

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from inlay.batch import Batch
from inlay.embed.backend import NAMES, Backend, Name
from inlay.embed.batches import encoded
from inlay.embed.embedder import EncodeReport
from inlay.embed.folder_modules import CONFIG, PROMPTS
from inlay.embed.reranker_folder import ACTIVATIONS, NEW_KEY, OLD_KEY, OWN, THEIRS, Activation, read_said
from inlay.embed.reranker_head import FirstRow, Head, TextHead
from inlay.errors import InputError, did_you_mean
from inlay.files import CHECKSUMS, atomic_folder, claim_output, read_json, verify_checksums, write_checksums, write_json
from inlay.text.document import Document
from inlay.tokenize.tokenizer import Tokenizer

if TYPE_CHECKING:
    from inlay.model.model import Model

Scores = NDArray[np.float32]
_UNLIMITED = 512
"""Tokens of a pair where neither folder nor encoder names a limit."""


class Found(Protocol):
    """A document that a search found: a frozen dataclass with its texts, and a place for the second score."""

    @property
    def id(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def reranked(self) -> float | None: ...


Hit = TypeVar("Hit", bound=Found)


class Reranker:
    """A tokenizer, an encoder, and what makes one number of its rows. Nothing that it is asked changes it."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        backend: Backend,
        head: Head,
        *,
        activation: Activation = "sigmoid",
        max_length: int | None = None,
        segments: bool = True,
    ) -> None:
        if activation not in ACTIVATIONS:
            raise InputError(f"activation={activation!r} is unknown{did_you_mean(str(activation), ACTIVATIONS)}")
        if max_length is not None and max_length < 8:
            raise InputError(f"max_length={max_length} leaves no room for a query and a text; give 8 or more")
        self.tokenizer, self.backend, self.head, self.activation = tokenizer, backend, head, activation
        self._segments = segments  # whether the encoder tells the query's tokens from the text's by a row for each
        known = [n for n in (max_length, tokenizer.max_length, backend.most_tokens) if n]
        self.max_length: int = min(known, default=_UNLIMITED)
        """Tokens of a pair that are read, special ones included."""
        self.source: Path | None = None
        """The folder that it was opened from."""

    @classmethod
    def of_model(cls, model: "Model", tokenizer: Tokenizer, **settings: Any) -> Self:
        """The reranker of a Model with a head for texts that has one label."""
        from inlay.embed.torch_backend import TorchBackend

        heads = [head for head in model.config.heads if head.name == "text"]
        labels = len(heads[0].labels) if heads else 0  # type: ignore[union-attr]
        if labels != 1:
            raise InputError(f"a reranker's model has a head `text` with one label, and this one has {labels}")
        return cls(
            tokenizer, TorchBackend(model), TextHead(model), segments=model.config.input.n_segments != 1, **settings
        )

    @classmethod
    def load(cls, folder: str | Path, backend: Name = "auto", *, device: str | None = None) -> Self:
        """The cross-encoder in a folder of transformers, of sentence-transformers or of inlay, or on the hub.

        By NumPy alone on a CPU where it knows encoder and head (`backend="lean"`), else by torch. Raises InputError
        for what is no cross-encoder with one label, for damaged files, and as `read_said` does.
        """
        if backend not in NAMES:
            raise InputError(f"backend={backend!r} is unknown{did_you_mean(str(backend), NAMES)}")
        said = read_said(folder)
        if not said.snapshot and not (said.place / CHECKSUMS).is_symlink():
            verify_checksums(said.place)
        tokenizer = Tokenizer.load(said.place)
        settings: dict[str, Any] = {"activation": said.activation, "max_length": said.max_length}
        made: Self | None = None
        if backend == "lean" or (backend == "auto" and device in (None, "cpu")):
            made = cls._lean(said.place, said.family, tokenizer, settings, only=backend == "lean")
        if made is None:
            made = cls._torch(said.place, tokenizer, settings, device)
        made.source = said.place
        return made

    @classmethod
    def _lean(
        cls, place: Path, family: str, tokenizer: Tokenizer, settings: dict[str, Any], *, only: bool
    ) -> Self | None:
        from inlay.embed.lean import Lean
        from inlay.embed.lean_plan import UnknownPart

        head = FirstRow.of(place, family)
        if head is None:
            if only:
                raise InputError(f'{place}: backend="lean" has no head of model_type={family!r}; take backend="torch"')
            return None
        try:
            lean = Lean.load(place)
            return cls(tokenizer, lean, head, segments=lean.plan.input.n_segments != 1, **settings)
        except UnknownPart:
            if only:
                raise
            return None

    @classmethod
    def _torch(cls, place: Path, tokenizer: Tokenizer, settings: dict[str, Any], device: str | None) -> Self:
        from inlay.convert.convert import load_model
        from inlay.embed.torch_backend import check_device

        check_device(device)
        model = load_model(place)
        return cls.of_model(model if device is None else model.to(device), tokenizer, **settings)

    # -- scores --------------------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"Reranker({self.backend.n_layers} layers, {self.max_length} tokens, {self.backend.name})"

    @overload
    def scores(
        self, query: str, texts: Sequence[str], *, report: Literal[False] = False, exact: bool = False
    ) -> Scores: ...
    @overload
    def scores(
        self, query: str, texts: Sequence[str], *, report: Literal[True], exact: bool = False
    ) -> tuple[Scores, EncodeReport]: ...

    def scores(
        self, query: str, texts: Sequence[str], *, report: bool = False, exact: bool = False
    ) -> Scores | tuple[Scores, EncodeReport]:
        """(B,) float32 how well each text answers the query, as `score_pairs` does; none for no text."""
        if isinstance(texts, str):
            raise InputError(f"one text ({texts[:40]!r}) where a list of texts is wanted; put it in a list")
        found, told = self._activated([query] * len(texts), texts, exact=exact)
        return (found, told) if report else found

    @overload
    def score_pairs(
        self, queries: Sequence[str], texts: Sequence[str], *, report: Literal[False] = False, exact: bool = False
    ) -> Scores: ...
    @overload
    def score_pairs(
        self, queries: Sequence[str], texts: Sequence[str], *, report: Literal[True], exact: bool = False
    ) -> tuple[Scores, EncodeReport]: ...

    def score_pairs(
        self, queries: Sequence[str], texts: Sequence[str], *, report: bool = False, exact: bool = False
    ) -> Scores | tuple[Scores, EncodeReport]:
        """(B,) float32 how well each text answers the query at its place, in the order in which they were given.

        A pair that is too long loses tokens at the end of its longer side, which `report=True` counts. Pairs are read
        packed, those of like length together: company changes a number by its rounding at most, with `exact` not by a
        bit. Raises InputError for a query without a word, and where there are not as many queries as texts.
        """
        found, told = self._activated(queries, texts, exact=exact)
        return (found, told) if report else found

    def logits(self, queries: Sequence[str], texts: Sequence[str], *, exact: bool = False) -> Scores:
        """(B,) what the head gives, before the activation: order where a sigmoid has rounded to 1."""
        return self._logits(queries, texts, exact=exact)[0]

    def batch(self, queries: Sequence[str], texts: Sequence[str]) -> Batch:
        """The pairs as the encoder reads them."""
        batch = self.tokenizer.encode(queries, pairs=texts, max_length=self.max_length, specials=True)
        return batch if self._segments else replace(batch, segments=None)

    def order(self, query: str, texts: Sequence[str], k: int | None = None) -> list[tuple[int, float]]:
        """The places and scores of the k best texts, best first; equals in the order in which they came."""
        if k is not None and k < 1:
            raise InputError(f"k={k} must be at least 1; 10 is usual")
        if isinstance(texts, str):
            raise InputError(f"one text ({texts[:40]!r}) where a list of texts is wanted; put it in a list")
        logits = self.logits([query] * len(texts), texts)
        scores = _activate(logits, self.activation)
        best = np.argsort(-logits, kind="stable")[:k]
        return [(int(at), float(scores[at])) for at in best]

    def rerank(self, query: str, hits: Sequence[Hit], k: int | None = None) -> list[Hit]:
        """The k best of a search's hits by what is read in title and text, best first, each with its `reranked`."""
        texts = [Document(id=hit.id, title=hit.title, text=hit.text).full for hit in hits]
        return [replace(hits[at], reranked=score) for at, score in self.order(query, texts, k)]  # type: ignore[type-var]

    def _activated(self, queries: Sequence[str], texts: Sequence[str], *, exact: bool) -> tuple[Scores, EncodeReport]:
        logits, report = self._logits(queries, texts, exact=exact)
        return _activate(logits, self.activation), report

    def _logits(self, queries: Sequence[str], texts: Sequence[str], *, exact: bool) -> tuple[Scores, EncodeReport]:
        for name, given in (("queries", queries), ("texts", texts)):
            if isinstance(given, str):
                raise InputError(f"{name}={given[:40]!r} is one text; put it in a list")
        if len(queries) != len(texts):
            raise InputError(f"{len(queries)} queries and {len(texts)} texts; give a query for each text")
        empty = next((at for at, query in enumerate(queries) if not query.strip()), None)
        if empty is not None:
            raise InputError(f"query {empty} is empty, and nothing answers nothing; leave it out")
        batch = self.batch(queries, texts)
        if not batch.lengths.all():
            raise InputError(f"pair {int(np.argmin(batch.lengths))} has no token that the model knows; leave it out")
        found = np.zeros(len(batch), np.float32)
        for numbers, lengths, (rows,) in encoded(self.backend, batch, [self.backend.n_layers], exact=exact):
            if exact:
                ends = np.cumsum(lengths)
                parts = zip(np.split(rows, ends[:-1]), lengths, strict=True)
                found[numbers] = np.concatenate([self.head(part, size[None]) for part, size in parts])
            else:
                found[numbers] = self.head(rows, lengths)
        if not np.isfinite(found).all():
            raise InputError("a score is no finite number; the head's weights are damaged: get the model again")
        unknown = self.tokenizer.roles.get("unk")
        report = EncodeReport(
            texts=len(batch),
            tokens=batch.n_tokens,
            dropped=int(batch.cut.sum()),
            unknown=int((batch.ids == self.tokenizer.id(unknown)).sum()) if unknown else 0,
            empty=sum(not text.strip() for text in texts),
            shortened=int((batch.cut > 0).sum()),
        )
        return found, report

    # -- folders -------------------------------------------------------------------------------------------------------

    def save(self, folder: str | Path, *, force: bool = False) -> None:
        """Write a folder that inlay, transformers and CrossEncoder of sentence-transformers open, with equal scores.

        Other libraries open it where the encoder is of a family of theirs. The folder is new or empty, or a model's
        that `force` lets be replaced; the old one stays whole until the new one is.
        """
        if not isinstance(self.head, TextHead):
            if self.source is None:
                raise InputError("this reranker was not opened from a folder, whose weights could be written again")
            return Reranker.load(self.source, "torch").save(folder, force=force)
        from inlay.convert.convert import save_model

        folder = Path(folder).expanduser()
        claim_output(folder, force=force, whole=True)
        if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not (folder / CONFIG).is_file()):
            raise InputError(f"{folder} is no model (it has no {CONFIG}), and only a model is replaced")
        with atomic_folder(folder) as part:
            save_model(self.head.model, part, tokenizer=self.tokenizer)
            tree, name = read_json(part / CONFIG), THEIRS[self.activation]
            if tree["model_type"] == OWN:
                write_json(part / PROMPTS, {"model_type": "CrossEncoder", "activation_fn": name})
            else:  # where every version of sentence-transformers looks
                write_json(part / CONFIG, tree | {OLD_KEY: name, NEW_KEY: {"activation_fn": name}})
            settings = read_json(part / "tokenizer_config.json")
            write_json(part / "tokenizer_config.json", settings | {"model_max_length": self.max_length})
            write_checksums(part)
        return None


def _activate(logits: Scores, activation: Activation) -> Scores:
    """(B,) -> (B,); by way of tanh, whose exponents never overflow."""
    if activation == "identity":
        return logits
    return np.asarray((1 + np.tanh(logits.astype(np.float64) / 2)) / 2, np.float32)
