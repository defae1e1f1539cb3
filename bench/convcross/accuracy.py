"""Whether a result is right, and how far it is from the truth.

A truth lies in one place, a library's arrays on a device, and results are compared there: on a
card, nothing but numbers, the sums' windows and the quantiles' sample comes to the host.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
from numpy.typing import NDArray

from convcross import data, reference
from convcross.arrays import Array, Place, largest, moved, norm, pieces, sum_of_squares
from convcross.records import Errors
from convkernels import Problem, bounds, namespaces
from convkernels.problem import ROUNDOFF

Floats = NDArray[np.float64]

# A pixel may err by so many times the root-mean-square error that is allowed to the image. Over
# 10⁸ normal errors the largest is about 6 times their root mean square.
PIXEL = 16.0
# Exact sums and the whole-image reference may differ by so many times the reference's bound.
CERTIFIED = 16.0
# About so many outputs, evenly through a larger image, are those of which the quantiles in ULP are
# taken: sorting them all would take longer than all else that is done to verify it. Some 260 of
# them lie above the 99.9th percentile.
SAMPLED = 1 << 18


class ReferenceDisagrees(RuntimeError):
    """The float64 reference is not what exact sums say: nothing can be verified against it."""


@dataclasses.dataclass(frozen=True)
class Truth:
    """The operands of a problem, with what every result is compared to.

    All its arrays are float64, of one library, on one device.

    Attributes
    ----------
    x, w : values that the storage type holds, of the problem's shapes
    y : float64 reference
    scale : |x|*|w| at every output
    norm : what relative L2 errors are relative to: max(‖y‖, ‖x‖·‖w‖ over these outputs)
    bound : the reference's own relative L2 bound
    certificate : how far y is from exact sums, and at how many outputs that was checked
    """

    problem: Problem
    x: Array
    w: Array
    y: Array
    scale: Array
    norm: float
    bound: float
    certificate: dict[str, float]

    @property
    def place(self) -> Place:
        return namespaces.of(self.y)

    @functools.cached_property
    def length(self) -> float:
        """‖y‖"""
        return norm(self.y)

    @functools.cached_property
    def peak(self) -> float:
        """max|y|"""
        return largest(self.y)


def truth(problem: Problem, x: Array, w: Array, seed: int, place: Place | None = None) -> Truth:
    """Compute the reference and certify it.

    Alive at once, at most: x, y, |x|, and in the transforms of |x|*|w| the kernel's spectrum, the
    image's and a copy of it, the library's work area and the padded result. These are eight
    float64 images of the padded size: 4 GiB at N = 8192. Three (x, y, scale) stay: 1.5 GiB.

    Parameters
    ----------
    x, w : float64, of the problem's shapes, with values that its storage type holds
    place : (namespace, device) where the reference is computed and results will be compared, such
        as ("torch", "cuda:0"); by default where x is

    Raises
    ------
    ReferenceDisagrees
    """
    place = place or namespaces.of(x)
    with namespaces.on(*place):
        x, w = moved(x, place), moved(w, place)
        y, bound = reference.whole_image(problem, x, w)
        scale = reference.magnitudes(problem, x, w)
        random = data.generator(seed, "certificate", problem)
        certificate = reference.certify(problem, x, w, y, scale, random)
        if not certificate["worst"] <= CERTIFIED * bound:
            raise ReferenceDisagrees(
                f"the reference is off by {certificate['worst']:.1e} of its scale at one of "
                f"{certificate['points']:.0f} outputs; allowed: {CERTIFIED * bound:.1e}"
            )
        return Truth(problem, x, w, y, scale, _norm(problem, x, w, y), bound, certificate)


def given(problem: Problem, x: Array, w: Array, y: Array) -> Truth:
    """A truth from an answer that is known already, summed directly in float64."""
    with namespaces.on(*namespaces.of(x)):
        scale = reference.magnitudes(problem, x, w)
        bound = bounds.summation(dataclasses.replace(problem, dtype="float64"))
        return Truth(problem, x, w, y, scale, _norm(problem, x, w, y), bound, {})


def _norm(problem: Problem, x: Array, w: Array, y: Array) -> float:
    """Where the sum cancels, ‖y‖ is not what rounding errors are relative to: ‖x‖·‖w‖ is."""
    share = min(1.0, math.prod(problem.output) / math.prod(problem.image))
    product = norm(x) * norm(w) * math.sqrt(share / problem.groups)
    return max(norm(y), product, float(np.finfo(np.float64).tiny))


def verify(y: Array, bound: float, truth: Truth) -> str | None:
    """Why a result is wrong, or None. Every pixel is compared, where the truth lies.

    Parameters
    ----------
    y : a contender's own array, of any real floating type, library and device
    bound : the contender's declared relative L2 bound; the reference's own is added to it
    """
    shape, expected = tuple(y.shape), tuple(truth.y.shape)
    if shape != expected:
        return f"shape {shape}; expected {expected}"
    if not namespaces.namespace(namespaces.of(y)[0]).isdtype(y.dtype, "real floating"):
        return f"dtype {namespaces.dtype_name(y)}; expected {truth.problem.dtype}"
    xp = namespaces.namespace(truth.place[0])
    allowed, size = bound + truth.bound, math.prod(shape)
    with namespaces.on(*truth.place):
        y = moved(y, truth.place)
        root = xp.asarray(truth.norm / math.sqrt(size), dtype=truth.y.dtype, device=truth.y.device)
        squares, worst, index, seen = 0.0, -1.0, 0, 0
        for part, true, scale in pieces(y, truth.y, truth.scale):
            difference = part - true  # float64, whatever y is
            squares += sum_of_squares(difference)
            excess = xp.abs(difference) / xp.maximum(scale, root)
            largest_here = int(xp.argmax(excess))
            if not float(excess[largest_here]) <= worst:
                worst, index = float(excess[largest_here]), seen + largest_here
            seen += part.shape[0]
        relative = math.sqrt(squares) / truth.norm
        if not math.isfinite(relative):
            finite = sum(int(xp.count_nonzero(xp.isfinite(part))) for (part,) in pieces(y))
            if finite < size:
                return f"{size - finite} of {size} outputs are not finite"
    if not relative <= allowed:
        return f"relative L2 error {relative:.2e}; allowed: {allowed:.2e}"
    if not worst <= PIXEL * allowed:
        place = tuple(int(i) for i in np.unravel_index(index, shape))
        return f"output {place} is off by {worst:.2e} of its scale; allowed: {PIXEL * allowed:.2e}"
    return None


def relative_error(y: Array, truth: Truth) -> float:
    """The relative L2 error that ``verify`` holds against the bound."""
    with namespaces.on(*truth.place):
        squares = 0.0
        for part, true in pieces(moved(y, truth.place), truth.y):
            squares += sum_of_squares(part - true)
    return math.sqrt(squares) / truth.norm


def errors(y: Array, truth: Truth) -> Errors:
    """Distances of a verified result from the reference (see ``records.Errors``).

    ULP are those of the storage type at the reference's value; the largest one is not given, it
    means nothing where the sum cancels.
    """
    xp = namespaces.namespace(truth.place[0])
    tiny = float(np.finfo(np.float64).tiny)
    with namespaces.on(*truth.place):
        y = moved(y, truth.place)
        squares, farthest, componentwise = 0.0, 0.0, 0.0
        for part, true, scale in pieces(y, truth.y, truth.scale):
            difference = xp.abs(part - true)
            squares += sum_of_squares(difference)
            farthest = max(farthest, float(xp.max(difference)))
            componentwise = max(componentwise, float(xp.max(difference / scale)))
        median, high = np.quantile(_sampled_ulps(y, truth), [0.5, 0.999])
        return Errors(
            rel_l2=math.sqrt(squares) / max(truth.length, tiny),
            max_rel=farthest / max(truth.peak, tiny),
            componentwise=componentwise,
            ulp_median=float(median),
            ulp_p999=float(high),
        )


def _sampled_ulps(y: Array, truth: Truth) -> Floats:
    """Errors in ULP of a result that lies with the truth, at evenly spaced outputs; on the host."""
    xp = namespaces.namespace(truth.place[0])
    every = max(1, math.prod(y.shape) // SAMPLED) | 1  # odd: it walks through all columns of tiles
    true, result = (xp.reshape(array, (-1,))[::every] for array in (truth.y, y))
    difference = namespaces.to_numpy(xp.abs(result - true))
    ulps: Floats = difference / _ulp(namespaces.to_numpy(true), truth.problem.dtype)
    return ulps


def _ulp(values: Floats, dtype: str) -> Floats:
    """Distance between neighbours of a storage type at these values."""
    _, exponent = np.frexp(values)  # |value| in [2^(e−1), 2^e)
    least = {"float64": -1021, "float32": -125, "float16": -13, "bfloat16": -125}[dtype]
    ulp: Floats = np.ldexp(2.0 * ROUNDOFF[dtype], np.maximum(exponent, least) - 1)
    return ulp
