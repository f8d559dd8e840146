"""word2vec: skip-gram with negative sampling (Mikolov et al. 2013, arXiv:1310.4546), trained by compiled kernels."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.live import Live
from inlay.vectors.training import Kernel, Progress, Schedule, aligned, keep_probabilities, packed, run
from inlay.vectors.vocabulary import Encoded, LineFiles, Vocabulary, read
from inlay.vectors.wordvectors import WordVectors

# V words, D dimensions, n tokens

Tokens = NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class Word2Vec:
    """How to train: the usual values of word2vec; an InputError names the first that is out of range."""

    dim: int = 100
    """Length of a word's vector."""
    window: int = 5
    """Farthest neighbour that counts; each centre draws its own reach from 1 to this."""
    negative: int = 5
    """Weight of the noise: as many noise words stand against each true pair."""
    drawn: int | None = None
    """Noise words drawn for a centre, each of weight negative / drawn, for all its neighbours; None: negative."""
    noise_exponent: float = 0.75
    """Noise words are drawn in proportion to frequency to this power."""
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
        rules: list[tuple[str, bool, str]] = [
            ("dim", self.dim >= 1, "must be at least 1; 100 is usual"),
            ("window", self.window >= 1, "must be at least 1; 5 is usual"),
            ("negative", self.negative >= 1, "must be at least 1; 5 is usual"),
            ("drawn", self.drawn is None or self.drawn >= 1, "must be at least 1, or None for as many as negative"),
            ("noise_exponent", -10 <= self.noise_exponent <= 10, "must lie between -10 and 10; 0.75 is usual"),
            ("sample", 0 <= self.sample <= 1, "must lie between 0 (keep all) and 1; 0.001 is usual"),
            ("alpha", 0 < self.alpha <= 1, "must lie between 0 and 1; 0.025 is usual"),
            ("min_alpha", 0 <= self.min_alpha <= self.alpha, f"must lie between 0 and alpha={self.alpha}"),
            ("epochs", self.epochs >= 1, "must be at least 1; 5 is usual"),
            ("threads", 1 <= self.threads <= 256, "must lie between 1 and 256"),
            ("seed", self.seed >= 0, "must not be negative"),
        ]
        for name, holds, rule in rules:
            if not holds:
                raise InputError(f"{name}={getattr(self, name)} {rule}")


def train(
    source: Iterable[Sequence[str]] | LineFiles | Encoded,
    config: Word2Vec = Word2Vec(),
    *,
    start: WordVectors | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> WordVectors:
    """The vectors of the words in the source, most frequent first, with the table of context vectors beside them.

    `source` gives sentences as lists of words and is read once; LineFiles and an Encoded corpus are faster. Words known
    to `start` begin with its vectors. The live line shows words per second and the time left. Raises InputError for a
    value out of range, a vocabulary too small to draw noise from, and a training that diverged.
    """
    if isinstance(source, Encoded):
        corpus = source
    else:
        corpus = read(source, min_count=config.min_count, max_vocab=config.max_vocab)
    vocabulary = corpus.vocabulary
    if config.negative >= len(vocabulary):
        raise InputError(
            f"negative={config.negative} needs more words than that, but the vocabulary has {len(vocabulary)}; "
            f"give more text, a smaller min_count (now {config.min_count}) or a smaller negative"
        )
    rng = np.random.default_rng(config.seed)
    inputs, outputs = _tables(vocabulary, config, start, rng)
    kernel, words = _kernel(corpus, config, inputs, outputs), int(vocabulary.counts.sum())
    schedule = Schedule(epochs=config.epochs, alpha=config.alpha, min_alpha=config.min_alpha, threads=config.threads)
    with Live("word2vec", words * config.epochs, "words") as live:
        for progress in run(kernel, corpus.tokens, words, schedule, rng):
            live.at(progress.words)
            if on_progress:
                on_progress(progress)
    matrix, context = packed(inputs, config.dim), packed(outputs, config.dim)
    if not (np.isfinite(matrix).all() and np.isfinite(context).all()):
        raise InputError(f"training diverged (vectors are not finite); take an alpha smaller than {config.alpha}")
    return WordVectors(words=vocabulary.words, matrix=matrix, counts=vocabulary.counts, context=context)


def _kernel(corpus: Encoded, config: Word2Vec, inputs: NDArray[np.float32], outputs: NDArray[np.float32]) -> Kernel:
    """The loop that trains both tables in place."""
    from inlay.vectors.kernels import LANES, alias_table, skipgram

    shares = corpus.vocabulary.counts / corpus.vocabulary.counts.sum()
    noise = alias_table(shares**config.noise_exponent)
    keep = (keep_probabilities(shares, config.sample) * 0xFFFFFFFF).astype(np.uint32)
    drawn = config.drawn or config.negative
    width = -(-config.dim // LANES) * LANES

    def kernel(tokens: Tokens, begin: int, end: int, rates: NDArray[np.float64], state: NDArray[np.uint64]) -> int:
        return skipgram(
            tokens, begin, end, rates, keep, noise, inputs, outputs,
            width, config.window, drawn, config.negative / drawn, state,
        )  # fmt: skip

    return kernel


def _tables(
    vocabulary: Vocabulary, config: Word2Vec, start: WordVectors | None, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The tables (V, ≥ D) before training: small random inputs, zero outputs, `start` where it knows the word."""
    inputs, outputs = aligned(len(vocabulary), config.dim), aligned(len(vocabulary), config.dim)
    for first in range(0, len(vocabulary), 4096):
        block = inputs[first : first + 4096, : config.dim]
        block[:] = (rng.random(block.shape, np.float32) - 0.5) / config.dim
    if start is not None:
        if start.dim != config.dim:
            raise InputError(f"dim={config.dim}, but the vectors to start from have {start.dim}; set dim={start.dim}")
        known = [word for word in vocabulary.words if word in start]
        here = [vocabulary.index[word] for word in known]
        there = [start.index[word] for word in known]
        inputs[here, : config.dim] = start.matrix[there]
        if start.context is not None:
            outputs[here, : config.dim] = start.context[there]
    return inputs, outputs
