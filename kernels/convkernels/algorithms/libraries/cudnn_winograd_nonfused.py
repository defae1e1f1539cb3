"""cuDNN's algorithm 7: Winograd's minimal filtering, its transforms in kernels of their own.

Tiles of images and filters are transformed, multiplied as one matrix product for each of the α²
places of a tile, and transformed back, in each run: three passes through memory, where the fused
algorithm 6 (which Hopper does not have) makes one. By its manual it takes kernels of 3×3 and 5×5,
no stride, no dilation and no float64. Its tiles are not in the manual: F(4×4, 3×3) is what has been
found (Yan, Wang & Chu 2020, section 1), and the names of its kernels have 9×9 for 5×5. Lavin & Gray
2016.

The error: with normal data each of the α² products of a tile comes with a rounding error of its own
size, which Aᵀ weighs, so that in one dimension the mean square of an output's error is that of a
plain sum times γ = mean_p Σ_i A²_pi ‖G_i‖² ‖B_i‖² / r, and in two dimensions γ². For the points 0,
±1, ±2, ∞ of F(4, 3) γ is 10.8; for F(5, 5), with ±1/2 and 4 added, 170.

Of its gradients: algorithms 5 of backward data and of backward filter. The tiles of the filter's
are not in the manual either; its sum over tiles is bounded as one over channels.
"""

from __future__ import annotations

import math

from convkernels.algorithms.libraries import _cudnn
from convkernels.problem import DIRECTIONS, ROUNDOFF, Problem
from convkernels.registry import Cost, algorithm
from convkernels.toolbox import bounds

# By the kernel's size: outputs of a tile along an axis, and γ.
TILES = {3: (4, 10.8), 5: (5, 170.0)}


@algorithm(
    name="cudnn-winograd-nonfused",
    family="winograd",
    namespaces=("torch",),
    arithmetic="ieee (TF32 off), float32 for 16-bit storage",
    source="cudnnConvolutionForward, CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD_NONFUSED; Lavin & Gray "
    "2016",
    directions=DIRECTIONS,
)
class CuDNNWinogradNonfused(_cudnn.Convolution):
    numbers = {"forward": 7, "grad_input": 5, "grad_weight": 5}  # noqa: RUF012

    @staticmethod
    def excludes(problem: Problem) -> str | None:
        rows, columns = problem.kernel
        if rows != columns or rows not in TILES:
            return f"cuDNN's Winograd takes kernels of 3×3 and 5×5 only; this is {rows}×{columns}"
        return _cudnn.excludes_transforms(problem, "cuDNN's Winograd")

    @staticmethod
    def cost(problem: Problem) -> Cost:
        """Transforms as dense products, which they are at most."""
        r = problem.kernel[0]
        m, _ = TILES[r]
        side = m + r - 1
        tiles = problem.batch * math.prod(math.ceil(size / m) for size in problem.output)
        inputs, outputs = tiles * problem.in_channels, tiles * problem.out_channels
        filters = float(problem.out_channels * problem.in_channels // problem.groups)
        products = tiles * filters * side**2
        transforms = (
            inputs * 2 * side**3 + filters * side * r * (r + side) + outputs * m * side * (side + m)
        )
        transformed = 4.0 * side**2 * (inputs + outputs + filters)
        traffic = problem.min_bytes + _cudnn.copied_bytes(problem) + 2 * transformed
        return Cost(2.0 * (products + transforms), traffic, transformed)

    @staticmethod
    def error_bound(problem: Problem) -> float:
        _, gamma = TILES[problem.kernel[0]]
        m, _ = TILES[problem.kernel[0]]
        tiles = math.prod(math.ceil(size / m) for size in problem.output)
        terms = math.sqrt(_cudnn.summed(problem, tiles))
        return ROUNDOFF["float32"] * gamma * (2 + terms) + bounds.storage(problem)
