"""General text: sentences of everyday subjects, and how far two models agree on which of them are alike.

Every row of general.json is a sentence, the same said otherwise, and two more of kindred subjects, so that pairs of
sentences are of all degrees of likeness. They were written for this purpose, and are no one's training text.
"""

# S sentences, D dimensions, P pairs, R rows

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inlay.embed.static import unit
from inlay.evaluate.intervals import rank_correlations
from inlay.files import read_json

_FILE = Path(__file__).with_name("general.json")


def general_sentences(lang: str) -> list[str]:
    """The sentences of a language: Chinese or English, and English for all others."""
    rows = read_json(_FILE)["zh" if lang == "zh" else "en"]
    return [sentence for row in rows for sentence in row]


def agreement(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    """Spearman's correlation of the cosines of all pairs of rows (S, D), by one model and by another.

    1 where both order all pairs alike, and 0 where one of them tells no pair from another.
    """
    pairs = np.triu_indices(len(before), 1)
    one, other = ((unit(vectors) @ unit(vectors).T)[pairs].astype(np.float64) for vectors in (before, after))
    return float(correlations(one[None], other[None])[0])


def similarity(left: NDArray[np.float32], right: NDArray[np.float32], scores: Sequence[float]) -> float:
    """Spearman's correlation of the cosines of rows with scores that people gave the pairs."""
    return float(correlations(cosines(left, right)[None], np.asarray(scores, np.float64)[None])[0])


def cosines(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float64]:
    """(P,) of the rows (P, D) of one side with those of the other."""
    return np.einsum("pd,pd->p", unit(left), unit(right), dtype=np.float64)


def correlations(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """(R,) Spearman's correlation of each row (R, P) with its row; 0 where one of the two is constant."""
    return np.nan_to_num(rank_correlations(a, b))
