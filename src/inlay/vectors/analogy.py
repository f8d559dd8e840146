"""What is to c as b is to a: the two ways to answer of Levy & Goldberg (2014), one question or thousands at a time."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError
from inlay.vectors import storage
from inlay.vectors.nearest import largest, only

if TYPE_CHECKING:
    from inlay.vectors.wordvectors import WordVectors

# Q questions, D dimensions, W words of a block, k answers


@dataclass(frozen=True)
class ThreeCosAdd:
    """The word x with the largest cos(x, b - a + c)."""


@dataclass(frozen=True)
class ThreeCosMul:
    """The word x with the largest cos(x, b) cos(x, c) / (cos(x, a) + epsilon), each cosine moved to 0 … 1."""

    epsilon: float = 1e-3

    def __post_init__(self) -> None:
        if not self.epsilon > 0:
            raise InputError(f"epsilon={self.epsilon} must be above 0; the paper's is 0.001")


Method = ThreeCosAdd | ThreeCosMul

ADD = ThreeCosAdd()


def answers(
    vectors: "WordVectors",
    given: NDArray[np.float32],
    k: int,
    *,
    method: Method = ADD,
    without: NDArray[np.int64] | None = None,
    restrict: int | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """((Q, k) rows, (Q, k) scores) of the answers to questions given by the vectors of a, b and c, (Q, 3, D).

    `without` (Q, n) are rows that are no answer, as a rule those of a, b and c; `restrict` looks at the first words.
    """
    if not isinstance(method, Method):
        raise InputError(f"method={method!r} must be ThreeCosAdd() or ThreeCosMul()")
    units = storage.units(given)
    if isinstance(method, ThreeCosAdd):
        queries, formula = (units[:, 1] - units[:, 0] + units[:, 2])[:, None], only
    else:
        epsilon = np.float32(method.epsilon)
        queries = units

        def formula(cosines: NDArray[np.float32]) -> NDArray[np.float32]:  # (Q, 3, W) -> (Q, W)
            near = (cosines + 1) / np.float32(2)
            return np.divide(near[:, 1] * near[:, 2], near[:, 0] + epsilon, dtype=np.float32)

    return largest(vectors.table, vectors.norms, queries, k, without=without, restrict=restrict, formula=formula)
