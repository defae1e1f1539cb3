"""NVIDIA NPP's filter of any kernel: nppiFilterBorder_32f_C1R_Ctx, a direct convolution.

NPP's kernels are stored in reverse, a convolution's as they are, and meet the pixels from the
anchor on: y[i, j] = Σ w[kh − 1 − r, kw − 1 − c] · x[i − a + r, j − b + c]. Beyond the border it
repeats the last pixel, and knows no zeros (any other border is NPP_NOT_SUPPORTED_MODE_ERROR): so
the image is grown first, in each run, and the filter's region lies inside it, where no border is
met. One channel a call.

The library is in NVIDIA's wheel nvidia-npp (CUDA 13) or nvidia-npp-cu12. Signatures, the stream's
context and the statuses, which CUDA 13 has numbered anew: nppi_filtering_functions.h, nppdefs.h.
"""

from __future__ import annotations

import ctypes
import functools
import math
from typing import Any

from convkernels.algorithms.libraries._wheels import shared_library
from convkernels.cuda import driver
from convkernels.problem import ITEMSIZE, Problem, UnsupportedProblem
from convkernels.registry import Cost, Implementation, algorithm, forward_only
from convkernels.toolbox import layout
from convkernels.toolbox.planes import by_plane, single_step

REPLICATE = 2  # NppiBorderType
NOT_SUPPORTED = "NPP_NOT_SUPPORTED_MODE_ERROR"
# NppStatus, of those that a filter may answer, by the library's major version.
STATUSES = {
    version: {
        **numbers,
        -1000: "NPP_CUDA_KERNEL_EXECUTION_ERROR",
        -34: "NPP_ANCHOR_ERROR",
        -33: "NPP_MASK_SIZE_ERROR",
        -11: "NPP_OUT_OFF_RANGE_ERROR",
        -8: "NPP_NULL_POINTER_ERROR",
        -6: "NPP_SIZE_ERROR",
        -5: "NPP_BAD_ARGUMENT_ERROR",
        1: "NPP_NO_OPERATION_WARNING",
    }
    for version, numbers in {
        12: {-9999: NOT_SUPPORTED, -14: "NPP_STEP_ERROR"},
        13: {-14: NOT_SUPPORTED, -16: "NPP_STEP_ERROR"},
    }.items()
}


class Size(ctypes.Structure):
    _fields_ = (("width", ctypes.c_int), ("height", ctypes.c_int))


class Point(ctypes.Structure):
    _fields_ = (("x", ctypes.c_int), ("y", ctypes.c_int))


class Context(ctypes.Structure):
    """NppStreamContext: the stream, and what NPP needs to know of its device."""

    _fields_ = (
        ("hStream", ctypes.c_void_p),
        ("nCudaDeviceId", ctypes.c_int),
        ("nMultiProcessorCount", ctypes.c_int),
        ("nMaxThreadsPerMultiProcessor", ctypes.c_int),
        ("nMaxThreadsPerBlock", ctypes.c_int),
        ("nSharedMemPerBlock", ctypes.c_size_t),
        ("nCudaDevAttrComputeCapabilityMajor", ctypes.c_int),
        ("nCudaDevAttrComputeCapabilityMinor", ctypes.c_int),
        ("nStreamFlags", ctypes.c_uint),
        ("nReserved0", ctypes.c_int),
    )


# Of the context, by CuPy's names of a device's attributes.
ATTRIBUTES = {
    "nMultiProcessorCount": "MultiProcessorCount",
    "nMaxThreadsPerMultiProcessor": "MaxThreadsPerMultiProcessor",
    "nMaxThreadsPerBlock": "MaxThreadsPerBlock",
    "nSharedMemPerBlock": "MaxSharedMemoryPerBlock",
    "nCudaDevAttrComputeCapabilityMajor": "ComputeCapabilityMajor",
    "nCudaDevAttrComputeCapabilityMinor": "ComputeCapabilityMinor",
}
FILTER = "nppiFilterBorder_32f_C1R_Ctx"
IMAGE = (ctypes.c_void_p, ctypes.c_int)  # a pixel's address, and bytes from row to row
ARGUMENTS = (*IMAGE, Size, Point, *IMAGE, Size, ctypes.c_void_p, Size, Point, ctypes.c_int, Context)


def _wheel() -> tuple[str, int]:
    """The wheel for the CUDA that the driver takes, and that CUDA's major version."""
    major = 12 if (driver.version() or (13, 0))[0] == 12 else 13
    return ("nvidia-npp-cu12" if major == 12 else "nvidia-npp"), major


@functools.cache
def library() -> ctypes.CDLL:
    """libnppif. Raises OSError where it is not there or does not load."""
    wheel, major = _wheel()
    found = ctypes.CDLL(str(shared_library(wheel, "libnppif") or f"libnppif.so.{major}"))
    getattr(found, FILTER).argtypes = ARGUMENTS
    return found


@functools.cache
def missing() -> str | None:
    """Why NPP cannot be used here, or None."""
    try:
        library()
    except OSError as error:
        return f"NPP does not load ({error}): pip install 'convcross[npp{_wheel()[1]}]'"
    return None


def context(device: str) -> Context:
    """Of CuPy's current stream on a device."""
    import cupy

    index = int(device.partition(":")[2])
    attributes = cupy.cuda.Device(index).attributes
    stream = cupy.cuda.get_current_stream(index).ptr
    known = {field: int(attributes[name]) for field, name in ATTRIBUTES.items()}
    flags = driver.stream_flags(stream)
    return Context(hStream=stream, nCudaDeviceId=index, nStreamFlags=flags, **known)


@algorithm(
    name="npp-filterborder",
    family="direct",
    namespaces=("cupy",),
    arithmetic="ieee",
    source=FILTER,
)
class NPPFilterBorder(Implementation):
    devices = ("cuda",)
    settled = False

    @staticmethod
    def missing(namespace: str) -> str | None:
        return missing()

    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        if problem.dtype != "float32":
            return f"{FILTER} is of float32, not {problem.dtype}"
        return forward_only(problem) or single_step(problem, "NPP's filter")

    @staticmethod
    def cost(problem: Problem) -> Cost:
        """Each pair's image is grown, filtered and added up; a pixel is read for each product, as
        how NPP blocks its sums is not known."""
        pairs = problem.batch * problem.out_channels * problem.in_channels // problem.groups
        (top, bottom), (left, right) = problem.pads
        grown = (problem.image[0] + top + bottom) * (problem.image[1] + left + right)
        products = float(math.prod(problem.output) * math.prod(problem.kernel))
        item = ITEMSIZE[problem.dtype]
        traffic = pairs * item * (2.0 * grown + products)
        return Cost(2 * pairs * products, traffic, item * grown)

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        self.problem, self.xp, self.device = problem, xp, device
        self.npp = library()
        (top, bottom), (left, right) = problem.pads
        height, width = problem.image
        self.grown = Size(left + width + right, top + height + bottom)
        self.output, self.kernel = (Size(*size[::-1]) for size in (problem.output, problem.kernel))
        # Of an even kernel the upper left of the four in the middle, as the manual counts it.
        self.anchor = Point((problem.kernel[1] - 1) // 2, (problem.kernel[0] - 1) // 2)

    def load(self, b: Any) -> None:
        w = b if self.problem.op == "convolution" else b[..., ::-1, ::-1]
        self.w = self.xp.ascontiguousarray(w).copy()

    def run(self, a: Any) -> Any:
        here = context(self.device)
        plane = functools.partial(self._plane, here)
        return by_plane(plane, a, self.w, self.problem, self.xp)

    def _plane(self, here: Context, x: Any, w: Any) -> Any:
        xp, anchor = self.xp, self.anchor
        x = xp.ascontiguousarray(layout.padded(x, self.problem, xp))
        y = xp.empty(self.problem.output, dtype=x.dtype)
        rows = [width * ITEMSIZE["float32"] for width in (self.grown.width, self.output.width)]
        # The region begins where all that its first pixel needs is inside.
        begin = address(x) + anchor.y * rows[0] + anchor.x * ITEMSIZE["float32"]
        status: int = getattr(self.npp, FILTER)(
            *(begin, rows[0], self.grown, anchor),
            *(address(y), rows[1], self.output),
            *(address(w), self.kernel, anchor, REPLICATE, here),
        )
        if status:
            name = STATUSES[_wheel()[1]].get(status, "NppStatus")
            kind = UnsupportedProblem if name == NOT_SUPPORTED else RuntimeError
            raise kind(f"{FILTER}: {name} (status {status})")
        return y


def address(array: Any) -> int:
    """Of a CuPy array's first number."""
    return int(array.data.ptr)
