"""The input layer: token, position and segment vectors, summed or side by side, then norm, dropout, projection.

N packed tokens, E numbers of an embedding, D model, V vocabulary.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from inlay.errors import InputError
from inlay.model.characters import CharacterCNN, CharacterMean, CharacterTable, Spelling
from inlay.model.coverage import Coverage
from inlay.model.norm import Norm
from inlay.model.packed import Packed
from inlay.model.position import Position
from inlay.model.wordstart import FromWords, Pieces, token_table

if TYPE_CHECKING:
    from inlay.tokenize.tokenizer import Tokenizer
    from inlay.vectors.wordvectors import WordVectors


@dataclass(frozen=True, kw_only=True)
class Table:
    """One learned vector for each token."""

    padding: int | None = None
    """The id whose row stays zero and learns nothing."""


@dataclass(frozen=True, kw_only=True)
class Sum:
    """Token, position and segment vectors are added: BERT and all its kin."""


@dataclass(frozen=True, kw_only=True)
class Concat:
    """Token, position and segment vectors stand side by side, each at its own width, before the projection."""

    d_position: int = 64
    """Numbers of a position."""
    d_segment: int = 16
    """Numbers of a segment."""

    def __post_init__(self) -> None:
        if self.d_position < 1 or self.d_segment < 1:
            raise InputError(f"d_position={self.d_position} and d_segment={self.d_segment} must be at least 1")


@dataclass(frozen=True, kw_only=True)
class Input:
    """What turns token ids into the rows that a stack reads."""

    vocab_size: int
    """Rows of the token table."""
    d_embed: int = 0
    """Numbers of a token; 0 means the stack's d_model, fewer are projected (ALBERT, ELECTRA)."""
    token: Table | CharacterCNN | CharacterMean = field(default_factory=Table)
    """Where a token's vector comes from."""
    position: Position | None = None
    """Absolute positions."""
    n_segments: int = 0
    """Kinds of segment (BERT: 2); 0 for none."""
    combine: Sum | Concat = field(default_factory=Sum)
    """How the parts come together."""
    norm: Norm | None = None
    """The norm after that."""
    dropout: float = 0.1
    """How much of a row training leaves out."""
    scale: float = 1.0
    """What token vectors are multiplied by; the original Transformer takes √d_model."""
    twin: bool = False
    """Encoder and decoder share tables, but not positions and norm: each has its own. Lewis et al. 2019 (BART)."""
    query: bool = False
    """A learned row from which XLNet's second stream starts wherever a token is to be told. Yang et al. 2019."""
    frozen: Literal["never", "always"] | int = "never"
    """When the token table learns: `never` frozen, `always` frozen, or frozen for that many steps."""

    def __post_init__(self) -> None:
        if self.vocab_size < 1:
            raise InputError(f"vocab_size={self.vocab_size} must be at least 1")
        if self.d_embed < 0 or self.n_segments < 0:
            raise InputError(f"d_embed={self.d_embed} and n_segments={self.n_segments} must be at least 0")
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout={self.dropout} must be at least 0 and below 1")
        if self.frozen not in ("never", "always") and (isinstance(self.frozen, str) or self.frozen < 0):
            raise InputError(f"frozen={self.frozen} must be never, always, or a number of steps")

    def build(self, d_model: int) -> "InputLayer":
        """The module, for a stack of that width."""
        return InputLayer(self, d_model)

    @classmethod
    def from_vectors(
        cls,
        vectors: "WordVectors",
        tokenizer: "Tokenizer",
        policy: Pieces | None = None,
        *,
        d_model: int = 0,
        seed: int = 0,
        **settings: Any,
    ) -> "tuple[InputLayer, Coverage]":
        """An input layer whose token table is these word vectors, as far as they reach, and a report of how far.

        `settings` are fields of Input; E is the vectors' dimension, projected to `d_model` where that differs. Other
        weights are drawn as init.Normal says. Raises InputError where vectors and tokenizer have no word in common.
        """
        from inlay.model.init import Normal, initialise

        config = cls(vocab_size=tokenizer.size, d_embed=vectors.dim, **settings)
        layer = config.build(d_model or vectors.dim)
        initialise(layer, Normal(), torch.Generator().manual_seed(seed))
        return layer, layer.start(vectors, tokenizer, policy, seed=seed)


class InputLayer(nn.Module):
    """(N,) token ids -> (N, D) rows."""

    def __init__(self, config: Input, d_model: int) -> None:
        super().__init__()
        self.config, d = config, config.d_embed or d_model
        if isinstance(config.token, Table):
            pad = config.token.padding
            if pad is not None and not 0 <= pad < config.vocab_size:
                raise InputError(f"padding={pad} is no id of a vocabulary of {config.vocab_size}")
            self.token: nn.Module = nn.Embedding(config.vocab_size, d, padding_idx=pad)
        else:
            self.token = config.token.build(config.vocab_size, d)
        side_by_side = config.combine if isinstance(config.combine, Concat) else None
        d_position = side_by_side.d_position if side_by_side else d
        d_segment = side_by_side.d_segment if side_by_side else d
        self.position = config.position.build(d_position) if config.position else None
        self.segment = nn.Embedding(config.n_segments, d_segment) if config.n_segments else None
        if side_by_side:
            d += (d_position if config.position else 0) + (d_segment if config.n_segments else 0)
        self.norm = config.norm.build(d) if config.norm else nn.Identity()
        self.target = _Target(config, d_position, d) if config.twin else None
        self.project = nn.Linear(d, d_model) if d != d_model else nn.Identity()
        self.query = nn.Parameter(torch.zeros(d_model)) if config.query else None
        self.dropout = nn.Dropout(config.dropout)
        self.at_step(0)

    def forward(self, packed: Packed, *, target: bool = False) -> Tensor:
        """(N, D), for the decoder with `target`; texts longer than the position table are InputErrors."""
        own = self.target if target and self.target is not None else self
        tokens = self.token(packed.ids) * self.config.scale if self.config.scale != 1 else self.token(packed.ids)
        parts = [tokens]
        if own.position is not None:
            own.position.check(packed.layout.longest)
            parts.append(own.position(packed.layout.position).to(tokens.dtype))
        if self.segment is not None:
            if packed.segments is None:
                parts.append(self.segment.weight[:1].expand(len(tokens), -1))
            else:
                parts.append(self.segment(packed.segments))
        if isinstance(self.config.combine, Concat):
            x = torch.cat(parts, -1)
        else:
            x = parts[0]
            for part in parts[1:]:
                x = x + part
        return self.project(self.dropout(own.norm(x)))

    def queries(self, n: int) -> Tensor:
        """(n, D): what a second stream of so many rows starts from."""
        if self.query is None:
            raise InputError("this model has no row for a second stream to start from; set input.query=true")
        return self.dropout(self.query.expand(n, -1))

    def table(self) -> Tensor:
        """(V, E): the vector of every token, which a tied output layer compares with."""
        return self.token.weight if isinstance(self.token, nn.Embedding) else self.token.table()  # type: ignore[operator]

    def at_step(self, step: int) -> bool:
        """Freeze or free the token table as the config says for this step of training; True when it may learn."""
        frozen = self.config.frozen
        free = frozen == "never" or (not isinstance(frozen, str) and step >= frozen)
        self.token.requires_grad_(free)
        return free

    def start(
        self,
        vectors: "WordVectors",
        tokenizer: "Tokenizer",
        policy: Pieces | None = None,
        *,
        scale: float | None = 0.02,
        center: bool = False,
        seed: int = 0,
    ) -> Coverage:
        """Fill the token table from word vectors: words copied, pieces by `policy`, the rest at the same scale.

        `scale` is the root mean square that the table's entries are brought to, by one factor for all; None keeps the
        vectors' own. `center` takes their mean away first. See `wordstart.token_table`.
        """
        if not isinstance(self.token, nn.Embedding):
            raise InputError("a table read from characters cannot start from word vectors; take token: {kind: Table}")
        if self.token.embedding_dim != vectors.dim:
            raise InputError(
                f"the token table has {self.token.embedding_dim} numbers a row, the word vectors {vectors.dim}; "
                f"set input.d_embed={vectors.dim}"
            )
        if self.token.num_embeddings < tokenizer.size:
            raise InputError(
                f"the tokenizer has {tokenizer.size} ids, the token table {self.token.num_embeddings} rows; "
                f"set input.vocab_size={tokenizer.size}"
            )
        rng = np.random.default_rng(seed)
        policy = policy or FromWords()
        table, coverage = token_table(vectors, tokenizer, policy, rng=rng, scale=scale, center=center)
        with torch.no_grad():
            self.token.weight[: len(table)] = torch.from_numpy(table)
            if self.token.padding_idx is not None:
                self.token.weight[self.token.padding_idx] = 0
        return coverage

    def spell(self, tokenizer: "Tokenizer") -> Spelling:
        """Tell a table that is read from characters how the tokenizer's tokens are written; says what it cut short."""
        if not isinstance(self.token, CharacterTable):
            raise InputError("this token table is not read from characters; take input.token: {kind: CharacterCNN}")
        return self.token.spell(tokenizer)

    def check(self, batch_ids: np.ndarray, segments: np.ndarray | None) -> None:
        """Raise InputError for an id or a segment that has no row; done on the CPU, before anything is computed."""
        _in_range("token id", batch_ids, self.config.vocab_size, "the tokenizer is another model's; take its own")
        if segments is not None and self.segment is not None:
            _in_range("segment", segments, self.config.n_segments, "number segments from 0")

    def extra_repr(self) -> str:
        return f"frozen={self.config.frozen}"


class _Target(nn.Module):
    """What a decoder has of its own where `twin` is set: positions, E numbers each, and a norm."""

    def __init__(self, config: Input, d_position: int, d: int) -> None:
        super().__init__()
        self.position = config.position.build(d_position) if config.position else None
        self.norm = config.norm.build(d) if config.norm else nn.Identity()


def _in_range(name: str, numbers: np.ndarray, size: int, way_out: str) -> None:
    low, high = int(numbers.min(initial=0)), int(numbers.max(initial=0))
    if low < 0 or high >= size:
        bad = low if low < 0 else high
        place = int(np.flatnonzero(numbers == bad)[0])
        raise InputError(
            f"{name} {bad} (place {place} of the batch) has no row: they run from 0 to {size - 1}; {way_out}"
        )
