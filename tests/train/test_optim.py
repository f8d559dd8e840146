"""Optimisers: which weights shrink, which layers move how much, and the reference of torch."""

import pytest
import torch
from torch import nn

from inlay.errors import InputError
from inlay.model.model import Model
from inlay.model.presets import preset
from inlay.objective.causal import CausalObjective
from inlay.train import optim
from inlay.train.learner import Learner

ALL: list[optim.Optimizer] = [optim.AdamW(), optim.Adafactor(), optim.Muon()]
NAMES = [type(one).__name__ for one in ALL]


def learner(name: str = "gpt2-tiny") -> Learner:
    return Learner(preset(name).build(), CausalObjective())


def groups(found: list[torch.optim.Optimizer]) -> dict[int, dict]:
    """The group of each weight, by its id."""
    return {id(weight): group for one in found for group in one.param_groups for weight in group["params"]}


@pytest.mark.parametrize("config", ALL, ids=NAMES)
@pytest.mark.parametrize("name", ["gpt2-tiny", "albert-tiny", "t5-tiny", "bert-tiny"])
def test_every_weight_is_in_one_group_and_only_matrices_shrink(config: optim.Optimizer, name: str) -> None:
    whole = learner(name)
    found = optim.build(config, whole)
    weights = [weight for one in found for group in one.param_groups for weight in group["params"]]
    assert sorted(map(id, weights)) == sorted(map(id, whole.parameters()))
    decays = config.rest.weight_decay if isinstance(config, optim.Muon) else config.weight_decay
    for weight in whole.parameters():
        shrinks = groups(found)[id(weight)]["weight_decay"]
        assert shrinks == (0 if weight.ndim < 2 else pytest.approx(decays))


@pytest.mark.parametrize("config", ALL, ids=NAMES)
def test_lower_layers_move_less_by_the_same_factor_each(config: optim.Optimizer) -> None:
    whole = learner()
    of = groups(optim.build(config, whole, layer_decay=0.5))
    scales = {name: of[id(weight)]["scale"] for name, weight in whole.named_parameters()}
    assert scales["model.input.token.weight"] == 0.125
    assert scales["model.decoder.blocks.0.attention.qkv.weight"] == 0.25
    assert scales["model.decoder.blocks.1.ffn.up.bias"] == 0.5
    assert scales["model.decoder.final_norm.weight"] == 1
    assert all(group["largest"] == group["lr"] * group["scale"] for group in of.values())


def test_muon_takes_the_matrices_of_the_blocks_alone() -> None:
    whole = learner()
    muon, adam = optim.build(optim.Muon(), whole)
    assert isinstance(muon, torch.optim.Muon)
    assert isinstance(adam, torch.optim.AdamW)
    of = groups([muon])
    for name, weight in whole.named_parameters():
        assert (id(weight) in of) == (".blocks." in name and weight.ndim == 2)


def test_adamw_steps_as_torch_does() -> None:
    ours, theirs = learner(), learner()
    config = optim.AdamW(lr=1e-2, weight_decay=0.1)
    matrices = [p for p in theirs.parameters() if p.ndim >= 2]
    rest = [p for p in theirs.parameters() if p.ndim < 2]
    reference = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}],
        lr=1e-2,
        betas=config.betas,
        eps=config.eps,
    )
    (optimizer,) = optim.build(config, ours)
    rng = torch.Generator().manual_seed(0)
    for _ in range(3):
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            one.grad = torch.randn(one.shape, generator=rng)
            other.grad = one.grad.clone()
        optimizer.step()
        reference.step()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_a_weight_without_a_gradient_stays() -> None:
    whole = learner()
    (optimizer,) = optim.build(optim.AdamW(weight_decay=0.5), whole)
    before = {name: weight.detach().clone() for name, weight in whole.named_parameters()}
    token = whole.model.input.token
    assert isinstance(token, nn.Embedding)
    token.weight.grad = torch.ones_like(token.weight)
    optimizer.step()
    changed = [name for name, weight in whole.named_parameters() if not torch.equal(weight, before[name])]
    assert changed == ["model.input.token.weight"]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: optim.AdamW(lr=0), "lr=0"),
        (lambda: optim.AdamW(weight_decay=-1), "weight_decay=-1"),
        (lambda: optim.AdamW(betas=(0.9, 1.0)), "betas"),
        (lambda: optim.AdamW(weight_decay=float("nan")), "weight_decay=nan"),
        (lambda: optim.AdamW(eps=0), "eps=0 must be above 0"),
        (lambda: optim.build(optim.Muon(), nn.Linear(2, 2)), "Muon moves the matrices of a model's blocks"),
        (lambda: optim.Muon(momentum=1.0), "momentum"),
        (lambda: optim.Adafactor(lr=float("nan")), "lr=nan"),
        (lambda: optim.build(optim.AdamW(), learner(), layer_decay=0), "layer_decay=0"),
    ],
)
def test_what_cannot_be_is_refused(make, says: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=says):
        make()


def test_a_model_alone_has_no_more_weights_than_its_learner() -> None:
    model: Model = preset("gpt2-tiny").build()
    assert len(list(Learner(model, CausalObjective()).parameters())) == len(list(model.parameters()))
