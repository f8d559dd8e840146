"""Huffman trees over words by their counts: the path of each word for hierarchical softmax (Morin & Bengio 2005)."""

# V words are the leaves 0 .. V - 1; V - 1 inner nodes follow in the order in which they are made, the root last
# L nodes on the paths of all words together

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.vectors.compiled import exact


def tree(counts: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.uint8], NDArray[np.int64]]:
    """(points (L,), codes (L,), starts (V + 1,)): word w passes the inner nodes points[starts[w] : starts[w + 1]],
    numbered from 0 and the root last, and turns at each as the code beside it says.

    `counts` (V,) fall and are at least 1, else an InputError. Of equal counts, an inner node goes before a word and a
    rarer word before a more frequent one: the tree that word2vec and fastText build.
    """
    if len(counts) == 0 or counts[-1] < 1 or (np.diff(counts) > 0).any():
        raise InputError("a Huffman tree needs words by falling count, each of at least 1; sort them")
    parents, codes = _join(np.ascontiguousarray(counts, np.int64))
    return _paths(parents, codes)


@exact
def _join(counts: Any) -> tuple:
    """(parents (2V - 1,) int64, codes (2V - 1,) uint8) of all nodes: the two least counts are joined, again and again.

    Inner nodes are made in order of their counts too, so the least is the last leaf or the first inner node left. The
    second of a pair has code 1; the root's parent is -1.
    """
    n = len(counts)
    total = np.empty(2 * n - 1, np.int64)
    total[:n] = counts
    parents, codes = np.full(2 * n - 1, -1, np.int64), np.zeros(2 * n - 1, np.uint8)
    leaf, node = n - 1, n
    for new in range(n, 2 * n - 1):
        total[new] = 0
        for code in range(2):
            if leaf >= 0 and (node == new or total[leaf] < total[node]):
                least = leaf
                leaf -= 1
            else:
                least = node
                node += 1
            parents[least], codes[least] = new, code
            total[new] += total[least]
    return parents, codes


@exact
def _paths(parents: Any, codes: Any) -> tuple:
    """(points, codes, starts) of the leaves' ways to the root."""
    n = (len(parents) + 1) // 2
    depth = np.zeros(len(parents), np.int64)
    for node in range(len(parents) - 2, -1, -1):
        depth[node] = depth[parents[node]] + 1
    starts = np.zeros(n + 1, np.int64)
    starts[1:] = np.cumsum(depth[:n])
    points, turns = np.empty(starts[n], np.int32), np.empty(starts[n], np.uint8)
    for word in range(n):
        node, at = word, starts[word]
        while parents[node] >= 0:
            points[at], turns[at] = parents[node] - n, codes[node]
            node = parents[node]
            at += 1
    return points, turns, starts
