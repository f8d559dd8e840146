"""A model for a tokenizer that got more words: old rows stay as they are, and new ones start from what is known.

V tokens, E numbers of a row, W words that both vectors and table know, D numbers of a word vector, n new tokens.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.model.characters import CharacterTable
from inlay.model.model import Model, ModelConfig
from inlay.tokenize.fertility import Extension
from inlay.vectors.wordvectors import WordVectors

_TABLE = "input.token.weight"
_SPELLING = "input.token.spelling"
_PER_NUMBER = 2
"""Words that a map needs for each number of a vector, lest it only learn those words by heart."""
_HELD_OUT = 10
"""Every so manieth common word is left out of the map to see how well it does."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FromPieces:
    """A new row is the mean of the rows of the old tokens that the word was cut into."""


@dataclass(frozen=True)
class FromVectors:
    """A new row is the word's vector, brought into the table's space by the map that fits the words that both know.

    The map is linear with a constant, by least squares; a word without a vector starts from its pieces.
    """

    path: str | Path
    """A file of word vectors."""


@dataclass(frozen=True)
class FromMean:
    """A new row is the mean of all old rows, and noise."""

    noise: float = 0.1
    """Spread of the noise, as a share of that of the old rows in each number."""

    def __post_init__(self) -> None:
        if not 0 <= self.noise < float("inf"):
            raise InputError(f"noise={self.noise} must be at least 0; 0.1 is usual")


Start = FromPieces | FromVectors | FromMean
"""What the row of a new token starts from."""


@dataclass(frozen=True, kw_only=True)
class Growth:
    """What a model's tables have become; `str` says it in a line."""

    rows: int
    """Rows of the token table."""
    started: Mapping[str, int]
    """New tokens by what they started from: pieces, vectors, mean, characters."""
    explained: float | None = None
    """Share of the variance of known rows that the map of word vectors tells, of words not used for it."""

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, as JSON has them."""
        return {"rows": self.rows, "started": dict(self.started), "explained": self.explained}

    def __str__(self) -> str:
        parts = ", ".join(f"{n:,} from {name}" for name, n in self.started.items() if n)
        told = "" if self.explained is None else f"; word vectors tell {self.explained:.0%} of known rows' variance"
        return f"{self.rows:,} rows; new ones start: {parts}{told}"


def grow(model: Model, extension: Extension, start: Start | None = None, *, seed: int = 0) -> tuple[Model, Growth]:
    """(A new model with a row for each new token, what the rows started from); all else is the old model's.

    Old tokens have the same rows, logits and biases as before, so a text without new ones gives the same. A language
    head with a table of its own grows like the token table; its bias for a new token is the mean of its pieces'. A
    table that is read from characters reads the new words, whatever `start` says. Raises InputError for the tokenizer
    of another model, and for word vectors that have too few words in common with it.
    """
    start, config = start or FromPieces(), model.config
    if extension.old.size > config.vocab_size:
        raise InputError(
            f"the tokenizer has {extension.old.size} ids, the token table {config.vocab_size} rows; take the tokenizer "
            "that belongs to the model"
        )
    size = max(config.vocab_size, extension.tokenizer.size)  # a table may have rows to spare
    vectors = WordVectors.load(start.path) if isinstance(start, FromVectors) else None
    rng = np.random.default_rng(seed)
    growth = Growth(rows=size, started={"characters": len(extension.pieces)})
    state = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    for name in _tables(config):
        old = state[name]
        new = old.new_zeros((size, *old.shape[1:]))
        new[: len(old)] = old
        if name != _SPELLING:
            known = old[: extension.old.size].double().cpu().numpy()  # (V, E), or (V,) of a bias
            if known.ndim == 1:
                values = _by_pieces(known[:, None], extension, FromMean(noise=0), rng)[0][:, 0]
            else:
                values, started, explained = _rows(known, extension, start, vectors, rng)
                if name == _TABLE:
                    growth = Growth(rows=size, started=started, explained=explained)
            new[list(extension.pieces)] = torch.from_numpy(values).to(new)
        state[name] = new
    grown = _with_rows(config, size).build(device="meta")
    grown.load_state_dict(state, assign=True)
    if isinstance(grown.input.token, CharacterTable):
        grown.input.spell(extension.tokenizer)
    grown.source = model.source and dict(model.source)
    return grown.train(model.training), growth


def _with_rows(config: ModelConfig, size: int) -> ModelConfig:
    return replace(config, input=replace(config.input, vocab_size=size))


def _tables(config: ModelConfig) -> list[str]:
    """The names of what has a row for each token."""
    one, two = (_with_rows(config, config.vocab_size + n).build(device="meta").state_dict() for n in (0, 1))
    return [name for name, tensor in one.items() if tensor.shape != two[name].shape]


def _rows(
    table: Array, extension: Extension, start: Start, vectors: WordVectors | None, rng: np.random.Generator
) -> tuple[Array, dict[str, int], float | None]:
    """(n, E) rows of the new tokens, in the order of `extension.pieces`, and what they started from.

    `table` (V, E) are the old ones. Last comes how much of them the map of word vectors tells.
    """
    if isinstance(start, FromMean):
        values = _noisy(table, len(extension.pieces), start, rng)
        return values, {"mean": len(values)}, None
    values, alone = _by_pieces(table, extension, FromMean(), rng)
    origin = ["mean" if place in alone else "pieces" for place in range(len(values))]
    explained = None
    if vectors is not None:
        words = {one.id: one.word for one in extension.words}
        rows = [_find(words.get(id), vectors) for id in extension.pieces]
        places = [place for place, row in enumerate(rows) if row is not None]
        if not places:
            raise InputError(f"none of the {len(words)} new words has a vector; take vectors of the same text")
        carry, explained = _map(table, extension, vectors)
        values[places] = carry(vectors.table.take(np.array([rows[place] for place in places])).astype(np.float64))
        origin = ["vectors" if rows[place] is not None else name for place, name in enumerate(origin)]
    return values, dict(Counter(origin)), explained


def _known(ids: tuple[int, ...], extension: Extension) -> list[int]:
    """The pieces that stand for something."""
    unknown = extension.old.roles.get("unk")
    return [id for id in ids if unknown is None or id != extension.old.vocabulary.get(unknown)]


def _by_pieces(
    table: Array, extension: Extension, otherwise: FromMean, rng: np.random.Generator
) -> tuple[Array, set[int]]:
    """(n, E) the mean row of each new token's pieces; and which have only unknown ones, and get the table's mean."""
    values = np.zeros((len(extension.pieces), table.shape[1]))
    alone = []
    for place, ids in enumerate(extension.pieces.values()):
        if known := _known(ids, extension):
            values[place] = table[known].mean(axis=0)
        else:
            alone.append(place)
    values[alone] = _noisy(table, len(alone), otherwise, rng)
    return values, set(alone)


def _noisy(table: Array, n: int, start: FromMean, rng: np.random.Generator) -> Array:
    return table.mean(axis=0) + start.noise * table.std(axis=0) * rng.standard_normal((n, table.shape[1]))


def _find(word: str | None, vectors: WordVectors) -> int | None:
    if word is None:  # a token on the way to a word
        return None
    return vectors.index.get(word, vectors.index.get(word.lower()))


def _map(table: Array, extension: Extension, vectors: WordVectors) -> tuple[Callable[[Array], Array], float]:
    """From word vectors (…, D) to rows (…, E), by the words that both know; and the variance that it tells."""
    read = extension.old.writing.read
    both = [
        (id, row)
        for token, id in extension.old.vocabulary.items()
        if (written := read(token)).whole and written.text and (row := _find(written.text, vectors)) is not None
    ]
    least = _PER_NUMBER * (vectors.dim + 1)
    if len(both) < least:
        raise InputError(
            f"the word vectors and the tokenizer have {len(both)} words in common, and a map of {vectors.dim} numbers "
            f"needs {least}; take other vectors, or start from pieces"
        )
    ids, rows = (np.array(numbers) for numbers in zip(*both, strict=True))
    x, y = _with_one(vectors.table.take(rows).astype(np.float64)), table[ids]  # (W, D + 1), (W, E)
    kept = np.arange(len(x)) % _HELD_OUT != 0
    tried = np.linalg.lstsq(x[kept], y[kept])[0]
    rest = y[~kept] - x[~kept] @ tried
    total = np.square(y[~kept] - y[kept].mean(axis=0)).sum()
    explained = 1 - float(np.square(rest).sum() / max(total, np.finfo(float).tiny))
    whole = np.linalg.lstsq(x, y)[0]
    return lambda found: _with_one(found) @ whole, explained


def _with_one(x: Array) -> Array:
    return np.concatenate([x, np.ones((len(x), 1))], axis=1)
