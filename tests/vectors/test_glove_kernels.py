"""The compiled loops of GloVe against slow twins in plain NumPy, and against the differences of its loss."""

import numpy as np
import pytest

from inlay.vectors import glove_kernels
from inlay.vectors.compiled import exact
from inlay.vectors.cooccurrence_kernels import lowest
from inlay.vectors.glove_state import State
from inlay.vectors.simd import LANES, load, rsqrt, store
from inlay.vectors.visits import PAIR

ALPHA = 0.05
DIM = 11


def state(n_words=30, dim=DIM, seed=0, scale=3.0):
    """Tables as large as those of trained words."""
    rng = np.random.default_rng(seed)
    made = State.new(n_words, dim, rng)
    for part, bias in ((0, dim), (1, dim + 1)):
        made.rows(part)[:, [*range(dim), bias]] = rng.normal(0, scale / dim**0.5, (n_words, dim + 1))
        made.squares(part)[:, : dim + 2] += rng.random((n_words, dim + 2))
    return made


def pairs(n_words=30, n=150, seed=0):
    """Pairs (i, j <= i), those of one i in a row; also some of a word with itself."""
    rng = np.random.default_rng(seed)
    found = np.unique(np.sort(rng.integers(0, n_words, (n, 2)))[:, ::-1], axis=0)
    made = np.empty(len(found), PAIR)
    made["anchor"], made["other"] = 2 * found[:, 0], 2 * found[:, 1] + 1
    made["log"], made["weight"] = rng.normal(0, 2, len(made)), rng.random(len(made))
    return made


def twin_visit(table, pairs, order, tiles, width, alpha, two_way):
    """As `visit`, in float64, from the order of the pairs."""
    table = table.astype(np.float64)
    loss = 0.0
    for begin, end in tiles:
        tile = [pairs[k] for k in order[begin:end]]
        before = table.copy()
        for way in range(1 + two_way):
            a = int(tile[0]["anchor"]) ^ way
            here, change, more = table[a, :width].copy(), np.zeros(width), np.zeros(width)
            for pair in tile:
                o = int(pair["other"]) ^ way
                if way and o == a ^ 1:
                    continue  # its own twin
                error = before[a, :width] @ before[o, :width] - pair["log"]
                loss += pair["weight"] * error**2
                step = -alpha * pair["weight"] * error
                s, t = step * here, step * table[o, :width]
                table[o, width:] += s * s
                table[o, :width] += s / np.sqrt(table[o, width:])
                change, more = change + t, more + t * t
            table[a, width:] += more
            table[a, :width] = here + change / np.sqrt(table[a, width:])
    return table, loss


@pytest.mark.parametrize("two_way", [True, False])
@pytest.mark.parametrize("dim", [1, DIM, LANES, 100])
def test_a_visit_is_adagrad_as_its_slow_twin_does_it(dim, two_way):
    tables, todo = state(dim=dim), pairs()
    order, tiles = glove_kernels.shuffled(todo, np.array([9], np.uint64))
    expected, expected_loss = twin_visit(tables.table, todo, order, tiles, tables.width, ALPHA, two_way)
    loss, n = glove_kernels.visit(tables.table, todo, tables.width, ALPHA, two_way, np.array([9], np.uint64))
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-3)
    own = np.count_nonzero(todo["anchor"] ^ 1 == todo["other"])
    assert own
    assert n == (2 * len(todo) - own if two_way else len(todo))
    np.testing.assert_allclose(tables.table, expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("two_way", [True, False])
def test_biases_learn_and_what_they_are_multiplied_with_does_not(two_way):
    tables = state()
    before = tables.table.copy()
    glove_kernels.visit(tables.table, pairs(), tables.width, ALPHA, two_way, np.array([9], np.uint64))
    for part, bias, one in ((0, DIM, DIM + 1), (1, DIM + 1, DIM)):
        assert (tables.rows(part)[:, one] == 1).all()
        assert np.isinf(tables.squares(part)[:, one]).all()
        assert (tables.rows(part)[:, bias] != before[part::2, bias]).any()
        assert not tables.rows(part)[:, DIM + 2 :].any()


def loss_of(rows, pair, two_way):
    """f(x) (w · w̃ + b + b̃ - log x)² / 2 from the vectors alone, without the trick of the two columns."""
    total = 0.0
    for way in range(1 + two_way):
        main, context = (rows[pair["anchor"]], rows[pair["other"]])
        if way:
            main, context = rows[pair["other"] ^ 1], rows[pair["anchor"] ^ 1]
        product = main[:DIM] @ context[:DIM] + main[DIM] + context[DIM + 1]
        total += pair["weight"] * (product - pair["log"]) ** 2 / 2
    return total


@pytest.mark.parametrize("two_way", [True, False])
def test_steps_are_the_slopes_of_the_loss_by_finite_differences(two_way):
    tables, todo = state(), pairs()
    todo = todo[(todo["anchor"] ^ 1 != todo["other"])][7:8]
    tables.squares(0)[:, :DIM] = tables.squares(1)[:, :DIM] = 1
    tables.squares(0)[:, DIM] = tables.squares(1)[:, DIM + 1] = 1
    rows = tables.table[:, : tables.width].astype(np.float64)
    tiny = 1e-4
    loss, _ = glove_kernels.visit(tables.table, todo, tables.width, tiny, two_way, np.array([9], np.uint64))
    np.testing.assert_allclose(loss / 2, loss_of(rows, todo[0], two_way), rtol=1e-5)
    moved = (tables.table[:, : tables.width] - rows) / -tiny
    for row in (int(todo[0]["anchor"]), int(todo[0]["other"]), int(todo[0]["anchor"]) ^ 1, int(todo[0]["other"]) ^ 1):
        for column in [*range(DIM), DIM + (row & 1)]:
            change = np.zeros_like(rows)
            change[row, column] = 1e-6
            slope = (loss_of(rows + change, todo[0], two_way) - loss_of(rows - change, todo[0], two_way)) / 2e-6
            assert moved[row, column] == pytest.approx(slope, rel=1e-2, abs=1e-2)


def test_tiles_have_every_pair_once_and_one_anchor_each():
    todo = pairs(n=400)
    seen = set()
    for seed in range(1, 20):
        order, tiles = glove_kernels.shuffled(todo, np.array([seed], np.uint64))
        seen.add(tuple(order))
        assert sorted(order) == list(range(len(todo)))
        assert sorted(k for begin, end in tiles for k in range(begin, end)) == list(range(len(todo)))
        assert {len(set(todo["anchor"][order[begin:end]])) for begin, end in tiles} == {1}
        sizes = np.diff(tiles)[:, 0]
        assert (sizes.min(), sizes.max()) == (1, 4)
        assert len(tiles) == sum(-(-n // 4) for n in np.unique(todo["anchor"], return_counts=True)[1])
    assert len(seen) == 19


def test_chance_is_fair_to_tiles_and_to_the_pairs_of_an_anchor():
    todo = pairs(n=30)
    drawn = [glove_kernels.shuffled(todo, np.array([seed], np.uint64)) for seed in range(1, 2001)]
    firsts = np.bincount([order[tiles[0, 0]] for order, tiles in drawn], minlength=len(todo))
    _, group, sizes = np.unique(todo["anchor"], return_inverse=True, return_counts=True)
    n_tiles = -(-sizes // 4)
    expected = 2000 * (n_tiles / sizes)[group] / n_tiles.sum()
    assert (np.abs(firsts - expected) < 4 * np.sqrt(expected)).all()


def test_what_a_seed_draws_for_words_is_even():
    drawn = np.array([glove_kernels.drawn(np.uint64(7), word, 10) for word in range(20_000)])
    assert np.bincount(drawn, minlength=10).min() > 1800
    assert np.bincount(drawn).max() < 2200


@exact
def roots(table):
    store(table, 1, 0, rsqrt(load(table, 0, 0)))


def test_the_fast_root_is_close_and_zero_for_infinity():
    table = np.zeros((2, LANES), np.float32)
    table[0] = np.geomspace(1e-6, 1e30, LANES)
    table[0, 0] = np.inf
    roots(table)
    assert table[1, 0] == 0
    np.testing.assert_allclose(table[1, 1:], table[0, 1:].astype(np.float64) ** -0.5, rtol=4e-4)


@exact
def lowest_of(bits):
    return lowest(bits)


def test_the_lowest_bit():
    assert [lowest_of(np.uint64(bits)) for bits in (1, 2, 6, 1 << 63, 3 << 40)] == [0, 1, 1, 63, 40]
