"""Absolute positions: the formula with its numbers, tables that grow and survive what models go through, a last row."""

import copy
import math
import re

import pytest
import torch
from torch import Tensor

from inlay.config import from_tree, to_tree
from inlay.errors import InputError
from inlay.model.position import Learned, Position, Sinusoidal, sinusoid

LAYOUTS = pytest.mark.parametrize("layout", ["interleaved", "halves"])


def by_hand(i: int, d: int, layout: str, base: float) -> list[float]:
    """One row of the table, column by column."""
    pairs = range((d + 1) // 2)
    sines = [math.sin(i / base ** (2 * j / d)) for j in pairs]
    cosines = [math.cos(i / base ** (2 * j / d)) for j in pairs][: d // 2]
    if layout == "halves":
        return sines + cosines
    return [(sines, cosines)[column % 2][column // 2] for column in range(d)]


def test_the_four_columns_have_the_values_of_the_formula() -> None:
    rows = Sinusoidal().build(4)(torch.tensor([0, 1, 10]))
    expected = [[0, 1, 0, 1], [0.841471, 0.540302, 0.010000, 0.999950], [-0.544021, -0.839072, 0.099833, 0.995004]]
    torch.testing.assert_close(rows, torch.tensor(expected), atol=5e-7, rtol=0)


@LAYOUTS
@pytest.mark.parametrize("d", [1, 2, 3, 5, 8, 33])
@pytest.mark.parametrize("base", [10_000.0, 50.0])
def test_every_row_is_the_formula_for_odd_widths_too(layout: str, d: int, base: float) -> None:
    positions = [3, 0, 7, 511, 7, 40]
    rows = Sinusoidal(layout=layout, base=base).build(d)(torch.tensor(positions))  # type: ignore[arg-type]
    assert rows.dtype == torch.float32
    expected = torch.tensor([by_hand(i, d, layout, base) for i in positions], dtype=torch.float64)
    torch.testing.assert_close(rows.double(), expected, atol=6e-8, rtol=0)


def test_the_last_column_of_an_odd_width_is_a_sine() -> None:
    row = Sinusoidal().build(5)(torch.tensor([2]))[0]
    assert row[-1] == pytest.approx(math.sin(2 / 10_000 ** (4 / 5)))


@pytest.mark.parametrize("d", [6, 7])
def test_halves_are_the_table_of_marian(d: int) -> None:
    marian = pytest.importorskip("transformers.models.marian.modeling_marian")
    table = marian.MarianSinusoidalPositionalEmbedding(60, d).create_weight()
    torch.testing.assert_close(Sinusoidal(layout="halves").build(d)(torch.arange(60)), table, atol=1e-7, rtol=0)


def test_far_positions_are_as_exact_as_near_ones() -> None:
    rows = Sinusoidal().build(6)(torch.tensor([1_000_003, 5]))
    expected = torch.tensor([by_hand(i, 6, "interleaved", 1e4) for i in (1_000_003, 5)], dtype=torch.float64)
    torch.testing.assert_close(rows.double(), expected, atol=1e-7, rtol=0)


def test_moving_by_a_distance_is_one_turn_for_all_positions() -> None:
    x = sinusoid(torch.arange(-20, 60, dtype=torch.float64), 8, "halves")
    turn = torch.linalg.lstsq(x[:-7], x[7:]).solution
    torch.testing.assert_close(x[:-7] @ turn, x[7:])


def test_the_table_grows_when_asked_and_keeps_its_rows() -> None:
    module = Sinusoidal().build(4)
    before = module(torch.arange(10)).clone()
    module.check(5000)
    assert len(module._rows(torch.device("cpu"))) >= 5000
    assert torch.equal(module(torch.arange(10)), before)


def test_no_positions_are_no_rows() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    assert Sinusoidal().build(4)(none).shape == Learned(max_len=3).build(4)(none).shape == (0, 4)


def test_sines_are_in_no_state_dict_and_survive_casts_copies_and_moves() -> None:
    module = Sinusoidal().build(4)
    first = module(torch.arange(600)).clone()
    assert not module.state_dict()
    assert not list(module.parameters())
    module.bfloat16().float()
    assert torch.equal(module(torch.arange(600)), first)
    assert torch.equal(copy.deepcopy(module)(torch.arange(600)), first)
    assert module(torch.arange(3, device="meta")).is_meta
    assert torch.equal(module.to("meta").to_empty(device="cpu")(torch.arange(600)), first)


def test_a_model_without_memory_yet_has_its_sines_when_it_wakes() -> None:
    with torch.device("meta"):
        module = Sinusoidal().build(4)
        assert module(torch.arange(5)).is_meta
    assert torch.equal(module(torch.arange(5)), Sinusoidal().build(4)(torch.arange(5)))


def test_a_table_that_inference_made_serves_training() -> None:
    module, weight = Sinusoidal().build(4), torch.ones(4, requires_grad=True)
    with torch.inference_mode():
        module(torch.arange(5))
    (module(torch.arange(5)) * weight).sum().backward()
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad, module(torch.arange(5)).sum(0))


@pytest.mark.parametrize("warm", [False, True])
def test_compiled_sines_are_the_same(warm: bool) -> None:
    module = Sinusoidal().build(4)
    if warm:
        module(torch.arange(3))
    run = torch.compile(module, backend="eager", fullgraph=True)
    for n in (5, 9):
        assert torch.equal(run(torch.arange(n)), Sinusoidal().build(4)(torch.arange(n)))


def test_autocast_leaves_the_sines_exact() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        rows = Sinusoidal().build(4)(torch.arange(7))
    assert torch.equal(rows, Sinusoidal().build(4)(torch.arange(7)))


def test_a_learned_position_is_the_row_at_its_offset_and_only_that_is_trained() -> None:
    module = Learned(max_len=10, offset=2).build(3)
    rows = module(torch.tensor([0, 7, 0]))
    assert torch.equal(rows, module.table.weight[[2, 9, 2]])
    rows.sum().backward()
    grad = module.table.weight.grad
    assert isinstance(grad, Tensor)
    assert grad.sum(1).tolist() == [0, 0, 6, 0, 0, 0, 0, 0, 0, 3]


def test_a_text_longer_than_the_learned_table_is_told_what_to_do() -> None:
    module = Learned(max_len=514, offset=2).build(3)
    module.check(512)
    message = (
        "a text has 513 tokens, but the learned positions end at 512; "
        "cut texts to 512 tokens, or train with input.position.max_len=515"
    )
    with pytest.raises(InputError, match=re.escape(message)):
        module.check(513)


def test_learned_positions_can_be_built_without_memory() -> None:
    with torch.device("meta"):
        assert Learned().build(8).table.weight.is_meta


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sinusoidal(base=1), "base=1 must be above 1"),
        (lambda: Sinusoidal(base=float("nan")), "base=nan must be above 1"),
        (lambda: Sinusoidal(layout="halfs"), "layout='halfs' is unknown; did you mean 'halves'?"),  # type: ignore
        (lambda: Learned(max_len=0), "max_len=0 must be at least 1"),
        (lambda: Learned(max_len=4, offset=4), "offset=4 must lie in 0..3"),
        (lambda: Learned(offset=-1), "offset=-1 must lie in 0..511"),
    ],
)
def test_a_scheme_that_cannot_be_is_refused(make: type, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        make()


@pytest.mark.parametrize("scheme", [Sinusoidal(layout="halves"), Learned(max_len=40, offset=2)])
def test_a_scheme_survives_yaml(scheme: Position) -> None:
    assert from_tree(Position, to_tree(scheme, Position)) == scheme  # type: ignore[arg-type]
