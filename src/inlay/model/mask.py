"""Who may see whom: boolean tensors that are True where query t may see key s, put together with `&`.

b texts of a group, B texts of the batch, N packed tokens, T queries, S keys. A function returns what broadcasts to
(b, T, S). A rule is the same for packed texts: tensors over the batch, laid out for one group by `dense`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from inlay.errors import InputError
from inlay.model.scheme import At


def causal(t: int, s: int | None = None, offset: int = 0, device: torch.device | None = None) -> Tensor:
    """(t, s): query i stands at `offset + i` among the s keys and sees those up to itself.

    `offset` counts the keys before the first query, as when tokens are read one at a time; s is `offset + t` unless
    given.
    """
    query = torch.arange(offset, offset + t, device=device)
    key = torch.arange(offset + t if s is None else s, device=device)
    return key <= query[:, None]


def padding(keep: Tensor) -> Tensor:
    """(b, S) -> (b, 1, S): everyone sees the keys that are tokens."""
    return keep[:, None, :]


def prefix(lengths: Tensor, t: int) -> Tensor:
    """(b,) -> (b, t, t): all see the first `lengths[b]` tokens, and each sees what lies before it and itself.

    Dong et al. 2019, arXiv:1905.03197 (sequence-to-sequence mask); Raffel et al. 2020, arXiv:1910.10683 (prefix LM).
    """
    position = torch.arange(t, device=lengths.device)
    return _prefix(position, position, lengths)


def window(q_position: Tensor, k_position: Tensor, reach: int) -> Tensor:
    """(T,) and (S,) -> (T, S), or (b, T) and (b, S) -> (b, T, S): `|q - k| <= reach`, both ends included.

    ModernBERT's `local_attention` of 128 is a reach of 64: a token sees 64 tokens on each side, 129 with itself.
    """
    return (_column(q_position) - _row(k_position)).abs() <= reach


def document(q_number: Tensor, k_number: Tensor | None = None) -> Tensor:
    """(T,) -> (T, T), or (b, T) -> (b, T, T): a token sees the tokens of its own document.

    Documents need not lie in one piece. `k_number` is for keys that are not the queries: (b, S) -> (b, T, S).
    """
    return _column(q_number) == _row(q_number if k_number is None else k_number)


def permutation(rank: Tensor, k_rank: Tensor | None = None, *, own: bool) -> Tensor:
    """(T,) -> (T, T), or (b, T) -> (b, T, T): a token sees those whose rank is lower, and with `own` its own rank too.

    `own=True` is the content stream, where a token sees itself; `own=False` the query stream, which must predict it.
    Tokens that share a rank (the context that is given, at rank 0) see each other in the content stream.
    Yang et al. 2019, arXiv:1906.08237.
    """
    query, key = _column(rank), _row(rank if k_rank is None else k_rank)
    return key <= query if own else key < query


class Rectangle(Protocol):
    """Packed rows (N, ...) as the padded rectangle (b, T, ...) of one group."""

    def take(self, x: Tensor) -> Tensor: ...


class Group(Protocol):
    """What a rule asks of a group of texts: which they are, how their keys lie, and where the queries stand in them."""

    @property
    def texts(self) -> Tensor: ...

    @property
    def keys(self) -> Rectangle | None: ...

    @property
    def at(self) -> At: ...


@dataclass(frozen=True, eq=False)
class Prefix:
    """`prefix` for packed texts: all of text b see its first `lengths[b]` tokens, later ones also what lies before.

    It is for a stack that reads both ways: a causal one never shows a token what comes after it.
    """

    lengths: Tensor
    """(B,) whole numbers; 0 is plain causal, the whole length is bidirectional."""

    def check(self, lengths: Sequence[int], *, causal: bool) -> None:
        """Raise InputError where there is not one number for each text, or the stack is causal."""
        _one_for_each("Prefix.lengths", self.lengths, len(lengths), "text")
        if causal:
            raise InputError("Prefix opens the beginning of a text, which a causal stack keeps shut; set causal=false")

    def dense(self, group: Group) -> Tensor:
        """(b, T, S)."""
        q, k, texts = group.at.q, group.at.k, group.texts
        seen = _prefix(q, k, self.lengths.to(texts.device)[texts].to(q.device))
        return seen.expand(len(texts), -1, -1)


@dataclass(frozen=True, eq=False)
class Permutation:
    """`permutation` for packed texts: ranks are compared within a text."""

    rank: Tensor
    """(N,) whole numbers, of all tokens, whether or not each is a query."""
    own: bool
    """True: the content stream, a token sees itself. False: the query stream."""

    def check(self, lengths: Sequence[int], *, causal: bool) -> None:
        """Raise InputError where there is not one number for each token."""
        _one_for_each("Permutation.rank", self.rank, sum(lengths), "token")

    def dense(self, group: Group) -> Tensor:
        """(b, T, S)."""
        return permutation(*_of_queries_and_keys(group, self.rank), own=self.own)


@dataclass(frozen=True, eq=False)
class Documents:
    """`document` for packed texts: a text that was put together from several, none of which sees another."""

    number: Tensor
    """(N,) whole numbers: the same for tokens of one document, within a text."""

    def check(self, lengths: Sequence[int], *, causal: bool) -> None:
        """Raise InputError where there is not one number for each token."""
        _one_for_each("Documents.number", self.number, sum(lengths), "token")

    def dense(self, group: Group) -> Tensor:
        """(b, T, S)."""
        return document(*_of_queries_and_keys(group, self.number))


Rule = Prefix | Permutation | Documents
"""What a caller may add to what a stack lets see; padding is the stack's own business."""


def _one_for_each(name: str, given: Tensor, n: int, what: str) -> None:
    if not isinstance(given, Tensor):
        raise InputError(f"{name} is of {type(given).__name__}; give a tensor, one number for each {what}")
    if given.shape != (n,):
        raise InputError(f"{name} has the shape {tuple(given.shape)}, but needs ({n},): one number for each {what}")


def _of_queries_and_keys(group: Group, x: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) of the tokens -> (b, T) of those that the queries stand at, which may be a few of them, and (b, S)."""
    assert group.keys is not None, "a rule over tokens needs the rows of the keys, which a cache no longer has"
    keys = group.keys.take(x.to(group.texts.device))
    place = group.at.q.expand(len(keys), -1).clamp(max=keys.size(1) - 1)  # padding may stand anywhere
    return keys.gather(1, place), keys


def _prefix(q: Tensor, k: Tensor, lengths: Tensor) -> Tensor:
    return (_row(k) < lengths[:, None, None]) | (_row(k) <= _column(q))


def _column(x: Tensor) -> Tensor:
    return x[..., :, None]


def _row(x: Tensor) -> Tensor:
    return x[..., None, :]
