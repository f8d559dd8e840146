"""Indexes of random vectors, for the tests of the index in memory and on disk."""

import numpy as np

from inlay.search.index import Index


def random_vectors(n: int, dim: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


def random_index(n: int, dim: int = 16, seed: int = 0, **options: int) -> Index:
    index = Index(dim, **options)
    index.add([f"d{i}" for i in range(n)], random_vectors(n, dim, seed))
    return index


def same(a: Index, b: Index) -> bool:
    return a.ids == b.ids and np.array_equal(a.vectors(), b.vectors())
