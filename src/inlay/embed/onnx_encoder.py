"""An encoder as ONNX nodes, built from its own settings and weights; nothing is traced.

B texts, T tokens of the longest, D model, H heads, K head, R coordinates that turn.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from inlay.embed.onnx_graph import Graph
from inlay.errors import InputError

if TYPE_CHECKING:
    from inlay.model.model import Model, ModelConfig
    from inlay.model.norm import Norm
    from inlay.model.scheme import Relative
    from inlay.model.stack import Block, Stack, Transformer

Weights = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Tokens:
    """What the graph knows of its tokens."""

    keep: str
    """(B, T) bool: there is a token."""
    kept: str
    """(B, T, 1) float32: 1 where there is a token, else 0."""
    place: str
    """(B, T) int64: a token's place in its text, wherever the padding is."""
    distance: str
    """(B, T, T) int64: the place of the key less that of the query."""


def inputs_of(config: "ModelConfig") -> list[str]:
    """The names of what goes in."""
    return ["input_ids", "attention_mask"] + (["token_type_ids"] if config.input.n_segments > 1 else [])


def check(config: "ModelConfig") -> None:
    """InputError that names what of an architecture cannot be written as ONNX."""
    from inlay.model.position import Learned
    from inlay.model.relative import Alibi, Rotary, T5Buckets

    family = config.family or "this architecture"
    stack = config.encoder or config.decoder
    assert stack is not None
    known = (
        "encoders with learned or rotary positions, T5's buckets or ALiBi can: BERT, RoBERTa, DistilBERT, ELECTRA, "
        "ALBERT, ModernBERT, T5"
    )
    if config.input.position is not None and not isinstance(config.input.position, Learned):
        raise InputError(
            f"{family}: {type(config.input.position).__name__} positions cannot be written as ONNX; {known}"
        )
    for scheme in (stack.relative, stack.local.relative if stack.local else None):
        if scheme is not None and not isinstance(scheme, Rotary | T5Buckets | Alibi):
            raise InputError(f"{family}: {type(scheme).__name__} positions cannot be written as ONNX; {known}")


def encoder(graph: Graph, model: "Model") -> tuple[list[str], Tokens]:
    """The names of the rows (B, T, D) of every layer, the input layer's first; and of what is known of the tokens."""
    check(model.config)
    weights = {name: one.detach().float().cpu().numpy() for name, one in model.state_dict().items()}
    tokens = _tokens(graph)
    x = _input(graph, model, weights, tokens)
    stack = model.encoder or model.decoder
    assert stack is not None
    name = "encoder" if model.encoder is not None else "decoder"
    seen: dict[bool, str] = {}
    states = []
    for i, block, relative, is_local in stack.layers():
        states.append(x)
        if is_local not in seen:
            seen[is_local] = _bias(graph, stack.stack, tokens, relative, is_local=is_local)
        number = i * stack.stack.n_blocks // stack.stack.n_layers
        at = f"{name}.blocks.{number}."
        x = _block(graph, block, stack.stack, weights, at, x, seen[is_local], tokens, relative)
    return [*states, _final(graph, stack, weights, name, x)], tokens


def _tokens(graph: Graph) -> Tokens:
    keep = graph.op("Cast", "attention_mask", to=9)  # bool
    counted = graph.op("CumSum", graph.op("Cast", keep, to=7), graph.integer(1))  # int64
    place = graph.op("Max", graph.op("Sub", counted, graph.integer(1)), graph.integer(0))
    kept = graph.op("Unsqueeze", graph.op("Cast", keep, to=1), graph.integers(2))  # float
    keys, queries = (graph.op("Unsqueeze", place, graph.integers(axis)) for axis in (1, 2))
    return Tokens(keep, kept, place, graph.op("Sub", keys, queries))


def _input(graph: Graph, model: "Model", weights: Weights, tokens: Tokens) -> str:
    from inlay.model.input import Concat
    from inlay.model.position import Learned

    config = model.config.input
    table = model.input.table().detach().float().cpu().numpy()
    x = graph.op("Gather", graph.weight("input.token.weight", table), "input_ids")
    if config.scale != 1:
        x = graph.op("Mul", x, graph.number(config.scale))
    parts = [x]
    if isinstance(config.position, Learned):
        place = graph.op("Add", tokens.place, graph.integer(config.position.offset))
        rows = graph.weight("input.position.table.weight", weights["input.position.table.weight"])
        parts.append(graph.op("Gather", rows, place))
    if config.n_segments:
        rows = graph.weight("input.segment.weight", weights["input.segment.weight"])
        zeros = graph.op("Sub", "input_ids", "input_ids")
        parts.append(graph.op("Gather", rows, "token_type_ids" if config.n_segments > 1 else zeros))
    if isinstance(config.combine, Concat):
        x = graph.op("Concat", *parts, axis=-1) if len(parts) > 1 else x
    else:
        for part in parts[1:]:
            x = graph.op("Add", x, part)
    if config.norm is not None:
        x = _norm(graph, config.norm, weights, "input.norm", x)
    return graph.linear(x, "input.project", weights) if "input.project.weight" in weights else x


def _bias(
    graph: Graph, stack: "Stack", tokens: Tokens, relative: "Relative | None", *, is_local: bool
) -> str:  # (B, 1 or H, 1 or T, T), added to the scores
    seen = graph.op("Unsqueeze", tokens.keep, graph.integers(1))  # (B, 1, T)
    if stack.causal:
        seen = graph.op("And", seen, graph.op("LessOrEqual", tokens.distance, graph.integer(0)))
    if is_local:
        assert stack.local is not None
        near = graph.op("LessOrEqual", graph.op("Abs", tokens.distance), graph.integer(stack.local.reach))
        seen = graph.op("And", seen, near)
    hidden = graph.op("Where", seen, graph.number(0), graph.far())
    bias = graph.op("Unsqueeze", hidden, graph.integers(1))
    by_distance = _by_distance(graph, tokens, relative, is_local=is_local)
    return bias if by_distance is None else graph.op("Add", by_distance, bias)


def _by_distance(graph: Graph, tokens: Tokens, relative: "Relative | None", *, is_local: bool) -> str | None:
    """(B, H, T, T): what a distance adds to the scores of each head."""
    import torch

    from inlay.model.relative import AlibiBias, T5Bias

    if isinstance(relative, T5Bias):
        far = relative.cfg.max_distance
        numbers = relative.table.weight[relative.bucket(torch.arange(-far, far + 1))]  # (2 far + 1, H)
        near = graph.op("Min", graph.op("Max", tokens.distance, graph.integer(-far)), graph.integer(far))
        at = graph.op("Add", near, graph.integer(far))
        table = graph.weight("relative.near" if is_local else "relative.all", numbers.detach().float().numpy())
        return graph.op("Transpose", graph.op("Gather", table, at), perm=[0, 3, 1, 2])
    if isinstance(relative, AlibiBias):
        away = graph.op("Cast", graph.op("Abs", tokens.distance), to=1)
        slopes = graph.floats(-relative.slopes().numpy()[:, None, None])
        return graph.op("Mul", graph.op("Unsqueeze", away, graph.integers(1)), slopes)
    return None


def _block(
    graph: Graph,
    block: "Block",
    stack: "Stack",
    weights: Weights,
    at: str,
    x: str,
    bias: str,
    tokens: Tokens,
    relative: "Relative | None",
) -> str:
    """Attention and feed-forward, each added to the row (B, T, D)."""
    bare = f"{at}attention_norm.weight" not in weights  # the first attention may read its input as it is
    for branch, named in (("attention", f"{at}attention_norm"), ("ffn", f"{at}ffn_norm")):
        normed = not (bare and branch == "attention")
        h = _norm(graph, stack.norm, weights, named, x) if stack.norm_first and normed else x
        if branch == "attention":
            y = _attention(graph, block, weights, at, h, bias, tokens, relative)
        else:
            y = _ffn(graph, stack, weights, at, h)
        x = graph.op("Add", x, y)
        x = x if stack.norm_first else _norm(graph, stack.norm, weights, named, x)
    return x


def _attention(
    graph: Graph,
    block: "Block",
    weights: Weights,
    at: str,
    x: str,
    bias: str,
    tokens: Tokens,
    relative: "Relative | None",
) -> str:
    from inlay.model.rotary import RotaryTurn

    layer = block.attention
    heads, size = layer.n_heads, layer.d_head
    if relative is not None and not isinstance(relative, RotaryTurn) and layer.kept is not None:
        bias = graph.op("Gather", bias, graph.integers(*layer.kept), axis=1)
    qkv = graph.linear(x, f"{at}attention.qkv", weights)
    split = graph.op("Reshape", qkv, graph.integers(0, 0, 3, heads, size))
    parts = graph.ops("Split", 3, graph.op("Transpose", split, perm=[2, 0, 3, 1, 4]), axis=0)
    q, k, v = (graph.op("Squeeze", part, graph.integers(0)) for part in parts)  # (B, H, T, K)
    if isinstance(relative, RotaryTurn):
        q, k = (_turned(graph, relative, tokens, one, size) for one in (q, k))
    q = graph.op("Mul", q, graph.number(layer.scale)) if layer.scale != 1 else q
    scores = graph.op("MatMul", q, graph.op("Transpose", k, perm=[0, 1, 3, 2]))
    shares = graph.op("Softmax", graph.op("Add", scores, bias), axis=-1)
    y = graph.op("Transpose", graph.op("MatMul", shares, v), perm=[0, 2, 1, 3])
    return graph.linear(graph.op("Reshape", y, graph.integers(0, 0, heads * size)), f"{at}attention.out", weights)


def _turned(graph: Graph, turn: "Relative", tokens: Tokens, x: str, size: int) -> str:
    """(B, H, T, K) with its first R coordinates turned by their places."""
    width, theta = int(turn.width), float(turn.theta)  # type: ignore[arg-type]
    half = width // 2
    step = np.arange(0, width, 2, dtype=np.float32) / np.float32(width)
    speed = graph.floats((np.float32(1) / np.float32(theta) ** step)[None, None, None])
    place = graph.op("Unsqueeze", graph.op("Cast", tokens.place, to=1), graph.integers(1, 3))  # (B, 1, T, 1)
    angle = graph.op("Mul", place, speed)
    cos, sin = graph.op("Cos", angle), graph.op("Sin", angle)
    sizes = [half, half] + ([size - width] if size > width else [])
    a, b, *still = graph.ops("Split", len(sizes), x, graph.integers(*sizes), axis=-1)
    first = graph.op("Sub", graph.op("Mul", a, cos), graph.op("Mul", b, sin))
    second = graph.op("Add", graph.op("Mul", b, cos), graph.op("Mul", a, sin))
    return graph.op("Concat", first, second, *still, axis=-1)


def _ffn(graph: Graph, stack: "Stack", weights: Weights, at: str, x: str) -> str:
    h = graph.linear(x, f"{at}ffn.up", weights)
    if stack.gated:
        gate, h = graph.ops("Split", 2, h, axis=-1)
        h = graph.op("Mul", graph.activation(stack.activation, gate), h)
    else:
        h = graph.activation(stack.activation, h)
    return graph.linear(h, f"{at}ffn.down", weights)


def _final(graph: Graph, stack: "Transformer", weights: Weights, name: str, x: str) -> str:
    return _norm(graph, stack.stack.norm, weights, f"{name}.final_norm", x) if stack.stack.norm_first else x


def _norm(graph: Graph, norm: "Norm", weights: Weights, name: str, x: str) -> str:
    from inlay.model.norm import LayerNorm

    gain = graph.weight(f"{name}.weight", weights[f"{name}.weight"])
    if isinstance(norm, LayerNorm):
        bias = weights.get(f"{name}.bias")
        shift = [] if bias is None else [graph.weight(f"{name}.bias", bias)]
        return graph.op("LayerNormalization", x, gain, *shift, axis=-1, epsilon=float(norm.eps))
    square = graph.op("ReduceMean", graph.op("Mul", x, x), axes=[-1], keepdims=1)
    root = graph.op("Sqrt", graph.op("Add", square, graph.number(norm.eps)))
    return graph.op("Mul", graph.op("Div", x, root), gain)
