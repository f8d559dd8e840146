"""The named sets, asked in one call: a figure for each file, part and section, with coverage and interval beside it."""

import json

import numpy as np
import pytest

from inlay.errors import InputError
from inlay.evaluate.word_sets import NAMES, evaluate, tree
from inlay.evaluate.words import analogies, similarities
from inlay.text import data as datasets
from inlay.vectors.unseen import Zero
from inlay.vectors.wordvectors import WordVectors


@pytest.fixture(scope="module")
def vectors():
    """The words of the English and Chinese sets, every third one left out."""
    words = {word for name in NAMES for file in files(name) for word in file.read_text(encoding="utf-8").split()}
    known = sorted(words)[::3] + sorted(words)[1::3]
    return WordVectors(known, np.random.default_rng(0).standard_normal((len(known), 6), dtype=np.float32))


def files(name):
    return sorted(datasets.path(name).rglob("*.txt"))


@pytest.mark.parametrize("name", NAMES)
def test_a_set_is_asked_file_by_file(name, vectors, data):
    results = evaluate(vectors, [name])
    totals = [result for result in results if not result.section]
    assert len(totals) == len(files(name))
    for result, file in zip(totals, files(name), strict=True):
        if "analogies" in name:
            expected = analogies(vectors, file)
            assert result.score == pytest.approx(expected.total.accuracy)
            assert result.total == expected.total.questions
            sections = [one for one in results if one.name == result.name and one.section in expected.sections]
            assert len(sections) == len(expected.sections)
            assert sum(one.known for one in sections) == result.known
        else:
            assert result.score == similarities(vectors, file).spearman
        assert result.measure == ("accuracy" if "analogies" in name else "spearman")
        assert result.low <= result.score <= result.high
        assert 0 < result.coverage < 1


def test_googles_parts_are_told_apart(vectors, data):
    results = {result.section: result for result in evaluate(vectors, ["google-analogies"])}
    assert (results["semantic"].total, results["syntactic"].total) == (8869, 10675)
    assert len(results) == 3 + 14


def test_files_are_told_apart_by_content_and_a_tree_is_json(tmp_path):
    (tmp_path / "q").write_text(": one\nman woman king queen\n: two\na b c d\n")
    (tmp_path / "p").write_text("man woman 3\nman king 2\nking prince 1\n")
    square = WordVectors(
        ["man", "woman", "king", "queen"], np.array([[1, 0, 0], [1, 1, 0], [1, 0, 1], [1, 1, 1]], "f4")
    )
    rows = tree(evaluate(square, [tmp_path / "q", str(tmp_path / "p")]))
    assert [(row["on"], row["section"], row["score"], row["known"], row["total"]) for row in rows] == [
        ("q", None, 1.0, 1, 2),
        ("q", "one", 1.0, 1, 1),
        ("q", "two", None, 0, 1),
        ("p", None, None, 2, 3),
    ]
    json.dumps(rows, allow_nan=False)
    assert tree(evaluate(square, [tmp_path / "p"], unseen=Zero()))[0]["guessed"] == 1


def test_what_cannot_be_evaluated_on_is_refused(tmp_path):
    one = WordVectors(["zebra"], np.ones((1, 2), np.float32))
    with pytest.raises(InputError, match="no such file, and no set of questions; did you mean 'wordsim-en'"):
        evaluate(one, ["wordsim-em"])
    with pytest.raises(InputError, match="nothing to evaluate on"):
        evaluate(one, [])
    (tmp_path / "p").write_text("man woman 3\nman king 2\nking prince 1\n")
    with pytest.raises(InputError, match="know the words of no question in .*another language"):
        evaluate(one, [tmp_path / "p"])


def test_long_work_says_how_far_it_is(vectors, data):
    told = []
    analogies(vectors, files("google-analogies")[0], on_progress=told.append)
    assert told == sorted(told)
    assert len(told) > 3
    assert told[-1] == 1
