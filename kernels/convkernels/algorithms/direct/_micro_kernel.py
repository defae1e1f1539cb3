"""The inner loop of the direct sum: a block of outputs that stays in registers.

A block is ROWS rows by VECTORS vectors of outputs. The kernel walks the input's rows once; at each
(input row, kernel column) it loads VECTORS vectors of the image and at most ROWS weights, and does
ROWS·VECTORS multiply-adds: a load for two of them, so that arithmetic is the bound. An input row
feeds all ROWS output rows, but for the first and last ROWS − 1 of them, which are written out.

Every so many input rows what was summed is added to the outputs in memory and begun anew: the error
then grows with the length of such a run and not with all n² terms (Higham 2002, Accuracy and
Stability of Numerical Algorithms, section 4.2).

Register blocking of a sliding window: as the micro-kernels of BLIS (Van Zee & van de Geijn 2015,
ACM TOMS 41(3)), with a loop over kernel elements in the place of the common dimension.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from convkernels.cpu.instructions import Instructions
from convkernels.problem import Size

if TYPE_CHECKING:
    from convkernels.cpu.objects import Compiled
    from convkernels.cpu.vectors import Vectors

NAME = "direct_block"
ROWS = 4
TERMS = 64  # that are summed in registers before they join the outputs


def vectors_wide(instructions: Instructions) -> int:
    """Vectors of a block's row: ROWS · this many sums, this many operands and a weight fit."""
    return 4 if instructions.registers >= 32 else 3


def width(instructions: Instructions, dtype: str) -> int:
    """Columns of a block."""
    return vectors_wide(instructions) * instructions.lanes(dtype)


def rows_at_once(kernel_columns: int) -> int:
    """Input rows that are summed in registers before they join the outputs."""
    return max(1, TERMS // kernel_columns)


def rounded(tile: Size, block: Size, output: Size) -> Size:
    """A tile in whole blocks, none larger than the output needs."""
    rows, columns = (
        min(-(-out // side), max(1, most // side)) * side
        for out, side, most in zip(output, block, tile, strict=True)
    )
    return rows, columns


def tiles(tile: Size, output: Size) -> int:
    """Tiles of a plane."""
    return -(-output[0] // tile[0]) * -(-output[1] // tile[1])


@functools.cache
def block_kernel(kernel: Size, dtype: str, instructions: Instructions) -> Compiled:
    """``direct_block`` for this kernel size, compiled.

    Its arguments are x, stride of x, w, y, stride of y, kernel rows, kernel columns, input rows at
    once, add: y[i, j] = Σ w[c·kh + r] · x[i + r, j + c] over a block, added to what y has where
    ``add`` is 1. One machine code serves all kernels of at least ROWS rows, and one each those of
    fewer. Unrolling a kernel's columns was tried: the loop is as fast or faster from n = 3 on.
    """
    from convkernels.cpu import objects, vectors

    rows = min(kernel[0], ROWS)
    wide, lanes = vectors_wide(instructions), instructions.lanes(dtype)

    def emit(v: Vectors, arguments: Sequence[Any]) -> None:
        _block(v, wide, rows, arguments)

    return objects.load(
        [NAME],
        (NAME, objects.source(__file__), rows, wide, lanes, dtype),
        lambda: vectors.module({NAME: (9, emit)}, dtype, lanes, instructions),
        instructions,
    )


def _block(v: Vectors, wide: int, rows: int, arguments: Sequence[Any]) -> None:
    """The code; kernel rows below ROWS are a constant of it."""
    from convkernels.cpu.vectors import Variable

    x, x_stride, w, y, y_stride, kh, kw, at_once, add = arguments
    sums = [[Variable(v) for _ in range(wide)] for _ in range(ROWS)]
    total = Variable.whole(v, add)  # of whether y holds a part of the sum

    def clear() -> None:
        for row in sums:
            for one in row:
                one.set(v.constant(0.0))

    def input_rows(fed: Mapping[int, Sequence[int]], first: Any = 0) -> None:
        """What input rows first + r add to the output rows that they feed, all columns; rows that
        feed few are taken together, so that enough sums are under way at once."""
        with v.loop(kw) as shift:
            weights = v.plus(v.times(shift, kh), first)
            for r, outputs in fed.items():
                pixels = v.plus(v.times(v.plus(first, r), x_stride), shift)
                operands = [v.load(x, v.plus(pixels, k * v.lanes)) for k in range(wide)]
                for i in outputs:
                    weight = v.splat(w, v.plus(weights, r - i))  # anew: no register is left
                    for k in range(wide):
                        sums[i][k].set(v.fma(weight, operands[k], sums[i][k].get()))

    def flush() -> None:
        keep = v.builder.icmp_signed("!=", total.get(), v.whole(0))
        for i, row in enumerate(sums):
            at = v.at(y, v.times(i, y_stride))
            for k, one in enumerate(row):
                before = v.builder.select(keep, v.load(at, k * v.lanes), v.constant(0.0))
                v.store(v.builder.fadd(before, one.get()), at, k * v.lanes)
        total.set(v.whole(1))

    clear()
    if rows < ROWS:
        kh = v.whole(rows)
        every = {r: [i for i in range(ROWS) if 0 <= r - i < rows] for r in range(rows + ROWS - 1)}
        input_rows(every)
    else:
        input_rows({r: range(r + 1) for r in range(ROWS - 1)})
        whole = v.minus(kh, ROWS - 1)  # input rows that feed every output row
        with v.loop(whole, at_once) as first:
            count = v.least(at_once, v.minus(whole, first))
            with v.loop(count) as row:
                input_rows({ROWS - 1: range(ROWS)}, v.plus(first, row))
            with v.unless(v.builder.icmp_signed(">=", v.plus(first, count), whole)):
                flush()
                clear()
        input_rows({r: range(r + 1, ROWS) for r in range(ROWS - 1)}, kh)
    flush()
