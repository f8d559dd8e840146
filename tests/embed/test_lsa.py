"""LSA: scikit-learn's TF-IDF and singular vectors, folded into rows that sum to a document's vector."""

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix, identity

from inlay.embed import lsa
from inlay.embed.static import unit

# N documents, V tokens, F features, D dimensions

N, V, TOPICS = 120, 200, 6


def counts(seed: int = 0) -> csr_matrix:
    """(N, V) words of documents, each of one of six topics, with noise."""
    rng = np.random.default_rng(seed)
    topics = rng.dirichlet(np.full(V, 0.05), TOPICS)
    noise = rng.dirichlet(np.full(V, 1.0))
    shares = np.linspace(0.85, 0.55, TOPICS)
    rows = [
        rng.multinomial(60, shares[at % TOPICS] * topics[at % TOPICS] + (1 - shares[at % TOPICS]) * noise)
        for at in range(N)
    ]
    return csr_matrix(np.array(rows, np.float32))


def identity_features(size: int = V) -> csr_matrix:
    return csr_matrix(identity(size, np.float32))


def tfidf(matrix: csr_matrix) -> Any:
    text = pytest.importorskip("sklearn.feature_extraction.text")
    shared = np.flatnonzero(np.bincount(matrix.indices, minlength=matrix.shape[1]) > 1)
    return text.TfidfTransformer(sublinear_tf=True).fit_transform(matrix[:, shared].astype(np.float64)), shared


def test_the_subspace_is_that_of_the_singular_vectors_of_scikit_learns_tfidf() -> None:
    matrix = counts()
    weighted, _ = tfidf(matrix)
    ours = lsa.right_singular(csr_matrix(weighted, dtype=np.float32), TOPICS, seed=0)
    values, theirs = np.linalg.svd(weighted.toarray())[1:]
    assert values[TOPICS - 1] > 1.2 * values[TOPICS]  # so that the subspace is well defined
    cosines = np.linalg.svd(ours.T.astype(np.float64) @ theirs[:TOPICS].T)[1]
    np.testing.assert_allclose(cosines, 1, atol=1e-5)
    np.testing.assert_allclose(ours.T @ ours, np.eye(TOPICS), atol=1e-5)
    # Vector by vector too, but for the sign.
    np.testing.assert_allclose(np.abs(np.einsum("fd,df->d", ours, theirs[:TOPICS])), 1, atol=1e-3)


def test_documents_are_as_alike_as_under_scikit_learn() -> None:
    decomposition = pytest.importorskip("sklearn.decomposition")
    matrix = counts(1)
    weighted, _ = tfidf(matrix)
    theirs = decomposition.TruncatedSVD(TOPICS, algorithm="arpack", random_state=0).fit_transform(weighted)
    # One feature a document at most is what the sum over tokens sees as the weighted document.
    ones = csr_matrix((matrix > 0).astype(np.float32))
    table = lsa.table(ones, identity_features(), dim=TOPICS, seed=0)
    weighted_ones, _ = tfidf(ones)
    theirs_ones = decomposition.TruncatedSVD(TOPICS, algorithm="arpack", random_state=0).fit_transform(weighted_ones)
    upper = np.triu_indices(N, 1)

    def alike(vectors: np.ndarray) -> np.ndarray:
        vectors = unit(vectors.astype(np.float32))
        return (vectors @ vectors.T)[upper]

    assert np.corrcoef(alike(ones @ table), alike(theirs_ones))[0, 1] > 0.9999
    # With counts, the fold weighs linearly and TF-IDF by logarithm; the picture is the same.
    folded = matrix @ lsa.table(matrix, identity_features(), dim=TOPICS, seed=0)
    assert np.corrcoef(alike(folded), alike(theirs))[0, 1] > 0.97


def test_a_documents_rows_sum_to_its_features_times_the_directions() -> None:
    rng = np.random.default_rng(2)
    features = csr_matrix((rng.random((V, 90)) < 0.05).astype(np.float32))
    matrix = csr_matrix((counts(2) > 0).astype(np.float32))
    table = lsa.table(matrix, features, dim=5, seed=0)
    assert table.shape == (V, 5)
    assert table.dtype == np.float32
    # By hand, densely: TF-IDF, its singular vectors, and each document's features through them.
    dense = (matrix @ features).toarray().astype(np.float64)
    frequency = (dense > 0).sum(axis=0)
    idf = np.log((1 + N) / (1 + frequency)) + 1
    weighted = np.where(dense > 0, 1 + np.log(np.maximum(dense, 1)), 0) * idf * (frequency > 1)
    weighted /= np.maximum(np.linalg.norm(weighted, axis=1, keepdims=True), 1e-12)
    directions = np.linalg.svd(weighted)[2][:5].T
    by_hand = dense * (idf * (frequency > 1)) @ directions
    ours = matrix @ table
    signs = np.sign((ours * by_hand).sum(axis=0))
    np.testing.assert_allclose(ours, by_hand * signs, atol=2e-2 * np.abs(by_hand).max())
    upper = np.triu_indices(N, 1)
    pairs = (unit(ours) @ unit(ours).T)[upper], (unit(by_hand) @ unit(by_hand).T)[upper]
    assert np.corrcoef(*pairs)[0, 1] > 0.999


def test_features_of_a_single_document_have_no_weight() -> None:
    matrix = csr_matrix(np.array([[1, 1, 0, 1], [1, 0, 1, 0], [1, 0, 1, 0], [0, 0, 1, 0]], np.float32))
    table = lsa.table(matrix, identity_features(4), dim=2, seed=0)
    assert table[[0, 2]].any(axis=1).all()
    assert not table[[1, 3]].any()


@pytest.mark.parametrize("seed", [0, 7])
def test_the_same_seed_gives_the_same_bits(seed: int) -> None:
    first = lsa.table(counts(), identity_features(), dim=20, seed=seed)
    assert first.tobytes() == lsa.table(counts(), identity_features(), dim=20, seed=seed).tobytes()


def test_the_inputs_are_left_as_they_were() -> None:
    matrix, features = counts(), identity_features()
    before = [a.copy() for a in (matrix.data, matrix.indices, features.data)]
    lsa.table(matrix, features, dim=4, seed=0)
    for now, then in zip((matrix.data, matrix.indices, features.data), before, strict=True):
        assert np.array_equal(now, then)


@pytest.mark.parametrize(
    ("rows", "dim"),
    [
        ([[1, 0, 2]], 1),
        ([[1, 1, 0], [0, 1, 1]], 1),
        ([[1, 1, 0]] * 9, 1),
        ([[1, 1, 1]] * 9, 2),
        ([[0, 0, 0]] * 3, 2),
        ([[1]] * 4, 1),
    ],
)
def test_small_and_empty_corpora_have_as_many_dimensions_as_they_carry(rows: list[list[int]], dim: int) -> None:
    matrix = csr_matrix(np.array(rows, np.float32))
    table = lsa.table(matrix, identity_features(matrix.shape[1]), dim=256, seed=0)
    assert table.shape == (matrix.shape[1], dim)
    assert np.isfinite(table).all()
