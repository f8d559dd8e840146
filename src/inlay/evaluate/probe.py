"""The linear probe: how well a straight border through frozen vectors tells classes apart."""

# N texts, D dimensions, C classes

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inlay.embed.embedder import Embedder
from inlay.errors import missing_extra
from inlay.evaluate import intervals
from inlay.evaluate.encoding import Encoder, zero_note
from inlay.evaluate.judged import Halves
from inlay.evaluate.measured import Figure, Measured

_STRENGTHS = (0.001, 0.01, 0.1)
"""What is tried for the C of the logistic regression; less keeps the border simpler."""


def probe(embedder: Embedder | Encoder, data: Halves, *, seed: int = 0) -> Measured:
    """Accuracy and macro F1 of a logistic regression that learned the training texts' labels from their vectors.

    The vectors are centred and scaled by one number, so that their length plays no part; the strength of the
    regularisation is chosen on a fifth of the training texts. A test label that training never saw counts as wrong,
    and is noted. Needs scikit-learn.
    """
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        raise missing_extra("a linear probe", "scikit-learn", "eval") from None
    encoder = Encoder.of(embedder)
    train, test = encoder.vectors(data.train.texts), encoder.vectors(data.test.texts)
    notes = zero_note(np.concatenate([train, test]), "nothing tells them apart")
    middle = train.mean(axis=0)
    scale = float(np.sqrt(((train - middle) ** 2).mean())) or 1.0
    train, test = (train - middle) / scale, (test - middle) / scale
    labels, truth = np.array(data.train.labels), np.array(data.test.labels)
    if unseen := sorted(set(data.test.labels) - set(data.train.labels)):
        share = int(np.isin(truth, unseen).sum())
        notes.append(f"{share:,} test texts have a label that training lacks ({unseen[0]!r:.40}); they count as wrong")

    def fitted(rows: NDArray[np.float32], of: NDArray[np.str_], strength: float) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a border that a hundred more steps would move a hair is good enough
            return LogisticRegression(C=strength, max_iter=300).fit(rows, of)

    strength = _chosen(fitted, train, labels, seed)
    called = np.asarray(fitted(train, labels, strength).predict(test))
    right = int((called == truth).sum())
    low, high = intervals.wilson(right, len(truth))
    figures = {
        "accuracy": Figure(value=right / len(truth), low=low, high=high),
        "macro f1": _macro_f1(called, truth, seed),
    }
    facts = {
        "train": len(labels),
        "labels": len(set(data.train.labels)),
        "C": strength,
        "majority": float(np.unique(truth, return_counts=True)[1].max() / len(truth)),
    }
    return Measured(kind="probe", n=len(truth), unit="texts", figures=figures, facts=facts, notes=notes)


def _chosen(fitted: Any, rows: NDArray[np.float32], labels: NDArray[np.str_], seed: int) -> float:
    """The strength that tells best a fifth of the texts, which it did not learn from; the middle one in a pinch."""
    held = np.zeros(len(labels), bool)
    held[np.random.default_rng(seed).permutation(len(labels))[: len(labels) // 5]] = True
    if not held.any() or len(set(labels[~held])) < 2:
        return _STRENGTHS[len(_STRENGTHS) // 2]
    right = [(fitted(rows[~held], labels[~held], one).predict(rows[held]) == labels[held]).sum() for one in _STRENGTHS]
    return _STRENGTHS[int(np.argmax(right))]


def _macro_f1(called: NDArray[np.str_], truth: NDArray[np.str_], seed: int) -> Figure:
    """The mean F1 over the classes that are called or true."""
    names = np.unique(np.concatenate([called, truth]))
    ours, theirs = called[:, None] == names, truth[:, None] == names  # (N, C)
    both = (ours & theirs).astype(np.float64)
    either = ours.astype(np.float64) + theirs

    def f1(counts: NDArray[np.float64]) -> NDArray[np.float64]:
        there = counts @ either
        each = np.divide(2 * (counts @ both), there, out=np.zeros_like(there), where=there > 0)
        return np.asarray(each.sum(axis=1) / np.maximum((there > 0).sum(axis=1), 1), np.float64)

    low, high = intervals.resampled(f1, len(truth), seed)
    return Figure(value=float(f1(np.ones((1, len(truth))))[0]), low=low, high=high)
