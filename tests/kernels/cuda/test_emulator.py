"""The emulator's stand-ins for what a GPU has built in, and its warps."""

from __future__ import annotations

import numpy as np
import pytest

from convkernels.cuda import emulator
from convkernels.cuda.kernel import Kernel
from support.emulated import needs_compiler

CONVERSIONS = """
extern "C" __global__ void conversions(const unsigned short* halves, float* widened,
                                       const float* floats, unsigned short* rounded) {
  const int i = blockIdx.x * 256 + threadIdx.x;
  widened[i] = half_to_float(halves[i]);
  rounded[i] = float_to_half(floats[i]);
}
"""


@needs_compiler
def test_float16_is_converted_as_numpy_does() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16)
    # Each half, and what lies midway to the next one, a little more and a little less.
    size = halves.view(np.float16).astype(np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        steps = np.spacing(np.abs(halves.view(np.float16))).astype(np.float32)
        for share in (0.0, 0.5, 0.5 + 2**-10, 0.5 - 2**-10):
            floats = size + np.float32(share) * steps
            widened, rounded = np.empty(1 << 16, np.float32), np.empty(1 << 16, np.uint16)
            emulator.on_cpu(Kernel(CONVERSIONS, "conversions", 0))(
                (256, 1, 1), (256, 1, 1), (halves, widened, floats, rounded), shared_mem=0
            )
            np.testing.assert_array_equal(widened, size)
            np.testing.assert_array_equal(rounded.view(np.float16), floats.astype(np.float16))


WARPS = """
extern "C" __global__ void warps(int* order, int* count) {
  for (int i = 0; i < 2; i++) {
    order[atomic(count)] = threadIdx.x / 32;
    __syncwarp();
  }
  __syncthreads();
  order[atomic(count)] = threadIdx.x / 32;
}
"""


@needs_compiler
@pytest.mark.parametrize("reverse", [False, True])
def test_a_warp_goes_on_alone_to_the_barrier_of_the_block(reverse: bool) -> None:
    """Warps of 32 and a rest: each passes its own barriers before the next begins."""
    atomic = "static int atomic(int* count) { return (*count)++; }\n"
    order, count = np.full(3 * 72, -1, np.int32), np.zeros(1, np.int32)
    launch = emulator.on_cpu(Kernel(atomic + WARPS, "warps", 0), reverse)
    launch((1, 1, 1), (72, 1, 1), (order, count), shared_mem=0)
    sizes = [(0, 32), (1, 32), (2, 8)][:: -1 if reverse else 1]
    before = [warp for warp, size in sizes for _ in range(2 * size)]
    behind = [warp for warp, size in sizes for _ in range(size)]
    assert order.tolist() == before + behind
