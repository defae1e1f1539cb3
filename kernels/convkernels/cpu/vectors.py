"""Vector code written by hand: a thin layer over LLVM's instruction builder.

Every operation is of explicit vector type, so that nothing is left to an auto-vectoriser. Arguments
of a kernel are 64-bit whole numbers, addresses among them: that is all that callers need to know.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from llvmlite import ir

from convkernels.cpu.instructions import Instructions

i32, i64 = ir.IntType(32), ir.IntType(64)
Value = Any  # an LLVM value: llvmlite has no types


class Vectors:
    """Code of one kernel, for vectors of ``lanes`` numbers of one type.

    Offsets count numbers, not bytes; a whole number may be a Python int or an LLVM value.
    """

    def __init__(self, builder: Value, dtype: str, lanes: int) -> None:
        self.builder, self.lanes = builder, lanes
        self.item = 8 if dtype == "float64" else 4  # bytes
        self.real = ir.DoubleType() if dtype == "float64" else ir.FloatType()
        self.vector = ir.VectorType(self.real, lanes)

    # ---- whole numbers and control ------------------------------------------------------------

    def whole(self, value: Value) -> Value:
        return ir.Constant(i64, value) if isinstance(value, int) else value

    def plus(self, a: Value, b: Value) -> Value:
        return a + b if isinstance(a, int) and isinstance(b, int) else self._whole("add", a, b)

    def minus(self, a: Value, b: Value) -> Value:
        return a - b if isinstance(a, int) and isinstance(b, int) else self._whole("sub", a, b)

    def times(self, a: Value, b: Value) -> Value:
        return a * b if isinstance(a, int) and isinstance(b, int) else self._whole("mul", a, b)

    def least(self, a: Value, b: Value) -> Value:
        a, b = self.whole(a), self.whole(b)
        return self.builder.select(self.builder.icmp_signed("<", a, b), a, b)

    def _whole(self, operation: str, a: Value, b: Value) -> Value:
        return getattr(self.builder, operation)(self.whole(a), self.whole(b), flags=["nsw"])

    @contextlib.contextmanager
    def loop(self, count: Value, step: Value = 1) -> Iterator[Value]:
        """The block, for 0, step, 2·step, … below count."""
        builder = self.builder
        before = builder.block
        head, body, after = (builder.append_basic_block(n) for n in ("head", "body", "after"))
        builder.branch(head)
        builder.position_at_end(head)
        index = builder.phi(i64)
        index.add_incoming(self.whole(0), before)
        builder.cbranch(builder.icmp_signed("<", index, self.whole(count)), body, after)
        builder.position_at_end(body)
        yield index
        index.add_incoming(self.plus(index, step), builder.block)
        builder.branch(head)
        builder.position_at_end(after)

    @contextlib.contextmanager
    def unless(self, condition: Value) -> Iterator[None]:
        """The block, where the condition does not hold."""
        builder = self.builder
        body, after = (builder.append_basic_block(name) for name in ("unless", "after"))
        builder.cbranch(condition, after, body)
        builder.position_at_end(body)
        yield
        builder.branch(after)
        builder.position_at_end(after)

    # ---- memory -------------------------------------------------------------------------------

    def at(self, address: Value, offset: Value = 0) -> Value:
        """The address of the number that lies ``offset`` numbers on."""
        return self.plus(address, self.times(offset, self.item))

    def load(self, address: Value, offset: Value = 0, *, lanes: int | None = None) -> Value:
        kind = self.vector if lanes is None else ir.VectorType(self.real, lanes)
        return self._load(address, offset, kind)

    def store(self, value: Value, address: Value, offset: Value = 0) -> None:
        pointer = self._pointer(address, offset, value.type)
        self.builder.store(value, pointer, align=self.item)

    def splat(self, address: Value, offset: Value = 0) -> Value:
        """One number in all lanes."""
        number = self._load(address, offset, self.real)
        empty = ir.Constant(self.vector, ir.Undefined)
        lowest = self.builder.insert_element(empty, number, ir.Constant(i32, 0))
        return self.shuffle(lowest, empty, [0] * self.lanes)

    def word(self, address: Value, index: Value) -> Value:
        """The whole number at this place of an array of them."""
        base = self.builder.inttoptr(address, i64.as_pointer())
        at = self.builder.gep(base, [self.whole(index)], source_etype=i64)
        return self.builder.load(at, align=8, typ=i64)

    def _load(self, address: Value, offset: Value, kind: Value) -> Value:
        pointer = self._pointer(address, offset, kind)
        return self.builder.load(pointer, align=self.item, typ=kind)

    def _pointer(self, address: Value, offset: Value, kind: Value) -> Value:
        base = self.builder.inttoptr(address, self.real.as_pointer())
        if not (isinstance(offset, int) and offset == 0):
            base = self.builder.gep(base, [self.whole(offset)], source_etype=self.real)
        return self.builder.bitcast(base, kind.as_pointer())

    # ---- arithmetic ---------------------------------------------------------------------------

    def constant(self, value: float) -> Value:
        return ir.Constant(self.vector, [value] * self.lanes)

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """a·b + c, rounded once where the processor can."""
        name = f"llvm.fmuladd.v{self.lanes}f{8 * self.item}"
        module = self.builder.module
        function = module.globals.get(name) or ir.Function(
            module, ir.FunctionType(self.vector, [self.vector] * 3), name
        )
        return self.builder.call(function, [a, b, c])

    def added(self, a: Value) -> Value:
        """The sum of all lanes, pairwise: a vector of one lane."""
        count = self.lanes
        while count > 1:
            count //= 2
            low, high = (self.shuffle(a, a, range(first, first + count)) for first in (0, count))
            a = self.builder.fadd(low, high)
        return a

    def shuffle(self, a: Value, b: Value, lanes: Sequence[int]) -> Value:
        """These lanes of a and, counted on, of b."""
        mask = ir.Constant(ir.VectorType(i32, len(lanes)), list(lanes))
        return self.builder.shuffle_vector(a, b, mask)


class Variable:
    """A vector, or a whole number, that loops change; the compiler keeps it in a register."""

    def __init__(self, vectors: Vectors, kind: Value = None) -> None:
        self.vectors, self.kind = vectors, vectors.vector if kind is None else kind
        with vectors.builder.goto_entry_block():
            self.slot = vectors.builder.alloca(self.kind)

    @classmethod
    def whole(cls, vectors: Vectors, value: Value) -> Variable:
        variable = cls(vectors, i64)
        variable.set(vectors.whole(value))
        return variable

    def get(self) -> Value:
        return self.vectors.builder.load(self.slot, typ=self.kind)

    def set(self, value: Value) -> None:
        self.vectors.builder.store(value, self.slot)


Emit = Callable[[Vectors, Sequence[Value]], None]


def module(
    kernels: dict[str, tuple[int, Emit]], dtype: str, lanes: int, instructions: Instructions
) -> str:
    """LLVM's text of a module with these kernels: name → (number of arguments, code)."""
    code = ir.Module("kernels")
    code.triple = instructions.triple
    for name, (arguments, emit) in kernels.items():
        kind = ir.FunctionType(ir.VoidType(), [i64] * arguments)
        function = ir.Function(code, kind, name)
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        emit(Vectors(builder, dtype, lanes), function.args)
        builder.ret_void()
    return str(code)
