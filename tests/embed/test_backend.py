"""open_backend: which backend a folder gets, and what is said where it cannot have it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inlay.batch import Batch
from inlay.convert import save_model
from inlay.embed.backend import open_backend
from inlay.embed.lean_plan import UnknownPart
from inlay.embed.torch_backend import TorchBackend
from inlay.errors import InputError
from inlay.model.characters import CharacterMean
from inlay.model.presets import PRESETS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("backend") / "model"
    save_model(PRESETS["bert-tiny"].build(), place)
    return place


def test_auto_is_lean_where_it_knows_all_parts(folder: Path) -> None:
    assert [open_backend(folder, name).name for name in ("auto", "lean", "torch")] == ["lean", "lean", "torch"]
    assert open_backend(folder, device="cpu").name == "lean"


def test_auto_is_torch_for_a_part_that_lean_lacks_and_lean_says_so_where_it_was_asked_for(tmp_path: Path) -> None:
    config = PRESETS["bert-tiny"]
    config = replace(config, family="", heads=(), input=replace(config.input, token=CharacterMean()))
    save_model(config.build(), tmp_path / "model")
    assert open_backend(tmp_path / "model").name == "torch"
    with pytest.raises(UnknownPart, match='CharacterMean.*backend="torch"'):
        open_backend(tmp_path / "model", "lean")


def test_damage_is_an_error_and_no_reason_for_the_other_backend(tmp_path: Path) -> None:
    save_model(PRESETS["bert-tiny"].build(), tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"short")
    with pytest.raises(InputError, match="sha256"):
        open_backend(tmp_path / "model")


def test_names_devices_and_dtypes_that_are_none_are_errors(folder: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'lean'"):
        open_backend(folder, "leen")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="device='cuda'.*backend=\"torch\""):
        open_backend(folder, "lean", device="cuda")
    with pytest.raises(InputError, match="device='toaster' cannot be used"):
        open_backend(folder, device="toaster")
    with pytest.raises(InputError, match="did you mean 'bfloat16'"):
        TorchBackend.load(folder, dtype="bfloat")  # type: ignore[arg-type]


def test_bfloat16_rows_are_float32_and_near(folder: Path) -> None:
    batch = Batch.of([[1, 2, 3], [4]])
    (exact,) = TorchBackend.load(folder).states(batch, [2])
    (near,) = TorchBackend.load(folder, dtype="bfloat16").states(batch, [2])
    assert near.dtype == np.float32
    assert 0 < np.abs(near - exact).max() < 0.15


def test_layers_of_both_are_in_the_order_asked_for(folder: Path) -> None:
    batch = Batch.of([[1, 2, 3], [4]])
    for name in ("lean", "torch"):
        backend = open_backend(folder, name)  # type: ignore[arg-type]
        last, first, again = backend.states(batch, [2, 0, 2])
        assert np.array_equal(last, again)
        assert np.array_equal(first, backend.states(batch, [0])[0])
        assert backend.states(batch, []) == []
