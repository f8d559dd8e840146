"""Autotune: never worse than the settings given, in the time given, and small where asked."""

import random
import time
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from inlay.errors import InputError
from inlay.vectors import autotune as autotuning
from inlay.vectors.autotune import Autotune, autotune
from inlay.vectors.quantize import Quantization, file_size, quantize, quantize_into
from inlay.vectors.start import Init
from inlay.vectors.supervised import Supervised, train
from inlay.vectors.wordvectors import WordVectors

Source = tuple[list[str], list[str]]
TINY = Supervised(dim=10, epochs=1, alpha=0.01, buckets=20_000)


def texts(seed: int) -> Source:
    """300 texts that only the order of two words tells apart."""
    rng = random.Random(seed)
    labels = [rng.choice("xyz") for _ in range(300)]
    ends = {"x": "not good", "y": "good not", "z": "good good"}
    return [f"w{rng.randrange(30)} {ends[label]} w{rng.randrange(30)}" for label in labels], labels


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    """Searches are short here: what is compiled once shall not count."""
    quantize(train(texts(0), TINY)).test(texts(1))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time passes where it is looked at, as much on every machine, so that as many settings are tried."""
    ticks = count()
    monkeypatch.setattr(autotuning, "time", SimpleNamespace(monotonic=lambda: 0.01 * next(ticks)))


@pytest.mark.usefixtures("clock")
def test_it_finds_better_settings_than_those_given_and_keeps_the_best() -> None:
    found = autotune(texts(0), texts(1), TINY, Autotune(seconds=2))
    assert found.trials[0].config == TINY
    assert found.best.f1 == max(trial.f1 for trial in found.trials)
    assert found.best.f1 > 0.95 > found.trials[0].f1
    assert found.classifier.test(texts(1)).total.f1 == found.best.f1


def test_it_keeps_to_its_time_but_always_tries_the_settings_given() -> None:
    begin = time.monotonic()
    found = autotune(texts(0), texts(1), TINY, Autotune(seconds=0.001))
    assert len(found.trials) == 1
    assert time.monotonic() - begin < 5
    begin = time.monotonic()
    assert len(autotune(texts(0), texts(1), TINY, Autotune(seconds=0.5)).trials) > 1
    assert 0.2 < time.monotonic() - begin < 4


@pytest.mark.usefixtures("clock")
def test_a_classifier_fits_into_the_size_asked_for(tmp_path: Path) -> None:
    found = autotune(texts(0), texts(1), TINY, Autotune(seconds=1.5, size_mb=0.4))
    assert len(found.trials) > 5
    found.classifier.save(path := tmp_path / "model.ftz")
    assert path.stat().st_size <= 400_000
    with pytest.raises(InputError, match=r"no classifier of dim=10 fits into 0\.001 MB"):
        autotune(texts(0), texts(1), TINY, Autotune(seconds=1, size_mb=0.001))


@pytest.mark.usefixtures("clock")
def test_vectors_to_start_from_fix_the_dimension() -> None:
    given = WordVectors(["good"], np.ones((1, 10), np.float32))
    found = autotune(texts(0), texts(1), TINY, Autotune(seconds=2), start=Init(given))
    assert len(found.trials) > 5
    assert {trial.config.dim for trial in found.trials} == {10}


@pytest.mark.parametrize("segmenter", ["", "en"])
@pytest.mark.parametrize("config", [Quantization(), Quantization(cutoff=50, by_norm=False), Quantization(outputs=True)])
def test_the_size_of_a_file_is_known_before_it_is_written(config: Quantization, segmenter: str, tmp_path: Path) -> None:
    large = train(texts(0), Supervised(dim=10, word_ngrams=2, buckets=5000, segmenter=segmenter))
    for one, name in ((large, "model.bin"), (quantize(large, config), "model.ftz")):
        one.save(tmp_path / name)
        assert file_size(one.model) == (tmp_path / name).stat().st_size


@pytest.mark.parametrize("size", [13_000, 14_000, 20_000])
def test_the_largest_that_fits_is_kept(size: int) -> None:
    large = train(texts(0), Supervised(dim=10, word_ngrams=2, buckets=5000))
    small = quantize_into(large, size)
    assert file_size(small.model) <= size
    left = quantize(large).model
    if file_size(left) > size:
        assert file_size(small.model) > 0.9 * size
    else:
        assert len(small.model.inputs) == len(left.inputs)


@pytest.mark.parametrize(("name", "value"), [("seconds", 0), ("size_mb", 0), ("seed", -1)])
def test_a_search_that_cannot_be_is_refused(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"{name}={value}"):
        Autotune(**{name: value})


def test_validation_texts_need_labels_that_were_learned() -> None:
    with pytest.raises(InputError, match="no line has a label"):
        autotune(texts(0), (["good"], ["unheard"]), TINY, Autotune(seconds=1))
