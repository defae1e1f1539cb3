"""Whether a result is right, and how far it is from the truth.

A truth lies in one place, a library's arrays on a device, and results are compared there: on a
card, nothing but numbers, the sums' windows and the quantiles' sample comes to the host.

Every output of a result is verified against a float64 reference. The errors of float32 and 16-bit
problems are measured there too. In a float64 problem the reference errs as much as the contenders
do (an FFT in NumPy is the reference, and would have no error at all), so errors are measured at a
sample of outputs that are known to twice the digits, as ``error_points`` in the certificate says.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
from numpy.typing import NDArray

from convcross.measure.accuracy import reference
from convcross.measure.accuracy.arrays import (
    Array,
    Place,
    largest,
    moved,
    norm,
    pieces,
    sum_of_squares,
)
from convcross.measure.accuracy.reach import widened
from convcross.measure.accuracy.sample import Sample, as_forward, draw
from convcross.results.schema import Errors
from convcross.sweeps import data
from convkernels import Problem, namespaces
from convkernels.discovery import find
from convkernels.problem import ROUNDOFF
from convkernels.toolbox import bounds, directions

Floats = NDArray[np.float64]

# A pixel may err by so many times the root-mean-square error that is allowed within its reach (see
# ``Truth.reach``). Over 10⁸ normal errors the largest is about 6 times their root mean square.
PIXEL = 16.0
# Exact sums and the whole-image reference may differ by so many times the reference's bound.
CERTIFIED = 16.0
# About so many outputs, evenly through a larger image, are those of which the quantiles in ULP are
# taken: sorting them all would take longer than all else that is done to verify it. Some 260 of
# them lie above the 99.9th percentile.
SPACING = 2.0**-149  # of float32's subnormal numbers
NORMAL = 2.0**-100  # from here on a spacing is no matter
RATE = 1e9  # FLOP/s of a transform in float64 on a CPU, at least
SAMPLED = 1 << 18


class ReferenceDisagrees(RuntimeError):
    """The float64 reference is not what exact sums say: nothing can be verified against it."""


@dataclasses.dataclass(frozen=True)
class Truth:
    """The operands of a problem, with what every result is compared to.

    All its arrays are float64, of one library, on one device.

    Attributes
    ----------
    x, w : its two operands (in a gradient gy, and w or x): values that the storage type holds, of
        the problem's shapes
    y : float64 reference
    scale : |x|*|w| at every output
    norm : what relative L2 errors are relative to: max(‖y‖, ‖x‖·‖w‖ over these outputs)
    bound : the reference's own relative L2 bound
    certificate : how far y is from exact sums ("worst"), at how many outputs that was checked
        ("points"), and at how many ``errors`` are measured ("error_points")
    sample : of a float64 problem, where ``errors`` are measured; None for all outputs
    """

    problem: Problem
    x: Array
    w: Array
    y: Array
    scale: Array
    norm: float
    bound: float
    certificate: dict[str, float]
    sample: Sample | None = None

    @property
    def place(self) -> Place:
        return namespaces.of(self.y)

    @functools.cached_property
    def reach(self) -> Array:
        """What the rounding error of an output is relative to, whatever the algorithm.

        A direct sum errs by |x|*|w| there, and minimal filtering by the largest in its tile. An FFT
        along rows spreads the error of each row over the row, one along columns over the column,
        and both together over the image: the root mean squares of |x|*|w| over the output's row and
        column, and of the whole (see ``norm``).
        """
        xp = namespaces.namespace(self.place[0])
        whole = self.norm / math.sqrt(math.prod(self.y.shape))
        reach = widened(self.scale, xp)
        reach = xp.maximum(reach, xp.asarray(whole, dtype=self.y.dtype, device=self.y.device))
        squares = self.scale * self.scale
        for axis in (-1, -2):
            reach = xp.maximum(reach, xp.sqrt(xp.mean(squares, axis=axis, keepdims=True)))
        return reach

    @functools.cached_property
    def underflow(self) -> float:
        """What each output may be off by beyond its bound, where it lies near float32's subnormal
        numbers: their spacing, times the root of the roundings to it, of a kernel's or a spectrum's
        number."""
        typical = self.norm / math.sqrt(math.prod(self.y.shape))
        if self.problem.dtype == "float64" or typical > NORMAL:
            return 0.0
        many = max(self.problem.terms, math.prod(self.problem.image))
        return SPACING * math.sqrt(many)

    @functools.cached_property
    def length(self) -> float:
        """‖y‖"""
        return norm(self.y)

    @functools.cached_property
    def peak(self) -> float:
        """max|y|"""
        return largest(self.y)

    def verify(self, y: Array, bound: float) -> str | None:
        """See ``verify``."""
        return verify(y, bound, self)

    def errors(self, y: Array) -> Errors:
        """See ``errors``."""
        return errors(y, self)

    def relative_error(self, y: Array) -> float:
        """See ``relative_error``."""
        return relative_error(y, self)


def require_memory(problem: Problem, place: Place) -> None:
    """Raise MemoryError where ``truth`` would not fit: a system that overcommits would kill the
    process instead."""
    need = 0.0
    for one in dataclasses.replace(problem, dtype="float64").passes:
        need += 4.0 * one.min_bytes + find("fft").cost(one).workspace
    free = namespaces.free_bytes(*place)
    if need > free:
        raise MemoryError(
            f"the reference needs {need / 2**30:.1f} GiB; {free / 2**30:.1f} GiB are free"
        )


def expected_seconds(problem: Problem) -> float:
    """Of ``truth`` on a CPU, roughly: two convolutions by FFT in float64."""
    double = dataclasses.replace(problem, dtype="float64")
    costs = [find("fft").cost(one) for one in double.passes]
    return sum(2 * (cost.flops + cost.once_flops) / RATE for cost in costs)


def truth(
    problem: Problem,
    x: Array,
    w: Array,
    seed: int,
    place: Place | None = None,
    *,
    certified: bool = True,
) -> Truth:
    """Compute the reference and certify it.

    Alive at once, at most: x, y, |x|, and in the transforms of |x|*|w| the kernel's spectrum, the
    image's and a copy of it, the library's work area and the padded result. These are eight
    float64 images of the padded size: 4 GiB at N = 8192. Three (x, y, scale) stay, and a fourth
    (reach) from the first result that is verified on: 2 GiB.

    Parameters
    ----------
    x, w : float64, its two operands of the problem's shapes, with values that its storage type
        holds
    place : (namespace, device) where the reference is computed and results will be compared, such
        as ("torch", "cuda:0"); by default where x is
    certified : False where the same reference was certified before, and errors were measured

    Raises
    ------
    ReferenceDisagrees
    """
    place = place or namespaces.of(x)
    with namespaces.on(*place):
        x, w = moved(x, place), moved(w, place)
        y, bound = reference.whole_image(problem, x, w)
        scale = reference.magnitudes(problem, x, w)
        size = _norm(problem, x, w, y)
        if not certified:
            return Truth(problem, x, w, y, scale, size, bound, {})
        random = data.generator(seed, "certificate", problem)
        forward, image, filters, result, sums = as_forward(problem, x, w, y, scale)
        certificate = reference.certify(forward, image, filters, result, sums, random)
        if not certificate["worst"] <= CERTIFIED * bound:
            raise ReferenceDisagrees(
                f"the reference is off by {certificate['worst']:.1e} of its scale at one of "
                f"{certificate['points']:.0f} outputs; allowed: {CERTIFIED * bound:.1e}"
            )
        sample = None
        certificate["error_points"] = math.prod(y.shape)
        if problem.dtype == "float64":
            sample = draw(problem, x, w, scale, data.generator(seed, "sample", problem))
            certificate["error_points"] = sample.index.shape[0]
        return Truth(problem, x, w, y, scale, size, bound, certificate, sample)


def given(problem: Problem, x: Array, w: Array, y: Array) -> Truth:
    """A truth from an answer that is known already, summed directly in float64."""
    with namespaces.on(*namespaces.of(x)):
        scale = reference.magnitudes(problem, x, w)
        bound = bounds.summation(dataclasses.replace(problem, dtype="float64"))
        return Truth(problem, x, w, y, scale, _norm(problem, x, w, y), bound, {})


def _norm(problem: Problem, x: Array, w: Array, y: Array) -> float:
    """Where the sum cancels, ‖y‖ is not what rounding errors are relative to: ‖x‖·‖w‖ is."""
    problem = directions.exchange(problem).solved
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
        squares, worst, index, seen = 0.0, -1.0, 0, 0
        for part, true, reach in pieces(y, truth.y, truth.reach):
            difference = part - true  # float64, whatever y is
            if truth.underflow:
                beyond = xp.abs(difference) - truth.underflow
                difference = xp.maximum(beyond, xp.zeros_like(beyond))
            squares += sum_of_squares(difference)
            excess = xp.abs(difference) / reach
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
    """Distances of a verified result from what is true (see ``schema.Errors``).

    Those of a float64 problem are measured at its sample: the relative L2 error is an estimate of
    that of all outputs, the largest ones are the largest there. ULP are those of the storage type
    at the true value; the largest one is not given, it means nothing where the sum cancels.
    """
    tiny = float(np.finfo(np.float64).tiny)
    with namespaces.on(*truth.place):
        y = moved(y, truth.place)
        squares, farthest, componentwise = (_at_sample if truth.sample else _everywhere)(y, truth)
        median, high = np.quantile(_sampled_ulps(y, truth), [0.5, 0.999])
        return Errors(
            rel_l2=math.sqrt(squares) / max(truth.length, tiny),
            max_rel=farthest / max(truth.peak, tiny),
            componentwise=componentwise,
            ulp_median=float(median),
            ulp_p999=float(high),
        )


def _everywhere(y: Array, truth: Truth) -> tuple[float, float, float]:
    """Σ e², max e and max e ÷ (|x|*|w|) over all outputs."""
    xp = namespaces.namespace(truth.place[0])
    squares, farthest, componentwise = 0.0, 0.0, 0.0
    for part, true, scale in pieces(y, truth.y, truth.scale):
        difference = xp.abs(part - true)
        squares += sum_of_squares(difference)
        farthest = max(farthest, float(xp.max(difference)))
        componentwise = max(componentwise, float(xp.max(difference / scale)))
    return squares, farthest, componentwise


def _at_sample(y: Array, truth: Truth) -> tuple[float, float, float]:
    """The same, from the sample."""
    assert truth.sample is not None
    xp = namespaces.namespace(truth.place[0])
    difference = _sampled_differences(y, truth.sample)
    scale = xp.take(xp.reshape(truth.scale, (-1,)), truth.sample.index)
    return (
        float(xp.sum(truth.sample.weight * difference * difference)),
        float(xp.max(difference)),
        float(xp.max(difference / scale)),
    )


def _sampled_differences(y: Array, sample: Sample) -> Array:
    xp = namespaces.namespace(namespaces.of(y)[0])
    return xp.abs((xp.take(xp.reshape(y, (-1,)), sample.index) - sample.high) - sample.low)


def _sampled_ulps(y: Array, truth: Truth) -> Floats:
    """Errors in ULP of a result that lies with the truth, at evenly drawn or spaced outputs; on the
    host."""
    if truth.sample is not None:
        even = truth.sample.even
        true, difference = truth.sample.high[:even], _sampled_differences(y, truth.sample)[:even]
    else:
        xp = namespaces.namespace(truth.place[0])
        # Odd: it walks through all columns of tiles.
        every = max(1, math.prod(y.shape) // SAMPLED) | 1
        true, result = (xp.reshape(array, (-1,))[::every] for array in (truth.y, y))
        difference = xp.abs(result - true)
    ulps: Floats = namespaces.to_numpy(difference) / _ulp(
        namespaces.to_numpy(true), truth.problem.dtype
    )
    return ulps


def _ulp(values: Floats, dtype: str) -> Floats:
    """Distance between neighbours of a storage type at these values."""
    _, exponent = np.frexp(values)  # |value| in [2^(e−1), 2^e)
    least = {"float64": -1021, "float32": -125, "float16": -13, "bfloat16": -125}[dtype]
    ulp: Floats = np.ldexp(2.0 * ROUNDOFF[dtype], np.maximum(exponent, least) - 1)
    return ulp
