"""word2vec (Mikolov et al. 2013, arXiv:1301.3781 and 1310.4546): skip-gram and CBOW, trained by compiled kernels."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.live import Live
from inlay.vectors.start import Start, begin, carry, check_dim, frozen
from inlay.vectors.training import (
    Kernel,
    Progress,
    Schedule,
    aligned,
    check,
    check_whole,
    keep_probabilities,
    packed,
    refuse_diverged,
    run,
    scatter,
)
from inlay.vectors.vocabulary import Encoded, LineFiles, Vocabulary, check_limits
from inlay.vectors.wordvectors import WordVectors

# V words, D dimensions, n tokens

Tokens = NDArray[np.int32]


@dataclass(frozen=True)
class SkipGram:
    """Each word is predicted from each of its neighbours alone."""


@dataclass(frozen=True)
class Cbow:
    """Each word is predicted from the mean of its neighbours: a little faster, and weaker on little text."""


@dataclass(frozen=True, kw_only=True)
class PerCentre:
    """One set of noise words for each centre, shared by all its neighbours: less than half the time, as good."""

    drawn: int | None = None
    """Noise words drawn, each of weight words / drawn; None: as many as `words`."""

    def __post_init__(self) -> None:
        check_whole(drawn=self.drawn or 1)
        holds = self.drawn is None or 1 <= self.drawn <= 1000
        check([("drawn", self.drawn, holds, "must lie between 1 and 1000, or be None for as many as `words`")])


@dataclass(frozen=True)
class PerPair:
    """New noise words for each pair of words: the classic algorithm. CBOW has one prediction a centre, so no other."""


@dataclass(frozen=True, kw_only=True)
class Negative:
    """Negative sampling: tell the word from noise words (Mikolov et al. 2013, arXiv:1310.4546)."""

    words: int = 5
    """Noise words against each true one."""
    exponent: float = 0.75
    """They are drawn in proportion to frequency to this power."""
    sampling: PerCentre | PerPair = PerCentre()
    """How often new ones are drawn."""

    def __post_init__(self) -> None:
        check_whole(words=self.words)
        check(
            [
                ("words", self.words, 1 <= self.words <= 1000, "must lie between 1 and 1000 noise words; 5 is usual"),
                ("exponent", self.exponent, -10 <= self.exponent <= 10, "must lie between -10 and 10; 0.75 is usual"),
            ]
        )

    def refuse_small(self, vocabulary: int, min_count: int) -> None:
        """Raise an InputError for a vocabulary of no more words than there are noise words."""
        if self.words >= vocabulary:
            raise InputError(
                f"{self.words} noise words need a vocabulary of more, but this one has {vocabulary}; "
                f"give more text, a smaller min_count (now {min_count}) or fewer noise words"
            )


@dataclass(frozen=True)
class Hierarchical:
    """Hierarchical softmax: a word is the turns on its path through a Huffman tree (Morin & Bengio 2005)."""


@dataclass(frozen=True, kw_only=True)
class Word2Vec:
    """How to train: the usual values of word2vec; an InputError names the first that is out of range."""

    dim: int = 100
    """Length of a word's vector."""
    window: int = 5
    """Farthest neighbour that counts; each centre draws its own reach from 1 to this."""
    model: SkipGram | Cbow = SkipGram()
    """What predicts a word."""
    output: Negative | Hierarchical = Negative()
    """How a prediction is scored."""
    sample: float = 1e-3
    """Words above this share of the text are thinned out; 0 keeps all."""
    alpha: float = 0.025
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
        check_whole(dim=self.dim, window=self.window, epochs=self.epochs, threads=self.threads, seed=self.seed)
        check_whole(min_count=self.min_count, max_vocab=self.max_vocab or 1)
        check(
            [
                ("dim", self.dim, 1 <= self.dim <= 10_000, "must lie between 1 and 10000; 100 is usual"),
                ("window", self.window, 1 <= self.window <= 1000, "must lie between 1 and 1000; 5 is usual"),
                ("sample", self.sample, 0 <= self.sample <= 1, "must lie between 0 (keep all) and 1; 0.001 is usual"),
                ("alpha", self.alpha, 0 < self.alpha <= 1, "must lie between 0 and 1; 0.025 is usual"),
                (
                    "min_alpha",
                    self.min_alpha,
                    0 <= self.min_alpha <= self.alpha,
                    f"must lie between 0 and alpha={self.alpha}",
                ),
                ("epochs", self.epochs, self.epochs >= 1, "must be at least 1; 5 is usual"),
                ("threads", self.threads, 1 <= self.threads <= 256, "must lie between 1 and 256"),
                ("seed", self.seed, self.seed >= 0, "must not be negative"),
            ]
        )
        check_limits(self.min_count, self.max_vocab)


def train(
    source: Iterable[Sequence[str]] | LineFiles | Encoded,
    config: Word2Vec = Word2Vec(),
    *,
    start: Start | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> WordVectors:
    """The vectors of the words in the source, most frequent first; with negative sampling, the context vectors too.

    `source` gives sentences as lists of words and is read once; LineFiles and an Encoded corpus are faster, and the
    latter keeps its vocabulary, whatever `min_count` and `max_vocab` are. `start` goes on from given vectors. The live
    line shows words per second and the time left. Raises InputError for a value out of range, a vocabulary too small
    to draw noise from, and a training that diverged.
    """
    check_dim(start, config.dim)
    corpus = begin(source, start, min_count=config.min_count, max_vocab=config.max_vocab)
    vocabulary = corpus.vocabulary
    if isinstance(config.output, Negative):
        config.output.refuse_small(len(vocabulary), config.min_count)
    rng = np.random.default_rng(config.seed)
    # The last row is spare; of a tree, whose nodes begin at zero, there is one node fewer than words.
    inputs, outputs = aligned(len(vocabulary) + 1, config.dim), aligned(len(vocabulary), config.dim)
    scatter(inputs[:-1, : config.dim], rng)
    carry("matrix", start, vocabulary, inputs)
    if isinstance(config.output, Negative):
        carry("context", start, vocabulary, outputs)
    kernel = _kernel(vocabulary, config, inputs, outputs, frozen(start, vocabulary))
    schedule = Schedule(epochs=config.epochs, alpha=config.alpha, min_alpha=config.min_alpha, threads=config.threads)
    with Live("word2vec", corpus.n_words * config.epochs, "words") as live:
        for progress in run(kernel, corpus.tokens, corpus.n_words, schedule, rng):
            live.at(progress.words)
            if on_progress:
                on_progress(progress)
    matrix, context = packed(inputs[:-1], config.dim), packed(outputs, config.dim)
    refuse_diverged(config.alpha, matrix, context)
    if isinstance(config.output, Hierarchical):
        return WordVectors(words=vocabulary.words, matrix=matrix, counts=vocabulary.counts)
    return WordVectors(words=vocabulary.words, matrix=matrix, counts=vocabulary.counts, context=context)


def _kernel(
    vocabulary: Vocabulary,
    config: Word2Vec,
    inputs: NDArray[np.float32],
    outputs: NDArray[np.float32],
    frozen: NDArray[np.bool_],
) -> Kernel:
    """The loop that trains both tables in place."""
    from inlay.vectors import cbow_kernels, skipgram_kernels
    from inlay.vectors.kernels import LANES, alias_table

    shares = vocabulary.counts / vocabulary.counts.sum()
    keep = (keep_probabilities(shares, config.sample) * 0xFFFFFFFF).astype(np.uint32)
    cbow = isinstance(config.model, Cbow)
    loop: Callable[..., int]
    match config.output:
        case Hierarchical():
            from inlay.vectors.huffman import tree

            loop = cbow_kernels.tree if cbow else skipgram_kernels.tree
            points, codes, starts = tree(vocabulary.counts)
            chosen: tuple[Any, ...] = (points, codes, starts, int(np.diff(starts).max()))
        case Negative(words=words, sampling=PerPair()) if not cbow:
            loop = skipgram_kernels.own_noise
            chosen = (alias_table(shares**config.output.exponent), words)
        case Negative(words=words, sampling=sampling):
            loop = cbow_kernels.noise if cbow else skipgram_kernels.shared_noise
            drawn = (sampling.drawn if isinstance(sampling, PerCentre) else None) or words
            chosen = (alias_table(shares**config.output.exponent), drawn, words / drawn)
    tables = (inputs, outputs, -(-config.dim // LANES) * LANES, frozen)

    def kernel(tokens: Tokens, begin: int, end: int, rates: NDArray[np.float64], state: NDArray[np.uint64]) -> int:
        return loop(tokens, begin, end, rates, *tables, *chosen, config.window, keep, state)

    return kernel
