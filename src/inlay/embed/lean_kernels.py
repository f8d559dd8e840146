"""Element-wise work on rows, in place and by blocks that stay in the second-level cache.

N rows, D model, F ffn.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_BLOCK = 1 << 15
"""Numbers of a block: with two buffers beside it, 400 kB."""

# x·Φ(x) = x / (1 + exp(-x·P(x²))): the coefficients of P, lowest first, negated. Those of the error function's gelu are
# a minimax fit of log(Φ(x) / Φ(-x)) / x, which keeps the result within 7e-8 before rounding; the last one is negative,
# so that far out the exponential goes to 0 or to infinity as it must.
_SIGMOIDS: dict[str, tuple[float, ...]] = {
    "gelu": (
        -1.5957684322331038,
        -0.07266856703586785,
        6.625999625675987e-05,
        1.1048031380193803e-04,
        -7.938218440572987e-06,
        2.668927871414845e-07,
        -3.6112320840576178e-09,
    ),
    "gelu_tanh": (-1.5957691216057308, -0.0713548162726),
    "silu": (-1.0,),
}


def blocks(n: int, width: int) -> Iterator[slice]:
    """Slices of so many rows of n that a block fits the cache."""
    rows = max(1, _BLOCK // width)
    return (slice(start, min(start + rows, n)) for start in range(0, n, rows))


def activate(x: Array, bias: Array | None, name: str, gate: bool) -> Array:
    """(N, F) -> x becomes act(x + bias) and is returned; with `gate`, (N, 2F) -> act of the left half times the right.

    gelu is that of the error function, to 1.5e-7 of the larger of 1 and |x|.
    """
    width = x.shape[1] // 2 if gate else x.shape[1]
    function = _function(name, max(1, _BLOCK // x.shape[1]), width)
    for block in blocks(*x.shape):
        y = x[block]
        if bias is not None:
            y += bias
        function(y[:, :width])
        if gate:
            y[:, :width] *= y[:, width:]
    return x[:, :width]


def _function(name: str, rows: int, width: int) -> Callable[[Array], None]:
    """The activation in place, for blocks of at most so many rows."""
    if name == "relu":
        return lambda y: _into(np.maximum(y, 0, out=y))
    if name == "tanh":
        return lambda y: _into(np.tanh(y, out=y))
    inner, *outer = (np.float32(c) for c in reversed(_SIGMOIDS[name]))
    square, sums = np.empty((2, rows, width), np.float32)

    def sigmoid(y: Array) -> None:
        u, s = square[: len(y)], sums[: len(y)]
        if not outer:
            np.multiply(y, inner, out=s)
        else:
            np.multiply(y, y, out=u)
            np.multiply(u, inner, out=s)
            for c in outer[:-1]:
                s += c
                s *= u
            s += outer[-1]
            s *= y
        np.exp(s, out=s)
        s += 1
        y /= s

    return sigmoid


def _into(_: Array) -> None:
    return None


def add_scaled(x: Array, bias: Array | None, scaled: int, scale: float) -> None:
    """(N, D) -> x += bias, then the first `scaled` columns times `scale`."""
    if bias is None and scale == 1:
        return
    factor = np.float32(scale)
    for block in blocks(*x.shape):
        y = x[block]
        if bias is not None:
            y += bias
        if scale != 1:
            y[:, :scaled] *= factor


def norm(x: Array, gain: Array, shift: Array | None, eps: float, rms: bool, out: Array | None = None) -> None:
    """(N, D) -> x (or `out`) becomes the normed rows."""
    out = x if out is None else out
    for block in blocks(*x.shape):
        _norm(x[block], gain, shift, eps, rms, out[block])


def add_norm(x: Array, add: Array, bias: Array | None, gain: Array, shift: Array | None, eps: float, rms: bool) -> None:
    """(N, D) -> x becomes the normed rows of x + add + bias."""
    for block in blocks(*x.shape):
        y = x[block]
        y += add[block]
        if bias is not None:
            y += bias
        _norm(y, gain, shift, eps, rms, y)


def add_rows(x: Array, add: Array, bias: Array | None) -> None:
    """(N, D) -> x += add + bias."""
    for block in blocks(*x.shape):
        y = x[block]
        y += add[block]
        if bias is not None:
            y += bias


def _norm(y: Array, gain: Array, shift: Array | None, eps: float, rms: bool, out: Array) -> None:
    d = np.float32(y.shape[1])
    if not rms:
        y = np.subtract(y, y.mean(1, keepdims=True), out=out)
    square = np.einsum("nd,nd->n", y, y)
    square /= d
    square += np.float32(eps)
    np.sqrt(square, out=square)
    np.reciprocal(square, out=square)
    y = np.multiply(y, square[:, None], out=out)
    y *= gain
    if shift is not None:
        y += shift


def softmax(scores: Array, ones: Array) -> Array:
    """(…, S) -> exp(scores) in place, less each row's highest where that is far from 0; returns the sums (…, 1).

    What is weighed by the rows is to be divided by the sums: that is less work than dividing the rows.
    """
    low, high = float(scores.min()), float(scores.max())
    if not (low > -_SAFE and high < _SAFE):
        scores -= scores.max(-1, keepdims=True)
    np.exp(scores, out=scores)
    flat = scores.reshape(-1, scores.shape[-1])
    return (flat @ ones[: scores.shape[-1]]).reshape(*scores.shape[:-1], 1)


_SAFE = 40.0
"""Scores within this of 0: neither a power of e nor a sum of them leaves float32, or loses digits."""


def sinusoid(position: Sequence[float] | NDArray, d: int, base: float, halves: bool) -> Array:
    """(P,) -> (P, d): sines and cosines of ever longer waves; for an odd d the last pair has no cosine."""
    angle = np.asarray(position, np.float64)[:, None] * base ** (-np.arange(0, d, 2) / d)
    sine, cosine = np.sin(angle), np.cos(angle)[:, : d // 2]
    if halves:
        return np.concatenate([sine, cosine], 1).astype(np.float32)
    table = np.empty((len(angle), d), np.float32)
    table[:, 0::2], table[:, 1::2] = sine, cosine
    return table
