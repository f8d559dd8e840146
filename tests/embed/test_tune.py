"""Tuning: gradients against torch and finite differences of a slow twin; what moves, what stays, what repeats."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from inlay.embed.tune import Fixed, Learned, Tune, _loss, info_nce, tune
from inlay.errors import InputError

# P pairs, V tokens, D dimensions, B pairs of a batch, R rows of the table


def slow(left: np.ndarray, right: np.ndarray, apart: np.ndarray, log_t: float) -> float:
    """The loss in plain double precision, a pair at a time."""
    total = 0.0
    for a, b in ((left, right), (right, left)):
        for i in range(len(a)):
            scores = {
                j: a[i] @ b[j] / (np.linalg.norm(a[i]) * np.linalg.norm(b[j])) / np.exp(log_t)
                for j in range(len(b))
                if not apart[i, j]
            }
            total += np.log(sum(np.exp(score - scores[i]) for score in scores.values()))
    return total / (2 * len(left))


def differences(of: Any, at: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """The gradient of a function of an array, by central differences."""
    gradient = np.empty_like(at)
    for place in np.ndindex(at.shape):
        moved = at.copy()
        moved[place] += step
        up = of(moved)
        moved[place] -= 2 * step
        gradient[place] = (up - of(moved)) / (2 * step)
    return gradient


def random_apart(rng: np.random.Generator, size: int, documents: int) -> np.ndarray:
    of = rng.integers(0, documents, size)
    return (of[:, None] == of) & ~np.eye(size, dtype=bool)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("documents", [2, 1000], ids=["apart", "all against all"])
def test_info_nce_and_its_gradients_are_those_of_finite_differences(seed: int, documents: int) -> None:
    rng = np.random.default_rng(seed)
    left, right = rng.standard_normal((2, 5, 7))
    apart, log_t = random_apart(rng, 5, documents), np.log(0.3)
    loss, to_left, to_right, to_log_t = info_nce(
        left.astype(np.float32), right.astype(np.float32), apart, float(np.exp(log_t))
    )
    assert loss == pytest.approx(slow(left, right, apart, log_t), abs=1e-5)
    np.testing.assert_allclose(to_left, differences(lambda x: slow(x, right, apart, log_t), left), atol=1e-5)
    np.testing.assert_allclose(to_right, differences(lambda x: slow(left, x, apart, log_t), right), atol=1e-5)
    by_t = differences(lambda x: slow(left, right, apart, float(x[0])), np.array([log_t]))
    assert to_log_t == pytest.approx(float(by_t[0]), abs=1e-4)


def batch(seed: int, size: int = 12, rows: int = 40, dim: int = 16) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    table = rng.standard_normal((rows, dim)).astype(np.float32)
    q = rng.poisson(0.15, (size, rows)).astype(np.float32)
    p = rng.poisson(0.4, (size, rows)).astype(np.float32)
    q[:, 0] += q.sum(axis=1) == 0  # no empty text: its direction is not defined
    p[:, 1] += p.sum(axis=1) == 0
    return table, csr_matrix(q), csr_matrix(p), rng.integers(0, 8, size)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dims", [(), (4, 9)])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_the_whole_loss_and_its_gradient_are_those_of_torch(
    seed: int, dims: tuple[int, ...], temperature: float
) -> None:
    torch = pytest.importorskip("torch")
    table, q, p, documents = batch(seed)
    loss, gradient, to_log_t = _loss(table, q, p, documents, temperature, dims)

    weights = torch.tensor(table, dtype=torch.float64, requires_grad=True)
    log_t = torch.tensor(np.log(temperature), dtype=torch.float64, requires_grad=True)
    left, right = (torch.tensor(x.toarray(), dtype=torch.float64) @ weights for x in (q, p))
    same = torch.tensor(documents[:, None] == documents) & ~torch.eye(len(documents), dtype=torch.bool)
    losses, labels = [], torch.arange(len(documents))
    for length in (*dims, table.shape[1]):
        a, b = (torch.nn.functional.normalize(x[:, :length]) for x in (left, right))
        logits = (a @ b.T / log_t.exp()).masked_fill(same, -torch.inf)
        losses += [torch.nn.functional.cross_entropy(way, labels) for way in (logits, logits.T)]
    theirs = torch.stack(losses).mean()
    theirs.backward()

    assert loss == pytest.approx(theirs.item(), abs=1e-5)
    scale = max(1.0, float(weights.grad.abs().max()))
    np.testing.assert_allclose(gradient, weights.grad.numpy(), atol=2e-5 * scale)
    assert to_log_t == pytest.approx(log_t.grad.item(), abs=1e-4 * max(1.0, abs(log_t.grad.item())))


@given(st.integers(0, 10**6), st.integers(2, 9), st.sampled_from([0.01, 0.1, 10.0]))
@settings(max_examples=50, deadline=None)
def test_any_batch_has_a_finite_loss_that_is_not_negative(seed: int, size: int, temperature: float) -> None:
    rng = np.random.default_rng(seed)
    left, right = rng.standard_normal((2, size, 3)).astype(np.float32)
    left[0] = 0  # a text without a known token
    found = info_nce(left, right, random_apart(rng, size, 3), temperature)
    assert found[0] >= 0
    assert all(np.isfinite(part).all() for part in found)


def corpus(pairs: int = 300, tokens: int = 80, seed: int = 0) -> tuple[Any, ...]:
    """Pairs whose query and text share a topic, not a word; the last ten tokens stand in none."""
    rng = np.random.default_rng(seed)
    topic = rng.integers(0, 7, pairs)
    q, p = np.zeros((2, pairs, tokens), np.float32)
    for row, of in enumerate(topic):
        q[row, of * 5 + rng.integers(0, 5, 4)] += 1
        p[row, 35 + of * 5 + rng.integers(0, 5, 6)] += 1
    table = rng.standard_normal((tokens, 12)).astype(np.float32)
    return table, csr_matrix(q), csr_matrix(p), np.arange(pairs)


CONFIG = Tune(steps=60, batch=32, rate=0.02)


def run(config: Tune = CONFIG, seed: int = 0, data: tuple[Any, ...] | None = None) -> tuple[np.ndarray, list[float]]:
    return tune(*(data or corpus()), config, np.random.default_rng(seed))  # type: ignore[misc]


@pytest.mark.parametrize("temperature", [Fixed(), Learned()])
@pytest.mark.parametrize("dims", [(), (4,)])
def test_the_loss_falls_and_a_query_comes_to_its_own_topic(temperature: Fixed | Learned, dims: tuple[int, ...]) -> None:
    table, losses = run(replace(CONFIG, temperature=temperature, dims=dims))
    assert len(losses) == CONFIG.steps
    assert np.mean(losses[-10:]) < 0.75 * np.mean(losses[:5])
    topics = table[:70].reshape(2, 7, 5, 12).mean(axis=2)[..., : dims[0] if dims else 12]
    topics /= np.linalg.norm(topics, axis=-1, keepdims=True)
    assert ((topics[0] @ topics[1].T).argmax(axis=1) == np.arange(7)).all()


def test_rows_that_no_pair_touches_stay_as_they_were_scaled() -> None:
    start, *pairs = corpus()
    before = start.copy()
    table, _ = run(data=(start, *pairs))
    scaled = start * (CONFIG.spread / np.sqrt(np.mean(np.square(start))))
    np.testing.assert_allclose(table[70:], scaled[70:], rtol=1e-6)
    assert (np.abs(table[:70] - scaled[:70]).max(axis=1) > 1e-3).all()
    assert np.array_equal(start, before)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_scale_of_the_start_does_not_matter(scale: float) -> None:
    start, *pairs = corpus()
    table, losses = run(data=(start * np.float32(scale), *pairs))
    _, expected = run()
    np.testing.assert_allclose(losses, expected, atol=1e-3)
    assert np.isfinite(table).all()


def test_the_same_seed_gives_the_same_bits_and_another_gives_others() -> None:
    first, losses = run(seed=3)
    again, same = run(seed=3)
    assert first.tobytes() == again.tobytes()
    assert losses == same
    assert run(seed=4)[1] != losses


def test_every_pair_is_seen_before_any_comes_again() -> None:
    start, q, p, documents = corpus(pairs=64)
    # Two steps of 32 see all 64 pairs, so that every token of theirs moves.
    table, _ = tune(start, q, p, documents, Tune(steps=2, batch=32), np.random.default_rng(0))
    scaled = start * (0.15 / np.sqrt(np.mean(np.square(start))))
    used = np.flatnonzero((q.toarray() + p.toarray()).any(axis=0))
    assert (np.abs(table - scaled)[used].max(axis=1) > 1e-4).all()


def test_a_batch_larger_than_the_pairs_takes_them_all() -> None:
    assert len(run(Tune(steps=3, batch=4096), data=corpus(pairs=5))[1]) == 3


def test_a_table_of_zeros_is_no_reason_to_fail() -> None:
    start, *pairs = corpus()
    table, losses = run(data=(np.zeros_like(start), *pairs))
    assert np.isfinite(table).all()
    assert np.isfinite(losses).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "tune.steps=0 must be at least 1"),
        ({"batch": 1}, "tune.batch=1 must be at least 2"),
        ({"rate": 0}, "tune.rate=0 must lie between 0 and 1"),
        ({"rate": float("nan")}, "tune.rate=nan"),
        ({"temperature": Fixed(value=0)}, "tune.temperature=0"),
        ({"temperature": Learned(start=11)}, "tune.temperature=11"),
        ({"spread": 0.0}, "tune.spread=0.0 must be above 0"),
        ({"dims": (12,)}, r"tune.dims=\(12,\) must lie between 1 and 11"),
        ({"dims": (0, 4)}, "tune.dims"),
    ],
)
def test_a_value_out_of_range_is_named_with_its_rule(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run(replace(CONFIG, **change))


@pytest.mark.parametrize("pairs", [0, 1])
def test_too_few_pairs_are_told(pairs: int) -> None:
    with pytest.raises(InputError, match=f"{pairs} training pairs are too few"):
        run(data=corpus(pairs=pairs))


def test_a_learned_temperature_never_falls_below_its_least() -> None:
    # With a huge rate the temperature would run away at once.
    _, losses = run(replace(CONFIG, temperature=Learned(start=0.1, least=0.05), rate=0.5))
    assert np.isfinite(losses).all()
