"""The defining sum on CUDA cores: ``direct.cuh``, compiled for the kernel size.

Costs 2·n²·N² FLOP and reads each input once a block: at N = 4096, n = 15 in float32 the floor of an
H200 is 113 µs, all arithmetic. Its blocks take one output channel each, so that many output
channels read their input many times over (from the L2): it is a contender for images, and only
takes part in the CNN case. Sums run in raster order in one float32 accumulator.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

from convkernels.cuda import kernel as cuda
from convkernels.problem import ITEMSIZE, Problem, Size
from convkernels.registry import Cost, Implementation, algorithm, forward_only
from convkernels.toolbox.stages import stage

LARGEST = 63  # beyond it a tile's inputs no longer fit twice into a processor's shared memory
SOURCE = Path(__file__).with_name("direct.cuh").read_text(encoding="utf-8")


@dataclasses.dataclass(frozen=True)
class Tile:
    """``width`` × ``height`` outputs a thread, ``across`` × ``down`` threads a block.

    The compiler keeps registers so few that ``resident`` blocks fit on a processor.
    """

    width: int
    height: int
    across: int
    down: int
    resident: int

    @property
    def outputs(self) -> Size:
        """Rows and columns of a block."""
        return (self.down * self.height, self.across * self.width)

    def inputs(self, kernel: Size) -> Size:
        """Rows and columns that a block stages, the row rounded up to whole vectors."""
        rows, columns = (out + k - 1 for out, k in zip(self.outputs, kernel, strict=True))
        return (rows, -(-columns // 4) * 4)

    def shared_bytes(self, kernel: Size) -> int:
        """Its inputs and a filter plane, in float32."""
        return 4 * (math.prod(self.inputs(kernel)) + kernel[0] * (-(-kernel[1] // 4) * 4))

    def blocks(self, output: Size) -> Size:
        """Rows and columns of blocks that cover an output plane."""
        rows, columns = (-(-size // out) for size, out in zip(output, self.outputs, strict=True))
        return (rows, columns)


# Up to 5×5 memory is the bound: many light threads hide its latency. From there on arithmetic is,
# and the more outputs a thread keeps in registers, the fewer reads a multiply-add needs. Past
# 11×11 the reads of the row segments weigh most: 8 outputs below each other share each of them.
# `resident` is the most that no square kernel pays for with spills (1×5 does, with
# two words).
LIGHT = Tile(4, 4, 32, 8, resident=4)
MIDDLE = Tile(8, 4, 16, 8, resident=5)
HEAVY = Tile(8, 8, 16, 8, resident=3)
# Past 31×31 a row segment takes some 70 registers, and shared memory bounds the blocks.
WIDE = Tile(8, 8, 16, 8, resident=2)
# For outputs too small to give every processor a block of those.
SMALL = (Tile(4, 4, 16, 8, resident=4), Tile(4, 2, 16, 8, resident=6))
SMALL_WIDE = (Tile(4, 4, 16, 8, resident=3), Tile(4, 2, 16, 8, resident=4))


def tile_for(problem: Problem, processors: int) -> Tile:
    """The tile of this kernel size, or the largest that keeps all processors at work."""
    longest = max(problem.kernel)
    best = LIGHT if longest <= 5 else MIDDLE if longest <= 11 else HEAVY if longest <= 31 else WIDE
    tiles = (best, *(SMALL if longest <= 31 else SMALL_WIDE))
    planes = problem.batch * problem.out_channels
    for tile in tiles:
        if planes * math.prod(tile.blocks(problem.output)) >= processors:
            return tile
    return tiles[-1]


def compose(kernel: Size, tile: Tile) -> cuda.Kernel:
    """The kernel for one kernel size and tile."""
    sizes = (*kernel, tile.width, tile.height, tile.across, tile.down)
    source = f"""{SOURCE}
extern "C" __global__ void __launch_bounds__({tile.across * tile.down}, {tile.resident})
direct(const float* __restrict__ x, const float* __restrict__ w, float* __restrict__ y,
       const convkernels::Shape shape) {{
  convkernels::Direct<{", ".join(map(str, sizes))}>::run(x, w, y, shape);
}}
"""
    return cuda.Kernel(source, "direct", tile.shared_bytes(kernel))


def shape_of(problem: Problem, tile: Tile) -> dict[str, int]:
    """``convkernels::Shape`` of direct.cuh, in its order."""
    (top, _), (left, _) = problem.pads
    rows, columns = tile.blocks(problem.output)
    return {
        "height": problem.image[0],
        "width": problem.image[1],
        "out_height": problem.output[0],
        "out_width": problem.output[1],
        "top": top,
        "left": left,
        "in_channels": problem.in_channels // problem.groups,
        "out_channels": problem.out_channels,
        "group_outputs": problem.out_channels // problem.groups,
        "tiles_y": rows,
        "tiles_x": columns,
        "flip": int(problem.op == "convolution"),
    }


@algorithm(
    name="cuda-direct",
    family="direct",
    namespaces=("cupy",),
    arithmetic="ieee, subnormals as zero",
    source="register-blocked sliding window in CUDA C++; Volkov & Demmel 2008 for the blocking",
)
class CUDADirect(Implementation):
    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        if problem.dtype != "float32":
            return f"float32 only, not {problem.dtype}"
        if max(problem.kernel) > LARGEST:
            rows, columns = problem.kernel
            return f"kernels to {LARGEST}×{LARGEST}, not {rows}×{columns}"
        if problem.boundary != "zero":
            return f"no boundary {problem.boundary}"
        if problem.stride != (1, 1):
            return "no stride"
        if problem.dilation != (1, 1):
            return "no dilation"
        return forward_only(problem)

    @staticmethod
    def cost(problem: Problem) -> Cost:
        """Products with padding included; a block's inputs once for each output channel."""
        outputs = problem.batch * problem.out_channels * math.prod(problem.output)
        tile = tile_for(problem, processors=1)
        blocks = problem.batch * problem.out_channels * math.prod(tile.blocks(problem.output))
        staged = problem.in_channels // problem.groups * tile.shared_bytes(problem.kernel)
        return Cost(
            2.0 * problem.terms * outputs, blocks * staged + ITEMSIZE[problem.dtype] * outputs
        )

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        import numpy as np

        self.problem, self.xp = problem, xp
        tile = tile_for(problem, cuda.processors(device))
        kernel = compose(problem.kernel, tile)
        self.launcher = cuda.on_gpu(kernel, device)
        shape = shape_of(problem, tile)
        # CuPy passes a NumPy array of one element by value, whatever its type.
        self.shape = np.array([tuple(shape.values())], dtype=[(name, np.int32) for name in shape])
        blocks = problem.batch * problem.out_channels * shape["tiles_y"] * shape["tiles_x"]
        self.grid, self.block = (blocks, 1, 1), (tile.across, tile.down, 1)
        self.shared_bytes = kernel.shared_bytes

    def load(self, b: Any) -> None:
        self.w = self.xp.ascontiguousarray(b)  # flipped as it is staged

    def run(self, a: Any) -> Any:
        x = self.xp.ascontiguousarray(a)
        y = self.xp.empty(self.problem.y_shape, dtype=self.xp.float32)
        with stage("multiply"):
            self.launcher(
                self.grid,
                self.block,
                (x, self.w, y, self.shape),
                shared_mem=self.shared_bytes,
            )
        return y
