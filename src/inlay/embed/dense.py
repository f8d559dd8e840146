"""Dense: a linear layer with an activation behind the pool, as sentence-transformers has it."""

# B texts, I numbers in, O numbers out

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError, did_you_mean

Array = NDArray[np.float32]
Activation = Literal["identity", "tanh", "relu", "gelu"]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)


@dataclass(frozen=True, kw_only=True, eq=False)
class Dense:
    """`activation(x @ weight.T + bias)`: a text's vector (I,) becomes (O,)."""

    weight: Array
    """(O, I)"""
    bias: Array | None = None
    """(O,)"""
    activation: Activation = "tanh"
    """gelu is the exact one, by the error function."""

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise InputError(f"activation={self.activation!r} is unknown{did_you_mean(self.activation, ACTIVATIONS)}")
        if self.weight.ndim != 2 or self.weight.dtype != np.float32 or not self.weight.size:
            raise InputError(
                f"a dense layer's weight is float32 (out, in), not {self.weight.dtype} {self.weight.shape}"
            )
        if self.bias is not None and (self.bias.dtype != np.float32 or self.bias.shape != self.weight.shape[:1]):
            raise InputError(
                f"a dense layer's bias is float32 {self.weight.shape[:1]}, not {self.bias.dtype} {self.bias.shape}"
            )
        for name, array in (("weight", self.weight), ("bias", self.bias)):
            if array is not None and not np.isfinite(array).all():
                raise InputError(f"the {name} of a dense layer is not finite (NaN or infinity); train the model again")

    @property
    def size(self) -> tuple[int, int]:
        """(I, O)"""
        return int(self.weight.shape[1]), int(self.weight.shape[0])

    def __call__(self, vectors: Array, *, exact: bool = False) -> Array:
        """(B, O) from (B, I); `exact` multiplies every row alone, for a product may round otherwise in company."""
        if exact and len(vectors) > 1:
            return np.concatenate([self(vectors[at : at + 1]) for at in range(len(vectors))])
        found = vectors @ self.weight.T
        if self.bias is not None:
            found += self.bias
        match self.activation:
            case "identity":
                return found
            case "tanh":
                return np.tanh(found)
            case "relu":
                return np.maximum(found, 0)
            case "gelu":
                from scipy.special import erf

                return np.asarray(0.5 * found * (1 + erf(found * np.float32(2**-0.5))), np.float32)
