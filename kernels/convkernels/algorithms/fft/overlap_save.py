"""Overlap-save on the array API: tiles that overlap by n − 1, and of each only the clean outputs.

A circular convolution of T points has T − n + 1 outputs that no wrap-around reaches: so far apart
are the tiles, which ``fft`` transforms, multiplies by the kernel's spectrum at T×T, and transforms
back. Costs about 5·T²·log2 T² FLOP a tile, O(N² log n) in all, and what a pass touches stays in the
cache. ``overlap-add`` is its counterpart, with blocks that do not overlap and results that do.

The tile is the cheapest by ``_tiling``'s model. Another, in a file of one's own
(``--algorithms``), is three lines and the imports:

    @algorithm(name="mine", family="fft", namespaces=("torch",), arithmetic="ieee", source="me")
    class Mine(OverlapSave):
        tile = (64, 64)

Stockham 1966, High-speed convolution and correlation; Helms 1967, Fast Fourier
transform method of computing difference equations and simulating filters; Oppenheim & Schafer,
Discrete-Time Signal Processing, section 8.7.3.
"""

from __future__ import annotations

from typing import Any

from convkernels.algorithms.fft._tile_sums import Cut, Side
from convkernels.algorithms.fft._tiles import Block
from convkernels.algorithms.fft._tiling import Array, Axis, TiledFFT
from convkernels.namespaces import NAMES
from convkernels.problem import DIRECTIONS, Problem, Size
from convkernels.registry import algorithm
from convkernels.toolbox import layout


@algorithm(
    name="overlap-save",
    family="fft",
    namespaces=NAMES,
    arithmetic="ieee, float32 for 16-bit storage",
    source="Stockham 1966; Helms 1967; Oppenheim & Schafer, section 8.7.3",
    directions=DIRECTIONS,
)
class OverlapSave(TiledFFT):
    @staticmethod
    def least(extent: int) -> int:
        return extent  # one output

    @staticmethod
    def cut(problem: Problem, axis: int, side: int) -> Axis:
        stride = problem.stride[axis]
        outputs = (side - problem.extent[axis]) // stride + 1
        return Axis(side, (0, 0), outputs * stride, -(-problem.output[axis] // outputs))

    @staticmethod
    def side(problem: Problem, axis: int, size: int, step: int) -> Side:
        before, stride = problem.pads[axis][0], problem.stride[axis]
        return Side(Cut(-before, size, step), Cut(0, step - stride + 1, step), 0, size)

    def origin(self) -> Size:
        return self.cuts.before

    def canvas(self, x: Array) -> Array:
        problem, xp = self.problem, self.xp
        shape = (*x.shape[:2], problem.out_channels // problem.groups, *problem.output)
        return xp.empty(shape, dtype=getattr(xp, problem.dtype), device=x.device)

    def scatter(self, parts: Array, block: Block, y: Array) -> None:
        *lead, rows, height, columns, width = parts.shape
        joined = self.xp.reshape(parts, (*lead, rows * height, columns * width))
        top, left = block.rows.start * height, block.columns.start * width
        place = y[
            block.images.start : block.images.stop,
            ...,
            top : min(top + rows * height, y.shape[-2]),
            left : min(left + columns * width, y.shape[-1]),
        ]
        joined = joined[..., : place.shape[-2], : place.shape[-1]]
        place[...] = self.xp.astype(joined, y.dtype, copy=False)

    def finished(self, y: Array) -> Any:
        return layout.result(y, self.problem, self.xp)
