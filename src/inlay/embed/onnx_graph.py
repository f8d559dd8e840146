"""Graph: an ONNX graph as it is written down, a node a call; weights go in by name, once each.

B texts, T tokens of the longest, D numbers of a row.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inlay import __version__
from inlay.errors import InputError, missing_extra

OPSET = 17
"""The first that has layer norm as one node."""
_IR = 8
"""What belongs to OPSET; readers refuse a file of a later one."""
_MOST_BYTES = 2_000_000_000
_FAR = np.float32(-1e30)
"""What is added to scores that nobody may see: beside it any score is nothing, and the exponential is 0 exactly."""


class Graph:
    """Nodes and weights; every method adds what it needs and returns the name of the result."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._weights: dict[str, NDArray[Any]] = {}
        self._counts: dict[str, int] = {}

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """A node with one result."""
        return self.ops(kind, 1, *inputs, **attributes)[0]

    def ops(self, kind: str, n: int, *inputs: str, **attributes: Any) -> list[str]:
        """A node with n results."""
        onnx = library()
        number = self._counts[kind] = self._counts.get(kind, -1) + 1
        name = f"{kind.lower()}_{number}"
        results = [name] if n == 1 else [f"{name}_{i}" for i in range(n)]
        self._nodes.append(onnx.helper.make_node(kind, list(inputs), results, name=name, **attributes))
        return results

    def weight(self, name: str, values: NDArray[np.float32]) -> str:
        """A weight under its own name; given again, it is the same one."""
        self._weights.setdefault(name, np.ascontiguousarray(values, np.float32))
        return name

    def number(self, value: float) -> str:
        """A float32 constant."""
        return self._constant(np.float32(value))

    def integers(self, *values: int) -> str:
        """A list of int64, as shapes and axes are given."""
        return self._constant(np.array(values, np.int64))

    def integer(self, value: int) -> str:
        """One int64 alone."""
        return self._constant(np.int64(value))

    def floats(self, values: NDArray[Any]) -> str:
        """An array of float32 constants."""
        return self._constant(np.asarray(values, np.float32))

    def far(self) -> str:
        """What hides a score."""
        return self._constant(_FAR)

    def linear(self, x: str, name: str, weights: Mapping[str, NDArray[np.float32]]) -> str:
        """(…, I) -> (…, O) by `name`.weight (O, I), and `name`.bias where there is one."""
        y = self.op("MatMul", x, self.weight(f"{name}.weight_t", weights[f"{name}.weight"].T))
        bias = weights.get(f"{name}.bias")
        return y if bias is None else self.op("Add", y, self.weight(f"{name}.bias", bias))

    def activation(self, name: str, x: str) -> str:
        """The function of that name."""
        match name:
            case "identity":
                return x
            case "relu" | "tanh":
                return self.op(name.capitalize(), x)
            case "silu":
                return self.op("Mul", x, self.op("Sigmoid", x))
            case "gelu":
                inner = self.op("Erf", self.op("Div", x, self.number(2**0.5)))
            case "gelu_tanh":
                cube = self.op("Mul", self.op("Mul", self.op("Mul", x, x), x), self.number(0.044715))
                inner = self.op("Tanh", self.op("Mul", self.op("Add", x, cube), self.number((2 / np.pi) ** 0.5)))
            case _:
                raise InputError(f"activation={name!r} cannot be written as ONNX here; gelu, relu, silu and tanh can")
        grown = self.op("Mul", x, self.op("Add", inner, self.number(1)))
        return self.op("Mul", grown, self.number(0.5))

    def model(self, inputs: Sequence[str], outputs: Mapping[str, tuple[str, list[str | int]]], about: Mapping) -> Any:
        """The whole as a checked ModelProto: inputs (batch, length) int64; outputs by name, each of a result and its
        shape. Raises InputError for weights beyond what one file may hold."""
        onnx = library()
        size = sum(array.nbytes for array in self._weights.values())
        if size > _MOST_BYTES:
            raise InputError(
                f"the weights take {size / 1e9:.1f} GB, and an ONNX file holds 2 at most; drop layers first"
            )
        helper, kinds = onnx.helper, onnx.TensorProto
        for name, (result, _) in outputs.items():
            self._nodes.append(helper.make_node("Identity", [result], [name], name=name))
        graph = helper.make_graph(
            self._nodes,
            "inlay",
            [helper.make_tensor_value_info(name, kinds.INT64, ["batch", "length"]) for name in inputs],
            [helper.make_tensor_value_info(name, kinds.FLOAT, shape) for name, (_, shape) in outputs.items()],
            [onnx.numpy_helper.from_array(array, name) for name, array in self._weights.items()],
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=_IR,
            producer_name="inlay",
            producer_version=__version__,
        )
        helper.set_model_props(model, {key: str(value) for key, value in about.items()})
        onnx.checker.check_model(model, full_check=True)
        return model

    def _constant(self, value: NDArray[Any] | np.generic) -> str:
        array = np.asarray(value)
        plain = "_".join(f"{one:g}" if array.dtype.kind == "f" else str(one) for one in array.ravel()[:4].tolist())
        name = f"constant_{array.dtype}_{array.ndim}_{plain}"
        while name in self._weights and not np.array_equal(self._weights[name], array):
            name += "_"
        self._weights[name] = array
        return name


def library() -> Any:
    """The package onnx, with the modules that are used; InputError where it is not installed."""
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
    except ImportError:
        raise missing_extra("writing ONNX", "onnx", "onnx") from None
    return onnx
