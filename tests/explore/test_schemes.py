"""Pictures of positions and masks: the right panels, with what the model computes, as small PNG files."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inlay.errors import InputError
from inlay.explore import schemes
from inlay.model import mask
from inlay.model.position import Sinusoidal

DOCS = Path(__file__).resolve().parents[2] / "docs"


def panels(figure: Any) -> dict[str, Any]:
    """The panels by their titles; colour bars have none."""
    return {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_title(loc="left")}


@pytest.fixture(scope="module")
def positions() -> dict[str, Any]:
    pytest.importorskip("matplotlib")
    return panels(schemes.positions())


@pytest.fixture(scope="module")
def masks() -> dict[str, Any]:
    pytest.importorskip("matplotlib")
    return panels(schemes.masks())


def drawn(axes: Any) -> np.ndarray:
    return np.asarray(axes.images[0].get_array())


def test_each_scheme_has_a_panel(positions: dict[str, Any]) -> None:
    assert list(positions) == [
        "Sinusoidal",
        "Rotary",
        "Rotary: the score fades",
        "T5 buckets",
        "ALiBi",
        "Transformer-XL, XLNet",
    ]


def test_a_panel_shows_the_values_that_a_model_uses(positions: dict[str, Any]) -> None:
    assert np.array_equal(drawn(positions["Sinusoidal"]), Sinusoidal().build(64)(torch.arange(64)).numpy())
    place, pair = np.arange(64), np.arange(32)
    assert np.allclose(drawn(positions["Rotary"]), np.cos(place[:, None] * 10_000 ** (-pair / 32)), atol=1e-5)
    place = np.arange(96)
    assert np.allclose(drawn(positions["ALiBi"]), -abs(place[:, None] - place) / 8)
    buckets = drawn(positions["T5 buckets"])
    assert buckets.min() == -15
    assert buckets.max() == 15
    assert np.array_equal(buckets, -buckets.T)
    assert [line.get_ydata()[0] for line in positions["Rotary: the score fades"].lines] == pytest.approx([1, 1])


def test_the_sines_of_distances_are_odd_and_their_cosines_even(positions: dict[str, Any]) -> None:
    waves = drawn(positions["Transformer-XL, XLNet"])
    assert np.allclose(waves[::-1, :32], -waves[:, :32])
    assert np.allclose(waves[::-1, 32:], waves[:, 32:])


def test_each_mask_has_a_panel_with_its_labels(masks: dict[str, Any]) -> None:
    assert list(masks) == [
        "causal",
        "padding",
        "prefix",
        "window",
        "document",
        "permutation, content",
        "permutation, query",
        "causal & window & padding",
    ]
    for axes in masks.values():
        assert drawn(axes).shape == (8, 8)
        labels = [label.get_text() for label in axes.get_xticklabels()]
        assert labels == [label.get_text() for label in axes.get_yticklabels()]
    assert np.array_equal(drawn(masks["causal"]), mask.causal(8).numpy())
    ranks = torch.tensor([int(label.get_text()) for label in masks["permutation, query"].get_xticklabels()])
    assert np.array_equal(drawn(masks["permutation, query"]), mask.permutation(ranks, own=False).numpy())
    away = np.arange(8)[:, None] - np.arange(8)
    assert np.array_equal(drawn(masks["window"]), abs(away) <= 2)
    given = [label.get_text() == "p" for label in masks["prefix"].get_xticklabels()]
    assert np.array_equal(drawn(masks["prefix"]), np.array(given) | (away >= 0))
    tokens = [label.get_text() != "–" for label in masks["padding"].get_xticklabels()]
    assert np.array_equal(drawn(masks["padding"]), np.broadcast_to(tokens, (8, 8)))
    assert np.array_equal(drawn(masks["causal & window & padding"]), tokens & (away >= 0) & (away <= 2))
    content = drawn(masks["permutation, content"])
    assert np.array_equal(content, drawn(masks["permutation, query"]) | np.eye(8, dtype=bool))
    letters = [label.get_text() for label in masks["document"].get_xticklabels()]
    assert np.array_equal(drawn(masks["document"]), [[a == b for a in letters] for b in letters])


@pytest.mark.parametrize("name", ["positions", "masks"])
def test_the_pictures_are_small_files_and_those_of_the_handbook_are_too(name: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / f"{name}.png"
    {"positions": schemes.draw_positions, "masks": schemes.draw_masks}[name](path)
    for picture in (path.read_bytes(), (DOCS / f"{name}.png").read_bytes()):
        assert picture.startswith(b"\x89PNG")
        assert 20_000 < len(picture) < 200_000


def test_without_matplotlib_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    with pytest.raises(InputError, match=r"a picture needs matplotlib: pip install 'inlay\[viz\]'"):
        schemes.draw_masks(tmp_path / "masks.png")
