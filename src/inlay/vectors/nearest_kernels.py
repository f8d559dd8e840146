"""Loops of the exact search: dot products straight from the stored numbers, and the k largest kept in one pass."""

from typing import Any

from llvmlite import ir
from numba import float32, types, uint32
from numba.extending import intrinsic as _intrinsic

from inlay.vectors.compiled import compiled, exact

intrinsic: Any = _intrinsic  # its own type hides the arguments that it adds

# W words of a block, D dimensions, Q queries, k results

HALF_SCALE = 2.0**112
"""What `half_dots` must be made up for in the query: float32 has 112 more exponents below 1 than float16."""


@compiled
def dots(rows: Any, query: Any, scores: Any) -> None:
    """scores (W,) = rows (W, D), float32 or int8, times query (D,) float32."""
    for word in range(len(rows)):
        row, total = rows[word], float32(0)
        for d in range(len(query)):
            total += float32(row[d]) * query[d]
        scores[word] = total


@intrinsic
def _as_float(typing: Any, bits: Any) -> Any:
    """The float32 that these 32 bits are."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.uint32), emit


@compiled
def half_dots(rows: Any, query: Any, scores: Any) -> None:
    """scores (W,) = rows (W, D), the bits of finite float16, times query (D,) float32 / HALF_SCALE.

    The bits of a float16, moved into the places that float32 has for them, are the number divided by HALF_SCALE: so
    the loop needs no instruction that only some machines have.
    """
    for word in range(len(rows)):
        row, total = rows[word], float32(0)
        for d in range(len(query)):
            half = uint32(row[d])
            bits = ((half & uint32(0x7FFF)) << uint32(13)) | ((half & uint32(0x8000)) << uint32(16))
            total += _as_float(bits) * query[d]
        scores[word] = total


@exact
def keep_largest(scores: Any, first: Any, rows: Any, best: Any) -> None:
    """Merge scores (Q, W) of the words `first`, `first` + 1, ... into each query's k best: rows, best (Q, k).

    Each row of `best` is a heap with the least at the front: the smaller score, of equal ones the later word. Words
    come in order, so an equal score does not replace one that is there. NaN and minus infinity are never kept.
    """
    n_queries, n_words = scores.shape
    k = best.shape[1]
    for query in range(n_queries):
        least = best[query, 0]
        for word in range(n_words):
            score = scores[query, word]
            if not score > least:
                continue
            row, at = first + word, 0
            while True:  # the hole at the front sinks until the new one fits
                child = 2 * at + 1
                if child >= k:
                    break
                if child + 1 < k and _is_less(best[query], rows[query], child + 1, child):
                    child += 1
                if best[query, child] > score or (best[query, child] == score and rows[query, child] < row):
                    break
                best[query, at], rows[query, at] = best[query, child], rows[query, child]
                at = child
            best[query, at], rows[query, at] = score, row
            least = best[query, 0]


@exact
def _is_less(best: Any, rows: Any, a: Any, b: Any) -> bool:
    return best[a] < best[b] or (best[a] == best[b] and rows[a] > rows[b])
