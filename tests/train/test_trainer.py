"""The loop: what every run has in common, whatever is trained."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from made_batches import Drawn, same, small, trainer, weights

from inlay.batch import Batch
from inlay.errors import InputError
from inlay.objective.causal import CausalObjective
from inlay.train import optim
from inlay.train.heldout import evaluate
from inlay.train.schedule import Constant
from inlay.train.trainer import NotFinite, Step, TrainConfig, Trainer


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Joined(Drawn):
    """Two batches of `Drawn` as one."""

    def batch(self, number: int) -> Batch:
        one, other = super().batch(2 * number), super().batch(2 * number + 1)
        lists = [np.split(part.ids, part.starts[1:]) for part in (one, other)]
        return Batch.of([ids.tolist() for part in lists for ids in part])


def test_it_learns() -> None:
    steps = list(trainer(steps=60, optimizer=optim.AdamW(lr=1e-2)))
    first, last = (np.mean([step.figures["loss"] for step in some]) for some in (steps[:10], steps[-10:]))
    assert last < first - 0.3


def test_accumulated_micro_batches_are_one_large_batch() -> None:
    # Means over tokens, not over micro-batches: these have unequal numbers of tokens.
    parts = trainer(small(dropout=0), accumulate=2, steps=4)
    whole = trainer(small(dropout=0), batches=Joined(), steps=4)
    for one, other in zip(parts, whole, strict=True):
        assert one.figures["loss"] == pytest.approx(other.figures["loss"], rel=1e-6)
        assert one.norm == pytest.approx(other.norm, rel=1e-5)
        assert one.tokens == other.tokens
    for (name, value), (_, other) in zip(parts.learner.tensors(), whole.learner.tensors(), strict=True):
        assert torch.allclose(value, other, atol=1e-5), name


def test_a_long_gradient_is_cut_to_size_and_the_norm_before_it_is_told() -> None:
    free, cut = (next(iter(trainer(clip=clip, optimizer=optim.AdamW(eps=1.0)))) for clip in (None, 1e-3))
    assert free.norm == cut.norm > 1e-3
    taken = trainer(clip=1e-3)
    seen: list[float] = []
    (optimizer,) = taken.optimizers
    optimizer.register_step_pre_hook(
        lambda *_: seen.append(float(torch.stack([p.grad.norm() for p in taken.learner.parameters()]).norm()))  # type: ignore[union-attr]
    )
    next(iter(taken))
    assert seen == [pytest.approx(1e-3, rel=1e-3)]


def test_a_run_ends_by_steps_tokens_or_minutes_whichever_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [step.number for step in trainer(steps=3)] == [1, 2, 3]
    by_tokens = list(trainer(steps=None, tokens=100))
    assert by_tokens[-1].seen >= 100 > by_tokens[-2].seen
    clock = itertools.count(0, 3.0)
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    assert len(list(trainer(steps=50, minutes=0.5))) == 10  # an update takes one tick of three seconds


def test_the_step_size_reaches_the_optimiser_by_the_schedule() -> None:
    run = trainer(steps=10, optimizer=optim.AdamW(lr=0.1))
    for step in run:
        wanted = 0.1 * run.config.schedule.at((step.number - 0.5) / 10, step.number - 1)
        assert step.lr == pytest.approx(wanted)
        assert run.optimizers[0].param_groups[0]["lr"] == step.lr


def test_leaving_the_loop_and_entering_it_again_changes_nothing() -> None:
    whole, broken = trainer(), trainer()
    list(whole)
    for step in broken:
        if step.number == 4:
            break
    assert [step.number for step in broken] == [5, 6, 7, 8, 9, 10]
    assert same(weights(whole), weights(broken))


def test_the_same_seed_gives_the_same_run_and_another_seed_another() -> None:
    losses = [[step.figures["loss"] for step in trainer(seed=seed)] for seed in (1, 1, 2)]
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_the_caller_keeps_his_random_numbers_in_the_loop_and_after_it() -> None:
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002 - that the old generator is left alone is what is tested
    wanted = torch.rand(4).tolist(), np.random.rand()  # noqa: NPY002
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    found = [float(torch.rand(1)) for _ in trainer(steps=3)]
    assert ([*found, float(torch.rand(1))], np.random.rand()) == wanted  # noqa: NPY002


def test_dropout_is_that_of_the_micro_batch_whatever_was_drawn_before() -> None:
    run = trainer(steps=4)
    found = []
    for step in run:
        torch.rand(step.number)  # the body of the loop may draw what it likes
        found.append(step.figures["loss"])
    assert found == [step.figures["loss"] for step in trainer(steps=4)]


def test_a_frozen_table_stays_for_its_steps_and_learns_then() -> None:
    run = trainer(small(frozen=3), steps=5)
    before = run.model.input.table().detach().clone()
    for step in run:
        assert torch.equal(run.model.input.table(), before) == (step.number <= 3)


def test_the_average_is_that_of_the_weights_so_far() -> None:
    run = trainer(ema=0.9, schedule=Constant(warmup=0))
    assert run.average is not None
    wanted = {name: value.double() for name, value in weights(run).items()}
    for step in run:
        keep = min(0.9, (step.number) / (9 + step.number))
        for name, value in weights(run).items():
            wanted[name] = keep * wanted[name] + (1 - keep) * value.double()
    for name, value in run.average.items():
        assert torch.allclose(value.double(), wanted[name], atol=1e-6)
        assert not torch.equal(value, weights(run)[name])


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_learns_nearly_the_same_and_keeps_float32_weights(precision: str) -> None:
    low, full = trainer(small(dropout=0), precision=precision), trainer(small(dropout=0))
    for one, other in zip(low, full, strict=True):
        assert one.figures["loss"] == pytest.approx(other.figures["loss"], rel=0.02)
        assert one.norm == pytest.approx(other.norm, rel=0.1)
    assert {value.dtype for _, value in low.learner.tensors()} == {torch.float32}


def test_fp16_skips_a_step_whose_gradient_is_too_large_and_goes_on_with_a_smaller_scale() -> None:
    run = trainer(small(dropout=0), precision="fp16")
    run.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    before, scale = weights(run), run.scaler.get_scale()
    steps: list[Step] = []
    for step in run:
        steps.append(step)
        if step.number == 1:
            assert step.skipped
            assert same(weights(run), before)
    assert run.scaler.get_scale() < scale
    assert all(np.isfinite(step.figures["loss"]) for step in steps)


def test_recomputed_activations_give_the_same_step_with_dropout() -> None:
    kept, computed = trainer(steps=2), trainer(steps=2, checkpointing=True)
    assert [step.figures for step in kept] == [step.figures for step in computed]
    assert same(weights(kept), weights(computed))


class _Breaks(CausalObjective):
    """Gives a loss that is no number for the third micro-batch of the second step."""

    calls = 0

    def terms(self, model: Any, example: Any) -> dict[str, torch.Tensor]:
        self.calls += 1
        return {"nll": super().terms(model, example)["nll"] * (float("nan") if self.calls == 7 else 1.0)}


def test_a_loss_that_is_no_number_stops_with_step_and_batch_and_leaves_the_weights() -> None:
    run = Trainer(small(), _Breaks(), Drawn(), TrainConfig(steps=5, accumulate=4))
    steps = iter(run)
    assert next(steps).number == 1
    before = weights(run)
    with pytest.raises(NotFinite, match="step 2: the loss of batch 6 is nan; the weights are those before it"):
        next(steps)
    assert same(weights(run), before)
    assert all(weight.grad is None for weight in run.learner.parameters())
    assert run.step == 1


def test_a_weight_that_is_no_number_is_found_at_the_first_step() -> None:
    model = small()
    with torch.no_grad():
        model.input.table()[3, 2] = torch.nan
    with pytest.raises(NotFinite, match="step 1: .* is nan"):
        next(iter(trainer(model)))


def test_heldout_loss_counts_every_prediction_alike_and_leaves_the_modes() -> None:
    run = trainer(small())
    batches = Drawn()
    run.learner.train()
    found = evaluate(run.learner, batches, most=4)
    assert run.model.training
    run.learner.eval()
    total = count = 0.0
    for number in range(4):
        answer = run.objective(run.model, batches.batch(number), np.random.default_rng(0))
        n = len(batches.batch(number).ids) - 3
        total, count = total + float(answer["nll"].detach()) * n, count + n
    assert found["loss"] == found["nll"] == pytest.approx(total / count, rel=1e-6)
    assert evaluate(run.learner, batches, most=4) == found
    assert not run.model.training


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"steps": None}, "steps, minutes or tokens"),
        ({"steps": 0}, "steps=0"),
        ({"minutes": -1}, "minutes=-1"),
        ({"accumulate": 0}, "accumulate=0"),
        ({"clip": 0}, "clip=0"),
        ({"ema": 1.0}, "ema=1"),
        ({"layer_decay": 0}, "layer_decay=0"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        TrainConfig(**settings)
