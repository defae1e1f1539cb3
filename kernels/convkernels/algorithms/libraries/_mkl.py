"""Intel MKL by ctypes: its libraries beside torch's, and the convolutions of its VSL.

MKL takes its threads from an OpenMP library when it first computes: GNU's where one is loaded, else
Intel's, to whose functions torch would be bound too if it were imported after that, and be another
contender. So torch's own is loaded first, and MKL told to use it. VSL gets one thread: its direct
sum uses no more, and its FFT is not faster with two (N = 1024).
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import math
import weakref
from pathlib import Path
from typing import Any

from convkernels import optional
from convkernels.algorithms.libraries._wheels import shared_library
from convkernels.problem import Problem, Size
from convkernels.registry import Implementation, forward_only
from convkernels.toolbox import layout
from convkernels.toolbox.planes import by_plane, single_step

DIRECT, FFT = 1, 2  # VSL_CONV_MODE of mkl_vsl_defines.h
SEQUENTIAL, GNU = 1, 3  # MKL_THREADING of mkl_service.h
LP64 = 0  # MKL_INTERFACE: int is 32 bits
LETTER = {"float32": "s", "float64": "d"}


class Version(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int) for name in ("major", "minor", "update")),
        *((name, ctypes.c_char_p) for name in ("status", "build", "processor", "platform")),
    )


def _openmp() -> bool:
    """Load torch's OpenMP library, or else the system's; whether there is one."""
    torch = importlib.util.find_spec("torch") if optional.installed("torch") else None
    for folder in (torch.submodule_search_locations or []) if torch else []:
        for path in Path(folder).glob("lib/libgomp*.so*"):
            ctypes.CDLL(str(path))
    try:
        ctypes.CDLL("libgomp.so.1")
    except OSError:
        return False
    return True


@functools.cache
def library() -> ctypes.CDLL:
    """libmkl_rt of the wheel. Raises OSError where it does not load.

    Its layers are set as above, unless something else in this process has computed with it before.
    """
    threaded = _openmp()
    mkl = ctypes.CDLL(str(shared_library("mkl", "libmkl_rt")))
    mkl.MKL_Set_Threading_Layer(GNU if threaded else SEQUENTIAL)
    interface = mkl.MKL_Set_Interface_Layer(LP64)
    if interface % 2 != LP64:
        raise OSError("MKL is in use here with integers of 64 bits")
    return mkl


@functools.cache
def missing() -> str | None:
    """Why MKL cannot be used here, or None."""
    if shared_library("mkl", "libmkl_rt") is None:
        return "mkl is not installed: pip install 'convcross[mkl]'"
    try:
        library()
    except OSError as error:
        return f"mkl does not load: {error}"
    return None


def _ints(values: tuple[int, ...]) -> Any:
    return (ctypes.c_int * len(values))(*values)


class Convolution(Implementation):
    """A VSL task of the image, the kernel, and any part of their full convolution."""

    method: int
    threads = 1

    @staticmethod
    def missing(namespace: str) -> str | None:
        return missing()

    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        if problem.dtype not in LETTER:
            return f"VSL has no {problem.dtype}"
        return forward_only(problem) or single_step(problem, "VSL")

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        self.problem, self.xp, self.mkl = problem, xp, library()
        (top, bottom), (left, right) = problem.pads
        height, width = problem.kernel
        start = (height - 1 - top, width - 1 - left)
        # Zeros beyond the full convolution, and wrapped pixels, must be in the image.
        most = max(top, bottom) < height and max(left, right) < width
        self.grow = problem.boundary == "circular" or not most
        grown = problem.image
        if self.grow:
            grown = (top + grown[0] + bottom, left + grown[1] + right)
            start = (height - 1, width - 1)
        letter = LETTER[problem.dtype]
        self.execute = getattr(self.mkl, f"vsl{letter}ConvExec")
        self.strides = [_rows(size) for size in (grown, problem.kernel, problem.output)]
        task, sizes = ctypes.c_void_p(), (grown, problem.kernel, problem.output)
        new = getattr(self.mkl, f"vsl{letter}ConvNewTask")
        _check(new(ctypes.byref(task), self.method, 2, *map(_ints, sizes)), "vslConvNewTask")
        weakref.finalize(self, self.mkl.vslConvDeleteTask, ctypes.byref(task))
        _check(self.mkl.vslConvSetStart(task, _ints(start)), "vslConvSetStart")
        self.task = task

    def load(self, b: Any) -> None:
        import numpy as np

        w = b if self.problem.op == "convolution" else b[..., ::-1, ::-1]
        self.w = np.array(w, order="C")

    def run(self, a: Any) -> Any:
        before = self.mkl.MKL_Set_Num_Threads_Local(1)  # of this Python thread
        try:
            return by_plane(self._plane, a, self.w, self.problem)
        finally:
            self.mkl.MKL_Set_Num_Threads_Local(before)

    def provenance(self) -> dict[str, Any]:
        version = Version()
        self.mkl.mkl_get_version(ctypes.byref(version))
        number = f"{version.major}.{version.minor}.{version.update}"
        kernels = version.processor.decode()
        return {"engine": f"MKL {number}, {kernels}"}

    def _plane(self, x: Any, w: Any) -> Any:
        import numpy as np

        x = layout.padded(x, self.problem, self.xp) if self.grow else x
        x = np.ascontiguousarray(x)
        y = np.empty(self.problem.output, dtype=x.dtype)
        operands = [
            argument
            for array, stride in zip((x, w, y), self.strides, strict=True)
            for argument in (ctypes.c_void_p(array.ctypes.data), stride)
        ]
        _check(self.execute(self.task, *operands), "vslConvExec")
        return y


def _rows(size: Size) -> Any:
    """The strides of a contiguous array, in elements."""
    return _ints((size[1], 1))


def _check(status: int, call: str) -> None:
    if status:
        raise RuntimeError(f"{call}: status {status}")


def points(problem: Problem) -> int:
    """Of the transform that the whole convolution needs."""
    return math.prod(i + k - 1 for i, k in zip(problem.image, problem.kernel, strict=True))
