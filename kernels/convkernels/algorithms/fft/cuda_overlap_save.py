"""Overlap-save in one CUDA kernel: ``overlap_save.cuh``, tiles of 64 × 64 that stay on the chip.

Costs 44 FLOP a pixel of a tile whatever the kernel size n, of whose 64² pixels (65 − n)² outputs
are kept, and moves every pixel through memory once: ``bench/cuda-static.py`` prints what that
should take. Like ``cuda-direct`` it reads its input anew for each output channel, and transforms it
anew: it is a contender for images, and only takes part in the CNN case.

The filter's spectrum is made in ``load`` by a kernel of its own, 32 KiB and 182,000 FLOP for each
of its planes, without a look at its values from the host: no wait, and a CUDA graph can hold it.
The kernel brings each filter near 1 by a power of two, as ``toolbox.scaling`` does on the CPU.

Refuses float64, strides, dilation and kernels of more than 33 rows or columns, of which a tile
keeps less than half of its side. A tile of 128 would be another kernel: lines of 16 × 8 points, and
a whole multiprocessor to a block. No gradients of torch pass. Two tiles share a transform,
neighbours in a batch too: values that are not finite, or far larger than a partner's, reach it.

Overlap-save: Stockham 1966; Oppenheim & Schafer, Discrete-Time Signal Processing, section 8.7.3.
Error: Schatzman 1996, as ``bounds.fourier`` cites it, for a transform over the tile's points.
"""

from __future__ import annotations

import cmath
import math
from pathlib import Path
from typing import Any

from convkernels import namespaces
from convkernels.cuda import kernel as cuda
from convkernels.problem import ITEMSIZE, Problem, Size
from convkernels.registry import Cost, Implementation, algorithm, forward_only
from convkernels.toolbox import bounds
from convkernels.toolbox.stages import stage

SIDE = 64  # of a tile
LARGEST = SIDE // 2 + 1  # rows or columns of a kernel
BLOCK = (8, SIDE, 1)  # threads: eight a line, so that each has eight of its points
SHARED_BYTES = 8 * SIDE * 72  # lines of 72 complex numbers
RESIDENT = 2  # blocks on a processor, for which the compiler keeps registers few enough

# A line's transform has 16 of eight points, 44 additions and 8 multiply-adds each, and 56 complex
# products with roots.
LINE_FLOPS = 16 * (44 + 2 * 8) + 56 * 6
POINTS = SIDE * SIDE

STORED = {"float32": "Float32", "float16": "Float16", "bfloat16": "BFloat16"}


def roots() -> str:
    """ROOTS of overlap_save.cuh, e^(−2πi k/64), rounded from float64."""
    values = (cmath.exp(-2j * math.pi * k / SIDE) for k in range(SIDE))
    pairs = ", ".join(f"{{{root.real:.9e}f, {root.imag:.9e}f}}" for root in values)
    return f"__device__ const float2 ROOTS[{SIDE}] = {{{pairs}}};\n"


SOURCE = roots() + Path(__file__).with_name("overlap_save.cuh").read_text(encoding="utf-8")


def compose_load(problem: Problem) -> cuda.Kernel:
    """The kernel that makes a filter's spectra."""
    stored = f"convkernels::{STORED[problem.dtype]}"
    source = f"""{SOURCE}
extern "C" __global__ void __launch_bounds__({math.prod(BLOCK)})
overlap_save_load(const {stored}::Stored* __restrict__ w, float4* __restrict__ spectra,
                  float* __restrict__ scales, const convkernels::Shape shape) {{
  convkernels::Spectrum<{stored}>::run(w, spectra, scales, shape);
}}
"""
    return cuda.Kernel(source, "overlap_save_load", SHARED_BYTES)


def compose_run(problem: Problem) -> cuda.Kernel:
    """The kernel that makes the tiles."""
    stored = f"convkernels::{STORED[problem.dtype]}"
    circular, summed = problem.boundary == "circular", problem.in_channels > problem.groups
    options = ", ".join((stored, *(str(option).lower() for option in (circular, summed))))
    source = f"""{SOURCE}
extern "C" __global__ void __launch_bounds__({math.prod(BLOCK)}, {RESIDENT})
overlap_save(const {stored}::Stored* __restrict__ x, const float4* __restrict__ spectra,
             const float* __restrict__ scales, {stored}::Stored* __restrict__ y,
             const convkernels::Shape shape) {{
  convkernels::OverlapSave<{options}>::run(x, spectra, scales, y, shape);
}}
"""
    return cuda.Kernel(source, "overlap_save", SHARED_BYTES)


def kept(problem: Problem) -> Size:
    """Rows and columns of a tile's outputs."""
    rows, columns = (SIDE - size + 1 for size in problem.kernel)
    return (rows, columns)


def tiles(problem: Problem) -> Size:
    """Rows and columns of tiles that cover an output plane."""
    rows, columns = (
        -(-out // keep) for out, keep in zip(problem.output, kept(problem), strict=True)
    )
    return (rows, columns)


def pairs(problem: Problem) -> int:
    """Blocks of one filter."""
    return -(-problem.batch * math.prod(tiles(problem)) // 2)


def filter_planes(problem: Problem) -> int:
    """K·C/G: spectra."""
    return problem.out_channels * problem.in_channels // problem.groups


def division(divisor: int) -> tuple[int, int, int]:
    """``convkernels::Division`` of overlap_save.cuh: (divisor, multiplier, shift), for which
    ⌊n / divisor⌋ = ⌊(⌊n · multiplier / 2³²⌋ + n) / 2^shift⌋ for all n below 2³¹.

    Granlund & Montgomery 1994, figure 4.1, without the halving that larger n need.
    """
    shift = (divisor - 1).bit_length()
    return divisor, ((1 << shift) - divisor << 32) // divisor + 1, shift


def shape_of(problem: Problem) -> dict[str, int | tuple[int, int, int]]:
    """``convkernels::Shape`` of overlap_save.cuh, in its order."""
    (top, _), (left, _) = problem.pads
    rows, columns = tiles(problem)
    return {
        "height": problem.image[0],
        "width": problem.image[1],
        "out_height": problem.output[0],
        "out_width": problem.output[1],
        "top": top,
        "left": left,
        "kernel_height": problem.kernel[0],
        "kernel_width": problem.kernel[1],
        "kept_height": kept(problem)[0],
        "kept_width": kept(problem)[1],
        "tiles": problem.batch * rows * columns,
        "in_channels": problem.in_channels // problem.groups,
        "out_channels": problem.out_channels,
        "groups": problem.groups,
        "flip": int(problem.op == "convolution"),
        "group_outputs": division(problem.out_channels // problem.groups),
        "pairs": division(pairs(problem)),
        "plane_tiles": division(rows * columns),
        "tiles_x": division(columns),
    }


def pixels_read(problem: Problem) -> int:
    """Of one plane of an image, by its tiles; what lies outside the image is not read."""

    def along(axis: int) -> int:
        size, before, keep = problem.image[axis], problem.pads[axis][0], kept(problem)[axis]
        starts = (number * keep - before for number in range(tiles(problem)[axis]))
        if problem.boundary == "circular":
            return SIDE * tiles(problem)[axis]
        return sum(max(0, min(start + SIDE, size) - max(start, 0)) for start in starts)

    return along(0) * along(1)


@algorithm(
    name="cuda-overlap-save",
    family="fft",
    namespaces=("torch", "cupy"),
    arithmetic="ieee, subnormals as zero, float32 for 16-bit storage",
    source="Stockham 1966; Oppenheim & Schafer, Discrete-Time Signal Processing, section 8.7.3",
)
class CUDAOverlapSave(Implementation):
    gradients = False

    @staticmethod
    def missing(namespace: str) -> str | None:
        return namespaces.missing("cupy")  # which launches for torch too

    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        if reason := forward_only(problem):
            return reason
        if device == "cpu":
            return "runs on CUDA devices alone"
        if problem.dtype not in STORED:
            return f"{', '.join(STORED)} only, not {problem.dtype}"
        if problem.stride != (1, 1):
            return "no stride"
        if problem.dilation != (1, 1):
            return "no dilation"
        if max(problem.kernel) > LARGEST:
            rows, columns = problem.kernel
            return (
                f"kernels to {LARGEST}×{LARGEST}, not {rows}×{columns}: a tile of {SIDE}×{SIDE} "
                "would keep less than half of its side"
            )
        return None

    @staticmethod
    def cost(problem: Problem) -> Cost:
        """Operations as the kernels do them, on padding too; what tiles share is read twice, and
        images once for each output channel."""
        depth, item = problem.in_channels // problem.groups, ITEMSIZE[problem.dtype]
        forward = 2 * SIDE * LINE_FLOPS
        block = depth * (forward + 8 * POINTS) + (SIDE + kept(problem)[0]) * LINE_FLOPS
        read = problem.batch * filter_planes(problem) * pixels_read(problem)
        written = problem.batch * problem.out_channels * math.prod(problem.output)
        spectra, filters = filter_planes(problem), math.prod(problem.w_shape)
        spectra_bytes = 8.0 * POINTS * spectra
        return Cost(
            float(pairs(problem)) * problem.out_channels * block + written,
            item * float(read + written) + spectra_bytes,
            spectra_bytes,
            once_flops=float(spectra) * (forward + 4 * POINTS),
            once_bytes=spectra_bytes + item * filters,
        )

    @staticmethod
    def error_bound(problem: Problem) -> float:
        return bounds.fourier(problem, POINTS)

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        import numpy as np

        self.problem, self.xp = problem, xp
        namespace = xp.__name__.rpartition(".")[2]
        self.launch_load = cuda.launcher(compose_load(problem), device, namespace)
        self.launch_run = cuda.launcher(compose_run(problem), device, namespace)
        shape = shape_of(problem)
        fields = [
            (name, np.int32) if isinstance(value, int) else (name, np.uint32, (3,))
            for name, value in shape.items()
        ]
        self.shape = np.array([tuple(shape.values())], dtype=fields)
        self.spectra_shape = (filter_planes(problem), POINTS, 2)
        self.grid = (problem.out_channels * pairs(problem), 1, 1)

    def load(self, b: Any) -> None:
        xp, w = self.xp, cuda.contiguous(b)
        self.spectra = xp.empty(self.spectra_shape, dtype=xp.float32, device=w.device)
        self.scales = xp.empty((self.problem.out_channels,), dtype=xp.float32, device=w.device)
        grid = (self.spectra_shape[0], 1, 1)
        arguments = (w, self.spectra, self.scales, self.shape)
        self.launch_load(grid, BLOCK, arguments, shared_mem=SHARED_BYTES)

    def run(self, a: Any) -> Any:
        x = cuda.contiguous(a)
        y = self.xp.empty(self.problem.y_shape, dtype=x.dtype, device=x.device)
        arguments = (x, self.spectra, self.scales, y, self.shape)
        with stage("tiles"):
            self.launch_run(self.grid, BLOCK, arguments, shared_mem=SHARED_BYTES)
        return y

    def provenance(self) -> dict[str, Any]:
        return {"tile": [SIDE, SIDE]}
