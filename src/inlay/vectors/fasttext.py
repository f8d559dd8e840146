"""fastText's word vectors: a word is the mean of its own vector and its n-grams' (Bojanowski et al. 2017,
arXiv:1607.04606), so that rare words learn from their parts, and unseen words have vectors."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.live import Live
from inlay.vectors.parts import Parts
from inlay.vectors.parts import parts as find_parts
from inlay.vectors.start import Grow, Init, Start, begin, carry, check_dim, rows
from inlay.vectors.subwords import Subwords, check_sizes
from inlay.vectors.training import (
    Kernel,
    Progress,
    Schedule,
    aligned,
    check,
    keep_probabilities,
    packed,
    refuse_diverged,
    run,
    scatter,
)
from inlay.vectors.vocabulary import Encoded, LineFiles, Vocabulary
from inlay.vectors.word2vec import Cbow, Hierarchical, Negative, PerCentre, SkipGram, Word2Vec
from inlay.vectors.wordvectors import WordVectors

# V words, N rows that some word is composed of, D dimensions

Tokens = NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class FastText:
    """How to train: the usual values of fastText; an InputError names the first that is out of range."""

    dim: int = 100
    """Length of a word's vector."""
    window: int = 5
    """Farthest neighbour that counts; each word draws its own reach from 1 to this."""
    model: SkipGram | Cbow = SkipGram()
    """What predicts a word."""
    output: Negative | Hierarchical = Negative()
    """How a prediction is scored."""
    min_n: int = 3
    """Fewest characters of an n-gram, the word's ends `<` and `>` counted; for Chinese 1."""
    max_n: int = 6
    """Most characters of an n-gram; for Chinese 3. With 0 there are none, and words are learnt as by word2vec."""
    buckets: int = 2_000_000
    """Places for the vectors of n-grams; those that hash to the same one share it."""
    sample: float = 1e-4
    """Words above this share of the text are thinned out; 0 keeps all."""
    alpha: float = 0.05
    """Learning rate at the start."""
    min_alpha: float = 1e-4
    """Learning rate at the end; linear between."""
    epochs: int = 5
    """Times through the text."""
    min_count: int = 5
    """Rarer words are left out."""
    max_vocab: int | None = None
    """Keep only this many of the most frequent words."""
    threads: int = 1
    """Threads that write the same tables without locks; with one, the same seed gives the same bits."""
    seed: int = 0
    """Of the first vectors, the thinning, the reaches and the noise."""

    def __post_init__(self) -> None:
        Word2Vec(**{field.name: getattr(self, field.name) for field in fields(Word2Vec)})  # has the rules for these
        check(
            [
                ("min_n", self.min_n, self.min_n >= 1, "must be at least 1; 3 is usual, 1 for Chinese"),
                ("max_n", self.max_n, self.max_n == 0 or self.max_n >= self.min_n, f"is less than min_n={self.min_n}"),
                ("buckets", self.buckets, self.buckets <= 10**8, "must be at most 100 million; 2 million is usual"),
            ]
        )
        check_sizes(self.min_n, self.max_n, self.buckets)


def train(
    source: Iterable[Sequence[str]] | LineFiles | Encoded,
    config: FastText = FastText(),
    *,
    start: Start | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> WordVectors:
    """The composed vectors of the words in the source, most frequent first, and the n-grams they are composed of.

    With negative sampling, the context vectors too. A bucket that no word of the vocabulary meets stays zero: fastText
    leaves it at the random numbers it began with, which say no more to an unseen word, and noise at that. `start` goes
    on from given vectors: `Grow` needs those with n-grams of the same sizes, `Init` takes any. Raises InputError as
    `word2vec.train` does.
    """
    check_dim(start, config.dim)
    if isinstance(start, Grow):
        _check_growing(start.vectors, config)
    corpus = begin(source, start, min_count=config.min_count, max_vocab=config.max_vocab)
    vocabulary = corpus.vocabulary
    if isinstance(config.output, Negative):
        config.output.refuse_small(len(vocabulary), config.min_count)
    rng = np.random.default_rng(config.seed)
    parts = find_parts(vocabulary.words, min_n=config.min_n, max_n=config.max_n, buckets=config.buckets)
    inputs, outputs = aligned(len(parts), config.dim), aligned(len(vocabulary), config.dim)
    table = inputs[:, : config.dim]
    scatter(table, rng)
    table *= 2  # within ± 1 / D, as fastText begins: the mean of n rows is smaller than one
    fixed = _begin(start, vocabulary, parts, table)
    if isinstance(config.output, Negative):
        carry("context", start, vocabulary, outputs)
    kernel = _kernel(vocabulary, config, parts, inputs, outputs, fixed)
    schedule = Schedule(epochs=config.epochs, alpha=config.alpha, min_alpha=config.min_alpha, threads=config.threads)
    with Live("fasttext", corpus.n_words * config.epochs, "words") as live:
        for progress in run(kernel, corpus.tokens, corpus.n_words, schedule, rng):
            live.at(progress.words)
            if on_progress:
                on_progress(progress)
    context = packed(outputs, config.dim)
    refuse_diverged(config.alpha, table, context)
    matrix = _end(start, vocabulary, parts, table, fixed)
    return WordVectors(
        words=vocabulary.words,
        matrix=matrix,
        counts=vocabulary.counts,
        context=context if isinstance(config.output, Negative) else None,
        subwords=parts.subwords(table),
    )


def _sizes(grams: Parts | Subwords) -> dict[str, int]:
    return {"min_n": grams.min_n, "max_n": grams.max_n, "buckets": grams.buckets}


def _check_growing(vectors: WordVectors, config: FastText) -> None:
    """Raise an InputError unless the vectors have n-grams like those that are to be trained."""
    if vectors.subwords is None:
        raise InputError("the vectors to grow have no n-grams; Init(vectors), or --init, begins with their words")
    for name, given in _sizes(vectors.subwords).items():
        if given != (asked := getattr(config, name)):
            raise InputError(f"{name}={asked}, but the vectors to grow have {given}; set {name}={given}")


def _begin(start: Start | None, vocabulary: Vocabulary, parts: Parts, table: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(V,) which words stay as they are, after the words that `start` knows have got its vectors in `table` (N, D).

    N-grams of the same sizes are carried over; then a word's own row is what is missing to its vector. A word that
    stays is its own row alone, so that the n-grams it shares with others are free to change.
    """
    fixed = np.zeros(len(vocabulary), np.bool_)
    if start is None:
        return fixed
    given, there = start.vectors, rows(start.vectors, vocabulary)
    if given.subwords and _sizes(given.subwords) == _sizes(parts):
        parts.carry(table, given.subwords)
    known = np.flatnonzero(there >= 0)
    if isinstance(start, Init) and start.frozen:
        fixed[known] = True
        table[parts.own[known]] = given.matrix[there[known]]
    else:
        parts.pin(table, known, given, there[known])
    return fixed


def _end(
    start: Start | None, vocabulary: Vocabulary, parts: Parts, table: NDArray[np.float32], fixed: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """(V, D) the vectors; words that stayed as they were have their n-grams again, and the given vector to the bit."""
    if start is None or not fixed.any():
        return parts.compose(table, np.arange(len(vocabulary)))
    words = np.flatnonzero(fixed)
    parts.pin(table, words, start.vectors, rows(start.vectors, vocabulary)[words])
    matrix = parts.compose(table, np.arange(len(vocabulary)))
    carry("matrix", start, vocabulary, matrix)
    return matrix


def _kernel(
    vocabulary: Vocabulary,
    config: FastText,
    parts: Parts,
    inputs: NDArray[np.float32],
    outputs: NDArray[np.float32],
    fixed: NDArray[np.bool_],
) -> Kernel:
    """The loop that trains both tables in place."""
    from inlay.vectors.fasttext_kernels import Task, Words, train
    from inlay.vectors.huffman import tree
    from inlay.vectors.kernels import LANES, alias_table

    shares = vocabulary.counts / vocabulary.counts.sum()
    keep = (keep_probabilities(shares, config.sample) * 0xFFFFFFFF).astype(np.uint32)
    sizes = np.where(fixed, 1, parts.sizes)
    begins = parts.starts[:-1]
    words = Words(
        begins, begins + sizes, parts.rows, np.stack([1 / sizes, -1 / sizes], axis=1).astype(np.float32), fixed
    )
    task = Task(np.empty((0, 2), np.uint32), 0, 1.0, False, np.empty(0, np.int32), np.empty(0, np.uint8), begins[:0], 0)
    if isinstance(config.output, Negative):
        weight, sampling = config.output.words, config.output.sampling
        drawn = (sampling.drawn if isinstance(sampling, PerCentre) else None) or weight
        noise = alias_table(shares**config.output.exponent)
        task = task._replace(
            noise=noise, drawn=drawn, weight=weight / drawn, per_pair=not isinstance(sampling, PerCentre)
        )
    else:
        points, codes, starts = tree(vocabulary.counts)
        task = task._replace(points=points, codes=codes, starts=starts, longest=int(np.diff(starts).max()))
    width, cbow = -(-config.dim // LANES) * LANES, isinstance(config.model, Cbow)

    def kernel(tokens: Tokens, begin: int, end: int, rates: NDArray[np.float64], state: NDArray[np.uint64]) -> int:
        near, before = aligned(2 * config.window + 3, config.dim), aligned(2 * config.window + 1, config.dim)
        tables = (inputs, words, outputs, task, near, before)
        return train(tokens, begin, end, rates, keep, *tables, width, config.window, cbow, state)

    return kernel
