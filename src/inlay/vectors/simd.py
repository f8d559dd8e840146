"""Eight floats in one register: the few operations that the word-vector kernels need, as numba intrinsics.

Plain loops cannot keep a tile of sums in registers, and run at less than half the speed. A table is a C-contiguous
(rows, columns) float32 array; `load(table, r, d)` is table[r, d : d + 8], which the caller keeps inside the row.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models, register_default
from numba.extending import intrinsic as _intrinsic

LANES = 8
intrinsic: Any = _intrinsic  # its own type hides the arguments that it adds
_FLOAT, _INT = ir.FloatType(), ir.IntType(32)
_FLOATS, _INTS = ir.VectorType(_FLOAT, LANES), ir.VectorType(_INT, LANES)


class _EightType(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Eight")


EIGHT = _EightType()


@register_default(_EightType)
class _EightModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _FLOATS)


@intrinsic
def load(typing: Any, table: Any, row: Any, column: Any) -> Any:
    """table[row, column : column + 8]"""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = builder.load(_pointer(context, builder, signature, args, _FLOATS))
        value.align = 4
        return value

    return EIGHT(table, types.int64, types.int64), emit


@intrinsic
def store(typing: Any, table: Any, row: Any, column: Any, eight: Any) -> Any:
    """table[row, column : column + 8] = eight"""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[3], _pointer(context, builder, signature, args, _FLOATS)).align = 4
        return context.get_dummy_value()

    return types.void(table, types.int64, types.int64, EIGHT), emit


@intrinsic
def spread(typing: Any, table: Any, row: Any, column: Any) -> Any:
    """table[row, column], eight times."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        scalar = builder.load(_pointer(context, builder, signature, args, _FLOAT))
        one = builder.insert_element(ir.Constant(_FLOATS, ir.Undefined), scalar, ir.Constant(_INT, 0))
        return _shuffle(builder, one, one, [0] * LANES)

    return EIGHT(table, types.int64, types.int64), emit


@intrinsic
def zero(typing: Any) -> Any:
    """Eight zeros."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _constant(0.0)

    return EIGHT(), emit


@intrinsic
def plus(typing: Any, a: Any, b: Any) -> Any:
    """a + b"""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fadd(*args)

    return EIGHT(EIGHT, EIGHT), emit


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, rounded once."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _call(builder, "llvm.fma.v8f32", args)

    return EIGHT(EIGHT, EIGHT, EIGHT), emit


@intrinsic
def sums(typing: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any) -> Any:
    """(sum a, sum b, sum c, sum d, sum e, sum f, 0, 0): a tree of additions that halves the registers three times."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        level = [*args, _constant(0.0), _constant(0.0)]
        for width in (1, 2, 4):
            low = [lane for lane in range(2 * LANES) if not lane & width]
            order = [(lane % LANES // (2 * width), lane // LANES, lane % width) for lane in low]
            low = [lane for _, lane in sorted(zip(order, low, strict=True))]
            high = [lane + width for lane in low]
            level = [
                builder.fadd(_shuffle(builder, x, y, low), _shuffle(builder, x, y, high))
                for x, y in zip(level[::2], level[1::2], strict=True)
            ]
        return level[0]

    return EIGHT(*[EIGHT] * 6), emit


@intrinsic
def sigmoid(typing: Any, x: Any) -> Any:
    """1 / (1 + exp(-x)) for x cut to [-8, 8], within 1e-6: exp is a power of two and a polynomial of degree 5."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        power = builder.fmul(args[0], _constant(-1.44269504))  # exp(-x) = 2 ** power
        power = _call(builder, "llvm.maxnum.v8f32", [power, _constant(-11.5415603)])
        power = _call(builder, "llvm.minnum.v8f32", [power, _constant(11.5415603)])
        whole = _call(builder, "llvm.floor.v8f32", [power])
        rest = builder.fsub(power, whole)
        polynomial = _constant(0.00189646)
        for coefficient in (0.00894283, 0.0558634, 0.240140, 0.693157, 0.99999994):
            polynomial = _call(builder, "llvm.fma.v8f32", [polynomial, rest, _constant(coefficient)])
        exponent = builder.add(builder.fptosi(whole, _INTS), ir.Constant(_INTS, [127] * LANES))
        scale = builder.bitcast(builder.shl(exponent, ir.Constant(_INTS, [23] * LANES)), _FLOATS)
        return builder.fdiv(_constant(1.0), builder.fadd(_constant(1.0), builder.fmul(polynomial, scale)))

    return EIGHT(EIGHT), emit


@intrinsic
def prefetch(typing: Any, table: Any, row: Any, column: Any) -> Any:
    """Ask for the cache line of table[row, column], which will be written soon."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature, args, ir.IntType(8))
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, _INT, _INT, _INT])
        function = builder.module.declare_intrinsic("llvm.prefetch.p0", (), kind)
        builder.call(function, [pointer, *(ir.Constant(_INT, value) for value in (1, 3, 1))])  # write, keep, data
        return context.get_dummy_value()

    return types.void(table, types.int64, types.int64), emit


def _pointer(context: Any, builder: Any, signature: Any, args: Any, kind: ir.Type) -> Any:
    """&table[row, column] as a pointer to `kind`, for the arguments (table, row, column, ...)."""
    table = context.make_array(signature.args[0])(context, builder, args[0])
    stride = cgutils.unpack_tuple(builder, table.strides)[0]
    row = builder.gep(builder.bitcast(table.data, ir.IntType(8).as_pointer()), [builder.mul(args[1], stride)])
    return builder.bitcast(builder.gep(builder.bitcast(row, _FLOAT.as_pointer()), [args[2]]), kind.as_pointer())


def _call(builder: Any, name: str, args: Any) -> Any:
    """The LLVM operation `name` on eights."""
    function = builder.module.declare_intrinsic(name, (), ir.FunctionType(_FLOATS, [_FLOATS] * len(args)))
    return builder.call(function, args)


def _shuffle(builder: Any, x: Any, y: Any, lanes: list[int]) -> Any:
    return builder.shuffle_vector(x, y, ir.Constant(_INTS, lanes))


def _constant(value: float) -> ir.Constant:
    return ir.Constant(_FLOATS, [value] * LANES)
