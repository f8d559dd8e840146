"""Costs: parameters are those of the model, and the memory counted is what real tensors take."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from inlay.batch import Batch
from inlay.errors import InputError
from inlay.model.budget import _peak, budget, count, parts
from inlay.model.model import Model, ModelConfig
from inlay.model.presets import PRESETS

NAMES = ["bert-tiny", "t5-tiny", "gpt2-tiny", "xlnet-tiny", "albert-tiny", "modernbert-tiny"]


@pytest.mark.parametrize("name", NAMES)
def test_parts_add_up_to_the_parameters(name: str) -> None:
    config = PRESETS[name]
    model = config.build()
    assert sum(part.numbers for part in parts(model)) == sum(p.numel() for p in model.parameters()) == count(config)


def forward(model: Model, batch: Batch) -> Tensor:
    rows = model(batch, batch if model.config.encoder and model.config.decoder else None)
    return model.read("language", rows, model.pack(batch).layout) if "language" in model.heads else rows


def trained(config: ModelConfig, batch: Batch) -> int:
    model = config.build().train()

    def step() -> None:
        rows = forward(model, batch)
        torch.nn.functional.cross_entropy(rows, torch.zeros(len(rows), dtype=torch.int64)).backward()

    return _peak(step)


def answered(config: ModelConfig, batch: Batch) -> int:
    model = config.build().eval()
    with torch.no_grad():
        return _peak(lambda: forward(model, batch))


@pytest.mark.parametrize("name", NAMES)
def test_memory_counted_without_computing_is_what_tensors_take(name: str) -> None:
    config = PRESETS[name]
    cost = budget(config, texts=4, length=64)
    activations = cost.training - 3 * cost.weights
    batch = Batch.of([[0] * 64] * 4)
    assert activations == pytest.approx(trained(config, batch), rel=0.2)
    assert 0.99 < (cost.inference - cost.weights) / answered(config, batch) < 1.5  # whose attention may be fused
    assert cost.weights == 4 * count(config)
    assert cost.weights < cost.inference < cost.training


@pytest.mark.parametrize("name", ["bert-tiny", "modern-mini"])
def test_of_one_token_training_takes_the_weights_four_times_and_inference_once(name: str) -> None:
    config = replace(PRESETS[name], heads=())  # a tied table has two gradients for a moment
    cost = budget(config, texts=1, length=1)
    assert cost.training / cost.weights == pytest.approx(4, rel=0.01)
    assert cost.inference / cost.weights == pytest.approx(1, rel=0.01)


def test_allocations_are_counted_while_they_live() -> None:
    def run() -> None:
        x = torch.zeros(1000)  # 4,000 bytes
        y = x + 1
        del x
        z = y + 1  # in the place of x
        del y, z

    assert _peak(run) == 8000


def test_memory_grows_with_the_batch_and_with_attention_by_the_square_of_the_length() -> None:
    config = PRESETS["bert-tiny"]
    one, two, long = (budget(config, texts=n, length=t).training for n, t in ((8, 64), (16, 64), (8, 128)))
    assert one < two < long


def test_a_budget_of_nothing_is_an_error() -> None:
    with pytest.raises(InputError, match="0 texts of 8 tokens"):
        budget(PRESETS["bert-tiny"], texts=0, length=8)


def test_more_tokens_than_can_be_counted_are_refused_before_any_memory_is_taken() -> None:
    with pytest.raises(InputError, match="1,000,000 texts of 1,000,000 tokens are too many"):
        budget(PRESETS["modern-tiny"], texts=10**6, length=10**6)
