"""The best classifier that can be found in a given time: settings are tried and measured on texts set apart.

First the settings given, then some that often do well, then the best so far with some of them changed: much at first,
little at the end.
"""

import time
from dataclasses import dataclass, field, replace

import numpy as np

from inlay.errors import InputError
from inlay.live import Live
from inlay.vectors import features
from inlay.vectors.classifier import Classifier
from inlay.vectors.features import Labelled
from inlay.vectors.quantize import Quantization, quantize_into
from inlay.vectors.start import Start
from inlay.vectors.supervised import Supervised, fit
from inlay.vectors.training import Progress, check

_RANGES: dict[str, tuple[float, float, float]] = {
    "epochs": (1, 100, 4),
    "alpha": (0.01, 5, 3),
    "dim": (10, 300, 2),
    "buckets": (20_000, 2_000_000, 3),
}
"""Least, most, and by what factor a change multiplies or divides at first."""
_CHARACTERS = ((0, 0), (2, 4), (2, 5), (3, 6), (1, 2), (1, 3))
"""Sizes of character n-grams: for spaced scripts, and for Chinese."""


@dataclass(frozen=True, kw_only=True)
class Autotune:
    """How long to search, and for what; an InputError names the first value that is out of range."""

    seconds: float = 300
    """Time to search, wall clock; the settings given are always tried to the end."""
    size_mb: float | None = None
    """Quantise the classifier so that its file is no larger; None: do not quantise it."""
    seed: int = 0
    """Of what is tried."""

    def __post_init__(self) -> None:
        check(
            [
                ("seconds", self.seconds, 0 < self.seconds <= 1e7, "must be positive; 300 is usual"),
                ("size_mb", self.size_mb, self.size_mb is None or self.size_mb > 0, "must be positive, or None"),
                ("seed", self.seed, self.seed >= 0, "must not be negative"),
            ]
        )


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Settings that were tried to the end."""

    config: Supervised
    f1: float
    """Of the likeliest label of each text set apart; 0 for settings that cannot be learned with."""
    seconds: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """The best classifier, as it was measured, its settings, and all trials, in order."""

    classifier: Classifier
    best: Trial
    trials: list[Trial] = field(default_factory=list)


class _Late(Exception):
    """The time is up."""


def autotune(
    source: Labelled,
    validation: Labelled,
    config: Supervised | None = None,
    search: Autotune = Autotune(),
    *,
    start: Start | None = None,
) -> Found:
    """The best classifier on the validation texts among those tried; never worse there than the settings given.

    Searched are epochs, alpha, word and character n-grams, buckets, and dim unless vectors to start from fix it. Raises
    InputError where the validation texts have none of the labels, and for a size that no classifier fits into.
    """
    begin, config = time.monotonic(), config or Supervised()
    text, held = features.read(source, config.segmenter), features.read(validation, config.segmenter)
    rng = np.random.default_rng(search.seed)
    trials: list[Trial] = []
    best: Trial | None = None
    classifier: Classifier | None = None
    with Live("autotune", search.seconds, "s") as live:

        def show(progress: Progress | None = None) -> None:
            elapsed = time.monotonic() - begin
            live.at(
                min(elapsed, search.seconds), f"trial {len(trials) + 1}" + (f", best F1 {best.f1:.4f}" if best else "")
            )
            if best and elapsed > search.seconds:
                raise _Late

        candidate: Supervised | None = config
        while candidate:
            begun = time.monotonic()
            try:
                found = fit(text, candidate, start=start, on_progress=show)
                if search.size_mb is not None:
                    show()
                    found = quantize_into(found, search.size_mb * 1e6, Quantization(seed=search.seed))
                f1 = found.score(held).total.f1
                show()
            except _Late:
                break
            except InputError:
                if best is None:
                    raise
                f1 = 0.0  # it diverged, or is too large: the next settings are others
            trials.append(Trial(config=candidate, f1=f1, seconds=time.monotonic() - begun))
            if best is None or f1 > best.f1:
                best, classifier = trials[-1], found
            left = search.seconds - (time.monotonic() - begin)
            candidate = _affordable(
                _proposal(config, best.config, trials, left / search.seconds, start, rng), trials, left
            )
    assert best is not None
    assert classifier is not None
    return Found(classifier=classifier, best=best, trials=trials)


def _proposal(
    given: Supervised, best: Supervised, trials: list[Trial], left: float, start: Start | None, rng: np.random.Generator
) -> Supervised:
    """Settings to try next, when the share `left` of the time is left."""
    strong = replace(given, epochs=25, alpha=0.5)
    often = [
        strong,
        replace(strong, word_ngrams=2, buckets=200_000),
        replace(strong, min_n=2, max_n=4, buckets=200_000),
        replace(strong, word_ngrams=2, epochs=5),
    ]
    if len(trials) <= len(often):
        return often[len(trials) - 1]
    changes: dict[str, float] = {}
    for name, (least, most, factor) in _RANGES.items():
        if rng.random() < 0.5 and not (name == "dim" and start is not None):
            value = getattr(best, name) * factor ** (rng.normal() * max(left, 0.1))
            changes[name] = min(max(value if name == "alpha" else round(value), least), most)
    if rng.random() < 0.3:
        changes["word_ngrams"] = int(rng.integers(1, 6))
    if rng.random() < 0.3:
        changes["min_n"], changes["max_n"] = _CHARACTERS[rng.integers(len(_CHARACTERS))]
    return replace(best, **changes)  # type: ignore[arg-type]


def _affordable(config: Supervised, trials: list[Trial], left: float) -> Supervised | None:
    """The settings with as many epochs as there is time for, by what the trials took; None where that is none."""

    def work(config: Supervised) -> float:
        return config.epochs * config.dim * (1 + config.word_ngrams + 4 * (config.max_n > 0))

    needed = work(config) * min(trial.seconds / work(trial.config) for trial in trials)
    if needed <= left:
        return config
    epochs = int(config.epochs * left / needed) if left > 0 else 0
    return replace(config, epochs=epochs) if epochs else None
