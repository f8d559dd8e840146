"""Checkpoints: a run that goes on from one is the unbroken one, bit for bit; a damaged or foreign one is refused."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from made_batches import Drawn, same, small, trainer, weights

from inlay.errors import InputError
from inlay.model.position import Learned
from inlay.train import checkpoint, optim
from inlay.train.schedule import WarmupStableDecay
from inlay.train.trainer import Trainer

WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "accumulate": {"accumulate": 3},
    "average": {"ema": 0.9},
    "muon": {"optimizer": optim.Muon()},
    "adafactor": {"optimizer": optim.Adafactor()},
    "bf16": {"precision": "bf16"},
    "fp16": {"precision": "fp16"},
    "depth": {"layer_decay": 0.7, "schedule": WarmupStableDecay()},
    "recomputed": {"checkpointing": True},
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def until(run: Trainer, number: int) -> Trainer:
    for step in run:
        if step.number == number:
            break
    return run


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A checkpoint at step 5."""
    until(trainer(), 5).save(tmp_path / "step-5")
    return tmp_path / "step-5"


@pytest.mark.parametrize("way", WAYS)
def test_ten_steps_are_five_and_a_fresh_trainer_and_five_bit_for_bit(way: str, tmp_path: Path) -> None:
    settings = WAYS[way]
    whole, broken, resumed = (trainer(small(frozen=7), **settings) for _ in range(3))
    last = [(step.figures, step.norm, step.lr, step.seen) for step in whole][5:]
    until(broken, 5).save(tmp_path / "step-5")
    assert resumed.load(tmp_path / "step-5")["step"] == 5
    assert [(step.figures, step.norm, step.lr, step.seen) for step in resumed] == last
    assert same(weights(whole), weights(resumed))
    if whole.average is not None:
        assert resumed.average is not None
        assert same(whole.average, resumed.average)


def test_to_save_changes_nothing(tmp_path: Path) -> None:
    whole, saving = trainer(), trainer()
    list(whole)
    for step in saving:
        saving.save(tmp_path / f"step-{step.number}")
    assert same(weights(whole), weights(saving))
    assert [number for number, _ in checkpoint.steps(tmp_path)] == list(range(1, 11))


def test_the_same_step_is_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    until(trainer(), 5).save(tmp_path / "again")
    for name in ("model", "optimizer"):
        one, other = (folder / name / "model.safetensors" for folder in (saved, tmp_path / "again"))
        assert one.read_bytes() == other.read_bytes()


def test_more_can_be_kept_beside_it(tmp_path: Path) -> None:
    until(trainer(), 1).save(tmp_path / "step-1", best={"step": 1, "heldout_loss": 2.5})
    assert trainer().load(tmp_path / "step-1")["best"] == {"step": 1, "heldout_loss": 2.5}


@pytest.mark.parametrize("name", ["model/model.safetensors", "optimizer/model.safetensors", "state.json"])
@pytest.mark.parametrize("how", ["cut", "flipped", "gone", "empty"])
def test_damage_is_found_before_anything_is_taken(name: str, how: str, saved: Path) -> None:
    file = saved / name
    data = bytearray(file.read_bytes())
    if how == "gone":
        file.unlink()
    else:
        data[len(data) // 2] ^= 1
        file.write_bytes({"cut": data[:-9], "flipped": data, "empty": b""}[how])
    run = trainer()
    before = weights(run)
    with pytest.raises(InputError) as caught:
        run.load(saved)
    assert str(saved) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert same(weights(run), before)
    assert run.step == 0


def test_a_checkpoint_without_checksums_is_not_trusted(saved: Path) -> None:
    (saved / "checksums.json").unlink()
    with pytest.raises(InputError, match=r"checksums\.json is missing"):
        trainer().load(saved)


def test_a_folder_that_is_none_says_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is no checkpoint .* checkpoints/step-100"):
        trainer().load(tmp_path)


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (lambda: trainer(seed=1), "seed was 0 and is 1 now"),
        (lambda: trainer(accumulate=2), "accumulate was 1 and is 2 now"),
        (lambda: trainer(batches=Drawn(texts=4)), r"batches\.\w+ was .* and is .* now"),
        (lambda: trainer(small(position=Learned(max_len=32))), "has the shape"),
        (lambda: trainer(ema=0.9), "average was False and is True now"),
        (lambda: trainer(optimizer=optim.Muon()), "optimizer was 'AdamW' and is 'Muon' now"),
        (lambda: trainer(precision="fp16"), "precision was 'fp32' and is 'fp16' now"),
    ],
    ids=["seed", "accumulate", "batches", "model", "average", "optimizer", "precision"],
)
def test_a_checkpoint_of_another_run_is_refused_and_nothing_taken(other: Any, says: str, saved: Path) -> None:
    run = other()
    before = weights(run)
    with pytest.raises(InputError, match=says):
        run.load(saved)
    assert run.step == 0
    assert same(weights(run), before)


def test_a_full_disk_keeps_the_last_checkpoint(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trainer()
    run.load(saved)
    until(run, 8)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("inlay.train.checkpoint.write_json", full)
    with pytest.raises(InputError, match="the disk is full"):
        run.save(saved.with_name("step-8"))
    assert [number for number, _ in checkpoint.steps(saved.parent)] == [5]
    assert sorted(path.name for path in saved.parent.iterdir()) == ["step-5"]
    monkeypatch.undo()
    assert trainer().load(saved)["step"] == 5
    run.save(saved.with_name("step-8"))  # once there is room again
    assert trainer().load(saved.with_name("step-8"))["step"] == 8


def test_old_ones_go_and_the_newest_and_the_best_stay(tmp_path: Path) -> None:
    run = trainer()
    for step in run:
        run.save(tmp_path / f"step-{step.number}")
        checkpoint.prune(tmp_path, 2, best=3)
    assert [number for number, _ in checkpoint.steps(tmp_path)] == [3, 9, 10]
    (tmp_path / "step-x").mkdir()
    (tmp_path / ".step-11.abc.part").mkdir()
    assert [number for number, _ in checkpoint.steps(tmp_path)] == [3, 9, 10]
    checkpoint.sweep(tmp_path)
    assert not (tmp_path / ".step-11.abc.part").exists()
