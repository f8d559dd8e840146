"""A token table read from characters: what is spelt alike gets vectors alike.

A table of tokens has a row for each and knows nothing of how they are written. Here `bake`, `baked` and `##baked` share
what they share in writing, and the parameters do not grow with the vocabulary.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from inlay.errors import InputError, did_you_mean
from inlay.model.spelling import FIRST_SPECIAL, HASHES, Spelling, spell
from inlay.tokenize.tokenizer import Tokenizer

# V tokens, L characters of a token, K rows of a character, N ids, U different ids, C numbers of a character,
# W a width of the convolution, F features, D numbers of a token

_BLOCK = 4096
"""Tokens that `table` reads at a time."""
_PASS_ON = -2.0
"""Bias of a highway's gate at the start: it passes on 88 % of its input."""
_ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu}


@dataclass(frozen=True, kw_only=True)
class _Characters:
    d_character: int = 16
    """Numbers of a character."""
    max_characters: int = 16
    """Characters of a token that are read, its mark counted; `spell` says how many tokens have more."""
    buckets: int = 2048
    """Rows that characters share: each has three of them, found by hashing, so that hardly two have the same three."""
    specials: int = 128
    """Rows for special tokens, one for each, found by their order."""

    def __post_init__(self) -> None:
        for name, least in (("d_character", 1), ("max_characters", 1), ("buckets", 2), ("specials", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name}={getattr(self, name)} must be at least {least}")


@dataclass(frozen=True, kw_only=True)
class CharacterMean(_Characters):
    """A token is the mean of its characters, brought to D: cheap, and blind to their order (`on` is `no`)."""

    d_character: int = 64

    def build(self, vocab_size: int, d: int) -> "CharacterTable":
        """The module for V tokens of D numbers; `spell` it before use."""
        return _Mean(self, vocab_size, d)


@dataclass(frozen=True, kw_only=True)
class CharacterCNN(_Characters):
    """A token is the strongest answer of each filter anywhere in it, brought to D. Kim et al. 2016, arXiv:1508.06615.

    A filter of width w answers to w characters in a row, the ends of the token counted as blanks.
    """

    widths: tuple[int, ...] = (1, 2, 3, 4, 5)
    """Characters that a filter sees."""
    filters: int = 25
    """Filters of width 1; width w has w times as many."""
    activation: Literal["tanh", "relu"] = "tanh"
    """What an answer goes through."""
    highway: int = 1
    """Highway layers after the filters: each passes a part of its input on as it is."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.activation not in _ACTIVATIONS:
            raise InputError(f"activation={self.activation!r} is unknown{did_you_mean(self.activation, _ACTIVATIONS)}")
        if not self.widths or min(self.widths) < 1 or len(set(self.widths)) < len(self.widths):
            raise InputError(f"widths={list(self.widths)} must be different and at least 1; (1, 2, 3, 4, 5) is usual")
        if self.filters < 1 or self.highway < 0:
            raise InputError(f"filters={self.filters}, highway={self.highway}: at least 1 filter and no less than 0")

    def build(self, vocab_size: int, d: int) -> "CharacterTable":
        """The module for V tokens of D numbers; `spell` it before use."""
        return _CNN(self, vocab_size, d)


class CharacterTable(nn.Module, ABC):
    """(N,) token ids -> (N, D), each from its characters alone: the same id has the same vector in any company.

    `spelling` (V, L, K) int32 says which rows each token's characters have. It is saved with the weights, so a loaded
    module needs no tokenizer.
    """

    spelling: Tensor

    def __init__(self, config: _Characters, vocab_size: int, d: int) -> None:
        super().__init__()
        self.config, self.vocab_size, self.d = config, vocab_size, d
        self.character = nn.Embedding(FIRST_SPECIAL + config.specials + config.buckets, config.d_character)
        unknown = torch.full((vocab_size, config.max_characters, HASHES), -1, dtype=torch.int32)
        self.register_buffer("spelling", unknown)
        self._ready = False

    def spell(self, tokenizer: Tokenizer) -> Spelling:
        """Learn how the tokenizer's tokens are written; what could not be told of them comes back.

        Raises InputError for a tokenizer with more tokens, or more specials, than there are rows.
        """
        if tokenizer.size > self.vocab_size:
            raise InputError(
                f"the tokenizer has {tokenizer.size} tokens, the table {self.vocab_size}; build it with as many"
            )
        config = self.config
        rows, report = spell(
            tokenizer, self.vocab_size, config.max_characters, config.buckets, config.specials, self.in_order
        )
        with torch.no_grad():
            self.spelling.copy_(torch.from_numpy(rows))
        return report

    def forget(self) -> None:
        """Be as never spelt; for a module that was made without numbers."""
        self.spelling.fill_(-1)
        self._ready = False

    def forward(self, ids: Tensor) -> Tensor:
        """(N,) -> (N, D), computed once for each different id; InputError before `spell`."""
        self._check()
        if ids.is_meta:  # how many differ is known where there are numbers only
            return self._tokens(ids)
        different, where = torch.unique(ids, return_inverse=True)  # (U,), (N,)
        return self._tokens(different)[where]

    def table(self) -> Tensor:
        """(V, D) the vectors of all tokens, as a tied output head needs them; InputError before `spell`.

        What lies between is computed again for the gradient, not kept: it is many times larger than the table.
        """
        self._check()
        rows = torch.arange(self.vocab_size, device=self.spelling.device).split(_BLOCK)
        if not torch.is_grad_enabled():
            return torch.cat([self._tokens(ids) for ids in rows])
        return torch.cat([checkpoint(self._tokens, ids, use_reentrant=False) for ids in rows])

    def draw(self, std: float, rng: torch.Generator) -> None:
        """Draw all weights anew, so that a token's numbers are about as large as a table's drawn with this `std`.

        Each layer keeps the size of what it reads, and the last brings it to `std`. All drawn small alike, as tables
        and matrices elsewhere are, the product of four small factors would be next to nothing.
        """
        for name, weight in self.named_parameters():
            if weight.is_meta:
                continue
            if name.endswith("bias"):
                nn.init.constant_(weight, _PASS_ON if name.endswith("gate.bias") else 0.0)
                continue
            size = std / self.size if name == "project.weight" else 1.0
            # A character is the sum of K rows; a number behind a matrix is the sum of as many as its rows are long.
            terms = HASHES if name == "character.weight" else weight[0].numel()
            drawn = torch.randn(weight.shape, generator=rng, device=rng.device) * (size * terms**-0.5)
            with torch.no_grad():
                weight.copy_(drawn)

    size: float
    """The root mean square of what the last layer reads, when all weights were just drawn."""
    in_order: bool
    """Whether the order of the characters tells tokens apart."""

    @abstractmethod
    def read(self, characters: Tensor, keep: Tensor) -> Tensor:
        """(U, L, C) characters, zero where `keep` (U, L) is False -> (U, D)."""

    def _tokens(self, ids: Tensor) -> Tensor:
        """(U,) -> (U, D)"""
        rows = self.spelling[ids].long()  # (U, L, K)
        keep = rows[..., 0] > 0
        return self.read(self.character(rows).sum(dim=-2) * keep[..., None], keep)

    def _check(self) -> None:
        # The answer stays, so that a GPU is not waited for at every step.
        if self._ready or self.spelling.is_meta:
            return
        low, high = torch.stack(self.spelling.aminmax()).tolist()
        if low < 0:
            raise InputError("this table has not seen its tokens' characters; call spell(tokenizer), or load weights")
        if high >= self.character.num_embeddings:
            raise InputError(
                f"spelling has a row {high}, but there are {self.character.num_embeddings} rows of characters; "
                "the weights are of a table with other sizes"
            )
        self._ready = True


class _Mean(CharacterTable):
    size = 0.45  # the mean of some five characters, each of size 1
    in_order = False

    def __init__(self, config: CharacterMean, vocab_size: int, d: int) -> None:
        super().__init__(config, vocab_size, d)
        self.project = nn.Linear(config.d_character, d)

    def read(self, characters: Tensor, keep: Tensor) -> Tensor:
        return self.project(characters.sum(dim=1) / keep.sum(dim=1, keepdim=True))


class _CNN(CharacterTable):
    size = 0.75  # the largest of some eight answers, most of them cut to 1
    in_order = True

    def __init__(self, config: CharacterCNN, vocab_size: int, d: int) -> None:
        super().__init__(config, vocab_size, d)
        # A border of blanks on both sides: the first and the last characters of a token are then told from others.
        self.filters = nn.ModuleList(
            nn.Conv1d(config.d_character, config.filters * width, width, padding=width - 1) for width in config.widths
        )
        self.widths, features = config.widths, config.filters * sum(config.widths)
        self.activation = _ACTIVATIONS[config.activation]
        self.highway = nn.ModuleList(Highway(features) for _ in range(config.highway))
        self.project = nn.Linear(features, d)

    def read(self, characters: Tensor, keep: Tensor) -> Tensor:
        columns, lengths = characters.transpose(1, 2), keep.sum(dim=1)[:, None]  # (U, C, L), (U, 1)
        answers: list[Tensor] = []
        for width, conv in zip(self.widths, self.filters, strict=True):
            seen = self.activation(conv(columns))  # (U, F, L + W - 1): windows that begin before and end after
            # Windows past the end hold blanks alone: without them a short token does not depend on L.
            past = torch.arange(seen.shape[-1], device=seen.device) >= lengths + width - 1
            answers.append(seen.masked_fill(past[:, None], -torch.inf).amax(dim=-1))
        x = torch.cat(answers, dim=-1)  # (U, F)
        for layer in self.highway:
            x = layer(x)
        return self.project(x)


class Highway(nn.Module):
    """(…, F) -> (…, F): t·relu(Wx + b) + (1 − t)·x with t = σ(Vx + c). Srivastava et al. 2015, arXiv:1505.00387."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.change, self.gate = nn.Linear(d, d), nn.Linear(d, d)
        nn.init.constant_(self.gate.bias, _PASS_ON)

    def forward(self, x: Tensor) -> Tensor:
        share = torch.sigmoid(self.gate(x))
        return share * torch.relu(self.change(x)) + (1 - share) * x
