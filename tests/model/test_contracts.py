"""What holds for every architecture: texts do not touch each other, nor the future the past; every weight learns."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from families import CAUSAL, TINY, Texts, answers, build, second_stream, texts
from torch import Tensor

from inlay.batch import Batch
from inlay.config import from_tree, load_yaml, to_tree
from inlay.model import packed
from inlay.model.attention import Attention
from inlay.model.ffn import FeedForward
from inlay.model.model import Model, ModelConfig
from inlay.model.presets import PRESETS, preset


@pytest.fixture(scope="module", params=TINY)
def member(request: pytest.FixtureRequest) -> tuple[Model, Texts]:
    model = build(request.param)
    return model, texts(model.config)


@pytest.fixture(scope="module")
@torch.no_grad()
def alone(member: tuple[Model, Texts]) -> list[dict[str, Tensor]]:
    """Every answer to each text by itself."""
    model, some = member
    return [answers(model, *some.batch([i]))[0] for i in range(len(some.ids))]


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor], atol: float = 1e-6) -> None:
    assert found.keys() == expected.keys()
    for name, one in expected.items():
        size = max(1.0, float(one.abs().max()))
        assert float((found[name] - one).abs().max()) <= atol * size, name


@torch.no_grad()
@pytest.mark.parametrize("call", [1, 1 << 14], ids=["a call for each length", "padded inside attention"])
@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [4, 3, 5, 0, 2, 1], [3, 3, 1]])
def test_a_text_gets_the_same_answer_alone_in_a_batch_and_in_any_order(
    member, alone, order: list[int], call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(packed._CALL, "cpu", call)
    model, some = member
    for place, found in enumerate(answers(model, *some.batch(order))):
        assert_same(found, alone[order[place]])


@torch.no_grad()
def test_padding_changes_nothing_wherever_it_stands_and_whatever_is_in_it(member, alone) -> None:
    model, some = member
    batch, target = some.batch()
    width, rng = int(batch.lengths.max()) + 3, np.random.default_rng(5)
    ids = rng.integers(0, model.config.vocab_size, (len(batch), width))
    segments = rng.integers(0, 2, ids.shape) if some.segments else None
    keep = np.zeros(ids.shape, bool)
    for i, one in enumerate(some.ids):
        left = i % 4  # on the left, on the right, or on both sides
        keep[i, left : left + len(one)] = True
        ids[i, keep[i]] = one
        if segments is not None and some.segments:
            segments[i, keep[i]] = some.segments[i]
    for found, expected in zip(answers(model, Batch.from_padded(ids, keep, segments), target), alone, strict=True):
        assert_same(found, expected)


@torch.no_grad()
def test_what_its_neighbours_say_changes_nothing(member, alone) -> None:
    model, some = member
    others = texts(model.config, seed=9)  # of the same lengths
    mixed = Texts(
        [*others.ids[:3], some.ids[3], *others.ids[4:]],
        some.segments,
        some.targets and others.targets and [*others.targets[:3], some.targets[3], *others.targets[4:]],
    )
    found = answers(model, *mixed.batch())
    assert_same(found[3], alone[3])
    assert not torch.allclose(found[0]["rows"], alone[0]["rows"], atol=1e-3)


@torch.no_grad()
def test_first_weights_in_single_precision_keep_to_a_millionth_too(member) -> None:
    some = member[1]
    model = member[0].config.build(seed=3).eval()
    found = answers(model, *some.batch())
    for i, one in enumerate(found):
        assert_same(one, answers(model, *some.batch([i]))[0])


@torch.no_grad()
@pytest.mark.parametrize("name", TINY)
def test_the_future_reaches_the_past_only_where_the_stack_reads_both_ways(name: str) -> None:
    model = build(name, dtype=torch.float32)
    some = texts(model.config, lengths=[20])
    batch, target = some.batch()
    read = batch if target is None else target
    later = read.ids.copy()
    later[len(later) // 2 :] = (later[len(later) // 2 :] + 1) % model.config.vocab_size
    changed = replace(read, ids=later)
    before = model(batch, target)[: len(later) // 2]
    after = (model(batch, changed) if target is not None else model(changed))[: len(later) // 2]
    assert torch.equal(before, after) == (name in CAUSAL)


@pytest.mark.parametrize("name", CAUSAL)
def test_no_gradient_flows_to_a_later_token(name: str) -> None:
    model = build(name)
    some = texts(model.config, lengths=[6, 19])
    batch, target = some.batch()
    memory = None if target is None else model.encode(batch)
    read, seen = batch if target is None else target, list[Tensor]()
    model.input.register_forward_hook(lambda _, __, rows: seen.append(rows))
    rows = model.decode(read, memory)
    for text, start in enumerate(read.starts):
        length = int(read.lengths[text])
        for i in range(length):
            (flow,) = torch.autograd.grad(rows[start + i].square().sum(), seen[0], retain_graph=True)
            touched = {int(row) for row in flow.abs().sum(-1).nonzero()}
            # The model may have taken the texts in another order, shorter first: two runs of rows, each of one text.
            assert len(touched) == i + 1
            assert max(touched) - min(touched) == i


def test_every_parameter_gets_a_gradient(member) -> None:
    model, some = member
    model.zero_grad()
    loss = sum(one.square().sum() for text in answers(model, *some.batch()) for one in text.values())
    if model.input.query is not None:
        loss = loss + second_stream(model, some.batch()[0]).square().sum()
    loss.backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert not idle
    for name, module in model.named_modules():  # queries, keys and values share a matrix, a gate and its value too
        parts = 3 if isinstance(module, Attention) else 2 if isinstance(module, FeedForward) and module.gated else 0
        weight = module.qkv.weight if parts == 3 else module.up.weight if parts == 2 else None
        if weight is not None:
            assert all(part.abs().sum() > 0 for part in weight.grad.chunk(parts)), name
    if model.input.segment is not None:
        assert bool(model.input.segment.weight.grad.abs().sum(-1).all())


@torch.no_grad()
def test_the_batch_is_only_read(member) -> None:
    model, some = member
    batch, target = some.batch()
    for one in (batch, target):
        for array in () if one is None else (one.ids, one.lengths, one.cut, one.segments):
            if array is not None:
                array.flags.writeable = False
    weights = {name: p.clone() for name, p in model.state_dict().items()}
    ids = batch.ids.copy()
    answers(model, batch, target)
    np.testing.assert_array_equal(batch.ids, ids)
    assert all(torch.equal(p, weights[name]) for name, p in model.state_dict().items())


@torch.no_grad()
def test_a_seed_is_a_model_and_a_family_is_only_a_name(member) -> None:
    config, some = member[0].config, member[1]
    one, again, other = (config.build(seed=seed).state_dict() for seed in (4, 4, 5))
    assert all(torch.equal(one[name], again[name]) for name in one)
    drawn = [name for name in one if not torch.equal(one[name], other[name])]
    fixed = {name for name in one if name not in drawn}
    assert all(name.endswith("bias") or "norm" in name for name in fixed)
    twin = replace(config, family="another").build(seed=4).eval()
    for found, expected in zip(
        answers(twin, *some.batch()), answers(config.build(seed=4).eval(), *some.batch()), strict=True
    ):
        assert_same(found, expected, atol=0)


def test_meta_build_has_the_shapes_of_the_model_and_no_memory(member) -> None:
    model = member[0]
    shapes = {name: p.shape for name, p in model.state_dict().items()}
    empty = model.config.build(device="meta")
    assert {name: p.shape for name, p in empty.state_dict().items()} == shapes
    assert all(p.is_meta for p in empty.state_dict().values())


@pytest.mark.parametrize("name", PRESETS)
def test_a_config_comes_back_from_its_tree_and_from_yaml(name: str, tmp_path: Path) -> None:
    config = preset(name)
    tree = to_tree(config)
    assert from_tree(ModelConfig, tree) == config
    file = tmp_path / "model.yaml"
    file.write_text(yaml.safe_dump(tree), encoding="utf-8")
    assert load_yaml(ModelConfig, file) == config
