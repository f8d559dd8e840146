"""Costs: parameters are those of the model, and the memory counted is what real tensors take."""

import pytest
import torch

from inlay.batch import Batch
from inlay.errors import InputError
from inlay.model.budget import _peak, budget, count, parts
from inlay.model.model import ModelConfig
from inlay.model.presets import PRESETS

NAMES = ["bert-tiny", "t5-tiny", "gpt2-tiny", "xlnet-tiny", "albert-tiny", "modernbert-tiny"]


@pytest.mark.parametrize("name", NAMES)
def test_parts_add_up_to_the_parameters(name: str) -> None:
    config = PRESETS[name]
    model = config.build()
    assert sum(part.numbers for part in parts(model)) == sum(p.numel() for p in model.parameters()) == count(config)


def trained(config: ModelConfig, batch: Batch) -> int:
    model = config.build().train()

    def step() -> None:
        rows = model(batch, batch if config.encoder and config.decoder else None)
        if "language" in model.heads:
            rows = model.read("language", rows, model.pack(batch).layout)
        torch.nn.functional.cross_entropy(rows, torch.zeros(len(rows), dtype=torch.int64)).backward()

    return _peak(step)


@pytest.mark.parametrize("name", NAMES)
def test_memory_counted_without_computing_is_what_tensors_take(name: str) -> None:
    config = PRESETS[name]
    cost = budget(config, texts=4, length=64)
    activations = cost.training - 3 * cost.weights
    assert activations == pytest.approx(trained(config, Batch.of([[0] * 64] * 4)), rel=0.2)
    assert cost.weights == 4 * count(config)
    assert cost.weights < cost.inference < cost.training


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
