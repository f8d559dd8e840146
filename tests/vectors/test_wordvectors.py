"""Lookup, neighbours and analogies: exact, as gensim finds them, and the same whatever the block."""

import numpy as np
import pytest

from inlay.errors import InputError
from inlay.vectors import nearest
from inlay.vectors.unseen import Mean, NGrams, Refuse, Unk, Zero
from inlay.vectors.wordvectors import WordVectors


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(0)
    return WordVectors([f"word{n}" for n in range(500)], rng.standard_normal((500, 16), dtype=np.float32))


@pytest.fixture(scope="module")
def gensim(vectors):
    keyed = pytest.importorskip("gensim.models").KeyedVectors(16)
    keyed.add_vectors(vectors.words, vectors.matrix)
    return keyed


def test_a_word_has_its_row_and_words_keep_their_order(vectors):
    assert len(vectors) == 500
    assert vectors.dim == 16
    assert "word7" in vectors
    assert "other" not in vectors
    np.testing.assert_array_equal(vectors["word7"], vectors.matrix[7])
    np.testing.assert_array_equal(vectors.rows(["word7", "word2", "word7"]), vectors.matrix[[7, 2, 7]])
    assert vectors.rows([]).shape == (0, 16)


def test_unseen_words_follow_the_policy(vectors):
    words = ["word1", "unseen"]
    with pytest.raises(InputError, match="'unseen' is not among the 500 words"):
        vectors.rows(words)
    with pytest.raises(InputError, match=r"'unseen'.*rows\(\.\.\., Zero\(\)\)"):
        vectors.rows(words, Refuse())
    for policy in (Zero, "mean", None):
        with pytest.raises(
            InputError, match=r"unseen=.* must be Refuse\(\), Zero\(\), Mean\(\), NGrams\(\) or Unk\(word\)"
        ):
            vectors.rows(words, policy)
    np.testing.assert_array_equal(vectors.rows(words, Zero())[1], np.zeros(16))
    np.testing.assert_allclose(vectors.rows(words, Mean())[1], vectors.matrix.mean(axis=0), atol=1e-6)
    for policy in (Zero(), Mean()):
        np.testing.assert_array_equal(vectors.rows(words, policy)[0], vectors["word1"])


@pytest.mark.parametrize(("word", "guess"), [("Word7", "word7"), ("WORD12", "word12"), ("wrod40", "word40")])
def test_a_mistyped_word_gets_a_guess(vectors, word, guess):
    with pytest.raises(InputError, match=f"did you mean '{guess}'"):
        vectors[word]


def test_a_way_out_that_only_rows_has_is_told_by_rows_alone(vectors):
    for ask in (vectors.__getitem__, vectors.most_similar, lambda word: vectors.similarity("word1", word)):
        with pytest.raises(InputError, match="'qqq' is not among the 500 words$"):
            ask("qqq")


@pytest.mark.parametrize("k", [1, 10, 499, 1000])
def test_neighbours_are_those_of_gensim(vectors, gensim, k):
    for arguments in (["word3"], ["word3", "word5"]):
        for minus in ([], ["word9"]):
            ours = vectors.most_similar(arguments, minus, k=k)
            theirs = gensim.most_similar(arguments, minus, topn=k)[:k]
            assert [word for word, _ in ours] == [word for word, _ in theirs]
            np.testing.assert_allclose([score for _, score in ours], [score for _, score in theirs], atol=1e-5)
    assert vectors.most_similar("word3", k=2) == vectors.most_similar(["word3"], k=2)


def test_an_analogy_is_b_minus_a_plus_c_without_the_three():
    words = ["man", "woman", "king", "queen", "apple"]
    matrix = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 1], [1, 1, 1], [-1, 0.1, -1]], np.float32)
    assert WordVectors(words, matrix).analogy("man", "woman", "king", k=1)[0][0] == "queen"
    assert len(WordVectors(words, matrix).analogy("man", "woman", "king")) == 2


def test_similarity_is_the_cosine(vectors, gensim):
    assert vectors.similarity("word1", "word2") == pytest.approx(gensim.similarity("word1", "word2"), abs=1e-6)
    assert vectors.similarity("word1", "word1") == pytest.approx(1, abs=1e-6)


def test_blocks_change_nothing_and_a_restriction_looks_at_the_first_words(vectors, monkeypatch):
    queries = vectors.matrix[:50] + 0.1
    without = np.arange(50)[:, None]
    rows, scores = vectors.nearest(queries, 5, without)
    unit = vectors.matrix / np.linalg.norm(vectors.matrix, axis=1, keepdims=True)
    exact = queries / np.linalg.norm(queries, axis=1, keepdims=True) @ unit.T
    exact[np.arange(50), np.arange(50)] = -np.inf
    np.testing.assert_array_equal(rows, np.argsort(-exact, axis=1)[:, :5])
    monkeypatch.setattr(nearest, "_SCORES", 1200)
    monkeypatch.setattr(nearest, "_WORDS", 64)
    blocked, blocked_scores = vectors.nearest(queries, 5, without)
    np.testing.assert_array_equal(blocked, rows)
    np.testing.assert_allclose(blocked_scores, scores, atol=1e-6)
    assert vectors.nearest(queries, 5, without, restrict=20)[0].max() < 20


@pytest.mark.parametrize("scale", [1e-36, 1e-20, 1e20, 1e36])
def test_the_size_of_all_numbers_changes_no_cosine(vectors, scale):
    scaled = WordVectors(vectors.words, vectors.matrix * np.float32(scale))
    assert scaled.similarity("word1", "word2") == pytest.approx(vectors.similarity("word1", "word2"), rel=1e-3)
    assert scaled.doesnt_match(vectors.words[:5]) == vectors.doesnt_match(vectors.words[:5])
    for ask in (WordVectors.most_similar, lambda space, *words: space.analogy(*words, *vectors.words[:2])):
        ours, theirs = ask(scaled, "word3"), ask(vectors, "word3")
        assert [word for word, _ in ours] == [word for word, _ in theirs]
        np.testing.assert_allclose([score for _, score in ours], [score for _, score in theirs], rtol=1e-3)


@pytest.mark.parametrize("without", [[-1, -1, -1], [499, 30, 21], [0, 0, 0], [0, 1, 499]], ids=str)
def test_only_rows_that_could_be_an_answer_make_it_shorter(vectors, without):
    left = set(range(20)) - set(without)
    rows, _ = vectors.nearest(vectors.matrix[:1], 20, np.array([without]), restrict=20)
    assert len(rows[0]) == len(left)
    assert set(rows[0].tolist()) == left


@pytest.mark.parametrize("queries", [np.ones(16), np.ones((1, 15)), np.ones((1, 100_000)), np.ones((2, 17))])
def test_queries_of_another_shape_are_refused(vectors, queries):
    with pytest.raises(InputError, match="must be rows of 16 numbers"):
        vectors.nearest(queries.astype(np.float32), 3)


@pytest.mark.parametrize("without", [np.zeros(2, int), np.zeros((3, 1), int)])
def test_rows_to_leave_out_need_a_row_for_each_query(vectors, without):
    with pytest.raises(InputError, match="must have a row for each of 2 queries"):
        vectors.nearest(vectors.matrix[:2], 3, without)


def test_a_zero_vector_is_near_to_nothing_and_equals_stand_in_order():
    vectors = WordVectors(list("abcd"), np.array([[1, 0], [0, 0], [2, 0], [3, 0]], np.float32))
    assert vectors.most_similar("a") == [("c", 1.0), ("d", 1.0), ("b", 0.0)]
    assert vectors.similarity("a", "b") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"words": ["a"]}, "1 words need a matrix of as many rows"),
        ({"words": ["a", "a"]}, "the word 'a' stands twice"),
        ({"matrix": np.ones((2, 3))}, "float64"),
        ({"counts": np.ones(3, int)}, "2 words need as many counts"),
        ({"counts": np.ones(2, np.int32)}, "counts of int64, not .2,. int32"),
        ({"context": np.ones((2, 2), np.float32)}, "context must be float32 of shape"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_parts_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        WordVectors(**{"words": ["a", "b"], "matrix": np.ones((2, 3), np.float32)} | arguments)


def test_a_search_for_nothing_is_refused(vectors):
    with pytest.raises(InputError, match="at least one"):
        vectors.most_similar()
    with pytest.raises(InputError, match="k=0 must be at least 1"):
        vectors.most_similar("word1", k=0)


@pytest.mark.parametrize("restrict", [0, -3])
def test_a_restriction_to_no_words_is_refused(vectors, restrict):
    with pytest.raises(InputError, match=f"restrict={restrict} must be at least 1"):
        vectors.nearest(vectors.matrix[:2], 1, restrict=restrict)


def test_an_unknown_word_may_be_the_word_for_unknown_words_or_its_n_grams():
    vectors = WordVectors(["a", "<unk>"], np.array([[1, 2], [3, 4]], np.float32))
    assert vectors.rows(["b", "a"], Unk()).tolist() == [[3, 4], [1, 2]]
    with pytest.raises(InputError, match="'<none>' is not among the 2 words"):
        vectors.rows(["b"], Unk("<none>"))
    with pytest.raises(InputError, match="no n-grams for unseen words"):
        vectors.rows(["b"], NGrams())
