"""Making a model: only our own first weights are drawn, and torch's compiler stays on the disk."""

import subprocess
import sys

import torch
from torch import nn

from inlay.model.init import Undrawn
from inlay.model.presets import preset


def test_torch_draws_nothing_and_all_else_goes_on() -> None:
    state = torch.get_rng_state()
    with Undrawn():
        modules = [nn.Linear(3, 4), nn.Embedding(5, 6), nn.LayerNorm(7)]
        assert torch.equal(torch.ones(2) + 1, torch.full((2,), 2.0))
    assert torch.equal(torch.get_rng_state(), state)
    assert [tuple(module.weight.shape) for module in modules] == [(4, 3), (5, 6), (7,)]
    torch.manual_seed(0)
    assert not torch.equal(nn.Linear(3, 4).weight, nn.Linear(3, 4).weight)  # outside, everything is as before


def test_building_draws_from_the_seed_alone() -> None:
    state = torch.get_rng_state()
    one, other = preset("electra-tiny").build(seed=3), preset("electra-tiny").build(seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_building_does_not_load_torch_s_compiler() -> None:
    body = (
        "import sys; from inlay.model.presets import preset; preset('bert-tiny').build(device='meta');"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", body], check=False).returncode == 0
