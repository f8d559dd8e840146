"""Tokens: what an objective must know of a vocabulary. Which ids stand for text, and where words begin.

N packed tokens, V ids, K ids that stand for text.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from inlay.batch import Batch
from inlay.errors import InputError

if TYPE_CHECKING:
    from inlay.tokenize.tokenizer import Tokenizer


@dataclass(frozen=True, eq=False)
class Tokens:
    """Facts of every id; ids that the vocabulary does not use count as specials."""

    ordinary: NDArray[np.bool_]
    """(V,) True where the id stands for text: no special token, [UNK] is one."""
    drawn: NDArray[np.int32]
    """(K,) the ids that do, which a random token may be."""
    starts: NDArray[np.bool_]
    """(V,) True where the token begins a word, whatever stands before it."""
    ends: NDArray[np.bool_]
    """(V,) True where the token after it begins a word."""

    @classmethod
    def of(cls, tokenizer: "Tokenizer", size: int) -> Self:
        """The facts of ids 0 … `size` - 1, as the vocabulary writes its words."""
        writing, specials = tokenizer.writing, set(tokenizer.roles.values())
        ordinary = np.zeros(max(size, tokenizer.size), bool)
        starts, ends = np.ones_like(ordinary), np.ones_like(ordinary)
        for token, number in tokenizer.vocabulary.items():
            written = writing.read(token)
            if written.special or token in specials:
                continue
            ordinary[number] = True
            if writing.inside:
                starts[number] = not written.marked
            elif writing.start:
                # Punctuation and unspaced scripts have no mark, but are words of their own.
                starts[number] = written.marked or written.whole
            elif writing.end:
                starts[number] = False
            ends[number] = written.marked and bool(writing.end)
        return cls(ordinary, np.flatnonzero(ordinary).astype(np.int32), starts, ends)

    def words(self, batch: Batch) -> NDArray[np.bool_]:
        """(N,) True where a word begins: as the batch says, or as the vocabulary's marks tell; specials are words."""
        if batch.words is None:
            begins = self.starts[batch.ids]
            begins[1:] |= self.ends[batch.ids[:-1]]
        else:
            begins = batch.words | ~self.ordinary[batch.ids]
        return begins | self.edges(batch)

    def edges(self, batch: Batch) -> NDArray[np.bool_]:
        """(N,) True where nothing goes on from the token before: a text begins, or a special stands there."""
        edges = np.zeros(len(batch.ids), bool)
        edges[1:] = ~self.ordinary[batch.ids[:-1]]
        edges[batch.starts[batch.lengths > 0]] = True
        return edges


def check_ids(batch: Batch, size: int) -> None:
    """InputError for an id of which nothing is known: tables of facts have a row for 0 … `size` - 1."""
    wrong = np.flatnonzero((batch.ids < 0) | (batch.ids >= size))
    if len(wrong):
        raise InputError(
            f"token id {batch.ids[wrong[0]]} (place {wrong[0]} of the batch) is none of the tokenizer's, whose ids run "
            f"from 0 to {size - 1}; take the tokenizer that made the batch"
        )


def role_id(tokenizer: "Tokenizer", role: str, objective: str) -> int:
    """The id of the special token with that role; InputError where the tokenizer has none."""
    if role not in tokenizer.roles:
        has = ", ".join(tokenizer.roles.values()) or "none"
        raise InputError(
            f"{objective} needs a {role} token, and this tokenizer's special tokens are {has}; "
            f"train one with '[{role.upper()}]' among its specials"
        )
    return tokenizer.id(tokenizer.roles[role])
