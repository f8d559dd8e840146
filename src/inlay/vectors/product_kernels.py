"""k-means with as many centroids as a byte can name: the loops over points."""

# n points of S dimensions, 256 centroids

from typing import Any

import numpy as np
from numba import int32

from inlay.vectors.compiled import compiled
from inlay.vectors.kernels import next_random


@compiled
def nearest(points: Any, centroids: Any, codes: Any) -> None:
    """codes[i] = the number of the centroid nearest to points[i]; `points` (n, S), `centroids` (S, 256) float32.

    Of centroids that are as far to 15 bits, the first.
    """
    distances = np.empty(256, np.float32)
    bits = distances.view(np.int32)  # floats that are not negative have the order of their bits
    for i in range(len(points)):
        distances[:] = 0
        for d in range(points.shape[1]):
            x = points[i, d]
            for c in range(256):
                difference = x - centroids[d, c]
                distances[c] += difference * difference
        least = int32(0x7FFFFFFF)
        for c in range(256):  # the number rides in the last bits, so that one loop without a branch finds it
            least = min(least, (bits[c] & int32(-256)) | int32(c))
        codes[i] = least & int32(255)


@compiled
def improve(points: Any, centroids: Any, codes: Any, rounds: Any, state: Any) -> None:
    """Move the centroids (S, 256) to the middle of the points that are nearest to them, `rounds` times.

    A centroid without points goes to a random one. `codes` (n,) uint8 is room for the work.
    """
    size, n_centroids = centroids.shape
    for _ in range(rounds):
        nearest(points, centroids, codes)
        sums, counts = np.zeros((size, n_centroids), np.float64), np.zeros(n_centroids, np.int64)
        for i in range(len(points)):
            counts[codes[i]] += 1
            for d in range(size):
                sums[d, codes[i]] += points[i, d]
        for c in range(n_centroids):
            lost = int((next_random(state) >> np.uint64(32)) % np.uint64(len(points)))
            for d in range(size):
                centroids[d, c] = sums[d, c] / counts[c] if counts[c] else points[lost, d]


@compiled
def add_up(lookups: Any, codes: Any, scores: Any) -> None:
    """scores[i] = the sum over the parts p of lookups[p, codes[i, p]]; `lookups` (P, 256) float32, `codes` (n, P)."""
    for i in range(len(codes)):
        total = np.float32(0)
        for p in range(codes.shape[1]):
            total += lookups[p, codes[i, p]]
        scores[i] = total
