"""Layers: which of an encoder's rows become a token's row; 0 is the input layer, -1 the last one."""

# L layers, N tokens, D numbers of a row

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError

Array = NDArray[np.float32]

LAST_FOUR = (-4, -3, -2, -1)


@dataclass(frozen=True, kw_only=True)
class At:
    """One layer's rows."""

    layer: int = -1
    """-1 is the last layer, -2 the second to last, 0 the input layer."""


@dataclass(frozen=True, kw_only=True)
class Sum:
    """The sum of several layers' rows. Devlin et al. 2019, table 7."""

    layers: tuple[int, ...] = LAST_FOUR
    """Counted as in `At`."""


@dataclass(frozen=True, kw_only=True)
class Concat:
    """Several layers' rows side by side: rows as many times as wide. Devlin et al. 2019, table 7: the best of them."""

    layers: tuple[int, ...] = LAST_FOUR
    """Counted as in `At`."""


@dataclass(frozen=True, kw_only=True)
class Mix:
    """The weighted mean of several layers' rows: a learned mix, or the plain mean. Peters et al. 2018 (ELMo)."""

    layers: tuple[int, ...] = LAST_FOUR
    """Counted as in `At`."""
    weights: tuple[float, ...] | None = None
    """One for each layer, divided by their sum; None: all the same."""

    def __post_init__(self) -> None:
        if self.weights is None:
            return
        if len(self.weights) != len(self.layers):
            raise InputError(f"{len(self.weights)} weights for {len(self.layers)} layers; give one for each")
        if not np.isfinite(self.weights).all() or abs(sum(self.weights)) < 1e-6:
            raise InputError(f"weights={list(self.weights)} must be finite, and their sum must not be 0")


Layer = At | Sum | Concat | Mix


def needed(layer: Layer, n_layers: int) -> list[int]:
    """The layers to ask an encoder of L layers for, from 0 to L; InputError for one that it does not have."""
    named = (layer.layer,) if isinstance(layer, At) else layer.layers
    if not named:
        raise InputError(f"layers of {type(layer).__name__} is empty; name at least one, -1 is the last")
    for one in named:
        if not -n_layers - 1 <= one <= n_layers:
            raise InputError(
                f"layer {one} is none of this encoder's: they run from 0 (the input) to {n_layers}; -1 is the last"
            )
    return [one % (n_layers + 1) for one in named]


def combined(states: Sequence[Array], layer: Layer) -> Array:
    """(N, D), or (N, k · D) for Concat, of the rows (N, D) of the k layers that `needed` named, in its order."""
    match layer:
        case At():
            return states[0]
        case Sum():
            return _weighted(states, [1.0] * len(states))
        case Concat():
            return np.concatenate(states, axis=1)
        case Mix():
            weights = layer.weights or (1.0,) * len(states)
            return _weighted(states, [weight / sum(weights) for weight in weights])


def width(layer: Layer, dim: int) -> int:
    """Numbers of a token's row, D being those of one layer's."""
    return dim * len(layer.layers) if isinstance(layer, Concat) else dim


def _weighted(states: Sequence[Array], weights: Sequence[float]) -> Array:
    found = states[0] * np.float32(weights[0])
    for rows, weight in zip(states[1:], weights[1:], strict=True):
        found += rows * np.float32(weight)
    return found
