"""Whole spaces: what is taken out is gone, a hidden rotation is found again, and the words that moved come first."""

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from scipy.stats import ortho_group

from inlay.errors import InputError
from inlay.vectors.geometry import align, all_but_the_top, centred, drift, shared
from inlay.vectors.subwords import Subwords
from inlay.vectors.unseen import NGrams
from inlay.vectors.wordvectors import WordVectors


def space(n=300, dim=12, seed=0, name="w"):
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((n, dim)) * np.logspace(0.5, -0.5, dim) + rng.standard_normal(dim)
    return WordVectors([f"{name}{number}" for number in range(n)], matrix.astype(np.float32), np.arange(n)[::-1].copy())


def test_centred_vectors_have_the_mean_zero_and_the_originals_stay():
    vectors = space()
    before = vectors.matrix.copy()
    np.testing.assert_allclose(centred(vectors).matrix.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_array_equal(vectors.matrix, before)
    np.testing.assert_array_equal(centred(vectors).counts, vectors.counts)


@pytest.mark.parametrize("components", [0, 1, 3])
def test_all_but_the_top_is_the_formula_of_the_paper(components):
    vectors = space()
    rows = vectors.matrix.astype(np.float64) - vectors.matrix.mean(axis=0, dtype=np.float64)
    top = np.linalg.svd(rows, full_matrices=False)[2][:components]
    np.testing.assert_allclose(all_but_the_top(vectors, components).matrix, rows - rows @ top.T @ top, atol=1e-4)


def test_the_paper_takes_a_hundredth_of_the_dimensions():
    vectors = space(400, 250)
    rank = np.linalg.matrix_rank(all_but_the_top(vectors).matrix, tol=1e-2)
    assert rank == 248
    for components in (-1, 250):
        with pytest.raises(InputError, match=f"components={components} must be from 0 to 249"):
            all_but_the_top(vectors, components)


@pytest.mark.parametrize("move", [centred, all_but_the_top])
def test_the_n_grams_move_with_the_words(move):
    words = ["eins", "zwei", "drei", "vier"]
    inputs = np.random.default_rng(0).standard_normal((24, 6), dtype=np.float32)
    subwords = Subwords(min_n=2, max_n=3, buckets=20, inputs=inputs)
    vectors = WordVectors(words, subwords.compose(words), subwords=subwords)
    moved = move(vectors)
    np.testing.assert_allclose(moved.subwords.compose(words), moved.matrix, atol=1e-5)
    assert moved.rows(["fünf"], NGrams()).shape == (1, 6)
    np.testing.assert_array_equal(vectors.subwords.inputs, inputs)


def test_a_hidden_rotation_is_found_again():
    target = space()
    hidden = ortho_group.rvs(12, random_state=1).astype(np.float32)
    matrix = target.matrix @ hidden.T
    source = WordVectors(target.words, matrix, target.counts, matrix[::-1].copy())
    found = align(source, target)
    np.testing.assert_allclose(found.rotation, hidden, atol=1e-5)
    assert found.pairs == 300
    assert found.before < 0.9
    assert found.after == pytest.approx(1, abs=1e-5)
    turned = found.apply(source)
    np.testing.assert_allclose(turned.matrix, target.matrix, atol=1e-4)
    np.testing.assert_allclose(turned.context, target.matrix[::-1], atol=1e-4)
    assert [word for word, _ in turned.most_similar("w7")] == [word for word, _ in source.most_similar("w7")]


def test_the_rotation_is_that_of_scipy_over_the_shared_words():
    a, b = space(seed=1), space(seed=2)
    b = WordVectors([*b.words[:200], *(f"new{n}" for n in range(100))], b.matrix)
    found = align(a, b)
    units = [v.matrix[:200] / np.linalg.norm(v.matrix[:200], axis=1, keepdims=True) for v in (a, b)]
    np.testing.assert_allclose(found.rotation, orthogonal_procrustes(*units)[0], atol=1e-4)
    np.testing.assert_allclose(found.rotation @ found.rotation.T, np.eye(12), atol=1e-5)
    assert found.pairs == 200
    assert found.after >= found.before
    assert align(a, b, top=50).pairs == 50


def test_spaces_that_cannot_be_aligned_are_refused():
    with pytest.raises(InputError, match="12 and 5 dimensions cannot be aligned"):
        align(space(), space(dim=5))
    with pytest.raises(InputError, match="5 dimensions. cannot be turned by a rotation of 12 dimensions"):
        align(space(), space(seed=1)).apply(space(dim=5))
    with pytest.raises(InputError, match="0 shared words are too few for a rotation in 12"):
        align(space(), space(name="other"))
    with pytest.raises(InputError, match="top=0 must be at least 1"):
        align(space(), space(), top=0)


def test_shared_words_stand_by_their_frequency_in_both():
    first = WordVectors(list("abcd"), np.ones((4, 2), np.float32))
    second = WordVectors(list("dxcb"), np.ones((4, 2), np.float32))
    assert shared(first, second) == ["c", "b", "d"]


def test_the_word_that_moved_comes_first_whatever_the_rotation():
    first = space(200, 12)
    hidden = ortho_group.rvs(12, random_state=2).astype(np.float32)
    matrix = first.matrix.copy()
    matrix[40] = -matrix[40]
    second = WordVectors(first.words, matrix @ hidden)
    found = drift(first, second, k=5)
    assert found[0].word == "w40"
    assert found[0].change > 2 * found[1].change
    assert found[0].neighbours == tuple(word for word, _ in first.most_similar("w40", k=5))
    assert found[0].neighbours_after == tuple(word for word, _ in second.most_similar("w40", k=5))
    assert not set(found[0].neighbours) & set(found[0].neighbours_after)
    assert len(found) == 200
    assert len(drift(first, second, k=5, top=50)) == 50
    with pytest.raises(InputError, match="5 shared words are too few for 9 neighbours"):
        drift(first, second, k=9, top=5)


def test_the_same_space_has_no_drift():
    assert max(one.change for one in drift(space(50), space(50), k=3)) < 1e-5
