"""The original Transformer against torch's own layers of it, whose paper is the same: encoder, decoder, and logits."""

import math

import numpy as np
import pytest
import torch
from families import build
from torch import Tensor, nn

from inlay.batch import Batch
from inlay.model.model import Model
from inlay.model.stack import Block, Stack

# B texts, T tokens written, S tokens read, D model

SOURCE, TARGET = [7, 3, 5], [4, 6, 2]


@torch.no_grad()
def as_torch(block: Block, stack: Stack) -> nn.Module:
    """One of our blocks as a layer of torch's."""
    kind = nn.TransformerDecoderLayer if stack.cross else nn.TransformerEncoderLayer
    eps = stack.norm.eps
    layer = kind(stack.d_model, stack.n_heads, stack.d_ffn, 0.0, layer_norm_eps=eps, batch_first=True).double().eval()
    attentions, norms = [(layer.self_attn, block.attention)], [(layer.norm1, block.attention_norm)]
    if stack.cross:
        attentions.append((layer.multihead_attn, block.cross))
        norms.append((layer.norm2, block.cross_norm))
    norms.append((layer.norm3 if stack.cross else layer.norm2, block.ffn_norm))
    for theirs, ours in attentions:
        theirs.in_proj_weight.copy_(ours.qkv.weight)
        theirs.out_proj.weight.copy_(ours.out.weight)
        theirs.in_proj_bias.zero_()  # the paper's projections have none
        theirs.out_proj.bias.zero_()
    for theirs, ours in [*norms, (layer.linear1, block.ffn.up), (layer.linear2, block.ffn.down)]:
        theirs.load_state_dict(ours.state_dict())
    return layer


def embed(model: Model, ids: Tensor) -> Tensor:
    """(B, T) -> (B, T, D): √d times the token's vector, and the sines of its place, by the paper's formula."""
    d = model.config.d_model
    table = np.zeros((ids.shape[1], d))
    for place in range(ids.shape[1]):
        for j in range(d // 2):
            angle = place / 10000 ** (2 * j / d)
            table[place, 2 * j], table[place, 2 * j + 1] = math.sin(angle), math.cos(angle)
    return model.input.token.weight[ids] * math.sqrt(d) + torch.tensor(table)


def padded(lengths: list[int], seed: int) -> tuple[Tensor, Tensor]:
    keep = np.arange(max(lengths)) < np.array(lengths)[:, None]
    return torch.tensor(np.random.default_rng(seed).integers(0, 1000, keep.shape)), torch.tensor(keep)


@torch.no_grad()
@pytest.mark.filterwarnings("ignore:.*nested_tensor.*")
def test_encoder_decoder_and_tied_logits_are_those_of_torchs_layers() -> None:
    model = build("transformer-tiny")
    (source, read), (target, written) = padded(SOURCE, 1), padded(TARGET, 2)
    x, y = embed(model, source), embed(model, target)
    for block in model.encoder.blocks:
        x = as_torch(block, model.encoder.stack)(x, src_key_padding_mask=~read)
    future = torch.ones(max(TARGET), max(TARGET), dtype=torch.bool).triu(1)
    for block in model.decoder.blocks:
        layer = as_torch(block, model.decoder.stack)
        y = layer(y, x, tgt_mask=future, memory_key_padding_mask=~read)
    one, other = (Batch.from_padded(ids.numpy(), keep.numpy()) for ids, keep in ((source, read), (target, written)))
    memory, packed = model.encode(one), model.pack(other)
    rows = model.decode(packed, memory)
    # The sines of inlay are of single precision.
    torch.testing.assert_close(memory.rows, x[read], rtol=0, atol=1e-5)
    torch.testing.assert_close(rows, y[written], rtol=0, atol=1e-5)
    logits = model.read("language", rows, packed.layout)
    torch.testing.assert_close(logits, y[written] @ model.input.token.weight.T, rtol=1e-5, atol=1e-5)
