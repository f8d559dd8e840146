"""What TensorBoard itself reads of what was written."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inlay.batch import Batch
from inlay.errors import InputError
from inlay.model.presets import preset
from inlay.objective.causal import CausalLM
from inlay.tokenize.tokenizer import Tokenizer
from inlay.train.run import Run, RunConfig
from inlay.train.trainer import TrainConfig, Trainer

pytest.importorskip("tensorboard")
from inlay.train.board import NAME as BOARD  # noqa: E402
from inlay.train.board import Board  # noqa: E402


@dataclass(frozen=True)
class SameBatch:
    """A batch that is given for every number."""

    per_epoch: int = 1
    identity: Any = ()

    def batch(self, number: int) -> Batch:
        return Batch.of([[1, 2, 3, 4, 5, 6]])


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_vocabulary(["sea", "猫", "ship"], ["##s"])


def trainer(tokenizer: Tokenizer, steps: int) -> Trainer:
    config = preset("gpt2-tiny")
    return Trainer(config.build(), CausalLM().build(config, tokenizer), SameBatch(), TrainConfig(steps=steps))


def read(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"scalars": 0, "histograms": 0})
    return found.Reload()


def points(folder: Path, tag: str) -> list[tuple[int, float]]:
    return [(event.step, round(event.value, 5)) for event in read(folder).Scalars(tag)]


def test_scalars_are_those_of_the_rows(tmp_path: Path) -> None:
    with Board(tmp_path) as board:
        for step in range(1, 5):
            board.row({"step": step, "loss": 1 / step, "mask_nll": 0.5, "lr": 1e-3, "norm": None, "said": "x"})
        board.row({"step": 4, "heldout_loss": 0.75, "heldout_perplexity": float("inf")})
    assert sorted(read(tmp_path).Tags()["scalars"]) == ["heldout/loss", "train/loss", "train/lr", "train/mask_nll"]
    assert points(tmp_path, "train/loss") == [(1, 1.0), (2, 0.5), (3, 0.33333), (4, 0.25)]
    assert points(tmp_path, "heldout/loss") == [(4, 0.75)]


def test_a_resumed_board_forgets_later_steps(tmp_path: Path) -> None:
    with Board(tmp_path) as board:
        for step in range(1, 6):
            board.row({"step": step, "loss": 1.0})
    with Board(tmp_path, resume_at=3) as board:
        for step in range(4, 7):
            board.row({"step": step, "loss": 2.0})
    assert points(tmp_path, "train/loss") == [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (6, 2)]


def test_weights_and_gradients_are_drawn_every_so_often(tmp_path: Path, tokenizer: Tokenizer) -> None:
    run = trainer(tokenizer, 5)
    norms: list[float] = []
    with Board(tmp_path) as board:
        board.watch(run, every=2)
        norms = [step.norm for step in run]
    found = read(tmp_path)
    tags = found.Tags()["histograms"]
    names = [name for name, _ in run.learner.named_parameters()]
    assert sorted(tags) == sorted(f"{kind}/{name}" for kind in ("weights", "gradients") for name in names)
    steps = {tag: [event.step for event in found.Histograms(tag)] for tag in tags}
    assert set(map(tuple, steps.values())) == {(2, 4)}
    # The squares of all gradients are those of the norm that the trainer told, which was clipped to 1.
    squares = sum(found.Histograms(f"gradients/{name}")[0].histogram_value.sum_squares for name in names)
    assert squares == pytest.approx(min(norms[1], 1.0) ** 2, rel=1e-4)


def test_watching_changes_nothing_and_ends(tmp_path: Path, tokenizer: Tokenizer) -> None:
    runs = [trainer(tokenizer, 4) for _ in range(2)]
    with Board(tmp_path) as board:
        board.watch(runs[0], every=1)
        losses = [[step.figures["loss"] for step in run] for run in runs]
    assert losses[0] == losses[1]
    assert not runs[0].optimizers[0]._optimizer_step_pre_hooks


def test_large_and_infinite_tensors_are_told(tmp_path: Path) -> None:
    with Board(tmp_path) as board:
        board._histogram("large", torch.linspace(-1, 1, 3_000_001), 1)
        board._histogram("infinite", torch.tensor([1.0, torch.inf]), 1)
        board._histogram("half", torch.ones(3, dtype=torch.bfloat16), 1)
    assert sorted(read(tmp_path).Tags()["histograms"]) == ["half", "large"]
    found = read(tmp_path).Histograms("large")[0].histogram_value
    assert (found.min, found.max, found.num) == (-1, 1, 1_000_001)


def test_the_projector_has_each_token_beside_its_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from google.protobuf import text_format
    from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

    tokenizer = Tokenizer.from_vocabulary(["sea", "猫", "ship"], ["##s"])
    # Of other kinds of tokenizer there are tokens that would break a table of lines.
    tokenizer.vocabulary.update({"a\tb": 20, "\n": 21, "\u2028": 22, " ": 23, "beyond the table": 40})
    table = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    with Board(tmp_path) as board:
        shown = board.tokens(7, table, tokenizer)
        few = board.tokens(8, table, tokenizer, most=4)
    config = text_format.Parse((tmp_path / "projector_config.pbtxt").read_text(), ProjectorConfig())
    first, second = config.embeddings
    labels = (tmp_path / first.metadata_path).read_text(encoding="utf-8").split("\n")[:-1]
    assert shown == len(tokenizer.vocabulary) - 1 == len(labels)
    assert all(label.strip() and label.isprintable() for label in labels)
    rows = np.loadtxt(tmp_path / first.tensor_path, delimiter="\t")
    for word in ("sea", "猫", "[PAD]", "##s"):
        assert rows[labels.index(word)] == pytest.approx(table[tokenizer.id(word)].numpy(), rel=1e-5)
    assert few == 4 == len((tmp_path / second.tensor_path).read_text().splitlines())
    with Board(tmp_path) as board:
        board.tokens(7, -table, tokenizer)
    assert np.loadtxt(tmp_path / first.tensor_path, delimiter="\t") == pytest.approx(-rows)
    assert capsys.readouterr().out == ""


def test_a_run_with_a_board_ends_with_its_token_table(tmp_path: Path, tokenizer: Tokenizer) -> None:
    learning = trainer(tokenizer, 2)
    run = Run(tmp_path, learning, RunConfig(steps=2, tensorboard=True))
    for _ in run:
        pass
    run.finish(tokenizer)
    (rows,) = (tmp_path / BOARD).glob("*/tokens/tensors.tsv")
    found = learning.model.input.table().detach()[list(tokenizer.vocabulary.values())]
    assert np.loadtxt(rows, delimiter="\t") == pytest.approx(found.numpy(), rel=1e-5)
    assert [point[0] for point in points(tmp_path / BOARD, "train/loss")] == [1, 2]


def test_an_impossible_interval_is_refused(tmp_path: Path, tokenizer: Tokenizer) -> None:
    with Board(tmp_path) as board, pytest.raises(InputError, match="every=0 must be at least 1"):
        board.watch(trainer(tokenizer, 1), every=0)


def test_tensorflow_is_not_loaded_where_it_is_installed(tmp_path: Path) -> None:
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text("raise SystemExit('tensorflow was loaded')\n")
    body = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import torch
from inlay.train.board import Board
from inlay.tokenize.tokenizer import Tokenizer
with Board({str(tmp_path / "board")!r}) as board:
    board.row({{"step": 1, "loss": 1.0}})
    board.tokens(1, torch.ones(40, 2), Tokenizer.from_vocabulary(["sea"]))
assert "tensorflow" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_missing_package_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.setitem(sys.modules, "tensorboard.compat", None)
    with pytest.raises(InputError, match=r"TensorBoard needs tensorboard: pip install 'inlay\[tb\]'"):
        Board(tmp_path)
