"""From many dimensions to the plane: PCA, t-SNE and UMAP, the same points each time for the same rows."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError, missing_extra

# N points, D dimensions, C components

MOST = 5000
"""Points of a map at most: more could not be told apart."""
_NOISE_FREE = 50
"""Components that t-SNE and UMAP work on: the rest is noise, and costs time."""


@dataclass(frozen=True, kw_only=True)
class Pca:
    """The two directions in which the points differ most: fast, and far apart on the map is far apart in truth."""

    name = "PCA"


@dataclass(frozen=True, kw_only=True)
class Tsne:
    """t-SNE (van der Maaten & Hinton 2008): neighbours stay neighbours; distances between groups mean nothing."""

    perplexity: float = 30.0
    """About how many neighbours each point has; at most a third of the points."""
    seed: int = 0

    name = "t-SNE"

    def __post_init__(self) -> None:
        if not 1 <= self.perplexity < MOST:
            raise InputError(f"perplexity={self.perplexity} must lie between 1 and {MOST}; 30 is usual")
        _check_seed(self.seed)


@dataclass(frozen=True, kw_only=True)
class Umap:
    """UMAP (McInnes et al. 2018, arXiv:1802.03426): neighbours stay neighbours, and groups lie as they are related."""

    neighbours: int = 15
    """How many neighbours each point keeps near; more show the whole better, fewer the detail."""
    seed: int = 0

    name = "UMAP"

    def __post_init__(self) -> None:
        if not 2 <= self.neighbours < MOST:
            raise InputError(f"neighbours={self.neighbours} must lie between 2 and {MOST}; 15 is usual")
        _check_seed(self.seed)


Method = Pca | Tsne | Umap
PCA = Pca()


def method_of(name: str, seed: int = 0) -> Method:
    """The method of the command line: pca, tsne or umap."""
    if name == "pca":
        return PCA
    return Tsne(seed=seed) if name == "tsne" else Umap(seed=seed)


def flat(units: NDArray[np.float64], method: Method) -> NDArray[np.float64]:
    """(N, D) rows of length 1 -> (N, 2) places; wider than high, and no point far from the others by a turn alone.

    Raises InputError where the method's package is not installed.
    """
    if isinstance(method, Pca):
        return components(units, 2)
    found = _tsne(units, method) if isinstance(method, Tsne) else _umap(units, method)
    return components(np.asarray(found, np.float64), 2)


def components(rows: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """(N, C) the rows on their n main directions, the one that differs most first (zeros where there are fewer).

    Each direction points so that its largest number is positive: the same rows give the same map.
    """
    centred = rows - rows.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)  # (D, D): by growing variance
    axes = axes[:, ::-1][:, :n]
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    places = np.zeros((len(rows), n))
    places[:, : axes.shape[1]] = centred @ axes
    return places


def _tsne(units: NDArray[np.float64], method: Tsne) -> NDArray[np.float64]:
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        raise missing_extra("t-SNE", "scikit-learn", "viz") from None
    dense = components(units, max(min(_NOISE_FREE, units.shape[1]), 2))
    if not dense.any():
        return dense[:, :2]  # all points are one, and there is nothing to spread
    perplexity = min(method.perplexity, max(1.0, (len(units) - 1) / 3))
    found: NDArray[np.float64] = TSNE(perplexity=perplexity, init="pca", random_state=method.seed).fit_transform(dense)
    return found


def _umap(units: NDArray[np.float64], method: Umap) -> NDArray[np.float64]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it speaks of its threads, and of packages that it could use
        try:
            from umap import UMAP
        except ImportError:
            raise missing_extra("UMAP", "umap-learn", "viz") from None
        dense = components(units, max(min(_NOISE_FREE, units.shape[1]), 2))
        if not dense.any():
            return dense[:, :2]
        neighbours = max(2, min(method.neighbours, len(units) - 1))
        # A spectral start needs more points than directions that it looks for.
        start = "spectral" if len(units) > 10 else "random"
        found: NDArray[np.float64] = UMAP(
            n_neighbors=neighbours, init=start, random_state=method.seed, n_jobs=1
        ).fit_transform(dense)
    return found


def _check_seed(seed: int) -> None:
    if not 0 <= seed < 2**32:
        raise InputError(f"seed={seed} must lie between 0 and {2**32 - 1}")
