"""Whether a contender solves a case within its bound, or refuses it where it may."""

from __future__ import annotations

import math
from collections.abc import Callable

from convkernels import Problem, UnsupportedProblem, exchanged, namespaces
from convkernels.algorithms.libraries._opencv import SWITCH
from support.contenders import STRICT, TEXTBOOK, Contender
from support.problems import Case
from support.reference import relative_error

# A compilation, or a timing of plans, for each kernel size or shape.
SLOW = {
    "torch-compile": 50,
    "torch-conv2d-autotuned": 100,
    **dict.fromkeys(("triton-direct", "cupyx-convolve2d", "cupyx-ndimage-convolve"), 100),
}


def steps(problem: Problem) -> bool:
    return problem.stride != (1, 1) or problem.dilation != (1, 1)


def single_precision_or_more(problem: Problem) -> bool:
    return problem.dtype in ("float64", "float32")


def wrong_in_onednn(problem: Problem) -> bool:
    return problem.dtype == "bfloat16" and problem.output[1] == 1 and problem.stride[1] > 1


WINOGRAD = ("winograd-2x2-3x3", "winograd-4x4-3x3", "winograd-6x6-3x3")

# What these may refuse, and must: of a problem whose dtype the namespace has, as it is given to
# them (see ``exchanged.solved``).
REFUSES: dict[str, Callable[[Problem], bool]] = {
    **dict.fromkeys(
        (
            *TEXTBOOK,
            *("im2col-chunked", "kn2row", "mec", "toeplitz-gemm"),
            *("low-rank-2", "low-rank-4", "low-rank-8", "separable"),
        ),
        lambda problem: False,
    ),
    "integral": lambda p: p.dilation != (1, 1),
    **dict.fromkeys(("fft-ducc", "fft-fftw", "fft-gemm", "fft-mkl"), lambda problem: False),
    **dict.fromkeys(
        ("fft-exact", "fft-packed", "fft-power-of-two", "overlap-add", "overlap-save"),
        lambda problem: False,
    ),
    "fft-float64": lambda p: p.dtype == "float64",
    "torch-conv2d": wrong_in_onednn,
    "torch-unfold": lambda problem: False,
    "torch-compile": lambda p: (
        steps(p)
        or not single_precision_or_more(p)
        or not p.is_image
        or p.batch > 1
        or min(*p.image, *p.kernel) < 2
    ),
    "torch-conv2d-channels-last": lambda p: p.in_channels == 1 or wrong_in_onednn(p),
    "fft-conv-pytorch": lambda p: p.dtype != "float32",
    **dict.fromkeys(
        (
            *("opencv-direct", "opencv-filter2d", "opencv-sepfilter2d"),
            *("ipp-filterborder", "mkl-vsl-direct", "mkl-vsl-fft"),
        ),
        lambda p: steps(p) or not single_precision_or_more(p),
    ),
    "opencv-dft": lambda p: (
        steps(p) or not single_precision_or_more(p) or math.prod(p.kernel) < SWITCH[p.dtype]
    ),
    **dict.fromkeys(
        ("ipp-auto", "ipp-direct", "ipp-fft"), lambda p: steps(p) or p.dtype != "float32"
    ),
    **dict.fromkeys(
        ("scipy-convolve2d", "cupyx-convolve2d"),
        lambda p: (
            steps(p)
            or not single_precision_or_more(p)
            or p.padding is not None
            or (p.boundary == "circular" and p.mode != "same")
        ),
    ),
    **dict.fromkeys(
        (
            *("scipy-convolve", "scipy-fftconvolve", "scipy-oaconvolve"),
            *("cupyx-fftconvolve", "cupyx-oaconvolve"),
        ),
        lambda p: (
            steps(p)
            or not single_precision_or_more(p)
            or p.padding is not None
            or p.boundary == "circular"
        ),
    ),
    **dict.fromkeys(WINOGRAD, lambda p: steps(p) or p.kernel != (3, 3)),
    "winograd-2x2-5x5": lambda p: steps(p) or p.kernel != (5, 5),
    **dict.fromkeys(
        ("scipy-ndimage", "cupyx-ndimage-convolve"),
        lambda p: steps(p) or not single_precision_or_more(p),
    ),
    # On a GPU alone; what cuDNN's algorithms take is cuDNN's to say.
    "torch-conv2d-autotuned": lambda problem: False,
    "npp-filterborder": lambda p: steps(p) or p.dtype != "float32",
    "triton-direct": lambda problem: False,
    "triton-implicit-gemm": lambda p: p.dtype == "float64",
    "cuda-overlap-save": lambda p: steps(p) or p.dtype == "float64",
}


# Of large kernels alone, or of one size, of which the stream has few: see the tests of their files.
FEW = ("opencv-dft", *WINOGRAD, "winograd-2x2-5x5")


def accepted(contender: Contender, case: Case) -> bool:
    """Solve the case within the declared bound, or see it refused with a reason."""
    problem = case.problem
    instance, refusal = None, ""
    try:
        instance = contender.prepare(problem)
    except UnsupportedProblem as error:
        refusal = str(error)
    may_refuse = REFUSES.get(contender.algorithm.name)
    if may_refuse is not None:
        given = exchanged.solved(contender.algorithm.implementation, problem)
        expected = may_refuse(given) or not contender.has_dtype(problem.dtype)
        assert (instance is None) == expected, f"{contender}: {refusal or 'takes'}: {problem}"
    if instance is None:
        assert refusal.strip(), f"{contender} refuses without a reason: {problem}"
        return False
    y = contender.solve(instance, case.x, case.w)
    assert tuple(y.shape) == problem.shapes[2], problem
    if contender.namespace != STRICT:
        assert namespaces.of(y) == (contender.namespace, contender.device)
    assert str(y.dtype).rpartition(".")[2] == problem.dtype, problem
    error = relative_error(contender.values(y), case.expected, case.x, case.w)
    bound = contender.algorithm.error_bound(problem)
    assert error <= bound, f"{contender} is off by {error:.2g}, bound {bound:.2g}: {problem}"
    return True
