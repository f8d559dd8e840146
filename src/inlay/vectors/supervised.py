"""Training of a text classifier: what to learn, how labels are told apart, and the tables that the kernels fill."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.live import Live, say
from inlay.vectors import features
from inlay.vectors.byte_kernels import tally
from inlay.vectors.classifier import MOST_NOISE, Classifier, label_arrays
from inlay.vectors.classifier_kernels import NOISE, PATHS, Labels, Types, longest, mark, train_lines
from inlay.vectors.fasttext_model import Args, FastTextFile, Loss, Model
from inlay.vectors.features import PREFIX, Examples, Labelled, Text
from inlay.vectors.simd import LANES
from inlay.vectors.start import Grow, Start, carry, check_dim, frozen
from inlay.vectors.subwords import END_OF_SENTENCE, LONGEST
from inlay.vectors.training import Progress, Schedule, aligned, check, packed, refuse_diverged, run
from inlay.vectors.vocabulary import Vocabulary

# N lines, V words, B buckets, U of them in use, C labels, D dimensions

_ROWS = 1 << 20
"""Rows of words and labels that a kernel works on, about, before it looks up: the time is up, or Ctrl-C is pressed."""


@dataclass(frozen=True)
class Softmax:
    """All labels against each other: the best for up to some hundred labels, of which a text has one."""


@dataclass(frozen=True)
class Hierarchical:
    """A Huffman tree of labels: its cost grows with the logarithm of their number."""


@dataclass(frozen=True)
class Noise:
    """Each true label against some drawn from all, in proportion to the root of their counts."""

    labels: int = 5
    """How many."""

    def __post_init__(self) -> None:
        rule = f"must lie between 1 and {MOST_NOISE}; 5 is usual"
        check([("labels", self.labels, 1 <= self.labels <= MOST_NOISE, rule)])


@dataclass(frozen=True)
class OneVsAll:
    """Each label by itself, so that a text may have none or several: ask with a threshold of 0.5."""


Output = Softmax | Hierarchical | Noise | OneVsAll

_LOSSES = {
    Softmax: Loss.SOFTMAX,
    Hierarchical: Loss.HIERARCHICAL,
    Noise: Loss.NEGATIVE,
    OneVsAll: Loss.ONE_VS_ALL,
}


@dataclass(frozen=True, kw_only=True)
class Supervised:
    """How to train: the usual values of fastText; an InputError names the first that is out of range."""

    dim: int = 100
    """Length of a vector."""
    output: Output = Softmax()
    """How labels are told apart."""
    word_ngrams: int = 1
    """Most words of a word n-gram; 2 takes the order of words into account."""
    min_n: int = 0
    """Fewest characters of a character n-gram."""
    max_n: int = 0
    """Most characters; 0: no character n-grams."""
    buckets: int = 2_000_000
    """Places that n-grams are hashed to; one that does not occur costs five bytes while it learns, in the file it is
    zeros."""
    min_count: int = 1
    """Rarer words are left out."""
    min_count_label: int = 1
    """Rarer labels are left out."""
    epochs: int = 5
    """Times through the text, each in another order of the lines."""
    alpha: float = 0.1
    """Learning rate at the start; it falls to zero."""
    segmenter: str = ""
    """Language (en, zh, chars, ...) by which texts are cut into words, in lower case; empty: they are words already."""
    threads: int = 1
    """Threads that write the same tables without locks; with one, the same seed gives the same bits."""
    seed: int = 0
    """Of the first vectors, the order of the lines, and the noise."""

    def __post_init__(self) -> None:
        check(
            [
                ("dim", self.dim, 1 <= self.dim <= 100_000, "must lie between 1 and 100,000; 100 is usual"),
                ("word_ngrams", self.word_ngrams, 1 <= self.word_ngrams <= 100, "must lie between 1 and 100"),
                ("min_n", self.min_n, self.min_n >= 0, "must not be negative; 2 or 3 is usual"),
                ("max_n", self.max_n, 0 <= self.max_n <= LONGEST, f"must lie between 0 (none) and {LONGEST}"),
                ("max_n", self.max_n, not self.max_n or self.max_n >= self.min_n, f"is less than min_n={self.min_n}"),
                ("buckets", self.buckets, 1 <= self.buckets < 1 << 31, "must lie between 1 and 2,147,483,647"),
                ("min_count", self.min_count, self.min_count >= 1, "must be at least 1, which keeps all words"),
                ("min_count_label", self.min_count_label, self.min_count_label >= 1, "must be at least 1"),
                ("epochs", self.epochs, 1 <= self.epochs <= 1_000_000, "must be at least 1; 5 to 25 are usual"),
                ("alpha", self.alpha, 0 < self.alpha <= 10, "must lie between 0 and 10; 0.1 to 1 are usual"),
                ("threads", self.threads, 1 <= self.threads <= 256, "must lie between 1 and 256"),
                ("seed", self.seed, self.seed >= 0, "must not be negative"),
            ]
        )


def train(
    source: Labelled,
    config: Supervised = Supervised(),
    *,
    start: Start | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Classifier:
    """Learn to predict the labels of the source's lines.

    `start` gives vectors to words that it knows; with `Grow` all its words are in the classifier, so that a text of
    words that were not in the training text can still be told. Raises InputError for a value out of range, a text
    without labels or with one label alone, and a training that diverged.
    """
    text = features.read(source, config.segmenter)
    if unlabelled := text.unlabelled:
        say(f"{unlabelled:,} of {text.n_lines:,} lines have no label; they are not learned from")
    with Live("classifier", unit="lines") as live:

        def show(progress: Progress) -> None:
            live.total = progress.total
            live.at(progress.words)
            if on_progress:
                on_progress(progress)

        return fit(text, config, start=start, on_progress=show)


def fit(
    text: Text,
    config: Supervised,
    *,
    start: Start | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Classifier:
    """As `train`, on text that has been read, without a live line."""
    check_dim(start, config.dim)
    words, labels = _dictionary(text, config, start)
    grams = config.word_ngrams > 1 or config.max_n > 0
    drawn = config.output.labels if isinstance(config.output, Noise) else 5
    args = Args(
        dim=config.dim, epochs=config.epochs, min_count=config.min_count, negative=drawn,
        word_ngrams=config.word_ngrams, loss=_LOSSES[type(config.output)], model=Model.SUPERVISED,
        buckets=config.buckets if grams else 0, min_n=config.min_n, max_n=config.max_n,
    )  # fmt: skip
    examples = features.examples(text, labels.words)
    types = features.types_of(text.types, words.index, args)
    # Made before hours of learning, not after. The rows of buckets that do not occur stay untouched, so that the system
    # finds no memory for them.
    table = _table(len(words), args)
    used = _used(examples, types)
    places = np.full(args.buckets, -1, np.int32)
    places[used] = len(words) + np.arange(len(used), dtype=np.int32)
    rng = np.random.default_rng(config.seed)
    inputs = aligned(len(words) + len(used), config.dim)
    for first in range(0, len(inputs), 4096):
        block = inputs[first : first + 4096, : config.dim]
        block[:] = (2 * rng.random(block.shape, np.float32) - 1) / config.dim
    carry("matrix", start, words, inputs)
    fixed = frozen(start, words)
    outputs = aligned(len(labels), config.dim)
    if len(fixed):
        fixed = np.append(fixed, np.zeros(len(used), bool))
    tables = Tables(inputs=inputs, outputs=outputs, frozen=fixed)
    arrays = label_arrays(args.loss, labels.counts, drawn)
    learn(examples, compact(types, places), arrays, tables, config, rng, on_progress)
    inputs, outputs = packed(inputs, config.dim), packed(outputs, config.dim)
    refuse_diverged(config.alpha, inputs, outputs)
    if args.buckets:
        table[: len(words)] = inputs[: len(words)]
        table[len(words) + used] = inputs[len(words) :]
    else:
        table = inputs
    return Classifier(
        FastTextFile(
            args=args, words=words.words, labels=labels.words, counts=np.concatenate([words.counts, labels.counts]),
            tokens=len(text.tokens), inputs=table, outputs=outputs, segmenter=config.segmenter,
        )
    )  # fmt: skip


def _table(n_words: int, args: Args) -> NDArray[np.float32]:
    """(V + B, D) zeros; InputError where the system has no room for them."""
    try:
        return np.zeros((n_words + args.buckets, args.dim), np.float32)
    except MemoryError:
        size = 4 * (n_words + args.buckets) * args.dim / 1e9
        raise InputError(
            f"buckets={args.buckets} and {n_words} words of dim={args.dim} are {size:,.0f} GB, more than there is; "
            "take fewer buckets, or a smaller dim"
        ) from None


class Tables(NamedTuple):
    """What is learned."""

    inputs: NDArray[np.float32]
    """(V + U, ≥ D)"""
    outputs: NDArray[np.float32]
    """(C, ≥ D)"""
    frozen: NDArray[np.bool_]
    """(V + U,) True for a row of inputs that stays as it is; empty where none does."""


def learn(
    examples: Examples,
    types: Types,
    labels: Labels,
    tables: Tables,
    config: Supervised,
    rng: np.random.Generator,
    on_progress: Callable[[Progress], None] | None = None,
) -> None:
    """Run through the examples as the config says, changing the tables."""
    room, width = longest(examples.tokens, types), -(-config.dim // LANES) * LANES
    own, bounds = examples.labels, examples.bounds
    asked = {PATHS: 32, NOISE: 1 + labels.drawn}.get(labels.kind, len(tables.outputs))  # labels, for a line, about
    work = len(examples.tokens) + len(examples) * asked
    piece = max(_ROWS * len(examples) // work, 1)

    def kernel(
        order: NDArray[np.int32], begin: int, end: int, rates: NDArray[np.float64], state: NDArray[np.uint64]
    ) -> int:
        last = min(end, begin + piece)
        rates = rates[0] + (rates[1] - rates[0]) * np.array([0, (last - begin) / (end - begin)])
        return train_lines(
            order, begin, last, rates, examples.tokens, examples.lines, own, bounds,
            types, room, labels, tables.inputs, tables.outputs, width, tables.frozen, state,
        )  # fmt: skip

    schedule = Schedule(epochs=config.epochs, alpha=config.alpha, min_alpha=0.0, threads=config.threads)
    for progress in run(kernel, np.arange(len(examples), dtype=np.int32), len(examples), schedule, rng):
        if on_progress:
            on_progress(progress)


def _dictionary(text: Text, config: Supervised, start: Start | None) -> tuple[Vocabulary, Vocabulary]:
    """The words, the line's end among them, and the labels."""
    counts: dict[str, int] = dict(zip(text.types, tally(text.tokens, len(text.types)).tolist(), strict=True))
    counts[END_OF_SENTENCE] = counts.get(END_OF_SENTENCE, 0) + int((text.tokens < 0).sum())
    labels = {label: count for label, count in counts.items() if label.startswith(PREFIX)}
    words = {word: n for word, n in counts.items() if n >= config.min_count and word not in labels}
    if isinstance(start, Grow):
        words |= {word: counts.get(word, 1) for word in start.vectors.words if not word.startswith(PREFIX)}
    kept = {label: count for label, count in labels.items() if count >= config.min_count_label}
    if len(kept) < 2:
        raise InputError(
            f"the text has {len(kept)} labels that occur min_count_label={config.min_count_label} times, but two are "
            f"the least; a line with a label begins with it, as in {PREFIX}good fine food"
        )
    return _sorted(words), _sorted(kept)


def _sorted(counts: dict[str, int]) -> Vocabulary:
    words = sorted(counts, key=lambda word: (-counts[word], word))
    return Vocabulary(words=words, counts=np.array([counts[word] for word in words], np.int64))


def _used(examples: Examples, types: Types) -> NDArray[np.int64]:
    """(U,) the buckets that the examples' features are in."""
    if not types.buckets:
        return np.empty(0, np.int64)
    seen = np.zeros(types.n_words + types.buckets, np.bool_)
    words, most = longest(examples.tokens, types)
    mark(examples.tokens, types, np.empty(words, np.int32), np.empty(most, np.int32), seen)
    return np.flatnonzero(seen[types.n_words :])


def compact(types: Types, places: NDArray[np.int32]) -> Types:
    """The types with the features that `places` (B,) gives to buckets; those of buckets at -1 are left out."""
    if not len(places):
        return types
    grams = types.features >= types.n_words
    rows = types.features.copy()
    rows[grams] = places[rows[grams] - types.n_words]
    starts = np.concatenate([[0], np.cumsum(rows >= 0)])[types.starts]
    return types._replace(starts=starts, features=rows[rows >= 0], places=places)
