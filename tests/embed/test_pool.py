"""Pooling: hand-computed numbers, sentence-transformers' own, and the same sums in however many parts."""

from typing import Any, get_args

import numpy as np
import pytest

from inlay.embed.pool import CLS, Last, Max, Mean, MeanSqrt, Pool, Segments, Weighted, merged, pool, summaries

POOLS: list[Pool] = [case() for case in get_args(Pool)]
THEIRS = {
    CLS: "cls",
    Mean: "mean",
    Max: "max",
    MeanSqrt: "mean_sqrt_len_tokens",
    Weighted: "weightedmean",
    Last: "lasttoken",
}
EVERY = pytest.mark.parametrize("how", POOLS, ids=lambda how: type(how).__name__)
LENGTHS = np.array([3, 1, 0, 7, 2])


def rows(n: int, dim: int = 5) -> np.ndarray:
    return np.random.default_rng(n).standard_normal((n, dim)).astype(np.float32)


@pytest.mark.parametrize(
    ("how", "vector"),
    [
        (CLS(), [1, -2]),
        (Last(), [8, 4]),
        (Max(), [8, 4]),
        (Mean(), [4, 1]),
        (MeanSqrt(), [12 / 3**0.5, 3 / 3**0.5]),
        (Weighted(), [(1 + 2 * 3 + 3 * 8) / 6, (-2 + 2 * 1 + 3 * 4) / 6]),
    ],
)
def test_three_rows_give_the_numbers_computed_by_hand(how: Pool, vector: list[float]) -> None:
    found = pool(np.array([[1, -2], [3, 1], [8, 4]], np.float32), np.array([3]), how)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [vector], rtol=1e-6)


@EVERY
def test_a_text_without_tokens_is_zero_and_moves_nobody(how: Pool) -> None:
    made = rows(13)
    found = pool(made, LENGTHS, how)
    assert found.shape == (5, 5)
    assert not found[2].any()
    without = pool(made, LENGTHS[LENGTHS > 0], how)
    assert np.array_equal(found[[0, 1, 3, 4]], without)
    assert pool(made[:0], np.zeros(3, np.int64), how).shape == (3, 5)


@EVERY
def test_each_pool_is_that_of_sentence_transformers(how: Pool) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer.modules import Pooling

    lengths = np.array([3, 1, 7, 2])
    made = rows(13)
    keep = np.arange(7) < lengths[:, None]
    padded = np.zeros((4, 7, 5), np.float32)
    padded[keep] = made
    features: dict[str, Any] = {"token_embeddings": torch.tensor(padded), "attention_mask": torch.tensor(keep).long()}
    theirs = Pooling(5, pooling_mode=THEIRS[type(how)])(features)["sentence_embedding"].numpy()
    np.testing.assert_allclose(pool(made, lengths, how), theirs, atol=1e-6)


@EVERY
def test_neighbours_change_no_bit(how: Pool) -> None:
    lengths = np.random.default_rng(0).integers(1, 40, 30)
    made = rows(int(lengths.sum()), 33)
    together = pool(made, lengths, how)
    starts = np.cumsum(lengths) - lengths
    for start, size, vector in zip(starts, lengths, together, strict=True):
        assert np.array_equal(pool(made[start : start + size], np.array([size]), how)[0], vector)


@EVERY
def test_runs_summed_up_apart_are_pooled_as_one(how: Pool) -> None:
    made, sizes = rows(13), np.array([2, 1, 1, 4, 3, 2])
    groups, places = np.array([0, 0, 1, 3, 3, 4]), np.array([0, 2, 0, 0, 4, 0])
    segments = Segments(groups=groups, sizes=sizes, places=places)
    found = merged(summaries(made, sizes, places, [how, Mean()]), segments, [how, Mean()], 5)
    np.testing.assert_allclose(found[:, :5], pool(made, LENGTHS, how), atol=1e-6)
    np.testing.assert_allclose(found[:, 5:], pool(made, LENGTHS, Mean()), atol=1e-6)


def test_thousands_of_runs_lose_nothing_to_rounding() -> None:
    made = np.full((300_000, 1), 0.1, np.float32)
    sizes = np.full(3000, 100)
    segments = Segments(groups=np.zeros(3000, np.int64), sizes=sizes, places=np.arange(3000) * 100)
    found = merged(summaries(made, sizes, segments.places, [Mean()]), segments, [Mean()], 1)
    assert abs(found[0, 0] - 0.1) < 1e-7
