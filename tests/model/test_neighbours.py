"""A model of learned positions that is told to, looks at neighbours from its first step; others say why they cannot."""

import math
from dataclasses import replace

import pytest
import torch

from inlay.batch import Batch
from inlay.errors import InputError
from inlay.model.model import Model, ModelConfig
from inlay.model.neighbours import look_at_neighbours
from inlay.model.position import Learned
from inlay.model.presets import PRESETS, preset

TINY = sorted(name for name in PRESETS if name.endswith("-tiny"))


def wide(name: str) -> ModelConfig:
    """The tiny preset with waves enough for 64 positions."""
    config = preset(name)
    parts = {
        part: replace(stack, d_model=128, n_heads=4, d_ffn=128)
        for part, stack in (("encoder", config.encoder), ("decoder", config.decoder))
        if stack is not None
    }
    d_embed = 96 if config.input.d_embed else 0
    return replace(config, input=replace(config.input, vocab_size=500, d_embed=d_embed), **parts)


def able(config: ModelConfig) -> bool:
    stack = config.encoder or config.decoder
    return isinstance(config.input.position, Learned) and stack is not None and stack.relative is None


def looks(model: Model, n: int = 60) -> torch.Tensor:
    """(H, T, T): the weights of the first block's attention on a text of tokens that are all different."""
    stack = model.encoder if model.encoder is not None else model.decoder
    block = stack.blocks[0]
    seen: list[torch.Tensor] = []
    hook = block.attention.qkv.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    batch = Batch.of([torch.randperm(499)[:n].add(1).tolist()])
    model(batch, target=batch) if model.encoder is not None and model.decoder is not None else model(batch)
    hook.remove()
    attention = block.attention
    q, k, _ = attention.qkv(seen[0]).unflatten(-1, (3, attention.n_heads, attention.d_head)).permute(1, 2, 0, 3)
    scores = q @ k.transpose(1, 2) * attention.scale
    if stack.stack.causal:
        scores = scores.masked_fill(torch.ones(n, n).triu(1).bool(), -math.inf)
    return scores.softmax(-1)


@torch.no_grad()
@pytest.mark.parametrize("name", [name for name in TINY if able(preset(name))])
def test_each_head_of_the_first_block_looks_at_its_neighbour(name: str) -> None:
    model = wide(name).build(seed=0).eval()
    look_at_neighbours(model)
    again = {name: value.clone() for name, value in model.state_dict().items()}
    look_at_neighbours(model)
    torch.testing.assert_close(model.state_dict(), again, msg=lambda why: f"a second time changes something: {why}")
    causal = model.encoder is None
    for head, weights in enumerate(looks(model)):
        shift = -(head + 1) if causal else (head // 2 + 1) * (1 if head % 2 else -1)
        by_distance = {d: float(weights.diagonal(d).mean()) for d in range(-20, 1 if causal else 21)}
        assert max(by_distance, key=by_distance.__getitem__) == shift
        assert by_distance.pop(shift) > 5 * max(by_distance.values())


@torch.no_grad()
def test_the_heads_of_a_wide_model_do_not_look_far_away_too() -> None:
    config = wide("bert-tiny")
    assert config.encoder is not None
    encoder = replace(config.encoder, d_model=768, n_heads=12, n_layers=1)
    layer = replace(config.input, position=Learned(max_len=256))
    model = replace(config, input=layer, encoder=encoder).build(seed=0).eval()
    look_at_neighbours(model)
    for head, weights in enumerate(looks(model, 200)):
        by_distance = {d: float(weights.diagonal(d).mean()) for d in range(-150, 151)}
        assert by_distance.pop((head // 2 + 1) * (1 if head % 2 else -1)) > 5 * max(by_distance.values())


@torch.no_grad()
@pytest.mark.parametrize("name", [name for name in TINY if able(preset(name))])
def test_what_neighbours_say_is_as_loud_as_the_row_over_all_layers_of_a_block(name: str) -> None:
    model = wide(name).build(seed=0).eval()
    look_at_neighbours(model)
    stack = model.encoder if model.encoder is not None else model.decoder
    block, times = stack.blocks[0], stack.stack.n_layers / stack.stack.n_blocks
    rows = model.input(model.pack(Batch.of([torch.randperm(499)[:60].add(1).tolist()])))
    read = block.attention_norm(rows) if block.norm_first else rows
    said = block.attention.out(block.attention.qkv(read).chunk(3, -1)[2])  # of one row, as if it alone were seen
    torch.testing.assert_close(said.square().mean() * times, rows.square().mean(), rtol=0.2, atol=0)


@pytest.mark.parametrize("name", [name for name in TINY if not able(preset(name))])
def test_a_model_without_learned_positions_is_an_error(name: str) -> None:
    with pytest.raises(InputError, match="init.neighbours"):
        look_at_neighbours(wide(name).build(seed=0))


@pytest.mark.parametrize(
    ("change", "said"), [({"d_model": 63, "n_heads": 1}, "63 wide"), ({"n_heads": 32, "d_model": 128}, "32 heads")]
)
def test_what_has_no_room_for_waves_is_an_error(change: dict[str, int], said: str) -> None:
    config = preset("bert-tiny")
    assert config.encoder is not None
    few = replace(
        config, input=replace(config.input, position=Learned(max_len=32)), encoder=replace(config.encoder, **change)
    )
    with pytest.raises(InputError, match=said):
        look_at_neighbours(few.build(seed=0))


@torch.no_grad()
def test_far_positions_are_no_neighbours() -> None:
    config = wide("bert-tiny")
    model = replace(config, input=replace(config.input, position=Learned(max_len=512))).build(seed=0)
    look_at_neighbours(model)
    table = model.input.position.table.weight
    alike = torch.nn.functional.cosine_similarity(table[:1], table[1:])
    assert alike.abs().max() < 0.5
