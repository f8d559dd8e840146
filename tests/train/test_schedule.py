"""Step sizes over a run: where they begin, peak and end, whatever the run is measured in."""

import math

import pytest

from inlay.errors import InputError
from inlay.train.schedule import Constant, Cosine, InverseSqrt, Linear, Schedule, WarmupStableDecay

STEPS = 400
ALL: list[Schedule] = [Constant(), Linear(), Cosine(), WarmupStableDecay(), InverseSqrt(warmup=20)]
NAMES = [type(one).__name__ for one in ALL]


def factors(schedule: Schedule, steps: int = STEPS) -> list[float]:
    return [schedule.at((step + 0.5) / steps, step) for step in range(steps)]


@pytest.mark.parametrize("schedule", ALL, ids=NAMES)
def test_every_step_moves_something_and_none_more_than_the_largest(schedule: Schedule) -> None:
    found = factors(schedule)
    assert all(0 < factor <= 1 for factor in found)
    assert max(found) > 0.97


@pytest.mark.parametrize("schedule", ALL, ids=NAMES)
def test_it_grows_until_the_warm_up_is_over_and_never_after_it(schedule: Schedule) -> None:
    found = factors(schedule)
    over = 20
    assert all(a < b for a, b in zip(found[: over - 1], found[1:over], strict=True))
    assert all(a >= b for a, b in zip(found[over + 1 :], found[over + 2 :], strict=False))


@pytest.mark.parametrize("kind", [Constant, Linear, Cosine, WarmupStableDecay])
def test_a_warm_up_may_be_given_in_steps(kind: type) -> None:
    for share, steps in zip(factors(kind(warmup=0.1)), factors(kind(warmup=40)), strict=True):
        assert share == pytest.approx(steps, abs=0.02)


def test_no_warm_up_begins_at_the_top() -> None:
    assert factors(Linear(warmup=0))[0] == pytest.approx(1, abs=0.002)
    assert factors(Constant(warmup=0)) == [1.0] * STEPS


def test_hand_computed_values() -> None:
    assert Linear(warmup=0.2, least=0.1).at(0.6, 0) == pytest.approx(1 - 0.9 * 0.5)
    assert Cosine(warmup=0.2, least=0.1).at(0.6, 0) == pytest.approx(0.1 + 0.9 * 0.5)
    assert Cosine(warmup=0.0, least=0.0).at(1 / 3, 0) == pytest.approx((1 + math.cos(math.pi / 3)) / 2)
    assert WarmupStableDecay(warmup=0.1, decay=0.4).at(0.5, 0) == 1
    assert WarmupStableDecay(warmup=0.1, decay=0.4).at(0.9, 0) == pytest.approx(0.25)
    assert InverseSqrt(warmup=100).at(0.0, 399) == pytest.approx(0.5)
    assert InverseSqrt(warmup=100).at(0.0, 24) == pytest.approx(0.25)


def test_what_is_left_at_the_end() -> None:
    assert factors(Linear(least=0.25))[-1] == pytest.approx(0.25, abs=0.01)
    assert factors(Cosine(least=0.25))[-1] == pytest.approx(0.25, abs=0.01)
    assert factors(WarmupStableDecay(least=0.25))[-1] == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("warmup", [-0.1, 1.5, float("nan"), float("inf")])
def test_a_warm_up_that_is_neither_a_share_nor_steps_is_refused(warmup: float) -> None:
    with pytest.raises(InputError, match="warmup="):
        Linear(warmup=warmup)


def test_a_decay_must_be_a_share() -> None:
    with pytest.raises(InputError, match="decay=0"):
        WarmupStableDecay(decay=0)
    with pytest.raises(InputError, match="warmup=0"):
        InverseSqrt(warmup=0)


@pytest.mark.parametrize("kind", [Linear, Cosine, WarmupStableDecay])
@pytest.mark.parametrize("least", [-0.1, 1.1, float("nan")])
def test_what_is_left_at_the_end_is_a_share(kind: type, least: float) -> None:
    with pytest.raises(InputError, match="least=.* must be a share of the step size"):
        kind(least=least)
