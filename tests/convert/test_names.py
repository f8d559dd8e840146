"""Tables of names: each form undoes itself, each table pairs every parameter with a tensor of its own."""

import re

import pytest
import torch

from inlay.convert.families import FAMILIES
from inlay.convert.names import ByHead, First, Form, Line, Names, Stacked, Transposed
from inlay.model.model import ModelConfig
from inlay.model.presets import PRESETS

# D model, H heads, K head

FORMS: list[tuple[Form, int, tuple[int, ...], tuple[int, ...]]] = [
    (Stacked(), 1, (6, 4), (6, 4)),
    (Stacked(), 3, (6, 4), (2, 4)),
    (Stacked(), 3, (6,), (2,)),
    (First(), 2, (6,), (6,)),
    (Transposed(), 1, (6, 4), (4, 6)),
    (Transposed(), 3, (6, 4), (4, 2)),
    (Transposed(), 1, (6,), (6,)),
    (ByHead(n_heads=2), 3, (18, 4), (4, 2, 3)),
    (ByHead(n_heads=2), 1, (6, 4), (4, 2, 3)),
    (ByHead(n_heads=2, out=True), 1, (4, 6), (4, 2, 3)),
]
TINY = {name: config for name, config in PRESETS.items() if "-tiny" in name and config.family in FAMILIES}
OF_PRESETS = pytest.mark.parametrize("config", TINY.values(), ids=TINY)


@pytest.mark.parametrize(("form", "n", "ours", "theirs"), FORMS, ids=str)
def test_a_form_undoes_itself(form: Form, n: int, ours: tuple[int, ...], theirs: tuple[int, ...]) -> None:
    tensor = torch.randn(ours, generator=torch.Generator().manual_seed(0))
    parts = form.split(tensor, n)
    assert [tuple(part.shape) for part in parts] == [theirs] * n
    assert torch.equal(form.join(parts), tensor)
    assert len({part.data_ptr() for part in parts}) == n, "a file holds each memory once"
    assert [part.shape for part in form.split(tensor.to("meta"), n)] == [part.shape for part in parts]


def test_a_form_by_head_is_the_product_of_xlnet() -> None:
    rng = torch.Generator().manual_seed(0)
    x, q, o = (torch.randn(size, generator=rng) for size in ((5, 4), (4, 2, 3), (4, 2, 3)))
    heads = torch.einsum("nd,dhk->nhk", x, q)
    torch.testing.assert_close(x @ ByHead(2).join([q]).T, heads.flatten(1))
    torch.testing.assert_close(
        heads.flatten(1) @ ByHead(2, out=True).join([o]).T, torch.einsum("nhk,dhk->nd", heads, o)
    )


def test_a_template_is_filled_with_what_it_met() -> None:
    line = Line("encoder.blocks.{i}.up.{w}", "layer.{i}.gate.{w}", "layer.{i}.value.{w}")
    assert line.match("encoder.blocks.11.up.bias") == ("layer.11.gate.bias", "layer.11.value.bias")
    for name in ("encoder.blocks.x.up.bias", "encoder.blocks.1.up.gain", "encoder_blocks.1.up.bias"):
        assert line.match(name) is None
        assert line.match(f"a.{name}") is None


def test_a_name_that_no_line_fits_is_said() -> None:
    with pytest.raises(KeyError, match="strange"):
        Names(lines=(Line("a", "b"),)).find(["a", "strange"])


def test_a_buffer_is_known_at_every_number() -> None:
    names = Names(lines=(), buffers=("h.{i}.attn.bias",))
    assert names.is_buffer("h.11.attn.bias")
    assert not names.is_buffer("h.11.attn_bias")


@OF_PRESETS
def test_every_parameter_has_tensors_of_its_own(config: ModelConfig) -> None:
    ours = config.build(device="meta").state_dict()
    found = FAMILIES[config.family].names(config).find(ours)
    theirs = [their for _, names in found.values() for their in names]
    assert len(found) == len(ours)
    assert len(set(theirs)) == len(theirs)
    tensors = FAMILIES[config.family].names(config).theirs(ours)
    assert sum(tensor.numel() for tensor in tensors.values()) == sum(tensor.numel() for tensor in ours.values())


@OF_PRESETS
def test_a_copy_is_of_a_tensor_in_the_table(config: ModelConfig) -> None:
    table = FAMILIES[config.family].names(config)
    templates = [re.sub(r"\\\{[iw]\\\}", r"\\w+", re.escape(their)) for line in table.lines for their in line.theirs]
    for original in table.copies.values():
        assert any(re.fullmatch(template, original) for template in templates), original


def test_old_names_and_names_without_a_base_are_the_same_names() -> None:
    bert = FAMILIES["bert"]
    assert bert.canonical(["embeddings.LayerNorm.gamma", "pooler.dense.bias"]) == {
        "bert.embeddings.LayerNorm.weight": "embeddings.LayerNorm.gamma",
        "bert.pooler.dense.bias": "pooler.dense.bias",
    }
    assert list(bert.canonical(["bert.embeddings.LayerNorm.beta", "cls.predictions.bias"])) == [
        "bert.embeddings.LayerNorm.bias",
        "cls.predictions.bias",
    ]
