"""Contrastive tuning of a token table on mined pairs: each query must find its own text among those of the batch.

InfoNCE with in-batch negatives in both directions (van den Oord et al. 2018, arXiv:1807.03748), nested dimensions as an
option (Kusupati et al. 2022, arXiv:2205.13147). The model is one table and a mean, so the gradient is written out.
"""

# P pairs, V tokens, D dimensions, B pairs of a batch, R rows of the table that a batch touches

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.live import Live
from inlay.objective.temperature import Fixed, Learned

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Array = NDArray[np.float32]

_APART = np.float32(-1e4)
"""Score of two pairs of one document: they are not each other's negatives."""


@dataclass(frozen=True, kw_only=True)
class Tune:
    """How long and how hard a token table is tuned."""

    steps: int = 100
    """Updates; more overfit a small corpus."""
    batch: int = 256
    """Pairs a step; each query has the other pairs' texts as negatives."""
    rate: float = 3e-3
    """Adam's step size."""
    temperature: Fixed | Learned = Fixed()
    """What cosines are divided by before the softmax."""
    spread: float = 0.15
    """The table is scaled to this root mean square first, so that `rate` means the same for every start."""
    dims: tuple[int, ...] = ()
    """Shorter lengths at which the vectors must work as well, by cutting off the end (Matryoshka)."""

    def __post_init__(self) -> None:
        t = self.temperature.start if isinstance(self.temperature, Learned) else self.temperature.value
        rules = [
            ("steps", self.steps, self.steps >= 1, "must be at least 1; 100 is usual"),
            ("batch", self.batch, self.batch >= 2, "must be at least 2; 256 is usual"),
            ("rate", self.rate, 0 < self.rate < 1, "must lie between 0 and 1; 0.003 is usual"),
            ("temperature", t, 0 < t <= 10, "must lie between 0 and 10; 0.1 is usual"),
            ("spread", self.spread, self.spread > 0, "must be above 0; 0.15 is usual"),
        ]
        for name, value, holds, rule in rules:
            if not holds:
                raise InputError(f"tune.{name}={value} {rule}")


def tune(
    table: Array,
    queries: "csr_matrix",
    positives: "csr_matrix",
    documents: NDArray[np.int64],
    config: Tune,
    rng: np.random.Generator,
) -> tuple[Array, list[float]]:
    """A tuned copy of `table` (V, D), and the loss of each step.

    `queries` and `positives` (P, V) hold the token counts of the pairs; `documents` (P,) says where a pair is from.
    Only rows that a batch touches are moved. Raises InputError for lengths out of range and for fewer than two pairs.
    """
    _check(config, table.shape[1], len(documents))
    table = table * np.float32(config.spread / max(float(np.sqrt(np.mean(np.square(table)))), 1e-12))
    mean, square = np.zeros_like(table), np.zeros_like(table)
    learned = config.temperature if isinstance(config.temperature, Learned) else None
    log_t = np.log(learned.start if learned else config.temperature.value)  # type: ignore[union-attr]
    t_mean = t_square = 0.0
    losses: list[float] = []
    batches = _batches(len(documents), min(config.batch, len(documents)), config.steps, rng)
    with Live("tuning", config.steps, "steps") as live:
        for step, chosen in enumerate(batches, 1):
            q, p = queries[chosen], positives[chosen]
            rows = np.union1d(q.indices, p.indices)
            q, p = q[:, rows], p[:, rows]
            loss, gradient, t_gradient = _loss(table[rows], q, p, documents[chosen], float(np.exp(log_t)), config.dims)
            mean[rows] += 0.1 * (gradient - mean[rows])
            square[rows] += 0.001 * (np.square(gradient) - square[rows])
            early, late = 1 - 0.9**step, 1 - 0.999**step
            table[rows] -= config.rate * (mean[rows] / early) / (np.sqrt(square[rows] / late) + 1e-8)
            if learned:
                t_mean += 0.1 * (t_gradient - t_mean)
                t_square += 0.001 * (t_gradient**2 - t_square)
                log_t -= config.rate * (t_mean / early) / (np.sqrt(t_square / late) + 1e-8)
                log_t = max(log_t, np.log(learned.least))
            losses.append(loss)
            live.advance(note=f"loss {loss:.3f}")
    return table, losses


def _loss(
    table: Array,
    q: "csr_matrix",
    p: "csr_matrix",
    documents: NDArray[np.int64],
    temperature: float,
    dims: tuple[int, ...],
) -> tuple[float, Array, float]:
    """The loss, its gradient for the rows (R, D), and for the logarithm of the temperature; the mean over lengths."""
    lengths = [*dims, table.shape[1]]
    apart = (documents[:, None] == documents[None, :]) & ~np.eye(len(documents), dtype=bool)
    left, right = q @ table, p @ table  # (B, R) (R, D) -> (B, D)
    to_left, to_right = np.zeros_like(left), np.zeros_like(right)
    total = t_total = 0.0
    for length in lengths:
        loss, a, b, t = info_nce(left[:, :length], right[:, :length], apart, temperature)
        to_left[:, :length] += a / len(lengths)
        to_right[:, :length] += b / len(lengths)
        total, t_total = total + loss / len(lengths), t_total + t / len(lengths)
    return total, np.asarray(q.T @ to_left + p.T @ to_right, np.float32), t_total


def info_nce(
    left: Array, right: Array, apart: NDArray[np.bool_], temperature: float
) -> tuple[float, Array, Array, float]:
    """Mean of both directions' cross entropy over cosines / temperature, and its gradients.

    `left`, `right` (B, D); pairs where `apart` (B, B) is True do not meet. Returns the loss, ∂left, ∂right (B, D), and
    the derivative by the logarithm of the temperature.
    """
    size = len(left)
    a, a_length = _unit(left)
    b, b_length = _unit(right)
    logits = np.where(apart, _APART, (a @ b.T) / np.float32(temperature))
    rows, columns = _softmax(logits, 1), _softmax(logits, 0)
    loss = (
        -float(np.log(np.maximum(np.diag(rows), 1e-30)).mean() + np.log(np.maximum(np.diag(columns), 1e-30)).mean()) / 2
    )
    by_logit = (rows + columns) / 2 - np.eye(size, dtype=np.float32)
    by_logit /= size
    by_logit[apart] = 0
    by_log_t = -float((by_logit * logits).sum())
    by_cosine: Array = np.asarray(by_logit / temperature, np.float32)
    to_left, to_right = _through_unit(by_cosine @ b, a, a_length), _through_unit(by_cosine.T @ a, b, b_length)
    return loss, to_left, to_right, by_log_t


def _unit(vectors: Array) -> tuple[Array, Array]:
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-6))
    return vectors / lengths, lengths


def _through_unit(gradient: Array, unit: Array, length: Array) -> Array:
    return np.asarray((gradient - (gradient * unit).sum(axis=1, keepdims=True) * unit) / length, np.float32)


def _softmax(logits: Array, axis: int) -> Array:
    weights = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return np.asarray(weights / weights.sum(axis=axis, keepdims=True), np.float32)


def _batches(n_pairs: int, size: int, steps: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """The pairs of each step: every pair once before any comes again."""
    need = steps * size
    order = np.concatenate([rng.permutation(n_pairs) for _ in range(-(-need // n_pairs))])
    return [order[at : at + size] for at in range(0, need, size)]


def _check(config: Tune, dim: int, n_pairs: int) -> None:
    if not all(0 < d < dim for d in config.dims):
        raise InputError(f"tune.dims={config.dims} must lie between 1 and {dim - 1}")
    if n_pairs < 2:
        raise InputError(
            f"{n_pairs} training pairs are too few to tune on; give documents of several sentences, or titles"
        )
