"""What becomes of an encoder's rows as ONNX nodes: layers, pools, dense layers, dimensions, length 1.

B texts, T tokens of the longest, D numbers of a row.
"""

from collections.abc import Sequence

from inlay.embed.dense import Dense
from inlay.embed.layers import At, Concat, Layer, Mix, Sum, needed
from inlay.embed.onnx_encoder import Tokens
from inlay.embed.onnx_graph import Graph
from inlay.embed.pool import CLS, Last, Max, Mean, MeanSqrt, Pool, Weighted


def rows(graph: Graph, states: Sequence[str], layer: Layer, tokens: Tokens) -> str:
    """(B, T, D), or as many times D for Concat, of the layers' rows; those of padding are zero."""
    chosen = [states[at] for at in needed(layer, len(states) - 1)]
    match layer:
        case At():
            found = chosen[0]
        case Concat():
            found = graph.op("Concat", *chosen, axis=-1)
        case Sum() | Mix():
            given = layer.weights if isinstance(layer, Mix) else None
            parts = given or (1.0,) * len(chosen)
            total = sum(parts) if isinstance(layer, Mix) else 1.0
            found = ""
            for one, part in zip(chosen, parts, strict=True):
                weighed = graph.op("Mul", one, graph.number(part / total))
                found = graph.op("Add", found, weighed) if found else weighed
    return graph.op("Mul", found, tokens.kept)


def pooled(
    graph: Graph,
    found: str,
    tokens: Tokens,
    pools: Sequence[Pool],
    dense: Sequence[Dense],
    dim: int | None,
    *,
    normalize: bool,
) -> str:
    """(B, D) of rows (B, T, D) in which padding is zero; a text without tokens has the vector zero."""
    parts = [_pool(graph, found, tokens, how) for how in pools]
    x = graph.op("Concat", *parts, axis=-1) if len(parts) > 1 else parts[0]
    for number, layer in enumerate(dense):
        name = f"dense.{number}"
        weights = {f"{name}.weight": layer.weight} | ({} if layer.bias is None else {f"{name}.bias": layer.bias})
        x = graph.activation(layer.activation, graph.linear(x, name, weights))
    if dim is not None:
        x = graph.op("Slice", x, graph.integers(0), graph.integers(dim), graph.integers(1))
    if not normalize:
        return x
    length = graph.op("ReduceL2", x, axes=[1], keepdims=1)
    some = graph.op("Greater", length, graph.number(0))
    return graph.op("Div", x, graph.op("Where", some, length, graph.number(1)))


def _pool(graph: Graph, x: str, tokens: Tokens, how: Pool) -> str:
    count = graph.op("ReduceSum", tokens.kept, graph.integers(1), keepdims=1)  # (B, 1, 1)
    some = graph.op("Max", count, graph.number(1))
    places = graph.op("Unsqueeze", graph.op("Cast", tokens.place, to=1), graph.integers(2))  # (B, T, 1)
    match how:
        case CLS():
            return _sum(graph, x, graph.op("Equal", places, graph.number(0)))
        case Last():
            return _sum(graph, x, graph.op("Equal", places, graph.op("Sub", count, graph.number(1))))
        case Max():
            shown = graph.op("Unsqueeze", tokens.keep, graph.integers(2))
            highest = graph.op("ReduceMax", graph.op("Where", shown, x, graph.far()), axes=[1], keepdims=1)
            is_there = graph.op("Min", count, graph.number(1))
            return graph.op("Squeeze", graph.op("Mul", highest, is_there), graph.integers(1))
        case Mean():
            return _share(graph, x, some)
        case MeanSqrt():
            return _share(graph, x, graph.op("Sqrt", some))
        case Weighted():
            weights = graph.op("Mul", graph.op("Add", places, graph.number(1)), tokens.kept)
            total = graph.op("Max", graph.op("ReduceSum", weights, graph.integers(1), keepdims=1), graph.number(1))
            return _share(graph, graph.op("Mul", x, weights), total)


def _sum(graph: Graph, x: str, chosen: str) -> str:
    """The rows where `chosen` (B, T, 1) holds; of padding nothing is added, for its rows are zero."""
    return graph.op("ReduceSum", graph.op("Mul", x, graph.op("Cast", chosen, to=1)), graph.integers(1), keepdims=0)


def _share(graph: Graph, x: str, by: str) -> str:
    total = graph.op("ReduceSum", x, graph.integers(1), keepdims=1)
    return graph.op("Squeeze", graph.op("Div", total, by), graph.integers(1))
