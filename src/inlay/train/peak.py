"""How much of the machine a step of training uses: the operations that it needs, against what a matrix product reaches.

Counted is what the mathematics asks for: matrices on real tokens, attention on the pairs that may see each other, heads
on the rows that are asked. What a program computes beyond that (padding, masked scores, activations computed again) is
no work done, so the share falls where it is wasted. Lookups, norms and functions count nothing.

N tokens, M rows that are asked, B texts, t and s tokens of a text and of what it looks at, D model, H heads, K head.
"""

import functools
import time
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from inlay.model.attention import Attention
from inlay.model.model import ModelConfig
from inlay.model.scheme import Relative
from inlay.model.stack import Block, Transformer
from inlay.model.xlrelative import XLBias

BACKWARD = 3
"""Forward and backward, in units of the forward pass."""
_SECONDS, _LEAST = 0.1, 4
"""How long the peak is looked for at each size, and how many products at least."""
_SIZES = {"cpu": (1024, 1536), "cuda": (4096, 8192)}
"""Rows of the square matrices: too small ones do not fill the machine, larger ones are no faster."""


def training_flops(
    config: ModelConfig,
    lengths: Sequence[int],
    *,
    target: Sequence[int] | None = None,
    queries: Sequence[int] | None = None,
    heads: Mapping[str, int] | None = None,
) -> float:
    """Floating-point operations of forward and backward for texts of these lengths: 6 for each weight and token.

    Arguments as in `forward_flops`; the backward pass of a matrix product is two of its size.
    """
    return BACKWARD * forward_flops(config, lengths, target=target, queries=queries, heads=heads)


def forward_flops(
    config: ModelConfig,
    lengths: Sequence[int],
    *,
    target: Sequence[int] | None = None,
    queries: Sequence[int] | None = None,
    heads: Mapping[str, int] | None = None,
) -> float:
    """The same of the forward pass alone, a product and a sum counting two.

    `target` (B,) are the lengths that the decoder of an encoder-decoder reads; `queries` (B,) the rows of XLNet's
    second stream; `heads` says how many rows (for heads of a text: how many texts) each head by name is asked for.
    """
    model = config.build(device="meta")
    total = 2.0 * _matrices(model.input.project) * (sum(lengths) + sum(target or ()))
    if model.encoder is not None and model.decoder is not None:
        assert target is not None, "a decoder that reads an encoder has lengths of its own"
        total += stack_flops(model.encoder, lengths) + stack_flops(model.decoder, target, source=lengths)
    else:
        stack = model.encoder or model.decoder
        assert stack is not None
        total += stack_flops(stack, lengths) + (0.0 if queries is None else _second(stack, lengths, queries))
    for name, rows in (heads or {}).items():
        weights = _matrices(model.heads[name])
        if name == "language" and getattr(model.heads[name], "own", None) is None:
            weights += config.vocab_size * config.d_embed  # the token table itself
        total += 2.0 * weights * rows
    return total


def measured_peak(device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> float:
    """Operations a second of the fastest matrix product in that precision, measured once a process (about 0.3 s).

    With the threads and the float32 precision (TF32 or not) that torch is set to now; products of float16 and bfloat16
    sum in float32, as training's do.
    """
    device = torch.device(device)
    return _measure(device, dtype, torch.get_num_threads(), torch.get_float32_matmul_precision())


@functools.cache
def _measure(device: torch.device, dtype: torch.dtype, threads: int, precision: str) -> float:
    best = 0.0
    for n in _SIZES.get(device.type, _SIZES["cuda"]):
        a, b = (torch.full((n, n), 1 / n, device=device, dtype=dtype) for _ in range(2))
        out = a @ b  # the first call of a size may choose its kernel
        _wait(device)
        end, done = time.perf_counter() + _SECONDS, 0
        while done < _LEAST or time.perf_counter() < end:
            start = time.perf_counter()
            torch.mm(a, b, out=out)
            _wait(device)
            best, done = max(best, 2.0 * n**3 / (time.perf_counter() - start)), done + 1
    return best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def stack_flops(stack: Transformer, lengths: Sequence[int], source: Sequence[int] | None = None) -> float:
    """Operations of the forward pass of one stack, that reads texts of these lengths, and those of an encoder."""
    total, causal = 0.0, stack.stack.causal
    for _, block, relative, is_local in stack.layers():
        reach = stack.stack.local.reach if stack.stack.local is not None and is_local else None
        pairs = sum(_visible(t, causal, reach) for t in lengths)
        total += 2.0 * sum(lengths) * (_matrices(block.attention) + _matrices(block.ffn))
        total += pairs * _per_pair(block, relative) + _distances(relative, lengths)
        if block.cross is not None and source is not None:
            # Of its four matrices two see this side's rows (queries, output), two the source's (keys, values).
            total += _matrices(block.cross) * (sum(lengths) + sum(source))
            total += 4.0 * _inner(block.cross) * sum(t * s for t, s in zip(lengths, source, strict=True))
    return total


def _second(stack: Transformer, lengths: Sequence[int], queries: Sequence[int]) -> float:
    """What XLNet's query stream adds: the same blocks for its own rows, which read keys and values that are there.

    Of the last layer's content only keys and values are needed. In a random order a row sees half of the others.
    """
    total, rows, tokens = 0.0, sum(queries), sum(lengths)
    seen = sum(m * t / 2 for m, t in zip(queries, lengths, strict=True))
    for number, block, relative, _ in stack.layers():
        one = 2.0 * (_matrices(block.attention) / 2 + _matrices(block.ffn))  # of its four matrices, two are theirs
        total += rows * one + seen * _per_pair(block, relative)
        if number + 1 == stack.stack.n_layers:
            total -= tokens * one + sum(t * t for t in lengths) * _per_pair(block, relative)
    return total


def _visible(t: int, causal: bool, reach: int | None) -> float:
    """Pairs of t tokens that may see each other, at most `reach` apart."""
    far = t if reach is None or reach >= t else reach
    both = t * (2 * far + 1) - far * (far + 1) if far < t else t * t
    return (both + t) / 2 if causal else both


def _per_pair(block: Block, relative: Relative | None) -> float:
    """Scores and values; XLNet's scores have a second product, by distance."""
    return (6.0 if isinstance(relative, XLBias) else 4.0) * _inner(block.attention)


def _distances(relative: Relative | None, lengths: Sequence[int]) -> float:
    """XLNet projects the waves of every distance."""
    return 4.0 * max(lengths, default=0) * relative.r.weight.numel() if isinstance(relative, XLBias) else 0.0


def _inner(attention: Attention) -> int:
    """H·K of the heads that are left."""
    return attention.n_heads * attention.d_head


def _matrices(module: nn.Module) -> int:
    """Weights that every row is multiplied by."""
    return sum(weight.numel() for weight in module.parameters() if weight.ndim == 2)
