"""Hybrid: z-sums, reciprocal ranks, feedback and smoothing against slow, plain twins; ties, sizes and speed."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inlay.errors import InputError
from inlay.search.hybrid import (
    MODES,
    Feedback,
    Fusion,
    Mode,
    Ranker,
    ReciprocalRank,
    ZSum,
    reciprocal_ranks,
    top,
    z_scores,
)
from inlay.search.index import Index
from inlay.search.lexical import Lexical

# Q queries, N documents, V terms, D dimensions

PLAIN = Feedback(strength=0)


def ranker(n: int = 60, dim: int = 8, fusion: Fusion | None = None, seed: int = 0) -> Ranker:
    rng = np.random.default_rng(seed)
    words = [f"w{i}" for i in range(40)]
    texts = [" ".join(rng.choice(words, rng.integers(0, 15), p=zipf(40))) for _ in range(n)]
    index = Index(dim)
    index.add([f"d{i}" for i in range(n)], rng.standard_normal((n, dim)).astype(np.float32))
    return Ranker(Lexical.build(texts, "en"), index, fusion or Fusion())


def zipf(n: int) -> np.ndarray:
    shares = 1 / np.arange(1, n + 1)
    return shares / shares.sum()


QUERIES = ["w3 w17", "w0 w0 w5", "unknown words", "", "w39"]


def vectors(n: int = len(QUERIES), dim: int = 8) -> np.ndarray:
    return np.random.default_rng(9).standard_normal((n, dim)).astype(np.float32)


# --- slow twins: a query at a time, double precision, no sparse matrices


def z(scores: np.ndarray) -> np.ndarray:
    deviation = scores.std()
    return (scores - scores.mean()) / deviation if deviation > 0 else np.zeros(len(scores))


def order(scores: np.ndarray) -> list[int]:
    return sorted(range(len(scores)), key=lambda at: (-np.float32(scores[at]), at))


def slow(ranker: Ranker, text: str, vector: np.ndarray) -> np.ndarray:
    """The scores of one query, as the definition has them."""
    weights = ranker.lexical.weights.toarray().astype(np.float64)  # (N, V)
    unit = ranker.index.vectors().astype(np.float64)  # (N, D)
    fusion, feedback = ranker.fusion, ranker.fusion.feedback

    def fused(terms: np.ndarray, dense: np.ndarray) -> np.ndarray:
        lexical, cosines = weights @ terms, unit @ dense
        if isinstance(fusion.rule, ReciprocalRank):
            score = np.zeros(len(weights))
            for scores in (lexical, cosines):
                for rank, at in enumerate(order(scores), 1):
                    score[at] += 1 / (60 + rank)
            return score
        return z(lexical) + fusion.rule.weight * z(cosines)

    terms = ranker.lexical.queries([text]).toarray()[0].astype(np.float64)
    dense = vector / np.linalg.norm(vector)
    scores = fused(terms, dense)
    if not feedback.strength:
        return scores
    best = order(scores)[: feedback.documents]
    shares = np.array([1 / rank for rank in range(1, len(best) + 1)])
    shares /= shares.sum()
    found = sum(share * weights[at] for share, at in zip(shares, best, strict=True))
    keep = np.argsort(-found, kind="stable")[: feedback.terms]
    added = np.zeros(len(found))
    added[keep] = found[keep]
    if added.sum():
        terms = terms + feedback.strength * terms.sum() * added / added.sum()
    mean = sum(share * unit[at] for share, at in zip(shares, best, strict=True))
    dense = dense + feedback.strength * mean / np.linalg.norm(mean)
    return fused(terms, dense / np.linalg.norm(dense))


@pytest.mark.parametrize(
    "fusion",
    [
        Fusion(feedback=PLAIN),
        Fusion(),
        Fusion(feedback=Feedback(strength=0.25, documents=3, terms=4)),
        Fusion(feedback=Feedback(documents=1, terms=1)),
        Fusion(feedback=Feedback(documents=1000, terms=1000)),
        Fusion(rule=ZSum(weight=0), feedback=PLAIN),
        Fusion(rule=ZSum(weight=0)),
        Fusion(rule=ZSum(weight=2.5), feedback=Feedback(strength=2)),
        Fusion(rule=ReciprocalRank(), feedback=PLAIN),
        Fusion(rule=ReciprocalRank()),
    ],
    ids=str,
)
@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_the_plain_twin(fusion: Fusion, seed: int) -> None:
    fast = ranker(fusion=fusion, seed=seed)
    found = fast.scores(QUERIES, vectors())
    assert found.dtype == np.float32
    for text, vector, row in zip(QUERIES, vectors(), found, strict=True):
        np.testing.assert_allclose(row, slow(fast, text, vector.astype(np.float64)), atol=2e-4)


def test_z_scores_by_hand() -> None:
    found = z_scores(np.array([[1, 2, 3], [5, 5, 5], [0, 0, 9]], np.float32))
    side = np.sqrt(1.5)
    np.testing.assert_allclose(found, [[-side, 0, side], [0, 0, 0], [-(0.5**0.5), -(0.5**0.5), 2**0.5]], atol=1e-6)


def test_reciprocal_ranks_by_hand_with_ties_by_document() -> None:
    found = reciprocal_ranks(np.array([[0.1, 0.9, 0.5], [2, 2, 2]], np.float32))
    np.testing.assert_allclose(found, [[1 / 63, 1 / 61, 1 / 62], [1 / 61, 1 / 62, 1 / 63]], rtol=1e-6)


def test_a_z_sum_by_hand() -> None:
    index = Index(2)
    index.add(["a", "b", "c"], np.array([[1, 0], [0, 1], [1, 1]], np.float32))
    lexical = Lexical.build(["cat", "dog", "cow"], "en")
    found = Ranker(lexical, index, Fusion(rule=ZSum(weight=0.5), feedback=PLAIN)).scores(
        ["dog"], np.array([[2, 0]], np.float32)
    )
    cosines = np.array([1, 0, 0.5**0.5])
    expected = np.array([-(0.5**0.5), 2**0.5, -(0.5**0.5)]) + 0.5 * (cosines - cosines.mean()) / cosines.std()
    np.testing.assert_allclose(found[0], expected, atol=1e-5)


def test_weight_zero_without_feedback_is_the_lexical_order() -> None:
    fast = ranker(fusion=Fusion(rule=ZSum(weight=0), feedback=PLAIN))
    hybrid = fast.scores(QUERIES, vectors(), "hybrid")
    lexical = fast.scores(QUERIES, vectors(), "lexical")
    assert np.array_equal(top(hybrid, 60), top(lexical, 60))


def test_modes_alone_are_the_scores_of_their_index() -> None:
    fast = ranker()
    assert np.array_equal(
        fast.scores(QUERIES, vectors(), "lexical"), fast.lexical.scores(fast.lexical.queries(QUERIES))
    )
    assert np.array_equal(fast.scores(QUERIES, vectors(), "dense"), fast.index.scores(vectors()))


@pytest.mark.parametrize("mode", MODES)
def test_a_query_is_answered_the_same_alone_and_in_company(mode: Mode) -> None:
    fast = ranker(fusion=Fusion(smoothing=0.3))
    together = fast.scores(QUERIES, vectors(), mode)
    for at, text in enumerate(QUERIES):
        np.testing.assert_allclose(fast.scores([text], vectors()[at : at + 1], mode)[0], together[at], atol=1e-5)


def test_inputs_are_left_as_they_were() -> None:
    fast, given_vectors = ranker(), vectors()
    before = fast.lexical.weights.copy()
    fast.scores(QUERIES, given_vectors)
    assert np.array_equal(given_vectors, vectors())
    assert (before != fast.lexical.weights).nnz == 0


def test_feedback_finds_what_the_best_documents_speak_of() -> None:
    # "car" and "automobile" never meet in the query, but in the document that it finds.
    texts = ["car automobile engine wheels", "automobile engine repair", "flower garden", "river boat", "cloud rain"]
    index = Index(3)
    index.add([str(at) for at in range(5)], np.ones((5, 3), np.float32))
    lexical = Lexical.build(texts, "en")
    blind = Ranker(lexical, index, Fusion(feedback=PLAIN)).scores(["car"], np.ones((1, 3), np.float32))[0]
    fed = Ranker(lexical, index, Fusion()).scores(["car"], np.ones((1, 3), np.float32))[0]
    assert blind[1] == pytest.approx(blind[2])
    assert top(fed[None], 2)[0].tolist() == [0, 1]
    assert fed[1] > fed[2] + 0.1


# --- smoothing


def slow_smoothing(scores: np.ndarray, unit: np.ndarray, share: float) -> np.ndarray:
    best = order(scores)[:200]
    found = scores.astype(np.float64).copy()
    for at in best:
        alike = {other: max(float(unit[at] @ unit[other]), 0.0) for other in best if other != at}
        border = sorted([*alike.values(), 0.0], reverse=True)[min(10, len(best) - 1)]
        kept = {other: value for other, value in alike.items() if value >= border}
        total = max(sum(kept.values()), 1e-12)
        neighbours = sum(value / total * scores[other] for other, value in kept.items())
        found[at] = (1 - share) * scores[at] + share * neighbours
    lift = max(0.0, float(scores.max() - found.max()))
    found[best] += lift
    return found


@pytest.mark.parametrize("n", [2, 7, 60, 300])
def test_smoothing_is_that_of_the_plain_twin(n: int) -> None:
    smooth = ranker(n, fusion=Fusion(smoothing=0.3))
    plain = Ranker(smooth.lexical, smooth.index, Fusion())
    found = smooth.scores(QUERIES, vectors())
    unit = smooth.index.vectors()
    for row, before in zip(found, plain.scores(QUERIES, vectors()), strict=True):
        np.testing.assert_allclose(row, slow_smoothing(before, unit, 0.3), atol=1e-4)


def test_smoothing_lifts_nothing_that_was_not_looked_at_above_the_best() -> None:
    smooth = ranker(400, fusion=Fusion(smoothing=0.9))
    plain = Ranker(smooth.lexical, smooth.index, Fusion()).scores(QUERIES, vectors())
    found = smooth.scores(QUERIES, vectors())
    for row, before in zip(found, plain, strict=True):
        assert int(row.argmax()) in set(top(before[None], 200)[0].tolist())


# --- ties and sizes


@given(st.lists(st.integers(-2, 2), min_size=1, max_size=40), st.integers(1, 45))
@settings(max_examples=150, deadline=None)
def test_the_top_is_a_full_sort_with_ties_in_the_order_of_documents(values: list[int], k: int) -> None:
    scores = np.array([values, values[::-1]], np.float32)
    for row, found in zip(scores, top(scores, k), strict=True):
        assert found.tolist() == order(row)[:k]


@pytest.mark.parametrize("rule", [ZSum(), ReciprocalRank()])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_documents_have_finite_scores(n: int, mode: Mode, rule: ZSum | ReciprocalRank) -> None:
    few = ranker(n, fusion=Fusion(rule=rule, smoothing=0.3))
    found = few.scores([*QUERIES], np.vstack([vectors(4), np.zeros((1, 8), np.float32)]), mode)
    assert found.shape == (5, n)
    assert np.isfinite(found).all()


def test_indexes_of_different_sizes_are_refused() -> None:
    big, small = ranker(5), ranker(4)
    with pytest.raises(InputError, match="5 documents in the lexical index, 4 in the dense one"):
        Ranker(big.lexical, small.index, Fusion())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Fusion(rule=ZSum(weight=-1)), "weight=-1 must lie between 0 and 100"),
        (lambda: Fusion(rule=ZSum(weight=float("nan"))), "weight=nan"),
        (lambda: Fusion(feedback=Feedback(strength=-1)), "strength 0 to 10"),
        (lambda: Fusion(feedback=Feedback(documents=0)), "at least 1 document"),
        (lambda: Fusion(feedback=Feedback(terms=0)), "at least 1 document and 1 term"),
        (lambda: Fusion(smoothing=1), "smoothing=1 must lie between 0 and 1"),
    ],
)
def test_a_fusion_out_of_range_is_told(make: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()  # type: ignore[operator]


def test_a_query_on_five_thousand_documents_takes_less_than_ten_milliseconds() -> None:
    rng = np.random.default_rng(0)
    n, dim, words = 5000, 256, np.array([f"word{i}" for i in range(30_000)])
    ends = np.cumsum(rng.integers(40, 160, n))
    drawn = words[rng.choice(len(words), int(ends[-1]), p=zipf(len(words)))]
    texts = [" ".join(part) for part in np.split(drawn, ends[:-1])]
    index = Index(dim)
    index.add([str(at) for at in range(n)], rng.standard_normal((n, dim)).astype(np.float32))
    fast = Ranker(Lexical.build(texts, "en"), index, Fusion())
    queries = [" ".join(rng.choice(text.split(), 8)) for text in texts[:25]]
    asked = rng.standard_normal((25, dim)).astype(np.float32)
    fast.scores(queries[:1], asked[:1])  # what is kept between queries is built once
    begin = time.process_time()
    for at, query in enumerate(queries):
        top(fast.scores([query], asked[at : at + 1]), 10)
    assert (time.process_time() - begin) / len(queries) < 0.020  # twice the promise, for slow machines
