"""Students: which layers are kept, that they are the teacher's, and that the teacher stays as it was."""

from dataclasses import replace

import pytest
import torch
from families import TINY, build, texts

from inlay.errors import InputError
from inlay.model.inspect import states
from inlay.model.model import Model, ModelConfig
from inlay.model.presets import preset
from inlay.model.student import EverySecond, First, Layers, Narrow, Spread, StudentConfig, make_student, student_config

ONE_STACK = [name for name in TINY if not (preset(name).encoder and preset(name).decoder)]


def deep(name: str, layers: int = 7) -> ModelConfig:
    config = preset(name)
    shared = {"n_unique": 1} if (config.encoder or config.decoder).n_unique == 1 else {}  # type: ignore[union-attr]
    stack = {"n_layers": layers, **shared}
    return replace(
        config,
        encoder=config.encoder and replace(config.encoder, **stack),
        decoder=config.decoder and replace(config.decoder, **stack),
    )


@pytest.mark.parametrize(
    ("how", "layers"),
    [
        (EverySecond(), [0, 2, 4, 6, 8, 10]),  # the paper's words
        (Spread(n_layers=6), [0, 2, 4, 7, 9, 11]),  # the code that its weights came from
        (Spread(n_layers=1), [0]),
        (Spread(n_layers=2), [0, 11]),
        (Spread(n_layers=12), list(range(12))),
        (First(n_layers=3), [0, 1, 2]),
        (Layers(at=(1, 5)), [1, 5]),
    ],
)
def test_the_layers_that_are_kept(how: StudentConfig, layers: list[int]) -> None:
    assert list(how.layers(12)) == layers  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ONE_STACK)
@pytest.mark.parametrize("how", [First(n_layers=4), Layers(at=(0, 1, 2, 6))])
def test_a_student_runs_the_layers_of_its_teacher(name: str, how: First | Layers) -> None:
    """Its rows are those of the teacher's own blocks, called one after another as they are kept."""
    teacher = build_deep(name)
    student = make_student(teacher, how).eval()
    batch, _ = texts(teacher.config).batch()
    module = teacher.encoder or teacher.decoder
    assert module is not None
    kept = [list(module.layers())[layer] for layer in how.layers(7)]
    ours = states(student, batch)
    module.layers = lambda: iter([(i, *layer[1:]) for i, layer in enumerate(kept)])  # type: ignore[method-assign]
    theirs = states(teacher, batch)
    for mine, own in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, own)


def build_deep(name: str) -> Model:
    small = build(name)
    model = deep(name).build(seed=1).eval()
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.3 * torch.randn(weight.shape, generator=rng)
    return model.to(next(small.parameters()).dtype)


@pytest.mark.parametrize("name", ONE_STACK)
def test_teacher_and_student_share_no_weight(name: str) -> None:
    teacher = build(name)
    before = {key: weight.clone() for key, weight in teacher.state_dict().items()}
    student = make_student(teacher, First(n_layers=2))
    with torch.no_grad():
        for weight in student.parameters():
            weight += 1
    assert all(torch.equal(weight, before[key]) for key, weight in teacher.state_dict().items())
    assert next(student.parameters()).dtype == next(teacher.parameters()).dtype


def test_heads_that_were_cut_out_stay_with_their_layer() -> None:
    config = deep("bert-tiny", 4)
    stack = replace(config.encoder, pruned=((), (0,), (), (1,)))  # type: ignore[type-var]
    teacher = replace(config, encoder=stack, family="").build(seed=0)
    student = make_student(teacher, Layers(at=(0, 3)))
    assert student.config.encoder.pruned == ((), (1,))  # type: ignore[union-attr]
    theirs, ours = teacher.encoder.block(3).attention, student.encoder.block(1).attention  # type: ignore[union-attr]
    assert torch.equal(ours.qkv.weight, theirs.qkv.weight)


def test_a_narrow_student_is_drawn_from_its_seed() -> None:
    teacher = build("bert-tiny")
    how = Narrow(n_layers=1, d_model=24, n_heads=2, d_ffn=48)
    one, same, other = (make_student(teacher, how, seed=seed) for seed in (1, 1, 2))
    assert one.config.d_model == 24
    assert one.config.vocab_size == teacher.config.vocab_size
    assert torch.equal(one.input.table(), same.input.table())
    assert not torch.equal(one.input.table(), other.input.table())


@pytest.mark.parametrize(
    ("name", "how", "says"),
    [
        ("bert-tiny", Spread(n_layers=8), "n_layers=8"),
        ("bert-tiny", First(n_layers=0), "n_layers=0"),
        ("bert-tiny", Layers(at=(3, 1)), "in order"),
        ("bert-tiny", Layers(at=()), "in order"),
        ("bert-tiny", Layers(at=(7,)), "0 to 6"),
        ("modernbert-tiny", Layers(at=(3,)), "keep layer 0"),
        ("modernbert-tiny", Spread(n_layers=3), "whole groups of 3"),
        ("t5-tiny", First(n_layers=1), "one stack"),
    ],
)
def test_layers_that_cannot_be_kept_are_one_line(name: str, how: StudentConfig, says: str) -> None:
    with pytest.raises(InputError) as error:
        student_config(deep(name), how)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_layers_that_share_blocks_in_groups_are_refused() -> None:
    config = deep("bert-tiny", 4)
    grouped = replace(config, encoder=replace(config.encoder, n_unique=2))  # type: ignore[type-var]
    with pytest.raises(InputError, match="in groups"):
        student_config(grouped, First(n_layers=2))
