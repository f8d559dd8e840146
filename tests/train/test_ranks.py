"""Two processes compute what one does: the same steps of every kind of learner, and checkpoints that fit any number."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from rank_work import CASES, RESUMED, SAVED, STEPS, WHOLE, figures, work

from inlay.convert import load_model
from inlay.errors import InputError
from inlay.objective.spans import SpanCorruption
from inlay.text.corpus import Corpus
from inlay.text.shardfile import Shards
from inlay.text.shards import ShardsConfig, write_shards
from inlay.tokenize.kinds import WordPiece
from inlay.tokenize.tokenizer import Tokenizer
from inlay.train.optim import Adafactor
from inlay.train.shares import put_together
from inlay.train.trainer import TrainConfig
from inlay.train.world import World, check

WAYS = ("ddp", "fsdp")
ALONE = World()
# Muon makes matrices orthogonal in bfloat16, whose products of shares round otherwise than those of whole ones.
CLOSE = {("fsdp", "muon"): 1e-4, ("ddp", "bf16"): 1e-5, ("fsdp", "bf16"): 1e-5}
WORK = Path(__file__).with_name("rank_work.py")


@pytest.fixture(scope="module")
def folder(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cases of one process, and then of two; checkpoints of all."""
    place, before = tmp_path_factory.mktemp("ranks"), torch.get_num_threads()
    specials = (*WordPiece().specials, *SpanCorruption().specials(16))
    tokenizer = Tokenizer.train(Corpus(str(corpus)).texts(), WordPiece(size=300, specials=specials))
    write_shards(Corpus(str(corpus)), tokenizer, place / "shards", ShardsConfig(sentences=True, held_out=0.1))
    torch.set_num_threads(1)
    try:
        (place / "alone.json").write_text(json.dumps(work(place, ALONE, "alone")))
    finally:
        torch.set_num_threads(before)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([*torchrun, str(WORK), str(place)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return place


def told(folder: Path, how: str) -> dict[str, Any]:
    return json.loads((folder / f"{how}.json").read_text())


def check_same(found: dict[str, Any], known: dict[str, Any], close: float) -> None:
    assert len(known["rows"]) == STEPS
    rows = known["rows"][-len(found["rows"]) :]
    for (number, loss, norm, *rest), (number_then, loss_then, norm_then, *rest_then) in zip(
        found["rows"], rows, strict=True
    ):
        assert (number, rest) == (number_then, rest_then)
        assert loss == pytest.approx(loss_then, rel=close)
        assert norm == pytest.approx(norm_then, rel=100 * close, nan_ok=True)
    assert found["heldout"] == pytest.approx(known["heldout"], rel=close)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("how", WAYS)
def test_two_processes_take_the_steps_of_one(folder: Path, how: str, name: str) -> None:
    found, known = told(folder, how), told(folder, "alone")
    assert (name in found) == ((how, name) != ("fsdp", WHOLE))
    if name in found:
        check_same(found[name], known[name], CLOSE.get((how, name), 1e-6))


@pytest.mark.parametrize("name", RESUMED)
@pytest.mark.parametrize("how", WAYS)
def test_two_processes_go_on_where_another_kind_of_run_stood(folder: Path, how: str, name: str) -> None:
    """ddp from one process's checkpoint, fsdp from that of ddp."""
    found = told(folder, how)[f"{name}, resumed"]
    assert [row[0] for row in found["rows"]] == list(range(SAVED + 1, STEPS + 1))
    check_same(found, told(folder, "alone")[name], CLOSE.get((how, name), 1e-6))


@pytest.mark.parametrize("name", RESUMED)
@pytest.mark.parametrize("how", WAYS)
def test_two_processes_go_on_bit_for_bit_where_two_stood(folder: Path, how: str, name: str) -> None:
    again, known = told(folder, how)[f"{name}, again"], told(folder, how)[name]
    assert again == {**known, "rows": known["rows"][SAVED:]}


def test_by_fsdp_gradients_lie_in_shares_from_the_first_micro_batch_on(folder: Path) -> None:
    assert told(folder, "fsdp")["gradients"] == [1.0, 1.0]


class Share(torch.Tensor):
    """A weight that comes together from all processes' shares, and counts how often it does."""

    asked = 0

    def full_tensor(self) -> torch.Tensor:
        Share.asked += 1
        return self.as_subclass(torch.Tensor)


@pytest.mark.parametrize("keep", [True, False])
def test_each_weight_comes_together_once_whoever_keeps_it(keep: bool) -> None:
    """Else processes would ask each other for different weights, and wait forever."""
    one, other = torch.nn.Linear(2, 2, bias=False), torch.nn.Linear(2, 2, bias=False)
    one.weight = other.weight = weight = torch.nn.Parameter(torch.ones(2, 2).as_subclass(Share))
    Share.asked = 0
    with put_together(torch.nn.Sequential(one, other), keep=keep):
        assert isinstance(one.weight, Share) == isinstance(other.weight, Share) == (not keep)
    assert Share.asked == 1
    assert one.weight is other.weight is weight


@pytest.mark.parametrize("name", RESUMED)
@pytest.mark.parametrize("how", WAYS)
def test_one_process_goes_on_where_two_stood(folder: Path, how: str, name: str) -> None:
    found = figures(name, Shards.open(folder / "shards"), ALONE, "ddp", folder / how / name / f"step-{SAVED}", None)
    check_same(found, told(folder, "alone")[name], CLOSE.get((how, name), 1e-6))


@pytest.mark.parametrize("how", WAYS)
def test_the_model_that_two_processes_save_is_whole(folder: Path, how: str) -> None:
    """With an average, which is what is saved."""
    found, known = (load_model(folder / kind / "an average" / "model").state_dict() for kind in (how, "alone"))
    assert found.keys() == known.keys()
    for name, value in known.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6)


def test_adafactor_is_refused_where_matrices_are_shared_out() -> None:
    with pytest.raises(InputError, match=r"Adafactor needs whole matrices.*take AdamW or Muon, or parallel=ddp"):
        TrainConfig(optimizer=Adafactor(), parallel="fsdp")


@pytest.mark.parametrize(("accumulate", "size", "enough"), [(1, 2, 2), (3, 2, 4), (4, 3, 6)])
def test_micro_batches_are_shared_out_evenly_or_not_at_all(accumulate: int, size: int, enough: int) -> None:
    with pytest.raises(InputError, match=f"accumulate={accumulate} .* {size} processes; set train.accumulate={enough}"):
        check(World(0, size), accumulate)
    check(World(0, size), enough)
