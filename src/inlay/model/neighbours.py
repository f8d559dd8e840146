"""First weights with which a model of learned positions sees which tokens stand beside a token, from the first step.

Drawn by chance, attention is spread over all rows, and nothing says which of them is near: a masked model learns what a
text is about and then stays on a plateau, half a nat below the frequencies of tokens, for as long as it takes to find
out that neighbours matter. Here it knows: positions are waves, and the first block's heads look one token back, one
ahead, two back, two ahead, … All of it is learned further as any other weight. Trockman and Kolter 2023,
arXiv:2305.09828, begin attention by the shape that it has after training; the waves and the shifts are our own.

P positions, E embedding, D model, H heads, K head, W waves of a head.
"""

import math

import torch
from torch import Tensor, nn

from inlay.batch import Batch
from inlay.errors import InputError
from inlay.model.input import InputLayer, Sum
from inlay.model.model import Model, ModelConfig
from inlay.model.position import Learned, LearnedPositions
from inlay.model.stack import Block

_GOLDEN = (math.sqrt(5) - 1) / 2
_CLEAR = 2.0
"""By how much, in nats, the neighbour would outweigh all other rows together, scored alike, at first; as their scores
scatter, they weigh more than that. More is slow to unlearn."""
_ROWS = 128
"""Rows on which the heads are measured; in a longer text, a neighbour weighs less."""


def need_neighbours(config: ModelConfig) -> None:
    """InputError for an architecture that has no learned positions to fill, or that knows distances already."""
    name = config.family or "this model"
    stack = config.encoder or config.decoder
    assert stack is not None
    if not isinstance(config.input.position, Learned) or not isinstance(config.input.combine, Sum):
        raise InputError(
            f"init.neighbours fills a table of learned positions that is added to the tokens, and {name} has none; "
            "leave it out"
        )
    if stack.relative is not None:
        raise InputError(f"init.neighbours is for positions alone, and {name} scores distances too; leave it out")
    if config.d_embed % 2 or stack.d_key < 2:
        raise InputError(
            f"init.neighbours makes waves of pairs of numbers, and this model has tables {config.d_embed} wide, heads "
            f"of {stack.d_key}; make them even"
        )
    room = config.input.position.max_len - config.input.position.offset
    if room <= stack.n_heads:
        raise InputError(
            f"init.neighbours gives each of {stack.n_heads} heads a distance, and there are {room} positions; "
            f"raise input.position.max_len, or take fewer heads"
        )


@torch.no_grad()
def look_at_neighbours(model: Model) -> None:
    """Fill the position table with waves, and let the first block's heads look at neighbours; nothing is drawn.

    The waves' root mean square is √2 times that of token vectors, so that a row says where it stands before all.
    Two models that share their tables may both be given. Of an encoder and a decoder, the encoder looks.
    Raises InputError for an architecture that has no learned positions, or relative ones beside them.
    """
    need_neighbours(model.config)
    layer = model.input
    stack = model.encoder if model.encoder is not None else model.decoder
    assert stack is not None
    assert isinstance(layer.position, LearnedPositions)
    table, offset = layer.position.table.weight, layer.position.cfg.offset
    size = layer.table().square().mean().sqrt() * abs(layer.config.scale)
    frequency = _frequencies(table.size(1), table.device)
    places = torch.arange(len(table) - offset, device=table.device)
    table[offset:] = 2 * size * _waves(places, frequency)
    if isinstance(layer.project, nn.Linear):  # as large as what a norm leaves, which is what later layers read
        layer.project.weight /= _rows(model).square().mean().sqrt()
    block = stack.blocks[0]
    assert isinstance(block, Block)
    _look(
        block,
        layer,
        frequency,
        causal=stack.stack.causal,
        times=stack.stack.n_layers / stack.stack.n_blocks,
        rows=_rows(model),
    )


def _frequencies(d: int, device: torch.device) -> Tensor:
    """(E/2,) spread evenly below π, so that waves of two positions agree at distance 0 alone; not quite evenly, so that
    they do not come back after E positions."""
    number = torch.arange(d // 2, device=device, dtype=torch.float64)
    return math.pi * (number + (number**2 * _GOLDEN) % 1) / (d // 2)


def _waves(places: Tensor, frequency: Tensor) -> Tensor:
    """(P,) -> (P, E): all sines, then all cosines."""
    angle = places[:, None].double() * frequency
    return torch.cat([angle.sin(), angle.cos()], 1).float()


def _rows(model: Model) -> Tensor:
    """(P, D): what the first block's attention reads of a text of many different tokens."""
    assert isinstance(model.input.position, LearnedPositions)
    room = model.input.position.cfg.max_len - model.input.position.cfg.offset
    size = model.config.input.vocab_size
    ids = [(1 + place * max(1, round(size * _GOLDEN))) % size for place in range(min(_ROWS, room))]
    training = model.training
    model.eval()
    rows = model.input(model.pack(Batch.of([ids])))
    model.train(training)
    return rows


def _look(block: Block, layer: InputLayer, frequency: Tensor, *, causal: bool, times: float, rows: Tensor) -> None:
    """Give every head of the block its distance, its share of the waves, and weights that make the neighbour clear."""
    attention, half = block.attention, len(frequency)
    loud = rows.square().mean()  # of what attention adds to, which is not what it reads where the norm comes first
    rows = block.attention_norm(rows) if block.norm_first else rows
    back = torch.linalg.pinv(layer.project.weight) if isinstance(layer.project, nn.Linear) else None
    waves = min(attention.d_head // 2, half)
    inner = attention.n_heads * attention.d_head
    goal = math.log(len(rows)) + _CLEAR
    for head in range(attention.n_heads):
        chosen = _share(head, waves, half, frequency.device)
        shift = _shift(head, causal=causal)
        ask = torch.zeros(2 * waves, 2 * half, device=rows.device)
        turn = torch.zeros_like(ask)
        sine = torch.arange(waves, device=frequency.device)
        cosine = waves + sine
        ask[sine, chosen] = ask[cosine, chosen + half] = 1
        angle = (frequency[chosen] * shift).float()
        # The waves of position j, turned back by the shift, are those of position j - shift.
        turn[sine, chosen], turn[sine, chosen + half] = angle.cos(), -angle.sin()
        turn[cosine, chosen], turn[cosine, chosen + half] = angle.sin(), angle.cos()
        if back is not None:
            ask, turn = ask @ back, turn @ back
        scores = (rows @ ask.T) @ (rows @ turn.T).T * attention.scale
        gain = math.sqrt(goal / max(float(scores.diagonal(shift).mean() - scores.mean()), 1e-6))
        at = head * attention.d_head
        attention.qkv.weight[at : at + 2 * waves] = gain * ask
        attention.qkv.weight[inner + at : inner + at + 2 * waves] = gain * turn
    seen = attention.out(attention.qkv(rows)[:, 2 * inner :])
    louder = float((loud / seen.square().mean() / times).sqrt().sqrt())
    attention.qkv.weight[2 * inner :] *= louder
    attention.out.weight *= louder


def _share(head: int, waves: int, half: int, device: torch.device) -> Tensor:
    """(W,) one of each half // W waves that follow each other, another for every head; not always the same one: evenly
    spaced waves would come back after 2W positions."""
    number, step = torch.arange(waves, device=device), half // waves
    scattered = ((number.double() ** 2 * _GOLDEN) % 1 * step).long()
    return number * step + (head + 2 * scattered) % step


def _shift(head: int, *, causal: bool) -> int:
    """-1, 1, -2, 2, … for heads that see both sides; -1, -2, … for those that see what came before."""
    return -(head + 1) if causal else (head // 2 + 1) * (1 if head % 2 else -1)
