"""Many floats in one register: the few operations that the word-vector kernels need, as numba intrinsics.

Plain loops cannot keep a tile of sums in registers, and run at half the speed. A table is a C-contiguous float32 array
(rows, columns); `load(table, r, d)` is table[r, d : d + LANES], which the caller keeps inside the row.
"""

from typing import Any

from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.core.datamodel import models, register_default
from numba.extending import intrinsic as _intrinsic

_FEATURES = binding.get_host_cpu_features()
LANES = 16 if _FEATURES.get("avx512f") else 8
"""Floats in a register of this machine."""

intrinsic: Any = _intrinsic  # its own type hides the arguments that it adds
_FLOAT, _INT = ir.FloatType(), ir.IntType(32)


class _Floats(types.Type):
    def __init__(self, lanes: int) -> None:
        self.llvm = ir.VectorType(_FLOAT, lanes)
        super().__init__(name=f"Floats({lanes})")


@register_default(_Floats)
class _FloatsModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: _Floats) -> None:
        super().__init__(manager, kind, kind.llvm)


MANY, EIGHT = _Floats(LANES), _Floats(8)

_RSQRT: tuple[str, list[Any]] | None = None
"""The instruction for 1 / sqrt(x), and its operands behind x."""
if LANES == 16:
    _RSQRT = (
        "llvm.x86.avx512.rsqrt14.ps.512",
        [
            ir.Constant(MANY.llvm, ir.Undefined),
            ir.Constant(ir.IntType(16), 0xFFFF),  # a mask: all lanes
        ],
    )
elif _FEATURES.get("avx"):
    _RSQRT = "llvm.x86.avx.rsqrt.ps.256", []


@intrinsic
def load(typing: Any, table: Any, row: Any, column: Any) -> Any:
    """table[row, column : column + LANES]"""
    return MANY(table, types.int64, types.int64), _emit_load


@intrinsic
def load8(typing: Any, table: Any, row: Any, column: Any) -> Any:
    """table[row, column : column + 8]"""
    return EIGHT(table, types.int64, types.int64), _emit_load


@intrinsic
def store(typing: Any, table: Any, row: Any, column: Any, floats: Any) -> Any:
    """table[row, column : column + the size of floats] = floats"""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[3], _pointer(context, builder, signature, args, floats.llvm)).align = 4
        return context.get_dummy_value()

    return types.void(table, types.int64, types.int64, floats), emit


@intrinsic
def spread(typing: Any, table: Any, row: Any, column: Any) -> Any:
    """table[row, column] in every lane."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        scalar = builder.load(_pointer(context, builder, signature, args, _FLOAT))
        one = builder.insert_element(ir.Constant(MANY.llvm, ir.Undefined), scalar, ir.Constant(_INT, 0))
        return _shuffle(builder, one, one, [0] * LANES)

    return MANY(table, types.int64, types.int64), emit


@intrinsic
def zero(typing: Any) -> Any:
    """Zero in every lane."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(MANY.llvm, [0.0] * LANES)

    return MANY(), emit


@intrinsic
def plus(typing: Any, a: Any, b: Any) -> Any:
    """a + b"""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fadd(*args)

    return a(a, a), emit


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, rounded once."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _call(builder, "llvm.fma", args)

    return a(a, a, a), emit


@intrinsic
def rsqrt(typing: Any, x: Any) -> Any:
    """1 / sqrt(x) for x >= 0, within 4e-4, and exactly 0 for infinity: one instruction where the processor has it."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if _RSQRT is None:
            return builder.fdiv(ir.Constant(MANY.llvm, [1.0] * LANES), _call(builder, "llvm.sqrt", args))
        name, operands = _RSQRT
        operands = [args[0], *operands]
        kind = ir.FunctionType(MANY.llvm, [operand.type for operand in operands])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), operands)

    return x(x), emit


@intrinsic
def sums(typing: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any) -> Any:
    """(sum a, sum b, sum c, sum d, sum e, sum f, 0, 0)"""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        zeros = ir.Constant(MANY.llvm, [0.0] * LANES)
        return _sums(builder, [*args, zeros, zeros])

    return EIGHT(*[MANY] * 6), emit


@intrinsic
def sums8(typing: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any) -> Any:
    """(sum a, sum b, sum c, sum d, sum e, sum f, sum g, sum h)"""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _sums(builder, list(args))

    return EIGHT(*[MANY] * 8), emit


def _sums(builder: Any, level: list[Any]) -> Any:
    """The sums of eight registers in one: a tree of additions that halves the registers each time."""
    for half in range(8, LANES, 8):
        low, high = list(range(8)), list(range(half, half + 8))
        level = [builder.fadd(_shuffle(builder, x, x, low), _shuffle(builder, x, x, high)) for x in level]
    for width in (1, 2, 4):
        low = [lane for lane in range(16) if not lane & width]
        order = [(lane % 8 // (2 * width), lane // 8, lane % width) for lane in low]
        low = [lane for _, lane in sorted(zip(order, low, strict=True))]
        high = [lane + width for lane in low]
        level = [
            builder.fadd(_shuffle(builder, x, y, low), _shuffle(builder, x, y, high))
            for x, y in zip(level[::2], level[1::2], strict=True)
        ]
    return level[0]


@intrinsic
def sigmoid(typing: Any, x: Any) -> Any:
    """1 / (1 + exp(-x)) for x cut to [-8, 8], within 1e-6: exp is a power of two and a polynomial of degree 5."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        power = builder.fmul(args[0], _constant(-1.44269504))  # exp(-x) = 2 ** power
        power = _call(builder, "llvm.maxnum", [power, _constant(-11.5415603)])
        power = _call(builder, "llvm.minnum", [power, _constant(11.5415603)])
        whole = _call(builder, "llvm.floor", [power])
        rest = builder.fsub(power, whole)
        polynomial = _constant(0.00189646)
        for coefficient in (0.00894283, 0.0558634, 0.240140, 0.693157, 0.99999994):
            polynomial = _call(builder, "llvm.fma", [polynomial, rest, _constant(coefficient)])
        integers = ir.VectorType(_INT, 8)
        exponent = builder.add(builder.fptosi(whole, integers), ir.Constant(integers, [127] * 8))
        scale = builder.bitcast(builder.shl(exponent, ir.Constant(integers, [23] * 8)), EIGHT.llvm)
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


def _emit_load(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    value = builder.load(_pointer(context, builder, signature, args, signature.return_type.llvm))
    value.align = 4
    return value


def _pointer(context: Any, builder: Any, signature: Any, args: Any, kind: ir.Type) -> Any:
    """&table[row, column] as a pointer to `kind`, for the arguments (table, row, column, ...)."""
    table = context.make_array(signature.args[0])(context, builder, args[0])
    stride = cgutils.unpack_tuple(builder, table.strides)[0]
    row = builder.gep(builder.bitcast(table.data, ir.IntType(8).as_pointer()), [builder.mul(args[1], stride)])
    return builder.bitcast(builder.gep(builder.bitcast(row, _FLOAT.as_pointer()), [args[2]]), kind.as_pointer())


def _call(builder: Any, name: str, args: Any) -> Any:
    """The LLVM operation `name` on vectors of one size."""
    kind = args[0].type
    function = builder.module.declare_intrinsic(
        f"{name}.v{kind.count}f32", (), ir.FunctionType(kind, [kind] * len(args))
    )
    return builder.call(function, args)


def _shuffle(builder: Any, x: Any, y: Any, lanes: list[int]) -> Any:
    return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(_INT, len(lanes)), lanes))


def _constant(value: float) -> ir.Constant:
    return ir.Constant(EIGHT.llvm, [value] * 8)
