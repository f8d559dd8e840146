"""A small classifier of a large one: the features that matter, in a byte for every few numbers (Joulin et al. 2016,
arXiv:1612.03651)."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.live import Live
from inlay.vectors import fasttext_file, features, product
from inlay.vectors.classifier import Classifier, label_arrays
from inlay.vectors.fasttext_model import FastTextFile, Matrix
from inlay.vectors.features import Labelled
from inlay.vectors.product import Quantized
from inlay.vectors.subwords import END_OF_SENTENCE
from inlay.vectors.supervised import Supervised, Tables, compact, learn
from inlay.vectors.training import aligned, check, packed, refuse_diverged

# V words, P n-grams that are left, D dimensions, R = V + P rows


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """How to shrink a classifier; an InputError names the first value that is out of range."""

    part: int = 4
    """Dimensions that share a byte; fastText takes 2, for files twice as large."""
    cutoff: int | None = None
    """Keep this many words and n-grams, those with the longest vectors; None: all that were learned."""
    by_norm: bool = True
    """Store the length of each vector by itself, in one byte more."""
    outputs: bool = False
    """Quantise the labels' vectors too; worth it for thousands of labels."""
    epochs: int = 5
    """Where there is a text to learn again from after a cutoff: times through it."""
    alpha: float = 0.1
    """Learning rate of that."""
    threads: int = 1
    """Threads of that."""
    seed: int = 0
    """Of the centroids that k-means begins with, and of learning again."""

    def __post_init__(self) -> None:
        check(
            [
                ("part", self.part, self.part >= 1, "must be at least 1; 4 is usual, 8 is half as large"),
                ("cutoff", self.cutoff, self.cutoff is None or self.cutoff >= 1, "must be at least 1, or None"),
                ("epochs", self.epochs, 1 <= self.epochs <= 1_000_000, "must be at least 1; 5 is usual"),
                ("alpha", self.alpha, 0 < self.alpha <= 10, "must lie between 0 and 10; 0.1 is usual"),
                ("threads", self.threads, 1 <= self.threads <= 256, "must lie between 1 and 256"),
                ("seed", self.seed, self.seed >= 0, "must not be negative"),
            ]
        )


def quantize(
    classifier: Classifier, config: Quantization = Quantization(), *, retrain: Labelled | None = None
) -> Classifier:
    """The classifier with its vectors quantised, and n-grams that never occurred left out; saved as .ftz.

    After a cutoff, what is left learns again from the labelled text `retrain`, if there is one. Raises InputError for a
    classifier that is quantised already.
    """
    model = classifier.model
    if isinstance(model.inputs, Quantized):
        raise _already()
    if retrain is not None and config.cutoff is None:
        raise InputError("learning again is for what a cutoff has left; give a cutoff, or no text")
    rng = np.random.default_rng(config.seed)
    ranked = _ranked(model)[: config.cutoff]
    if len(ranked) < len(model.inputs):
        model = _kept(model, ranked)
    inputs, outputs = _dense(model.inputs), _dense(model.outputs)
    if retrain is not None and model.pruned is not None:
        inputs, outputs = _learned_again(model, inputs, outputs, retrain, config, rng)
    quantized = replace(
        model,
        inputs=product.quantize(inputs, config.part, by_norm=config.by_norm, rng=rng),
        outputs=product.quantize(outputs, min(2, model.args.dim), by_norm=config.by_norm, rng=rng)
        if config.outputs
        else outputs,
    )
    return Classifier(quantized)


def quantize_into(classifier: Classifier, size: float, config: Quantization = Quantization()) -> Classifier:
    """As `quantize`, with as many words and n-grams as a file of `size` bytes holds; InputError where that is none."""
    model = classifier.model
    if isinstance(model.inputs, Quantized):
        raise _already()
    if not size > 0:
        raise InputError(f"a file of {size:g} bytes cannot be; give a size above 0")
    ranked = _ranked(model)
    spelt = np.array([len(word.encode("utf-8", "surrogateescape")) + 10 for word in model.words], np.int64)
    costs, is_word = np.full(len(ranked), 8), ranked < len(spelt)  # in the dictionary, or among the n-grams
    costs[is_word] = spelt[ranked[is_word]]
    costs = np.cumsum(costs + -(-model.args.dim // config.part) + config.by_norm)
    nothing = quantize(Classifier(_kept(model, ranked[:1])), config)
    cutoff = int(np.searchsorted(costs - costs[0], size - file_size(nothing.model), side="right"))
    if cutoff < min(2, len(ranked)):
        raise InputError(f"no classifier of dim={model.args.dim} fits into {size / 1e6:g} MB; take a smaller dim")
    return quantize(classifier, replace(config, cutoff=min(cutoff, config.cutoff or cutoff)))


def file_size(model: FastTextFile) -> int:
    """Bytes of the model's file."""
    entries = sum(len(word.encode("utf-8", "surrogateescape")) for word in (*model.words, *model.labels))
    size = 94 + entries + 10 * len(model.counts) + (0 if model.pruned is None else 4 * model.pruned.size)
    for matrix in (model.inputs, model.outputs):
        if not isinstance(matrix, Quantized):
            size += 16 + 4 * matrix.size
        else:
            size += 37 + matrix.codes.size + 4 * matrix.centroids.size
            if matrix.norm_codes is not None and matrix.norms is not None:
                size += 16 + matrix.norm_codes.size + 4 * matrix.norms.size
    return size + (len(fasttext_file.NOTE) + len(model.segmenter) + 1 if model.segmenter else 0)


def _dense(matrix: Matrix) -> NDArray[np.float32]:
    assert not isinstance(matrix, Quantized)
    return np.asarray(matrix)


def _already() -> InputError:
    return InputError("this classifier is quantised already; quantise the .bin that it was made of")


def _ranked(model: FastTextFile) -> NDArray[np.int64]:
    """The rows of the input that are not zero, those with the longest vectors first.

    The very first is that of the end of a line, since it stands in every text.
    """
    assert not isinstance(model.inputs, Quantized)
    norms = np.concatenate(
        [np.linalg.norm(model.inputs[first : first + 4096], axis=1) for first in range(0, len(model.inputs), 4096)]
    )
    norms[[row for row, word in enumerate(model.words) if word == END_OF_SENTENCE]] = np.inf
    left = np.flatnonzero(norms > 0)
    if not len(left):
        raise InputError("all vectors of this classifier are zero, so that nothing of it can be quantised; train it")
    return left[np.argsort(-norms[left], kind="stable")]


def _kept(model: FastTextFile, rows: NDArray[np.int64]) -> FastTextFile:
    """The model with these rows alone, in their old order; its input is not quantised yet, as pruned ones must be."""
    assert not isinstance(model.inputs, Quantized)
    rows, n_words = np.sort(rows), len(model.words)
    words = rows[rows < n_words]
    buckets = rows[len(words) :] - n_words
    pruned = np.stack([buckets, np.arange(len(buckets))], axis=1).astype(np.int32)
    counts = np.concatenate([model.counts[words], model.counts[n_words:]])
    kept = [model.words[row] for row in words.tolist()]
    return replace(model, words=kept, counts=counts, pruned=pruned, inputs=np.ascontiguousarray(model.inputs[rows]))


def _learned_again(
    model: FastTextFile,
    inputs: NDArray[np.float32],
    outputs: NDArray[np.float32],
    source: Labelled,
    config: Quantization,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Both tables after some more epochs on the source."""
    assert model.pruned is not None
    text, args = features.read(source, model.segmenter), model.args
    examples = features.examples(text, model.labels)
    if not len(examples):
        raise InputError("no line of the text to learn again from has a label that the classifier knows")
    places = np.full(args.buckets, -1, np.int32)
    places[model.pruned[:, 0]] = len(model.words) + model.pruned[:, 1]
    index = {word: row for row, word in enumerate(model.words)}
    types = compact(features.types_of(text.types, index, args), places)
    tables = Tables(
        inputs=aligned(len(inputs), args.dim), outputs=aligned(len(outputs), args.dim), frozen=np.zeros(0, bool)
    )
    tables.inputs[:, : args.dim], tables.outputs[:, : args.dim] = inputs, outputs
    labels = label_arrays(args.loss, model.counts[len(model.words) :], args.negative)
    again = Supervised(dim=args.dim, epochs=config.epochs, alpha=config.alpha, threads=config.threads, seed=config.seed)
    with Live("learning again", len(examples) * config.epochs, "lines") as live:
        learn(examples, types, labels, tables, again, rng, lambda progress: live.at(progress.words))
    inputs, outputs = packed(tables.inputs, args.dim), packed(tables.outputs, args.dim)
    refuse_diverged(config.alpha, inputs, outputs)
    return inputs, outputs
