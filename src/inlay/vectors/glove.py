"""GloVe: vectors whose products are the logarithms of co-occurrence counts (Pennington, Socher and Manning 2014)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inlay.errors import InputError
from inlay.live import Live
from inlay.vectors import start as given
from inlay.vectors.cooccurrence import WIDEST, Harmonic, Weight, count
from inlay.vectors.glove_run import Progress, run
from inlay.vectors.glove_state import Checkpoint, State
from inlay.vectors.start import Start
from inlay.vectors.training import check
from inlay.vectors.visits import Visits, arrange
from inlay.vectors.vocabulary import Encoded, LineFiles
from inlay.vectors.wordvectors import WordVectors

# V words, D dimensions

_STRIPE_BYTES = 1 << 21
"""What the rows of a visit's other words may take: about a processor's second-level cache."""


@dataclass(frozen=True)
class Sum:
    """A word's vector is w + w̃, as in the paper: its part as a centre and its part as a context, which are alike."""


@dataclass(frozen=True)
class Main:
    """A word's vector is w, its part as a centre."""


@dataclass(frozen=True, kw_only=True)
class Glove:
    """How to train: the paper's values; an InputError names the first that is out of range."""

    dim: int = 100
    """Length of a word's vector."""
    window: int = 15
    """Farthest neighbour that counts."""
    symmetric: bool = True
    """Neighbours on both sides count; else those before the word."""
    weight: Weight = Harmonic()
    """What a neighbour counts by its distance."""
    x_max: float = 100.0
    """Pairs that weigh at least this much count fully; 10 suits texts of some million words."""
    exponent: float = 0.75
    """Lighter pairs count (x / x_max) to this power."""
    alpha: float = 0.05
    """Learning rate of AdaGrad."""
    epochs: int = 25
    """Times through the pairs; 50 to 100 for longer vectors."""
    result: Sum | Main = Sum()
    """What becomes a word's vector."""
    min_count: int = 5
    """Rarer words are left out."""
    max_vocab: int | None = None
    """Keep only this many of the most frequent words."""
    memory_mb: float = 1024.0
    """For counting, beside the text and the tables; with less, more is kept on disk, and the result is the same."""
    checkpoint_every: int = 5
    """Epochs between two checkpoints, where a folder for them is given."""
    threads: int = 1
    """Threads that write the same tables without locks; with one, the same seed gives the same bits."""
    seed: int = 0
    """Of the first vectors and the order of the pairs."""

    def __post_init__(self) -> None:
        rules = [
            ("dim", 1 <= self.dim <= 10_000, "must lie between 1 and 10000; 100 is usual"),
            ("window", 1 <= self.window <= WIDEST, f"must lie between 1 and {WIDEST}; 15 is usual"),
            ("x_max", 0 < self.x_max < float("inf"), "must be above 0; 100 is usual, 10 for small texts"),
            ("exponent", 0 <= self.exponent <= 10, "must lie between 0 and 10; 0.75 is usual"),
            ("alpha", 0 < self.alpha <= 1, "must lie between 0 and 1; 0.05 is usual"),
            ("epochs", self.epochs >= 1, "must be at least 1; 25 is usual"),
            ("memory_mb", self.memory_mb > 0, "must be above 0; 1024 is usual"),
            ("checkpoint_every", self.checkpoint_every >= 1, "must be at least 1; 5 is usual"),
            ("threads", 1 <= self.threads <= 256, "must lie between 1 and 256"),
            ("seed", self.seed >= 0, "must not be negative"),
        ]
        check([(name, getattr(self, name), holds, rule) for name, holds, rule in rules])


def train(
    source: Iterable[Sequence[str]] | LineFiles | Encoded,
    config: Glove = Glove(),
    *,
    start: Start | None = None,
    checkpoint: str | Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> WordVectors:
    """The vectors of the words in the source, most frequent first, with the context vectors w̃ beside them.

    `source` gives sentences as lists of words and is read once; LineFiles and an Encoded corpus are faster. `start`
    gives the first vectors of the words that it knows. In the folder `checkpoint`, where a training was stopped, even
    by a kill, the same call goes on and ends with the same bytes (one thread), and a finished one goes on to more
    epochs. Raises InputError for a value out of range, a text without neighbours, a checkpoint of another training, a
    full disk, and a training that diverged.
    """
    given.check_dim(start, config.dim)
    corpus = given.begin(source, start, min_count=config.min_count, max_vocab=config.max_vocab)
    state = _first(corpus, config, start)
    if checkpoint is None:
        _train(state, corpus, config, None, on_progress)
    else:
        with Checkpoint.open(checkpoint, corpus, config, state) as kept:
            _train(state, corpus, config, kept, on_progress)
    return _vectors(state, corpus, config, start)


def _train(
    state: State,
    corpus: Encoded,
    config: Glove,
    checkpoint: Checkpoint | None,
    on_progress: Callable[[Progress], None] | None,
) -> None:
    """Train the state, from the epoch it has reached to the last one."""
    if state.epochs >= config.epochs:
        return
    visits = _visits(corpus, config, state, None if checkpoint is None else checkpoint.path.parent)
    updates = len(visits.pairs) * (1 + config.symmetric)
    with Live("glove", updates * config.epochs, "pairs") as live:
        for progress in run(state, visits, config):
            live.at(progress.pairs, f"epoch {progress.epoch} of {config.epochs}, loss {progress.loss:.4f}")
            if (
                checkpoint
                and progress.whole
                and (progress.epoch % config.checkpoint_every == 0 or progress.epoch == config.epochs)
            ):
                checkpoint.save(state)
            if on_progress:
                on_progress(progress)


def _visits(corpus: Encoded, config: Glove, state: State, folder: Path | None) -> Visits:
    """The pairs to train on, in temporary files: counted and ordered, the same each time."""
    counts = count(
        corpus,
        window=config.window,
        symmetric=config.symmetric,
        weight=config.weight,
        memory_mb=config.memory_mb,
        folder=folder,
    )
    if not len(counts.records):
        raise InputError("no word of the text has a neighbour; give sentences of more than one known word")
    stripe = max(_STRIPE_BYTES // (2 * state.table.strides[0]), 16)
    return arrange(counts, stripe=stripe, x_max=config.x_max, exponent=config.exponent, seed=config.seed, folder=folder)


def _first(corpus: Encoded, config: Glove, start: Start | None) -> State:
    """The tables before training: small random numbers; and what `start` knows, so that the result begins with it.

    w and w̃ are those of given vectors that have contexts; of others, each is a half. Vectors that are frozen have
    infinite sums of squares, so that their steps are zero; their biases learn.
    """
    state = State.new(len(corpus.vocabulary), config.dim, np.random.default_rng(config.seed))
    if start is None:
        return state
    main, context = state.rows(0)[:, : config.dim], state.rows(1)[:, : config.dim]
    given.carry("matrix", start, corpus.vocabulary, main)
    given.carry("context", start, corpus.vocabulary, context)
    known = np.flatnonzero(given.rows(start.vectors, corpus.vocabulary) >= 0)
    if isinstance(config.result, Sum):
        if start.vectors.context is None:
            context[known] = main[known] / 2
        main[known] -= context[known]
    still = np.flatnonzero(given.frozen(start, corpus.vocabulary))
    for part in (0, 1) if isinstance(config.result, Sum) else (0,):
        state.squares(part)[still, : config.dim] = np.inf
    return state


def _vectors(state: State, corpus: Encoded, config: Glove, start: Start | None) -> WordVectors:
    """What was learnt; vectors that are frozen are the given ones bit for bit."""
    main, context = state.rows(0)[:, : config.dim], state.rows(1)[:, : config.dim]
    matrix = main + context if isinstance(config.result, Sum) else main.copy()
    if start is not None and len(still := np.flatnonzero(given.frozen(start, corpus.vocabulary))):
        there = given.rows(start.vectors, corpus.vocabulary)[still]
        matrix[still] = start.vectors.matrix[there]
    if not np.isfinite(matrix).all():
        raise InputError(f"training diverged (vectors are not finite); take an alpha smaller than {config.alpha}")
    vocabulary = corpus.vocabulary
    return WordVectors(words=vocabulary.words, matrix=matrix, counts=vocabulary.counts, context=context.copy())
