"""Heads: what is read from the rows of a stack. A frozen dataclass each, that builds its module.

N rows, B texts, D model, E embedding, V vocabulary.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inlay.errors import InputError, did_you_mean
from inlay.model.ffn import Activation, activation
from inlay.model.norm import Norm
from inlay.model.packed import Layout

Place = Literal["first", "last", "mean", "pooled"]


class Sizes(Protocol):
    """What a head is told of its model."""

    @property
    def d_model(self) -> int: ...

    @property
    def d_embed(self) -> int: ...

    @property
    def vocab_size(self) -> int: ...


def _check_share(dropout: float) -> None:
    if not 0 <= dropout < 1:
        raise InputError(f"dropout={dropout} must be at least 0 and below 1")


@dataclass(frozen=True, kw_only=True)
class Inner:
    """The layer between rows and answer: a projection, its function, and a norm where there is one."""

    activation: Activation = "gelu"
    """The function."""
    bias: bool = True
    """The projection has one."""
    norm: Norm | None = None
    """The norm after it."""
    dropout: float = 0.0
    """How much of the row training leaves out before it."""

    def __post_init__(self) -> None:
        _check_share(self.dropout)

    def build(self, d: int, to: int) -> "InnerLayer":
        """The module from d to `to` numbers."""
        return InnerLayer(self, d, to)


class InnerLayer(nn.Module):
    """(…, D) -> (…, to)."""

    def __init__(self, config: Inner, d: int, to: int) -> None:
        super().__init__()
        self.dense, self.act = nn.Linear(d, to, bias=config.bias), activation(config.activation)
        self.norm = config.norm.build(to) if config.norm else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.act(self.dense(self.dropout(x))))


@dataclass(frozen=True, kw_only=True)
class LanguageHead:
    """Which token it is: (N, D) -> (N, V) logits, by the token table itself where it is tied."""

    name: ClassVar[str] = "language"
    inner: Inner | None = None
    """BERT's transform; None compares the rows as they are."""
    bias: bool = True
    """A number for each token."""
    tied: bool = True
    """Compare with the token table; otherwise with a table of its own."""
    scaled: bool = False
    """Divide the rows by √D first: T5 ties the table unscaled, so the logits carry the scale."""

    def build(self, sizes: Sizes) -> nn.Module:
        """The module."""
        return LanguageModule(self, sizes)


@dataclass(frozen=True, kw_only=True)
class Pooler:
    """One row for each text: its first (BERT) or last (XLNet) row, projected. (N, D) -> (B, D)."""

    name: ClassVar[str] = "pooler"
    at: Literal["first", "last"] = "first"
    """Which row."""
    activation: Activation = "tanh"
    """The function after the projection."""

    def __post_init__(self) -> None:
        _check_place(self.at, ("first", "last"))

    def build(self, sizes: Sizes) -> nn.Module:
        """The module."""
        return _Pooler(self, sizes)


@dataclass(frozen=True, kw_only=True)
class TextHead:
    """What kind of text it is: (N, D) -> (B, labels)."""

    name: ClassVar[str] = "text"
    labels: tuple[str, ...]
    """The names of what it tells apart; one name alone is a number to predict."""
    at: Place = "pooled"
    """The row that it reads: the pooler's, a text's first or last, or the mean of all."""
    inner: Inner | None = None
    """A layer before the answer."""
    bias: bool = True
    """A number for each label."""
    dropout: float = 0.1
    """How much of the row training leaves out."""

    def __post_init__(self) -> None:
        _check(self.labels)
        _check_share(self.dropout)
        _check_place(self.at, get_args(Place))

    def build(self, sizes: Sizes) -> nn.Module:
        """The module."""
        return _Text(self, sizes)


@dataclass(frozen=True, kw_only=True)
class TokenHead:
    """What kind of token it is: (N, D) -> (N, labels)."""

    name: ClassVar[str] = "tokens"
    labels: tuple[str, ...]
    """The names of what it tells apart."""
    inner: Inner | None = None
    """A layer before the answer."""
    dropout: float = 0.1
    """How much of a row training leaves out."""

    def __post_init__(self) -> None:
        _check(self.labels)
        _check_share(self.dropout)

    def build(self, sizes: Sizes) -> nn.Module:
        """The module."""
        return _Tokens(self, sizes, len(self.labels))


@dataclass(frozen=True, kw_only=True)
class SpanHead:
    """Where an answer begins and ends: (N, D) -> (N, 2) logits, of the beginning and of the end."""

    name: ClassVar[str] = "span"
    inner: Inner | None = None
    """A layer before the answer."""
    dropout: float = 0.0
    """How much of a row training leaves out."""

    def __post_init__(self) -> None:
        _check_share(self.dropout)

    def build(self, sizes: Sizes) -> nn.Module:
        """The module."""
        return _Tokens(self, sizes, 2)


@dataclass(frozen=True, kw_only=True)
class ReplacedHead:
    """Whether a token was replaced: (N, D) -> (N,) logits, above 0 for yes. Clark et al. 2020, arXiv:2003.10555."""

    name: ClassVar[str] = "replaced"
    inner: Inner = Inner()
    """The layer before the answer."""

    def build(self, sizes: Sizes) -> nn.Module:
        """The module."""
        return _Replaced(self, sizes)


@dataclass(frozen=True, kw_only=True)
class PairHead:
    """Whether the second segment belongs after the first: (N, D) -> (B, 2) logits, label 0 for yes.

    BERT's next sentence (label 1: from elsewhere) and ALBERT's order (label 1: swapped). It reads the pooler's row.
    """

    name: ClassVar[str] = "pair"
    dropout: float = 0.0
    """How much of the row training leaves out."""

    def __post_init__(self) -> None:
        _check_share(self.dropout)

    def build(self, sizes: Sizes) -> nn.Module:
        """The module."""
        return _Pair(self, sizes)


Head = LanguageHead | Pooler | TextHead | TokenHead | SpanHead | ReplacedHead | PairHead


class HeadModule(nn.Module):
    """(N, D) rows to an answer; `table` is the model's token table, `others` its heads by name."""

    def forward(self, x: Tensor, layout: Layout, table: Tensor, others: Mapping[str, nn.Module]) -> Tensor:
        raise AssertionError("each head says what it reads")


class LanguageModule(HeadModule):
    """(N, D) rows to logits (N, V)."""

    def __init__(self, config: LanguageHead, sizes: Sizes) -> None:
        super().__init__()
        d, e = sizes.d_model, sizes.d_embed
        self.inner = config.inner.build(d, e) if config.inner else nn.Identity()
        if config.tied and not config.inner and d != e:
            raise InputError(f"a tied language head needs an inner layer from d_model={d} to d_embed={e}; set inner")
        self.own = None if config.tied else nn.Linear(e if config.inner else d, sizes.vocab_size, bias=False)
        self.bias = nn.Parameter(torch.zeros(sizes.vocab_size)) if config.bias else None
        self.scale = d**-0.5 if config.scaled else 1.0

    def forward(self, x: Tensor, layout: Layout, table: Tensor, others: Mapping[str, nn.Module]) -> Tensor:
        return F.linear(*self.compared(x, table))

    def compared(self, x: Tensor, table: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """(rows (M, E), table (V, E), bias (V,)): logits are rows · table + bias, which a loss may do in pieces."""
        x = self.inner(x)
        x = x * self.scale if self.scale != 1 else x
        return x, table if self.own is None else self.own.weight, self.bias


class _Pooler(HeadModule):
    def __init__(self, config: Pooler, sizes: Sizes) -> None:
        super().__init__()
        self.dense, self.at = nn.Linear(sizes.d_model, sizes.d_model), config.at
        self.act = activation(config.activation)

    def forward(self, x: Tensor, layout: Layout, table: Tensor, others: Mapping[str, nn.Module]) -> Tensor:
        return self.act(self.dense(pick(x, layout, self.at)))


class _Text(HeadModule):
    def __init__(self, config: TextHead, sizes: Sizes) -> None:
        super().__init__()
        d = sizes.d_model
        self.at, self.dropout = config.at, nn.Dropout(config.dropout)
        self.inner = config.inner.build(d, d) if config.inner else nn.Identity()
        self.out = nn.Linear(d, len(config.labels), bias=config.bias)

    def forward(self, x: Tensor, layout: Layout, table: Tensor, others: Mapping[str, nn.Module]) -> Tensor:
        row = pooled(x, layout, table, others) if self.at == "pooled" else pick(x, layout, self.at)
        return self.out(self.dropout(self.inner(row)))


class _Tokens(HeadModule):
    def __init__(self, config: TokenHead | SpanHead, sizes: Sizes, n: int) -> None:
        super().__init__()
        self.inner = config.inner.build(sizes.d_model, sizes.d_model) if config.inner else nn.Identity()
        self.dropout, self.out = nn.Dropout(config.dropout), nn.Linear(sizes.d_model, n)

    def forward(self, x: Tensor, layout: Layout, table: Tensor, others: Mapping[str, nn.Module]) -> Tensor:
        return self.out(self.dropout(self.inner(x)))


class _Replaced(HeadModule):
    def __init__(self, config: ReplacedHead, sizes: Sizes) -> None:
        super().__init__()
        self.inner, self.out = config.inner.build(sizes.d_model, sizes.d_model), nn.Linear(sizes.d_model, 1)

    def forward(self, x: Tensor, layout: Layout, table: Tensor, others: Mapping[str, nn.Module]) -> Tensor:
        return self.out(self.inner(x)).squeeze(-1)


class _Pair(HeadModule):
    def __init__(self, config: PairHead, sizes: Sizes) -> None:
        super().__init__()
        self.dropout, self.out = nn.Dropout(config.dropout), nn.Linear(sizes.d_model, 2)

    def forward(self, x: Tensor, layout: Layout, table: Tensor, others: Mapping[str, nn.Module]) -> Tensor:
        return self.out(self.dropout(pooled(x, layout, table, others)))


def pick(x: Tensor, layout: Layout, at: Literal["first", "last", "mean"]) -> Tensor:
    """(N, D) -> (B, D): the first or the last row of each text, or the mean of all its rows."""
    if at != "mean":
        return x[layout.first if at == "first" else layout.last]
    lengths = (layout.last - layout.first + 1)[:, None]
    wide = x.to(torch.promote_types(x.dtype, torch.float32))  # a sum of many halves would stop growing
    return (wide.new_zeros(len(layout), x.size(-1)).index_add(0, layout.texts, wide) / lengths).to(x.dtype)


def pooled(x: Tensor, layout: Layout, table: Tensor, others: Mapping[str, nn.Module]) -> Tensor:
    """(N, D) -> (B, D): what the model's pooler makes of each text."""
    return others["pooler"](x, layout, table, others)


def _check_place(at: str, places: tuple[str, ...]) -> None:
    if at not in places:
        raise InputError(f"at={at!r} is unknown{did_you_mean(at, places)}")


def _check(labels: tuple[str, ...]) -> None:
    if not labels or len(set(labels)) != len(labels):
        raise InputError(f"labels={list(labels)[:8]} must be different names, one at least")
