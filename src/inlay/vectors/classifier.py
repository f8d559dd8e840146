"""Text classification: fastText's supervised models (Joulin et al. 2016, arXiv:1607.01759), asked and measured.

A text is the mean of the vectors of its words, their character n-grams and its word n-grams; a linear layer on it says
the label. Files are fastText's own, so either program reads what the other wrote.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.vectors import fasttext_file, features
from inlay.vectors.classifier_kernels import EACH, NOISE, PATHS, SOFTMAX, Labels, leaves, means
from inlay.vectors.fasttext_model import FastTextFile, Loss, Model
from inlay.vectors.features import PREFIX, Labelled, Text
from inlay.vectors.product import Quantized
from inlay.vectors.training import check

if TYPE_CHECKING:
    from inlay.vectors.start import Start
    from inlay.vectors.supervised import Supervised
    from inlay.vectors.training import Progress

# N lines, V words, B buckets, C labels, D dimensions

_SCORES = 1 << 22
"""Scores that are held at a time: 16 MB."""
_LINES = 1 << 14
"""Lines that are looked at at a time."""
_TOKENS = 1 << 18
"""Their words, at most, but for a line that has more by itself: the features of long texts would fill the memory."""

MOST_NOISE = 1000
"""Labels against each true one, at most."""

Prediction = list[tuple[str, float]]
"""Labels and their probabilities, the likeliest first."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """How well predictions agree with the truth."""

    precision: float
    """Share of the predicted labels that are true; 0 where none was predicted."""
    recall: float
    """Share of the true labels that were predicted."""
    examples: int
    """Lines that have the label, or that have one at all."""

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


@dataclass(frozen=True, kw_only=True)
class Report:
    """The score over all predictions, and label by label."""

    total: Score
    labels: dict[str, Score]


class Classifier:
    """Predicts labels of texts; `model` is all that its file holds."""

    def __init__(self, model: FastTextFile) -> None:
        if model.args.model != Model.SUPERVISED:
            raise InputError("these are word vectors, not a classifier; load them with WordVectors.load")
        self.model = model
        if model.args.loss == Loss.HIERARCHICAL:
            self._paths = label_arrays(Loss.HIERARCHICAL, model.counts[len(model.words) :], 0)

    @classmethod
    def train(
        cls,
        source: Labelled,
        config: "Supervised | None" = None,
        *,
        start: "Start | None" = None,
        on_progress: "Callable[[Progress], None] | None" = None,
    ) -> "Classifier":
        """Learn from labelled text; see `inlay.vectors.supervised`."""
        from inlay.vectors.supervised import Supervised, train

        return train(source, config or Supervised(), start=start, on_progress=on_progress)

    @classmethod
    def load(cls, path: str | Path) -> "Classifier":
        """Read a .bin or .ftz, by whichever program; see `inlay.vectors.fasttext_file`."""
        model = fasttext_file.read(path)
        try:
            return cls(model)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write .bin, or .ftz for a quantised one; InputError for another suffix and for a file that exists."""
        suffix = ".ftz" if isinstance(self.model.inputs, Quantized) else ".bin"
        if Path(path).suffix != suffix:
            raise InputError(f"{path}: the suffix must be {suffix}, as fastText calls such a file")
        fasttext_file.write(self.model, path, force=force)

    @cached_property
    def labels(self) -> list[str]:
        """C, without the prefix that they have in files."""
        return [label.removeprefix(PREFIX) for label in self.model.labels]

    def __repr__(self) -> str:
        args = self.model.args
        return f"Classifier({len(self.labels)} labels, {len(self.model.words)} words, {args.dim} dimensions)"

    def predict(self, texts: Iterable[str], k: int = 1, threshold: float = 0.0) -> list[Prediction]:
        """For each text the k likeliest labels, of those that have at least the probability `threshold`.

        A text without any word that is known has no labels. Raises InputError for a text alone in place of a list, a k
        below 1, and a threshold that is no probability.
        """
        _check(k, threshold)
        text = features.plain(texts, self.model.segmenter)
        found: list[Prediction] = []
        for tops, chances in self._likeliest(text, k):
            for row, chance in zip(tops.tolist(), chances.tolist(), strict=True):
                known = ((self.labels[label], p) for label, p in zip(row, chance, strict=True) if p >= threshold)
                found.append(list(known))
        return found

    def probabilities(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """(N, C) the probability of each label; NaN for a text without any word that is known."""
        text = features.plain(texts, self.model.segmenter)
        blocks = [scores if chance is None else chance(scores) for scores, chance in self._scores(text)]
        return np.concatenate(blocks) if blocks else np.empty((0, len(self.labels)), np.float32)

    def test(self, source: Labelled, k: int = 1, threshold: float = 0.0) -> Report:
        """Precision and recall of the k likeliest labels of each line, over all lines and label by label.

        Lines without a label that the classifier knows do not count; InputError where no line is left.
        """
        return self.score(features.read(source, self.model.segmenter), k, threshold)

    def score(self, text: Text, k: int = 1, threshold: float = 0.0) -> Report:
        """As `test`, on text that has been read."""
        _check(k, threshold)
        true = features.examples(text, self.model.labels)
        if not len(true):
            raise InputError(f"no line has a label that the classifier knows ({', '.join(self.labels[:5])} ...)")
        text = Text(types=text.types, tokens=true.tokens)
        found = [np.where(chances >= threshold, tops, -1) for tops, chances in self._likeliest(text, k)]
        predicted, n_labels = np.concatenate(found), len(self.labels)
        lines = np.repeat(np.arange(len(true)), np.diff(true.bounds))
        pairs = np.unique(lines * n_labels + true.labels)
        asked = (np.arange(len(true))[:, None] * n_labels + predicted)[predicted >= 0]
        hits = np.bincount(asked[np.isin(asked, pairs)] % n_labels, minlength=n_labels)
        said = np.bincount(predicted[predicted >= 0], minlength=n_labels)
        held = np.bincount(pairs % n_labels, minlength=n_labels)

        def score(hits: int, said: int, held: int, examples: int) -> Score:
            return Score(precision=hits / max(said, 1), recall=hits / max(held, 1), examples=examples)

        each = zip(self.labels, hits.tolist(), said.tolist(), held.tolist(), strict=True)
        return Report(
            total=score(int(hits.sum()), int(said.sum()), int(held.sum()), len(true)),
            labels={label: score(hit, n_said, n_held, n_held) for label, hit, n_said, n_held in each},
        )

    def hidden(self, text: Text, block: int = _LINES) -> Iterator[NDArray[np.float32]]:
        """Block by block of lines the mean of each line's rows, (n, D); NaN for a line without any."""
        model, types = self.model, features.types_of(text.types, self._index, self.model.args)
        ends = np.concatenate([[0], np.flatnonzero(text.tokens < 0) + 1])
        first = 0
        while first < len(ends) - 1:
            last = int(np.searchsorted(ends, ends[first] + _TOKENS, side="right")) - 1
            last = max(first + 1, min(last, first + block))
            lines, first = ends[first : last + 1], last
            rows, bounds = features.of_lines(text.tokens[lines[0] : lines[-1]], lines - lines[0], types)
            if model.pruned is not None:
                grams = rows >= types.n_words
                rows[grams] = model.rows_of(rows[grams] - types.n_words)
                left = np.concatenate([[0], np.cumsum(rows >= 0)])
                rows, bounds = rows[rows >= 0], left[bounds]
            used, rows = np.unique(rows, return_inverse=True)
            # Rows of files are not where a kernel may take them: they are quantised, or begin at odd bytes.
            table = model.inputs.rows(used) if isinstance(model.inputs, Quantized) else model.inputs[used]
            hidden = np.empty((len(lines) - 1, model.args.dim), np.float32)
            means(table, rows, bounds, hidden)
            hidden[bounds[1:] == bounds[:-1]] = np.nan
            yield hidden

    @cached_property
    def _index(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.model.words)}

    @cached_property
    def _outputs(self) -> NDArray[np.float32]:
        """(D, C)"""
        outputs = self.model.outputs
        return np.ascontiguousarray((outputs.rows() if isinstance(outputs, Quantized) else outputs).T)

    def _likeliest(self, text: Text, k: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Block by block ((n, k) labels, (n, k) their probabilities), the likeliest first."""
        k = min(k, len(self.labels))
        for scores, chance in self._scores(text):
            if k == 1:
                tops = scores.argmax(axis=1)[:, None]
            else:
                tops = np.argpartition(-scores, k - 1, axis=1)[:, :k]
                tops = np.sort(tops, axis=1)  # so that equal scores stand in the order of labels
                order = np.argsort(-np.take_along_axis(scores, tops, axis=1), axis=1, kind="stable")
                tops = np.take_along_axis(tops, order, axis=1)
            chosen = np.take_along_axis(scores, tops, axis=1)
            yield tops, chosen if chance is None else chance(chosen)

    def _scores(self, text: Text) -> Iterator[tuple[NDArray[np.float32], Callable | None]]:
        """Blocks of scores (n, C) that rank the labels, and what makes probabilities of them where they are none."""
        for hidden in self.hidden(text, max(1, min(_LINES, _SCORES // len(self.labels)))):
            scores = hidden @ self._outputs
            if self.model.args.loss == Loss.SOFTMAX:
                scores -= scores.max(axis=1, keepdims=True)
                np.exp(scores, out=scores)
                scores /= scores.sum(axis=1, keepdims=True)
                yield scores, None
            elif self.model.args.loss == Loss.HIERARCHICAL:
                found = np.empty_like(scores)
                with np.errstate(over="ignore"):  # 1 / (1 + inf) is the 0 that is wanted
                    turns = 1 / (1 + np.exp(-scores))
                leaves(turns, self._paths, found)
                yield found, None
            else:
                yield scores, _stepped_sigmoid


def label_arrays(loss: Loss, counts: NDArray[np.int64], drawn: int) -> Labels:
    """What the kernels need to know about labels that occurred so often, each learned against `drawn` others as noise.

    Raises InputError where that cannot be: counts that fall not, or whose sum is too large, where a tree needs them; no
    other label, or a number that nobody waits for, where noise is drawn.
    """
    from inlay.vectors.huffman import tree
    from inlay.vectors.kernels import alias_table

    kinds = {Loss.SOFTMAX: SOFTMAX, Loss.HIERARCHICAL: PATHS, Loss.NEGATIVE: NOISE, Loss.ONE_VS_ALL: EACH}
    points, codes, starts = np.empty(0, np.int32), np.empty(0, np.uint8), np.empty(0, np.int64)
    if loss == Loss.NEGATIVE and drawn and not (len(counts) > 1 and 0 < drawn <= MOST_NOISE):
        raise InputError(
            f"noise of {drawn} labels, of {len(counts)} in all: it takes 1 to {MOST_NOISE}, of two or more"
        )
    if loss == Loss.HIERARCHICAL:
        if counts.sum(dtype=np.float64) >= 1 << 62:  # sums that wrap around make a path through all labels
            raise InputError("the labels' counts add up to more than a tree can count; the file is damaged")
        points, codes, starts = tree(counts)
    noise = alias_table(np.sqrt(np.maximum(counts, 1)))
    return Labels(kind=kinds[loss], drawn=drawn, noise=noise, points=points, codes=codes, starts=starts)


def _check(k: int, threshold: float) -> None:
    check(
        [
            ("k", k, k >= 1, "must be at least 1"),
            ("threshold", threshold, 0 <= threshold <= 1, "must lie between 0 and 1, as probabilities do"),
        ]
    )


def _stepped_sigmoid(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 / (1 + exp(-x)) in steps of 1/32, and 0 and 1 beyond ±8: fastText looks it up in a table."""
    stepped = np.floor((scores + 8) * 32) / 32 - 8
    chances = 1 / (1 + np.exp(-stepped))
    return np.where(scores < -8, 0, np.where(scores > 8, 1, chances)).astype(np.float32)
