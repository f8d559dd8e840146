"""Quantised classifiers: small, nearly as good, and read by fastText."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inlay.errors import InputError
from inlay.vectors.classifier import Classifier
from inlay.vectors.product import quantize as quantize_matrix
from inlay.vectors.quantize import Quantization, file_size, quantize, quantize_into
from inlay.vectors.supervised import OneVsAll, Supervised, train


@pytest.fixture(scope="module")
def source() -> tuple[list[str], list[str]]:
    """600 texts with labels: a third of a text's words tell its label."""
    rng = random.Random(1)
    labels = [f"l{rng.randrange(5)}" for _ in range(600)]
    texts = [
        " ".join([f"{label}{rng.randrange(40)}" for _ in range(3)] + [f"w{rng.randrange(300)}" for _ in range(6)])
        for label in labels
    ]
    return texts, labels


@pytest.fixture(scope="module")
def large(source: tuple[list[str], list[str]]) -> Classifier:
    return train(source, Supervised(dim=20, epochs=10, alpha=0.5, word_ngrams=2, buckets=20_000))


@pytest.mark.parametrize("outputs", [False, True])
@pytest.mark.parametrize(("part", "by_norm"), [(1, True), (2, False), (4, True), (3, True)])
def test_a_quantised_classifier_is_small_and_as_good_and_fasttext_agrees(
    part: int, by_norm: bool, outputs: bool, large: Classifier, source: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    fasttext = pytest.importorskip("fasttext")
    small = quantize(large, Quantization(part=part, by_norm=by_norm, outputs=outputs))
    small.save(tmp_path / "small.ftz")
    large.save(tmp_path / "large.bin")
    assert (tmp_path / "large.bin").stat().st_size > 8 * (tmp_path / "small.ftz").stat().st_size
    assert small.test(source).total.precision > large.test(source).total.precision - 0.02
    theirs, ours = fasttext.load_model(str(tmp_path / "small.ftz")), Classifier.load(tmp_path / "small.ftz")
    texts = [*source[0][:50], "w1 unheard", ""]
    for one, label, p in zip(ours.predict(texts), *theirs.predict(texts), strict=True):
        assert label[0] == f"__label__{one[0][0]}"
        assert p[0] == pytest.approx(one[0][1], abs=2e-5)


def test_a_cutoff_keeps_the_longest_vectors_and_the_end_of_a_line(large: Classifier) -> None:
    small = quantize(large, Quantization(cutoff=300))
    assert small.model.inputs.shape == (300, 20)
    assert "</s>" in small.model.words
    lengths = np.linalg.norm(np.asarray(large.model.inputs), axis=1)
    kept = {large.model.words.index(word) for word in small.model.words}
    assert small.model.pruned is not None
    kept |= {len(large.model.words) + bucket for bucket in small.model.pruned[:, 0].tolist()}
    assert kept - {large.model.words.index("</s>")} <= set(np.argsort(-lengths)[:300].tolist())


def test_learning_again_mends_what_a_cutoff_breaks(large: Classifier, source: tuple[list[str], list[str]]) -> None:
    config = Quantization(cutoff=100, part=1, epochs=10, alpha=0.5)

    def loss(small: Classifier) -> float:
        chances = small.probabilities(source[0])
        return float(
            -np.log(chances[np.arange(len(source[1])), [small.labels.index(label) for label in source[1]]]).mean()
        )

    assert loss(quantize(large, config, retrain=source)) < 0.8 * loss(quantize(large, config))


def test_what_never_occurred_is_left_out_and_changes_no_label(large: Classifier) -> None:
    small = quantize(large, Quantization(part=1))
    assert small.model.inputs.shape[0] < 6000
    texts = ["l1 unheard of", "w3 l2 nothing else", "quite unheard"]
    assert [one[0][0] for one in small.predict(texts)] == [one[0][0] for one in large.predict(texts)]


def test_the_same_seed_gives_the_same_bytes(large: Classifier, tmp_path: Path) -> None:
    for name in ("one.ftz", "two.ftz"):
        quantize(large, Quantization(seed=3)).save(tmp_path / name)
    assert (tmp_path / "one.ftz").read_bytes() == (tmp_path / "two.ftz").read_bytes()


def test_a_character_ngram_that_was_cut_off_does_not_count() -> None:
    texts, labels = [f"good{n % 40} so" for n in range(200)] + [f"bad{n % 40} so" for n in range(200)], ["+", "-"]
    source = (texts, [labels[n // 200] for n in range(400)])
    ours = train(source, Supervised(dim=8, epochs=20, min_n=2, max_n=4, buckets=3000, output=OneVsAll()))
    small = quantize(ours, Quantization(cutoff=120, part=1), retrain=source)
    assert small.predict(["goodness", "badly"])[0][0][0] == "+"
    assert small.test(source).total.precision == 1


@pytest.mark.parametrize("rows", [1, 255, 256])
def test_few_rows_lose_nothing(rows: int) -> None:
    matrix = np.random.default_rng(0).normal(size=(rows, 7)).astype(np.float32)
    for by_norm in (False, True):
        found = quantize_matrix(matrix, 3, by_norm=by_norm, rng=np.random.default_rng(0))
        assert len(found) == rows
        np.testing.assert_allclose(found.rows(), matrix, atol=1e-6)
        np.testing.assert_array_equal(found.rows(np.array([0])), found.rows()[:1])


def test_smaller_parts_are_more_exact() -> None:
    matrix = np.random.default_rng(0).normal(size=(3000, 12)).astype(np.float32)
    errors = [
        ((quantize_matrix(matrix, part, by_norm=False, rng=np.random.default_rng(0)).rows() - matrix) ** 2).mean()
        for part in (1, 2, 4, 6)
    ]
    assert errors == sorted(errors)
    assert errors[1] < 0.02


@pytest.mark.parametrize("rows", [0, 1, 2, 900])
def test_a_classifier_of_n_grams_alone_can_be_made_to_fit(rows: int, large: Classifier) -> None:
    n_words = len(large.model.words)
    inputs = np.array(large.model.inputs[n_words:])
    inputs[np.flatnonzero(inputs.any(axis=1))[rows:]] = 0
    grams = Classifier(replace(large.model, words=[], counts=large.model.counts[n_words:], inputs=inputs))
    if not rows:
        with pytest.raises(InputError, match="all vectors of this classifier are zero"):
            quantize_into(grams, 1e6)
        return
    assert len(quantize_into(grams, 1e6).model.inputs) == rows
    small = quantize_into(grams, 25_000)
    room = 25_000 - file_size(small.model)
    assert room >= 0
    assert len(small.model.inputs) == rows or room < 14  # bytes of one more


def test_what_cannot_be_is_refused(large: Classifier, source: tuple[list[str], list[str]]) -> None:
    small = quantize(large, Quantization(part=4))
    with pytest.raises(InputError, match="quantised already"):
        quantize(small)
    with pytest.raises(InputError, match="part=21 must lie between 1 and 20"):
        quantize(large, Quantization(part=21))
    with pytest.raises(InputError, match="give a cutoff"):
        quantize(large, retrain=source)
    with pytest.raises(InputError, match="no line of the text"):
        quantize(large, Quantization(cutoff=50), retrain=(["x"], ["unheard"]))
    for name in ("part", "cutoff", "epochs", "alpha", "threads"):
        with pytest.raises(InputError, match=f"{name}=0"):
            Quantization(**{name: 0})
