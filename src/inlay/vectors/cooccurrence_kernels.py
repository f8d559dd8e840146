"""Counting which words stand near each other: the loops over a corpus, as pure functions on arrays.

The corpus is gone through word by word, not place by place: all the places of a word first, so that one row of the
matrix is summed at a time. A row of sums fits in the cache, where a table of pairs does not, and its records come out
in order without sorting. Sums are whole numbers of a unit (see `inlay.vectors.cooccurrence`), so that no order of
adding changes them.
"""

# V words, n tokens. A row is a tuple of `sums` (V + 1,) float64, of which the last is for what is not wanted and never
# zero; `found` (V + 2,) int32, the words whose sum is not zero, as they came; `marks` (2, ...) uint64, which bring them
# into order: marks[0] has a bit for each word, marks[1] one for each 64 of them, all zero between two rows.

from typing import Any

from llvmlite import ir
from numba import int64, types, uint64
from numba.core import cgutils

from inlay.vectors.compiled import exact
from inlay.vectors.simd import intrinsic

_AHEAD = 8
"""Places of a word to look ahead: where they are in the text is not foreseen by the processor."""
_LINE = 12
"""Tokens before and behind a place whose cache lines are asked for: of a usual window they hold the most."""


@intrinsic
def lowest(typing: Any, bits: Any) -> Any:
    """The number of the lowest bit that is set in `bits`, which is not zero."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), emit


@intrinsic
def ask(typing: Any, tokens: Any, at: Any) -> Any:
    """Ask for the cache line of tokens[at], an (n,) array of int32, which need not exist."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        pointer = builder.bitcast(builder.gep(data, [args[1]]), ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, *[ir.IntType(32)] * 3])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [pointer, *(ir.Constant(ir.IntType(32), value) for value in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(tokens, types.int64), emit


@exact
def group(tokens: Any, begin: Any, end: Any, starts: Any, places: Any) -> None:
    """Write the places of word i in tokens[begin:end], counted from `begin`, to places[starts[i] : starts[i + 1]].

    `starts` (V + 1,) int64 is zero before.
    """
    for at in range(begin, end):
        if tokens[at] >= 0:
            starts[tokens[at]] += 1
    total = 0
    for word in range(len(starts)):
        total += starts[word]
        starts[word] = total
    for at in range(end - 1, begin - 1, -1):
        if tokens[at] >= 0:
            starts[tokens[at]] -= 1
            places[starts[tokens[at]]] = at - begin


@exact
def add(row: Any, n_found: Any, word: Any, x: Any) -> int:
    """sums[word] += x; returns the new number of words found. Without a branch: none could be foreseen."""
    sums, found, _ = row
    before = sums[word]
    found[n_found] = word
    sums[word] = before + x
    return n_found + int64(before == 0)


@exact
def take(row: Any, n_found: Any, i: Any, unit: Any, records: Any, n: Any) -> int:
    """Write the sums to records[n:] as (i, word, sum / unit), by word, and leave them zero; returns the new n.

    `records` has room for V of them.
    """
    sums, found, marks = row
    for k in range(n_found):
        word = found[k]
        marks[0, word >> 6] |= uint64(1) << uint64(word & 63)
        marks[1, word >> 12] |= uint64(1) << uint64((word >> 6) & 63)
    for block in range((len(sums) + 4095) >> 12):
        words = marks[1, block]
        marks[1, block] = 0
        while words:
            at = int64(block * 64 + lowest(words))
            words &= words - uint64(1)
            bits = marks[0, at]
            marks[0, at] = 0
            while bits:
                word = int64(at * 64 + lowest(bits))
                bits &= bits - uint64(1)
                records[n].i = i
                records[n].j = word
                records[n].x = sums[word] / unit
                sums[word] = 0
                n += 1
    return n


@exact
def count_rows(
    tokens: Any,  # (n,) int32, -1 between sentences
    begin: Any,
    starts: Any,  # (V + 1,) int64
    places: Any,  # int32, as `group` makes them
    i: Any,
    weights: Any,  # (window,) float64: what a neighbour counts at each distance
    symmetric: Any,
    row: Any,
    unit: Any,
    records: Any,
) -> Any:
    """Count the rows from i on, until they are done or `records` might overflow; returns the next i and how many.

    A neighbour stands at most `window` places before the word or, if `symmetric`, before or behind it; no window
    reaches over the end of a sentence. If `symmetric`, only the words j <= i get a record.
    """
    n, n_words = 0, len(starts) - 1
    while i < n_words and n + n_words <= len(records):
        last = i if symmetric else n_words - 1
        m = 0
        for k in range(starts[i], starts[i + 1]):
            if k + _AHEAD < starts[n_words]:
                ahead = begin + places[k + _AHEAD]
                ask(tokens, ahead - _LINE)
                ask(tokens, ahead + _LINE)
            at = begin + places[k]
            for distance in range(1, min(len(weights), at) + 1):
                word = tokens[at - distance]
                if word < 0:
                    break
                m = add(row, m, word if word <= last else n_words, weights[distance - 1])
            if symmetric:
                for distance in range(1, min(len(weights), len(tokens) - 1 - at) + 1):
                    word = tokens[at + distance]
                    if word < 0:
                        break
                    m = add(row, m, word if word <= last else n_words, weights[distance - 1])
        n = take(row, m, i, unit, records, n)
        i += 1
    return i, n


@exact
def merge_rows(
    runs: Any,  # records of all runs, one run behind the other, each in order
    at: Any,  # (runs,) int64: the next record of each run; moved on
    ends: Any,  # (runs,) int64
    i: Any,
    n_words: Any,
    row: Any,
    unit: Any,
    records: Any,
) -> Any:
    """As `count_rows`, where the runs together hold the sums: add up what they say of each row."""
    n = 0
    while i < n_words and n + n_words <= len(records):
        m = 0
        for run in range(len(at)):
            while at[run] < ends[run] and runs[at[run]].i == i:
                m = add(row, m, runs[at[run]].j, runs[at[run]].x)
                at[run] += 1
        n = take(row, m, i, unit, records, n)
        i += 1
    return i, n
