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
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from convkernels.cpu.instructions import Instructions

if TYPE_CHECKING:
    from convkernels.cpu.objects import Compiled
    from convkernels.cpu.vectors import Vectors

NAME = "direct_block"
ROWS = 4
UNROLLED = 13  # kernel columns; a wider kernel's are a loop
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


@functools.cache
def block_kernel(kernel: tuple[int, int], dtype: str, instructions: Instructions) -> Compiled:
    """``direct_block`` for this kernel size, compiled.

    Its arguments are x, stride of x, w, y, stride of y, kernel rows, kernel columns, input rows at
    once, add: y[i, j] = Σ w[c·kh + r] · x[i + r, j + c] over a block, added to what y has where
    ``add`` is 1. One machine code serves all kernels of at least ROWS rows and of equal columns up
    to UNROLLED, and one all that are wider: 56 codes a type are the most that there can be.
    """
    from convkernels.cpu import objects, vectors

    rows = min(kernel[0], ROWS)
    columns = kernel[1] if kernel[1] <= UNROLLED else 0
    wide, lanes = vectors_wide(instructions), instructions.lanes(dtype)

    def emit(v: Vectors, arguments: Sequence[Any]) -> None:
        _block(v, wide, rows, columns, arguments)

    return objects.load(
        [NAME],
        (NAME, objects.source(__file__), rows, columns, wide, lanes, dtype),
        lambda: vectors.module({NAME: (9, emit)}, dtype, lanes, instructions),
        instructions,
    )


def _block(v: Vectors, wide: int, rows: int, columns: int, arguments: Sequence[Any]) -> None:
    """The code; ``rows`` below ROWS and ``columns`` above 0 are constants of this machine code."""
    from convkernels.cpu.vectors import Variable

    x, x_stride, w, y, y_stride, kh, kw, at_once, add = arguments
    sums = [[Variable(v) for _ in range(wide)] for _ in range(ROWS)]
    total = Variable.whole(v, add)  # of whether y holds a part of the sum

    def clear() -> None:
        for row in sums:
            for one in row:
                one.set(v.constant(0.0))

    def input_row(row: Any, fed: Sequence[int]) -> None:
        """What input row ``row`` adds to the output rows that it feeds."""
        pixels = v.at(x, v.times(row, x_stride))
        weights = v.at(w, row)

        def column(shift: Any) -> None:
            operands = [v.load(pixels, v.plus(shift, k * v.lanes)) for k in range(wide)]
            for i in fed:
                weight = v.splat(weights, v.minus(v.times(shift, kh), i))
                for k in range(wide):
                    sums[i][k].set(v.fma(weight, operands[k], sums[i][k].get()))

        if columns:
            for shift in range(columns):
                column(shift)
        else:
            with v.loop(kw) as shift:
                column(shift)

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
        for row in range(rows + ROWS - 1):
            input_row(v.whole(row), [i for i in range(ROWS) if 0 <= row - i < rows])
    else:
        for row in range(ROWS - 1):
            input_row(v.whole(row), range(row + 1))
        with v.loop(v.minus(kh, ROWS - 1), at_once) as first:
            count = v.least(at_once, v.minus(v.minus(kh, ROWS - 1), first))
            with v.loop(count) as row:
                input_row(v.plus(v.plus(first, row), ROWS - 1), range(ROWS))
            last = v.builder.icmp_signed(">=", v.plus(first, count), v.minus(kh, ROWS - 1))
            with v.unless(last):
                flush()
                clear()
        for row in range(1, ROWS):
            input_row(v.plus(kh, row - 1), range(row, ROWS))
    flush()
