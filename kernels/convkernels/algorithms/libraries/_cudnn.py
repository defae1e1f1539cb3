"""cuDNN's convolutions and their gradients, each algorithm by its number, through ctypes.

cuDNN chooses by itself wherever it is called through PyTorch. The calls of its first years take the
algorithm as an argument, and version 9 still exports them (cudnn_cnn.h): so a label here names what
runs. float32 is computed in float32 (CUDNN_FMA_MATH keeps the tensor cores, and TF32, out).

The library is the one that PyTorch has loaded. Tensors are (B, C, H, W), contiguous; the workspace
is PyTorch's memory, of the current stream as the call is. A convolution is the descriptor's own
mode where the algorithm has it, else its kernel is flipped in ``load``. cuDNN pads both ends of an
axis alike: other padding is done before it, in each run.

A gradient has numbers of its own (cudnnConvolutionBwdDataAlgo_t, cudnnConvolutionBwdFilterAlgo_t):
a contender has those of the idea that its forward number stands for, by the manual.

What an algorithm takes is cuDNN's to say, in ``plan``, by the status with which it answers how much
workspace it needs; what its manual excludes is refused before. Chetlur et al. 2014.
"""

from __future__ import annotations

import ctypes
import functools
import math
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from convkernels import namespaces
from convkernels.algorithms.libraries._torch_layer import TorchLayer
from convkernels.algorithms.libraries._wheels import shared_library
from convkernels.cuda import driver
from convkernels.problem import DIRECTIONS, ITEMSIZE, Problem, Shape, UnsupportedProblem
from convkernels.registry import Cost
from convkernels.toolbox import directions
from convkernels.toolbox.planes import single_step

NAME = "libcudnn.so.9"
# cudnnDataType_t, cudnnTensorFormat_t, cudnnConvolutionMode_t, cudnnMathType_t
TYPES = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 9}
NCHW = 0
CONVOLUTION, CROSS_CORRELATION = 0, 1
TENSOR_OP_MATH, FMA_MATH = 1, 3
ALGORITHMS = 16  # room for what a list of them may hold: 8, and those with tensor cores again
NOT_SUPPORTED = 3  # thousands of cudnnStatus_t
TF32 = 2.0**-9  # of a product of two operands, each of them cut to 10 bits of fraction
CALLED = {"forward": "Forward", "grad_input": "BackwardData", "grad_weight": "BackwardFilter"}
REFUSALS = (2, NOT_SUPPORTED)  # of an algorithm: what it does not take may also read as BAD_PARAM

_P, _I, _S = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t
_SHAPES = (_P, _P, _P, _P, _P)  # handle, both operands, convolution, result
_RUN = (_P, _P, _P, _P, _P, _P, _P, _I, _P, _S, _P, _P, _P)
# Arguments as cudnn_graph.h, cudnn_ops.h and cudnn_cnn.h of cuDNN 9 declare them; each returns a
# status. Every descriptor is a pointer.
CALLS: dict[str, tuple[type[Any], ...]] = {
    "cudnnCreate": (_P,),
    "cudnnDestroy": (_P,),
    "cudnnSetStream": (_P, _P),
    "cudnnCreateTensorDescriptor": (_P,),
    "cudnnDestroyTensorDescriptor": (_P,),
    "cudnnSetTensor4dDescriptor": (_P, _I, _I, _I, _I, _I, _I),
    "cudnnCreateFilterDescriptor": (_P,),
    "cudnnDestroyFilterDescriptor": (_P,),
    "cudnnSetFilter4dDescriptor": (_P, _I, _I, _I, _I, _I, _I),
    "cudnnCreateConvolutionDescriptor": (_P,),
    "cudnnDestroyConvolutionDescriptor": (_P,),
    "cudnnSetConvolution2dDescriptor": (_P, _I, _I, _I, _I, _I, _I, _I, _I),
    "cudnnSetConvolutionGroupCount": (_P, _I),
    "cudnnSetConvolutionMathType": (_P, _I),
    "cudnnGetConvolutionForwardWorkspaceSize": (*_SHAPES, _I, _P),
    "cudnnGetConvolutionForwardAlgorithm_v7": (*_SHAPES, _I, _P, _P),
    "cudnnConvolutionForward": _RUN,
    "cudnnGetConvolutionBackwardDataWorkspaceSize": (*_SHAPES, _I, _P),
    "cudnnConvolutionBackwardData": _RUN,
    "cudnnGetConvolutionBackwardFilterWorkspaceSize": (*_SHAPES, _I, _P),
    "cudnnConvolutionBackwardFilter": _RUN,
}


class Performance(ctypes.Structure):
    """cudnnConvolutionFwdAlgoPerf_t: an algorithm, and the arithmetic that it would use."""

    _fields_ = (
        ("algo", ctypes.c_int),
        ("status", ctypes.c_int),
        ("time", ctypes.c_float),
        ("memory", ctypes.c_size_t),
        ("determinism", ctypes.c_int),
        ("mathType", ctypes.c_int),
        ("reserved", ctypes.c_int * 3),
    )


class Handle:
    """A cudnnHandle_t, which goes when its thread goes."""

    value: ctypes.c_void_p


class CuDNN:
    """The library, loaded. Raises OSError where it is not there or does not load."""

    def __init__(self) -> None:
        import torch  # noqa: F401  # which may bring it, loads it then, and must not load another

        try:
            self.library = ctypes.CDLL(NAME)
        except OSError:
            self.library = ctypes.CDLL(str(_wheel() or NAME))
        for name, arguments in CALLS.items():
            getattr(self.library, name).argtypes = arguments
        self.library.cudnnGetErrorString.argtypes = (_I,)
        self.library.cudnnGetErrorString.restype = ctypes.c_char_p
        self.library.cudnnGetVersion.restype = ctypes.c_size_t
        version = self.library.cudnnGetVersion()  # 91302 is 9.13.2
        self.version = f"{version // 10000}.{version // 100 % 100}.{version % 100}"
        self._handles = threading.local()

    def status(self, name: str, *arguments: Any) -> int:
        return int(getattr(self.library, name)(*arguments))

    def told(self, status: int) -> str:
        """ "CUDNN_STATUS_NOT_SUPPORTED (status 3000)"."""
        return f"{self.library.cudnnGetErrorString(status).decode()} (status {status})"

    def call(self, name: str, *arguments: Any) -> None:
        """Raises, where the status is not zero, with its name and number: UnsupportedProblem where
        cuDNN has none of it, else RuntimeError."""
        if status := self.status(name, *arguments):
            kind = UnsupportedProblem if status // 1000 == NOT_SUPPORTED else RuntimeError
            raise kind(f"{name}: {self.told(status)}")

    def made(self, what: str, owner: object) -> ctypes.c_void_p:
        """A new "TensorDescriptor" and so on, "" for a handle; it goes when its owner goes."""
        new = ctypes.c_void_p()
        self.call(f"cudnnCreate{what}", ctypes.byref(new))
        end = weakref.finalize(owner, getattr(self.library, f"cudnnDestroy{what}"), new)
        end.atexit = False  # the driver may have gone before
        return new

    def handle(self, device: str) -> ctypes.c_void_p:
        """This thread's on this device, and on the current stream."""
        known: dict[str, Handle] = vars(self._handles)
        if device not in known:
            with namespaces.on("torch", device):
                handle = Handle()
                handle.value = self.made("", handle)
            known[device] = handle
        self.call("cudnnSetStream", known[device].value, current_stream(device))
        return known[device].value


def _wheel() -> Path | None:
    """The library in NVIDIA's wheel, for the CUDA that the driver takes."""
    return shared_library(f"nvidia-cudnn-cu{_major()}", "libcudnn")


def _major() -> int:
    return 12 if (driver.version() or (13, 0))[0] == 12 else 13


library = functools.cache(CuDNN)


@functools.cache
def missing() -> str | None:
    """Why cuDNN cannot be used here, or None."""
    if _wheel() is not None:
        return None  # and torch need not be imported
    try:
        library()
    except OSError as error:
        return f"{NAME} does not load ({error}): pip install 'convcross[cuda{_major()}]'"
    return None


def current_stream(device: str) -> int:
    """PyTorch's current stream on this device, as an address."""
    import torch

    return int(torch.cuda.current_stream(device).cuda_stream)


class Convolution(TorchLayer):
    """One algorithm, in one arithmetic, on PyTorch's tensors."""

    numbers: ClassVar[Mapping[str, int]]  # direction → cudnnConvolutionFwdAlgo_t, …
    arithmetic: ClassVar[int] = FMA_MATH
    devices = ("cuda",)
    settled = False
    gradients = False
    native = DIRECTIONS

    @staticmethod
    def missing(namespace: str) -> str | None:
        return missing()

    @classmethod
    def refuses(cls, problem: Problem, namespace: str, device: str) -> str | None:
        if cls.arithmetic == TENSOR_OP_MATH and problem.dtype != "float32":
            return f"TF32 is of float32, not {problem.dtype}"
        return cls.excludes(directions.forward_of(problem))

    @staticmethod
    def excludes(problem: Problem) -> str | None:
        """Why cuDNN's manual says that the algorithm does not take it, or None."""
        return None

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        super().plan(problem, xp, device)
        self.number, self.called = self.numbers[problem.direction], CALLED[problem.direction]
        self.cudnn, self.device = library(), device
        self.stored = TYPES[problem.dtype]
        self.computed = TYPES["float64" if problem.dtype == "float64" else "float32"]
        scalar = ctypes.c_double if problem.dtype == "float64" else ctypes.c_float
        self.one, self.zero = scalar(1.0), scalar(0.0)
        x, w, y = self._tensors()
        self.operands, self.result = {
            "forward": ((x, w), y),
            "grad_input": ((w, y), x),
            "grad_weight": ((x, y), w),
        }[problem.direction]
        self.convolution = self.cudnn.made("ConvolutionDescriptor", self)
        self.workspace = self._asked()
        if self.arithmetic == TENSOR_OP_MATH:
            self._require_tensor_cores()

    def _tensors(self) -> list[ctypes.c_void_p]:
        """Descriptors of x, as it is when the layer meets it, w and y."""
        described = []
        for what, shape in (
            ("Tensor", self.met),
            ("Filter", self.w4),
            ("Tensor", self.y4),
        ):
            descriptor = self.cudnn.made(f"{what}Descriptor", self)
            kind = (NCHW, self.stored) if what == "Tensor" else (self.stored, NCHW)
            self.cudnn.call(f"cudnnSet{what}4dDescriptor", descriptor, *kind, *shape)
            described.append(descriptor)
        return described

    def _asked(self) -> int:
        """The bytes of workspace, with the descriptor in a mode that the algorithm has.

        Raises UnsupportedProblem where it has none.
        """
        problem, size = self.problem, ctypes.c_size_t()
        convolution = problem.op == "convolution"
        for mode in (CONVOLUTION, CROSS_CORRELATION) if convolution else (CROSS_CORRELATION,):
            self._describe(mode)
            status = self.cudnn.status(
                f"cudnnGetConvolution{self.called}WorkspaceSize",
                *self._shapes(),
                self.number,
                ctypes.byref(size),
            )
            if status == 0:
                self.flipped = convolution and mode == CROSS_CORRELATION
                return size.value
        what = "" if self.called == "Forward" else f" of {self.called}"
        told = f"cuDNN's algorithm {self.number}{what} does not take it: {self.cudnn.told(status)}"
        raise (UnsupportedProblem if status // 1000 in REFUSALS else RuntimeError)(told)

    def _describe(self, mode: int) -> None:
        pads, problem = self.problem.pads, self.problem
        padding = (pads[0][0], pads[1][0]) if self.even else (0, 0)
        call, convolution = self.cudnn.call, self.convolution
        steps = (*padding, *problem.stride, *problem.dilation)
        call("cudnnSetConvolution2dDescriptor", convolution, *steps, mode, self.computed)
        call("cudnnSetConvolutionGroupCount", convolution, problem.groups)
        call("cudnnSetConvolutionMathType", convolution, self.arithmetic)

    def _shapes(self) -> tuple[ctypes.c_void_p, ...]:
        handle = self.cudnn.handle(self.device)
        return (handle, *self.operands, self.convolution, self.result)

    def _require_tensor_cores(self) -> None:
        """Raises UnsupportedProblem where cuDNN does not list the algorithm with them."""
        listed, count = (Performance * ALGORITHMS)(), ctypes.c_int()
        self.cudnn.call(
            "cudnnGetConvolutionForwardAlgorithm_v7",
            *self._shapes(),
            ALGORITHMS,
            ctypes.byref(count),
            listed,
        )
        wanted = (self.number, 0, TENSOR_OP_MATH)
        if wanted not in [
            (each.algo, each.status, each.mathType) for each in listed[: count.value]
        ]:
            raise UnsupportedProblem(
                f"cuDNN lists its algorithm {self.number} without tensor cores here: no TF32"
            )

    def layer(self, x: Any, padding: tuple[int, int]) -> Any:
        return self._computed(x.contiguous(), self.w, self.y4)

    def backward(self, gy: Any, padding: tuple[int, int]) -> Any:
        if self.wanted[0]:
            return self._computed(self.w, gy.contiguous(), self.met)
        return self._computed(self.x, gy.contiguous(), self.w4)

    def _computed(self, first: Any, second: Any, shape: Shape) -> Any:
        torch = self.torch
        y = torch.empty(shape, dtype=first.dtype, device=first.device)
        work = torch.empty(self.workspace, dtype=torch.uint8, device=first.device)
        one, two = self.operands
        self.cudnn.call(
            f"cudnnConvolution{self.called}",
            self.cudnn.handle(self.device),
            *(ctypes.byref(self.one), one, first.data_ptr(), two, second.data_ptr()),
            *(self.convolution, self.number, work.data_ptr(), self.workspace),
            *(ctypes.byref(self.zero), self.result, y.data_ptr()),
        )
        return y

    def provenance(self) -> dict[str, Any]:
        return {
            "cudnn": self.cudnn.version,
            "algorithm_number": self.number,
            "kernel": "flipped before" if self.flipped else "as the descriptor's mode has it",
            "queried_workspace_bytes": self.workspace,
        }


def copied_bytes(problem: Problem) -> float:
    """Of an image that is padded before the call, written and read."""
    (top, bottom), (left, right) = problem.pads
    if problem.boundary == "zero" and top == bottom and left == right:
        return 0.0
    height, width = problem.image
    grown = (height + top + bottom) * (width + left + right)
    return 2.0 * problem.batch * problem.in_channels * grown * ITEMSIZE[problem.dtype]


def products(problem: Problem) -> float:
    """FLOP of the sums, products with padding included."""
    problem = directions.forward_of(problem)
    outputs = problem.batch * problem.out_channels * math.prod(problem.output)
    return 2.0 * outputs * problem.terms


def implicit(problem: Problem) -> Cost:
    """Of a matrix product whose patches are gathered as they are needed."""
    return Cost(products(problem), problem.min_bytes + copied_bytes(problem))


def excludes_transforms(problem: Problem, what: str) -> str | None:
    """What the manual excludes of every algorithm that transforms."""
    if problem.dtype == "float64":
        return f"{what} has no float64"
    return single_step(problem, what)


def summed(problem: Problem, tiles: int) -> int:
    """Products of spectra or of points that are summed, where there are so many tiles an image."""
    if problem.direction == "grad_weight":
        return problem.batch * tiles
    channels = problem.in_channels if problem.direction == "forward" else problem.out_channels
    return channels // problem.groups


def transformed(problem: Problem, points: int, tiles: int) -> Cost:
    """Of transforms of so many points, for so many tiles an image: images, filters and results in
    each run, and a complex product of channels at each frequency between them."""
    filters = float(problem.out_channels * problem.in_channels // problem.groups)
    images = float(problem.batch * tiles * (problem.in_channels + problem.out_channels))
    spectrum = points / 2 + 1
    pairs = problem.batch * tiles * filters
    flops = (images + filters) * 2.5 * points * math.log2(max(2, points)) + 8 * pairs * spectrum
    spectra = 8 * spectrum * (images + filters)  # bytes: complex numbers of float32
    traffic = problem.min_bytes + copied_bytes(problem) + 2 * spectra
    return Cost(flops, traffic, spectra)
