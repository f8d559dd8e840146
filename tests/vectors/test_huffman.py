"""Huffman trees: the paths of fastText, shortest on the whole, and probabilities that sum to one."""

import heapq

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twins import WIDTH, alone, path_of

from inlay.errors import InputError
from inlay.vectors import huffman, kernels

COUNTS = st.lists(st.integers(1, 50), min_size=1, max_size=60).map(lambda counts: sorted(counts, reverse=True))


def fasttext_paths(counts):
    """The paths that fastText's loop finds, with its sentinel for a node that is not there yet."""
    n = len(counts)
    total, parent, binary = [*counts, *[10**15] * (n - 1)], [-1] * (2 * n - 1), [0] * (2 * n - 1)
    leaf, node = n - 1, n
    for new in range(n, 2 * n - 1):
        pair = []
        for _ in range(2):
            if leaf >= 0 and total[leaf] < total[node]:
                pair.append(leaf)
                leaf -= 1
            else:
                pair.append(node)
                node += 1
        total[new] = total[pair[0]] + total[pair[1]]
        parent[pair[0]] = parent[pair[1]] = new
        binary[pair[1]] = 1
    found = []
    for word in range(n):
        path, at = [], word
        while parent[at] != -1:
            path.append((parent[at] - n, binary[at]))
            at = parent[at]
        found.append(path)
    return found


def paths(tree):
    points, codes, starts = (part.tolist() for part in tree)
    return [list(zip(points[a:b], codes[a:b], strict=True)) for a, b in zip(starts[:-1], starts[1:], strict=True)]


def probabilities(scores, tree):
    """(V,) where inner node i scores scores[i]: at each node of a path, σ of the score is the chance of code 1."""
    chances = 1 / (1 + np.exp(-np.asarray(scores, float)))
    return np.array(
        [np.prod([chances[node] if code else 1 - chances[node] for node, code in path]) for path in paths(tree)]
    )


@given(COUNTS)
@settings(max_examples=60, deadline=None)
def test_paths_are_those_of_fasttext_and_as_short_as_a_heap_finds_them(counts):
    tree = huffman.tree(np.array(counts))
    assert paths(tree) == fasttext_paths(counts)
    heap, cost = list(counts), 0
    heapq.heapify(heap)
    while len(heap) > 1:
        pair = heapq.heappop(heap) + heapq.heappop(heap)
        cost += pair
        heapq.heappush(heap, pair)
    assert int((np.diff(tree[2]) * counts).sum()) == cost


@given(COUNTS)
@settings(max_examples=40, deadline=None)
def test_the_probabilities_of_all_words_sum_to_one(counts):
    scores = np.random.default_rng(len(counts)).normal(0, 3, max(len(counts) - 1, 1))
    assert probabilities(scores, huffman.tree(np.array(counts))).sum() == pytest.approx(1)


def test_the_codes_of_a_small_tree_are_those_found_by_hand():
    """the:4, cat:2, sat:1, mat:1: mat and sat first, then cat with them, then all with `the`."""
    assert paths(huffman.tree(np.array([4, 2, 1, 1]))) == [
        [(2, 1)],
        [(1, 1), (2, 0)],
        [(0, 1), (1, 0), (2, 0)],
        [(0, 0), (1, 0), (2, 0)],
    ]


def test_the_step_along_a_path_is_the_gradient_of_minus_log_probability():
    rng = np.random.default_rng(3)
    tree = huffman.tree(np.array([9, 5, 4, 2, 1, 1]))
    h, nodes = np.zeros((1, WIDTH), np.float32), np.zeros((5, WIDTH), np.float32)
    h[0, :3], nodes[:, :3] = rng.normal(0, 1, 3), rng.normal(0, 1, (5, 3))

    def loss(h, nodes, word):
        return -np.log(probabilities(nodes.astype(float) @ h[0].astype(float), tree)[word])

    for word in range(6):
        outs, step = np.empty(8, np.int64), np.empty((2, 8), np.float32)
        used = kernels.choose_path(word, *tree, np.float32(1), outs, step)
        moved, error = nodes.copy(), np.empty((1, WIDTH), np.float32)
        kernels.predict(h, 0, moved, outs[:used], step, error, WIDTH)
        np.testing.assert_allclose(error[0], alone(h[0], nodes.copy(), *path_of(word, tree, np.float32(1))), atol=2e-6)
        for table, gradient in ((h, -error), (nodes, nodes - moved)):
            for place in np.ndindex(len(table), 3):
                up, down = table.astype(float), table.astype(float)
                up[place] += 1e-5
                down[place] -= 1e-5
                both = [(x, nodes) if table is h else (h, x) for x in (up, down)]
                slope = (loss(*both[0], word) - loss(*both[1], word)) / 2e-5
                assert gradient[place] == pytest.approx(slope, abs=1e-4)


@pytest.mark.parametrize("counts", [[], [1, 2], [3, 0], [0]], ids=str)
def test_counts_that_do_not_fall_or_are_zero_are_refused(counts):
    with pytest.raises(InputError, match="by falling count, each of at least 1"):
        huffman.tree(np.array(counts, np.int64))
