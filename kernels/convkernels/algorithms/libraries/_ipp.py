"""Intel IPP by ctypes: the library for this CPU, its calls checked, and its convolutions.

The wheel ``ipp`` holds shared libraries alone. Its dispatcher, libippi, looks for names that the
wheel lacks, so the library is chosen here. IPP uses one thread and keeps no state between calls.
Signatures and constants: ippi.h, ipptypes.h, ippcpudefs.h.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

from convkernels.algorithms.libraries._wheels import shared_library
from convkernels.problem import Problem
from convkernels.registry import Implementation, forward_only
from convkernels.toolbox import layout
from convkernels.toolbox.planes import by_plane, single_step

FLOAT = {"float32": 13, "float64": 19}  # IppDataType
DIRECT, FFT, AUTO = 1, 2, 0  # IppAlgType
FULL, VALID = 0x0, 0x10000  # IppiROIShape
AVX2 = 0x8000 | 0x200  # and AVX enabled by the system
AVX512 = 0x7300000 | 0x200000000  # F, CD, BW, DQ, VL, enabled by the system
LIBRARIES = (("libippik0", AVX512), ("libippil9", AVX2), ("libippiy8", 0))


class Size(ctypes.Structure):
    _fields_ = (("width", ctypes.c_int), ("height", ctypes.c_int))


class Version(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int) for name in ("major", "minor", "majorBuild", "build")),
        ("cpu", ctypes.c_char * 4),
        *((name, ctypes.c_char_p) for name in ("name", "version", "date")),
    )


class IPP:
    """The libraries, loaded. Raises OSError where they are not there or do not load."""

    def __init__(self) -> None:
        self.core = ctypes.CDLL(_path("libippcore"))
        self.core.ippGetStatusString.restype = ctypes.c_char_p
        features = ctypes.c_uint64()
        self.core.ippGetCpuFeatures(ctypes.byref(features), None)
        name = next(name for name, needs in LIBRARIES if features.value & needs == needs)
        self.images = ctypes.CDLL(_path(name))
        self.images.ippiGetLibVersion.restype = ctypes.POINTER(Version)
        version = self.images.ippiGetLibVersion().contents
        self.version = f"{version.name.decode()} {version.version.decode()}"

    def call(self, name: str, *arguments: Any) -> None:
        """Raises RuntimeError with the status where that is not zero."""
        status = getattr(self.images, name)(*arguments)
        if status:
            text = self.core.ippGetStatusString(status).decode()
            raise RuntimeError(f"{name}: status {status}, {text}")


def _path(name: str) -> str:
    path = shared_library("ipp", name)
    if path is None:
        raise OSError(f"ipp has no {name}")
    return str(path)


library = functools.cache(IPP)


@functools.cache
def missing() -> str | None:
    """Why IPP cannot be used here, or None."""
    if shared_library("ipp", "libippcore") is None:
        return "ipp is not installed: pip install 'convcross[ipp]'"
    try:
        library()
    except OSError as error:
        return f"ipp does not load: {error}"
    return None


def size(shape: tuple[int, ...]) -> Size:
    return Size(shape[1], shape[0])


def image(array: Any, row: int = 0, column: int = 0) -> tuple[ctypes.c_void_p, int]:
    """The address of a pixel of a contiguous array, and the bytes from one row to the next."""
    step = array.shape[1] * array.itemsize  # a single row may have any stride
    address = array.ctypes.data + row * step + column * array.itemsize
    return ctypes.c_void_p(address), step


class Convolution(Implementation):
    """ippiConv, a true convolution, full or valid; other modes are valid ones of a grown image."""

    method = AUTO
    threads = 1

    @staticmethod
    def missing(namespace: str) -> str | None:
        return missing()

    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        if problem.dtype != "float32":
            return f"ippiConv has no {problem.dtype}"
        return forward_only(problem) or single_step(problem, "ippiConv")

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        self.problem, self.xp, self.ipp = problem, xp, library()
        self.full = problem.mode == "full" and problem.boundary == "zero"
        (top, bottom), (left, right) = ((0, 0), (0, 0)) if self.full else problem.pads
        height, width = problem.image
        grown = size((top + height + bottom, left + width + right))
        self.sizes = grown, size(problem.kernel)
        self.how = self.method | (FULL if self.full else VALID)
        found = ctypes.c_int()
        self.ipp.call(
            "ippiConvGetBufferSize", *self.sizes, FLOAT["float32"], 1, self.how, ctypes.byref(found)
        )
        self.buffer = found.value

    def load(self, b: Any) -> None:
        import numpy as np

        w = b if self.problem.op == "convolution" else b[..., ::-1, ::-1]
        self.w = np.array(w, order="C")

    def run(self, a: Any) -> Any:
        return by_plane(self._plane, a, self.w, self.problem)

    def provenance(self) -> dict[str, Any]:
        return {"engine": self.ipp.version, "buffer_bytes": self.buffer}

    def _plane(self, x: Any, w: Any) -> Any:
        import numpy as np

        x = x if self.full else layout.padded(x, self.problem, self.xp)
        x = np.ascontiguousarray(x)
        y = np.empty(self.problem.output, dtype=x.dtype)
        work = np.empty(self.buffer, dtype=np.uint8)  # a run's own: runs may overlap
        operands = (*image(x), self.sizes[0], *image(w), self.sizes[1], *image(y))
        self.ipp.call("ippiConv_32f_C1R", *operands, self.how, ctypes.c_void_p(work.ctypes.data))
        return y
