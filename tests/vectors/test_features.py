"""Labelled text: files and lists say the same, labels are what they are given as, and what is wrong is said."""

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inlay.errors import InputError
from inlay.vectors.classifier import Classifier
from inlay.vectors.features import Text
from inlay.vectors.supervised import Supervised, train

SMALL = Supervised(dim=16, epochs=3, alpha=0.5, buckets=5000)
GRAMS = replace(SMALL, word_ngrams=2, min_n=2, max_n=3)


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 100 lines with four labels, of which each has words of its own."""
    path = tmp_path_factory.mktemp("features") / "lines.txt"
    labels = ["abbcccdddd"[number % 10] for number in range(100)]
    lines = [f"__label__{label} {label}{n % 7} word{n % 9} {label}{n % 5}\n" for n, label in enumerate(labels)]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def test_texts_and_labels_give_what_their_file_gives(lines: Path) -> None:
    pairs = [line.split(None, 1) for line in lines.read_text(encoding="utf-8").splitlines()]
    labels = [label.removeprefix("__label__") for label, _ in pairs]
    ours = Classifier.train(([text for _, text in pairs], labels), SMALL)
    theirs = train(lines, SMALL)
    np.testing.assert_array_equal(ours.model.inputs, theirs.model.inputs)
    assert ours.labels == ["d", "c", "b", "a"]


def test_sources_that_cannot_be_learned_from_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such text file"):
        train(tmp_path / "none.txt")
    with pytest.raises(InputError, match="0 labels"):
        train((["a b"], [[]]))
    with pytest.raises(InputError, match="1 labels"):
        train((["a b"], ["x"]))
    for label in ("x y", "x\0y", "\ud800", "", ["x", 3]):
        with pytest.raises(InputError, match="label .* must be text without white space or a NUL"):
            train((["a b"], [label]))  # type: ignore[list-item]
    for other in (3, None):
        with pytest.raises(InputError, match=f"label {other} must be text, or a list of texts"):
            train((["a b"], [other]))  # type: ignore[list-item]
    with pytest.raises(InputError, match="not as many: 1 labels, and more texts"):
        train((["a b", "c"], ["x"]))
    with pytest.raises(InputError, match="not as many: 1 texts, and more labels"):
        train((["a b"], ["x", "y"]))
    with pytest.raises(InputError, match="put the one text into"):
        train(("ab", ["x", "y"]))
    with pytest.raises(ZeroDivisionError):  # a fault of who gives the texts is not hidden
        train(((str(1 // n) for n in (1, 0)), ["x", "y"]))
    (tmp_path / "nul.txt").write_bytes(b"__label__a x\0y\n__label__b z\n")
    with pytest.raises(InputError, match="NUL"):
        train(tmp_path / "nul.txt")


def test_what_looks_like_a_label_in_a_text_is_left_out_when_learning_and_when_asked(lines: Path) -> None:
    ours = train((["a b __label__x", "c d\0__label__y"], ["p", "q"]), replace(GRAMS, epochs=1))
    assert sorted(ours.labels) == ["p", "q"]
    for segmenter in ("", "en"):
        same = train(lines, replace(GRAMS, epochs=1, segmenter=segmenter))
        plain, marked = same.probabilities(["a1 word3", "a1\xa0word3 d4 __label__q\0__label__z"])
        assert (same.probabilities(["a1\xa0word3 d4"])[0] == marked).all()
        assert (plain != marked).any()


@pytest.mark.parametrize("segmenter", ["", "en"])
def test_a_file_may_be_packed_and_begin_with_a_mark(segmenter: str, lines: Path, tmp_path: Path) -> None:
    config, expected = replace(SMALL, epochs=1, segmenter=segmenter), lines.read_bytes()
    with gzip.open(tmp_path / "lines.txt.gz", "wb") as file:
        file.write(b"\xef\xbb\xbf" + expected)
    ours, theirs = train(tmp_path / "lines.txt.gz", config), train(lines, config)
    assert ours.model.words == theirs.model.words
    np.testing.assert_array_equal(ours.model.inputs, theirs.model.inputs)


@pytest.mark.parametrize("tokens", [[0, 1], [0, 2, -1], [-2, -1]])
def test_tokens_that_kernels_would_run_over_are_refused(tokens: list[int]) -> None:
    with pytest.raises(InputError, match=r"tokens must lie between -1 and 1, the last type's, and end in -1"):
        Text(types=["a", "b"], tokens=np.array(tokens, np.int32))
    with pytest.raises(InputError, match="tokens must be one row of int32, not int64"):
        Text(types=["a", "b"], tokens=np.array([0, -1]))


def test_lines_without_a_label_are_left_out_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labelled = "__label__a x y\n__label__b z\n"
    for name, more in (("one.txt", ""), ("two.txt", "\nlonely words\n\n")):
        (tmp_path / name).write_text(labelled + more)
        train(tmp_path / name, SMALL).save(tmp_path / f"{name}.bin")
    assert "1 of 5 lines have no label" in capsys.readouterr().err
    one, two = (Classifier.load(tmp_path / f"{name}.bin") for name in ("one.txt", "two.txt"))
    assert one.test(tmp_path / "two.txt").total.examples == two.test(tmp_path / "one.txt").total.examples == 2
