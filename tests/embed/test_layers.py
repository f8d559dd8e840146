"""Layers: named from either end, summed, mixed and put side by side; those of a real encoder are transformers' own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_embedders import bert_folder, tokenizer

from inlay.config import from_tree, to_tree
from inlay.embed.layers import At, Concat, Layer, Mix, Sum, combined, needed, width
from inlay.errors import InputError

LAYERS: list[Layer] = [At(), At(layer=-2), At(layer=0), Sum(), Concat(layers=(1, -1)), Mix(), Mix(weights=(1, 0, 2, 5))]


@pytest.mark.parametrize(
    ("layer", "numbers"),
    [
        (At(), [12]),
        (At(layer=-2), [11]),
        (At(layer=0), [0]),
        (At(layer=-13), [0]),
        (Sum(), [9, 10, 11, 12]),
        (Concat(layers=(0, -1)), [0, 12]),
        (Mix(layers=(3,)), [3]),
    ],
)
def test_layers_count_from_the_input_up_and_from_the_last_one_down(layer: Layer, numbers: list[int]) -> None:
    assert needed(layer, 12) == numbers


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: needed(At(layer=13), 12), "layer 13 is none of this encoder's: they run from 0"),
        (lambda: needed(Sum(layers=(-14, 1)), 12), "layer -14 is none"),
        (lambda: needed(Concat(layers=()), 12), "layers of Concat is empty"),
        (lambda: Mix(weights=(1, 2)), "2 weights for 4 layers"),
        (lambda: Mix(layers=(1, 2), weights=(1, -1)), "their sum must not be 0"),
        (lambda: Mix(layers=(1, 2), weights=(1, float("inf"))), "must be finite"),
    ],
)
def test_what_is_no_layer_is_an_input_error(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_the_numbers_are_those_computed_by_hand() -> None:
    one, two = np.array([[1, 2]], np.float32), np.array([[3, 10]], np.float32)
    assert combined([one, two], Sum(layers=(1, 2))).tolist() == [[4, 12]]
    assert combined([one, two], Concat(layers=(1, 2))).tolist() == [[1, 2, 3, 10]]
    assert combined([one, two], Mix(layers=(1, 2))).tolist() == [[2, 6]]
    assert combined([one, two], Mix(layers=(1, 2), weights=(3, 1))).tolist() == [[1.5, 4]]
    assert one.tolist() == [[1, 2]]  # what was given is as it was


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_a_row_is_as_wide_as_it_is_said_to_be_and_a_tree_keeps_the_choice(layer: Layer) -> None:
    states = [np.ones((3, 4), np.float32) for _ in needed(layer, 6)]
    assert combined(states, layer).shape == (3, width(layer, 4))
    assert from_tree(Layer, to_tree(layer, Layer)) == layer  # type: ignore[arg-type]


def test_the_layers_of_an_encoder_are_those_of_transformers(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from inlay.embed.backend import open_backend

    folder = bert_folder(tmp_path / "bert")
    batch = tokenizer().encode(["the river is cold, rain falls"], specials=True)
    theirs = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        hidden = theirs(torch.tensor(batch.ids[None].astype(np.int64)), output_hidden_states=True).hidden_states
    for name in ("torch", "auto"):
        backend = open_backend(folder, name)  # type: ignore[arg-type]
        found = combined(backend.states(batch, needed(Concat(layers=(0, 1, -2, -1)), 3)), Concat(layers=(0, 1, -2, -1)))
        wanted = np.concatenate([hidden[layer][0].numpy() for layer in (0, 1, 2, 3)], axis=1)
        np.testing.assert_allclose(found, wanted, atol=2e-6)
