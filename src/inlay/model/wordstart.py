"""A token table that starts from word vectors: words copied, pieces made of what is known of them, the rest as noise.

BERT and its like begin with noise. Vectors of the same texts' words are a better beginning where texts are few: the
table then knows before the first step what stands near what.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.model import piecestart
from inlay.model.coverage import ORIGINS, Coverage, Origin
from inlay.tokenize.tokenizer import Tokenizer
from inlay.tokenize.writing import Written
from inlay.vectors import storage
from inlay.vectors.wordvectors import WordVectors

# V tokens of the tokenizer, W words of the vectors, D dimensions, R tokens of all the words together


@dataclass(frozen=True)
class FromNGrams:
    """A piece starts from its character n-grams, as an unseen word of fastText does; needs vectors with subwords."""


@dataclass(frozen=True)
class FromWords:
    """A piece starts from the mean of the words that it is a part of, each as often as it occurs.

    A Chinese or Japanese token that is part of no word, but is made of several, starts from their mean.
    """


@dataclass(frozen=True)
class AtRandom:
    """A piece starts from noise."""


Pieces = FromNGrams | FromWords | AtRandom
"""What a token starts from that is no word of the vectors."""


def token_table(
    vectors: WordVectors,
    tokenizer: Tokenizer,
    policy: Pieces,
    rng: np.random.Generator,
    *,
    scale: float | None = None,
    center: bool = False,
) -> tuple[NDArray[np.float32], Coverage]:
    """((V, D) float32, its Coverage): each token that is a word of the vectors has that word's vector.

    A token is looked up as it is, then in lower case; then come the words that the tokenizer reads as this token alone
    (`Paris` where it lower-cases), their mean by counts. The `policy` makes the other tokens; where it can say nothing
    of one (a piece in no word, or without n-grams), the row is noise with the mean and the spread that the copied rows
    have in each dimension. Specials are such noise around zero, and the row of the padding token is zero.

    `center` takes the copied rows' mean away from all rows: word vectors share a large part, which tells no two of
    them apart but adds to every sum. `scale` multiplies all rows by one factor, so that the root mean square of the
    numbers is `scale` (0.02 is what BERT's tables begin with): angles and relative lengths stay. What is added to the
    table, positions and segments, begins at its family's own scale: word vectors left as they are (0.1 to 0.5 and
    more) drown positions of 0.02, so that the norm after the sum leaves little of them at the start; at 0.02 both weigh
    the same, as they do in a model that begins with noise.

    Raises InputError for vectors without words, with NaN or infinity, all zero, or none of whose words is a token; for
    FromNGrams without n-grams; for a scale that is not above zero.
    """
    _check(vectors, policy, scale)
    written = _written(tokenizer)
    pad = tokenizer.vocabulary.get(tokenizer.roles.get("pad", ""), -1)
    table = np.zeros((tokenizer.size, vectors.dim), np.float32)
    origin = np.full(len(table), ORIGINS.index("random"), np.int8)
    origin[[row for row, token in enumerate(written) if token and token.special]] = ORIGINS.index("special")

    def fill(name: Origin, rows: NDArray[np.int64], values: NDArray[np.float32]) -> None:
        table[rows], origin[rows] = values, ORIGINS.index(name)

    for name, rows, words in _known(written, vectors):
        fill(name, rows, vectors.table.take(words))
    starts, ids = piecestart.encode(vectors.words, tokenizer)
    weights = np.ones(len(vectors)) if vectors.counts is None else vectors.counts.astype(np.float64)
    open_ = _open(origin, written)
    alone = np.diff(starts) == 1  # (W,) words that are one token
    fill("folded", *piecestart.means(vectors, starts, ids, np.where(alone, weights, 0), open_))
    copied = np.flatnonzero(origin < ORIGINS.index("ngrams"))
    if not len(copied):
        raise InputError(_no_overlap(vectors, written))
    match policy, _open(origin, written):
        case FromNGrams(), rows:
            fill("ngrams", *piecestart.ngrams(vectors, written, rows))
        case FromWords(), rows:
            fill("words", *piecestart.means(vectors, starts, ids, weights, rows))
            fill("words", *piecestart.within(vectors, written, _open(origin, written)))
        case AtRandom(), _:
            pass
    mean, spread = table[copied].mean(axis=0), _spread(table[copied])
    if center:
        table[origin < ORIGINS.index("random")] -= mean
        mean = np.zeros_like(mean)
    for name, middle in (("random", mean), ("special", np.zeros_like(mean))):
        rows = np.flatnonzero(origin == ORIGINS.index(name))
        table[rows] = middle + spread * rng.standard_normal((len(rows), vectors.dim), dtype=np.float32)
    if pad >= 0:
        table[pad] = 0
    factor = _factor(table, pad, scale)
    table *= np.float32(factor)
    return table, _coverage(table, origin, written, np.repeat(weights, np.diff(starts)), ids, factor, vectors)


def _check(vectors: WordVectors, policy: Pieces, scale: float | None) -> None:
    if not isinstance(policy, Pieces):
        raise InputError(f"policy={policy!r} must be FromNGrams(), FromWords() or AtRandom()")
    if isinstance(policy, FromNGrams) and (vectors.subwords is None or not vectors.subwords.max_n):
        raise InputError("no n-grams in these vectors for FromNGrams(); fasttext trains them, or take FromWords()")
    if scale is not None and not 0 < scale < float("inf"):
        raise InputError(f"scale={scale} must be above zero; 0.02 is usual, None keeps the vectors as they are")
    if not len(vectors) or not vectors.dim:
        raise InputError(f"{vectors!r}: nothing to start from; train vectors first")
    seen = False
    for first, block in storage.blocks(vectors.table):
        if len(wrong := np.flatnonzero(~np.isfinite(block).all(axis=1))):
            word = vectors.words[first + int(wrong[0])]
            raise InputError(f"the vector of {word!r} is not finite (NaN or infinity); train the vectors again")
        seen = seen or bool(block.any())
    if not seen:
        raise InputError(f"all vectors of {vectors!r} are zero; train them first")


def _written(tokenizer: Tokenizer) -> list[Written | None]:
    """(V,) what each id's token stands for; None for an id without a token."""
    written: list[Written | None] = [None] * tokenizer.size
    for token, row in tokenizer.vocabulary.items():
        written[row] = tokenizer.writing.read(token)
    return written


def _known(
    written: Sequence[Written | None], vectors: WordVectors
) -> list[tuple[Origin, NDArray[np.int64], NDArray[np.int64]]]:
    """Of the tokens that are words, those whose text, or its lower case, is among the vectors: rows there and there."""
    found: dict[Origin, list[tuple[int, int]]] = {"copied": [], "lowered": []}
    for row, token in enumerate(written):
        if token is None or not token.whole or token.text is None:
            continue
        if (word := vectors.index.get(token.text)) is not None:
            found["copied"].append((row, word))
        elif (word := vectors.index.get(token.text.lower())) is not None:
            found["lowered"].append((row, word))
    pairs = {name: np.array(rows, np.int64).reshape(-1, 2) for name, rows in found.items()}
    return [(name, rows[:, 0], rows[:, 1]) for name, rows in pairs.items()]


def _open(origin: NDArray[np.int8], written: Sequence[Written | None]) -> NDArray[np.int64]:
    """The tokens that have no row yet and may get one: those of text, which white space is not."""
    rows = np.flatnonzero(origin == ORIGINS.index("random")).tolist()
    texts = [(row, token) for row in rows if (token := written[row])]
    return np.array([row for row, token in texts if token.text is None or token.text.strip()], np.int64)


def _spread(copied: NDArray[np.float32]) -> NDArray[np.float32]:
    """(D,) the rows' standard deviation; of a single row, which has none, its numbers' size."""
    return copied.std(axis=0) if len(copied) > 1 else np.abs(copied[0])


def _factor(table: NDArray[np.float32], pad: int, scale: float | None) -> float:
    if scale is None:
        return 1.0
    n_rows = len(table) - (pad >= 0)
    size = float(np.sqrt(np.einsum("vd,vd->", table, table, dtype=np.float64) / (n_rows * table.shape[1])))
    if not size:
        raise InputError(f"every row is zero, so no factor gives them scale={scale}; leave center or scale out")
    return scale / size


def _coverage(
    table: NDArray[np.float32],
    origin: NDArray[np.int8],
    written: Sequence[Written | None],
    weights: NDArray[np.float64],
    ids: NDArray[np.int32],
    factor: float,
    vectors: WordVectors,
) -> Coverage:
    """What became of the rows; `weights` (R,) says how often each of `ids` (R,) counts."""
    blank = [token is not None and token.text is not None and not token.text.strip() for token in written]
    weights = np.where(np.array(blank)[ids], 0, weights)  # the `▁` before a Chinese word is no part of it
    rows = np.bincount(origin, minlength=len(ORIGINS))
    shares = np.bincount(origin[ids], weights, len(ORIGINS)) / max(weights.sum(), 1e-300)
    lengths = np.bincount(origin, np.linalg.norm(table, axis=1), len(ORIGINS))
    examples: dict[Origin, tuple[str, ...]] = {}
    for number, name in enumerate(ORIGINS):
        tokens = (
            token.text or token.token for row in np.flatnonzero(origin == number).tolist() if (token := written[row])
        )
        examples[name] = tuple(islice(tokens, 5))
    return Coverage(
        rows={name: int(n) for name, n in zip(ORIGINS, rows, strict=True)},
        share={name: float(part) for name, part in zip(ORIGINS, shares, strict=True)},
        norms={name: float(lengths[i] / rows[i]) for i, name in enumerate(ORIGINS) if rows[i]},
        examples=examples,
        factor=factor,
        weighted=vectors.counts is not None,
    )


def _no_overlap(vectors: WordVectors, written: Sequence[Written | None]) -> str:
    tokens = [token.token for token in written if token and not token.special]
    some = [f"{', '.join(map(repr, islice(names, 3)))}" for names in (tokens, vectors.words)]
    return (
        f"none of the {len(tokens)} tokens ({some[0]} …) is one of the {len(vectors)} words ({some[1]} …); "
        "train both on the same texts"
    )
