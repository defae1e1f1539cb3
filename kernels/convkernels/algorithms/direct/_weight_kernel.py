"""The inner loop of the filters' gradient: a block of its elements that stays in registers.

gw[r, c] = Σ_(i, j) gy[i, j] · x[i + r, j + c] is a sum over a whole image for each of few elements:
a vector of lanes along j is kept for each element of a block, and its lanes are added together in
the end. At each (row of x, vector of columns) the block loads one vector of each of its ``rows``
rows of gy, which all its columns use, and one of x for each of its ``columns``, which all its rows
use: x[i', j + c] meets gy[i' − r, j].

What bounds it is arithmetic: rows · columns multiply-adds for rows + columns loads.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from convkernels.cpu.instructions import Instructions
from convkernels.problem import Size

if TYPE_CHECKING:
    from convkernels.cpu.objects import Compiled
    from convkernels.cpu.vectors import Vectors

NAME = "weight_block"
SPARE = 2  # registers that sums and operands leave


def block(kernel: Size, instructions: Instructions) -> Size:
    """(rows, columns) of a block: of those that fit in registers the one that takes the least time
    for the kernel in whole blocks, a load counted as a multiply-add."""

    def time(size: Size) -> float:
        rows, columns = size
        blocks = -(-kernel[0] // rows) * -(-kernel[1] // columns)
        return float(blocks * (rows * columns + rows + columns))

    room = instructions.registers - SPARE
    sizes = itertools.product(range(1, kernel[0] + 1), range(1, kernel[1] + 1))
    fitting = [size for size in sizes if size[0] * size[1] + size[0] + 1 <= room]
    return min(fitting, key=time)


@functools.cache
def block_kernel(size: Size, dtype: str, instructions: Instructions) -> Compiled:
    """``weight_block`` for blocks of this size, compiled.

    Its arguments are gy, stride of gy, x, stride of x, rows of gy, columns of gy (a multiple of the
    lanes), w, stride of w: to w[r, c] it adds Σ gy[i, j] · x[i + r, j + c]. There are rows − 1 rows
    of zeros above gy, which is where its address lies, and below it.
    """
    from convkernels.cpu import objects, vectors

    lanes = instructions.lanes(dtype)

    def emit(v: Vectors, arguments: Sequence[Any]) -> None:
        _block(v, size, arguments)

    return objects.load(
        [NAME],
        (NAME, objects.source(__file__), size, lanes, dtype),
        lambda: vectors.module({NAME: (8, emit)}, dtype, lanes, instructions),
        instructions,
    )


def _block(v: Vectors, size: Size, arguments: Sequence[Any]) -> None:
    from convkernels.cpu.vectors import Variable

    gy, gy_stride, x, x_stride, rows, columns, w, w_stride = arguments
    sums = [[Variable(v) for _ in range(size[1])] for _ in range(size[0])]
    for each in itertools.chain(*sums):
        each.set(v.constant(0.0))
    with v.loop(v.plus(rows, size[0] - 1)) as row, v.loop(columns, v.lanes) as column:
        above = v.plus(v.times(row, gy_stride), column)  # of gy's row − (size[0] − 1)
        met = [
            v.load(gy, v.plus(above, v.times(gy_stride, size[0] - 1 - r))) for r in range(size[0])
        ]
        first = v.plus(v.times(row, x_stride), column)
        for c in range(size[1]):
            pixels = v.load(x, v.plus(first, c))
            for r in range(size[0]):
                sums[r][c].set(v.fma(pixels, met[r], sums[r][c].get()))
    for r, line in enumerate(sums):
        at = v.at(w, v.times(w_stride, r))
        for c, each in enumerate(line):
            total = v.builder.fadd(v.load(at, c, lanes=1), v.added(each.get()))
            v.store(total, at, c)
