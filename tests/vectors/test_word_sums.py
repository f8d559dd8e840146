"""Sums of words, odd ones out and the two ways to answer an analogy: as gensim does, and as the papers write them."""

import numpy as np
import pytest

from inlay.errors import InputError
from inlay.vectors.analogy import ThreeCosAdd, ThreeCosMul, answers
from inlay.vectors.arithmetic import parse_sum
from inlay.vectors.unseen import NGrams, Zero
from inlay.vectors.wordvectors import WordVectors


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(0)
    return WordVectors([f"word{n}" for n in range(400)], rng.standard_normal((400, 12), dtype=np.float32))


@pytest.fixture(scope="module")
def gensim(vectors):
    keyed = pytest.importorskip("gensim.models").KeyedVectors(12)
    keyed.add_vectors(list(vectors.words), vectors.matrix)
    return keyed


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("king", {"king": 1}),
        ("king - man + woman", {"king": 1, "man": -1, "woman": 1}),
        ("- man + woman", {"man": -1, "woman": 1}),
        ("2 king - 0.5 man", {"king": 2, "man": -0.5}),
        ("paris + paris", {"paris": 2}),
        ("e-mail + c++", {"e-mail": 1, "c++": 1}),
        ("国王 - 男人 + 女人", {"国王": 1, "男人": -1, "女人": 1}),
        ("7", {"7": 1}),
        ("1984 - 7", {"1984": 1, "7": -1}),
    ],
)
def test_a_sum_is_read_as_it_is_written(text, weights):
    assert parse_sum(text) == weights


@pytest.mark.parametrize("text", ["", "  ", "king -", "king man", "king - - man", "king + 2 - man +"])
def test_what_is_no_sum_is_refused(text):
    with pytest.raises(InputError, match="is no sum of words .*; write it as: king - man"):
        parse_sum(text)


def test_a_sum_is_that_of_gensim_and_leaves_its_words_out(vectors, gensim):
    ours = vectors.solve("word1 - word2 + word3")
    assert [word for word, _ in ours] == [w for w, _ in gensim.most_similar(["word1", "word3"], ["word2"])]
    assert ours == vectors.solve({"word1": 1, "word2": -1, "word3": 1})
    assert dict(ours) == pytest.approx(dict(vectors.most_similar(["word1", "word3"], ["word2"])))
    unit = vectors["word1"] / np.linalg.norm(vectors["word1"])
    np.testing.assert_allclose(vectors.combine("3 word1"), 3 * unit, rtol=1e-6)
    with pytest.raises(InputError, match="needs a word"):
        vectors.combine({})


def test_the_distance_is_that_of_gensim(vectors, gensim):
    assert vectors.distance("word1", "word2") == pytest.approx(gensim.distance("word1", "word2"), abs=1e-6)


def test_the_odd_one_out_is_that_of_gensim(vectors, gensim):
    for first in range(0, 60, 6):
        words = [f"word{n}" for n in range(first, first + 6)]
        assert vectors.doesnt_match(words) == gensim.doesnt_match(words)
    with pytest.raises(InputError, match="too few"):
        vectors.doesnt_match(["word1", "word2"])
    with pytest.raises(InputError, match="'zebra' is not among"):
        vectors.doesnt_match(["word1", "word2", "zebra"])


def test_three_cos_mul_is_that_of_gensim(vectors, gensim):
    for a, b, c in (("word1", "word2", "word3"), ("word9", "word8", "word7")):
        ours = vectors.analogy(a, b, c, k=8, method=ThreeCosMul(epsilon=1e-6))
        theirs = gensim.most_similar_cosmul([b, c], [a], topn=8)
        assert [word for word, _ in ours] == [word for word, _ in theirs]
        np.testing.assert_allclose([score for _, score in ours], [score for _, score in theirs], rtol=1e-4)


def test_three_cos_mul_is_the_formula_of_the_paper(vectors):
    a, b, c = (vectors.matrix[n] / np.linalg.norm(vectors.matrix[n]) for n in (1, 2, 3))
    unit = vectors.matrix / np.linalg.norm(vectors.matrix, axis=1, keepdims=True)
    score = ((unit @ b + 1) / 2) * ((unit @ c + 1) / 2) / ((unit @ a + 1) / 2 + 0.001)
    score[[1, 2, 3]] = -np.inf
    found = vectors.analogy("word1", "word2", "word3", method=ThreeCosMul(), k=5)
    assert [word for word, _ in found] == [f"word{n}" for n in np.argsort(-score)[:5]]


@pytest.mark.parametrize("method", [ThreeCosAdd(), ThreeCosMul()])
def test_many_questions_are_answered_as_each_by_itself(method, vectors):
    rows = np.random.default_rng(1).integers(0, 400, (50, 3))
    found, scores = answers(vectors, vectors.matrix[rows], 3, method=method, without=rows)
    for question, (a, b, c) in enumerate(rows):
        alone = vectors.analogy(f"word{a}", f"word{b}", f"word{c}", k=3, method=method)
        assert [word for word, _ in alone] == [f"word{row}" for row in found[question]]
        np.testing.assert_allclose([score for _, score in alone], scores[question], rtol=1e-5)


def test_a_method_that_is_none_is_refused(vectors):
    with pytest.raises(InputError, match=r"must be ThreeCosAdd\(\) or ThreeCosMul\(\)"):
        vectors.analogy("word1", "word2", "word3", method="3CosMul")
    with pytest.raises(InputError, match="epsilon=0 must be above 0"):
        ThreeCosMul(0)


def test_unseen_words_are_asked_about_as_the_policy_says(vectors):
    assert vectors.similarity("word1", "zebra", unseen=Zero()) == 0
    assert vectors.solve("word1 + zebra", unseen=Zero()) == vectors.most_similar("word1")
    with pytest.raises(InputError, match="'zebra' is not among"):
        vectors.solve("word1 + zebra")
    with pytest.raises(InputError, match="no n-grams"):
        vectors.most_similar("zebra", unseen=NGrams())


def test_a_notebook_shows_the_first_words_escaped():
    words = ["<b>", "a&b", *(f"w{n}" for n in range(20))]
    vectors = WordVectors(words, np.full((22, 9), 0.5, np.float32), np.arange(22)[::-1] * 1000)
    page = vectors._repr_html_()
    assert "&lt;b&gt;" in page
    assert "a&amp;b" in page
    assert "<b>" not in page
    assert "21,000" in page
    assert "1.500" in page
    assert "0.500 0.500 0.500 0.500 0.500 0.500 …" in page
    assert "and 14 more words" in page
    assert "w7" not in page
    small = WordVectors(["a"], np.ones((1, 2), np.float32))._repr_html_()
    assert "count" not in small
    assert "more words" not in small
