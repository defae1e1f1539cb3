"""Whether a result is right, and how far it is from the truth."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from convcross import data, reference
from convcross.records import Errors
from convkernels import Problem, bounds
from convkernels.problem import ROUNDOFF

Floats = NDArray[np.float64]

# A pixel may err by so many times the root-mean-square error that is allowed to the image. Over
# 10⁸ normal errors the largest is about 6 times their root mean square.
PIXEL = 16.0
# Exact sums and the whole-image reference may differ by so many times the reference's bound.
CERTIFIED = 16.0
# Outputs, at least, of which the quantiles in ULP are taken, evenly through a larger image: sorting
# them all would take longer than all else that is done to verify it.
SAMPLED = 1 << 20


class ReferenceDisagrees(RuntimeError):
    """The float64 reference is not what exact sums say: nothing can be verified against it."""


@dataclasses.dataclass(frozen=True)
class Truth:
    """The operands of a problem, with what every result is compared to.

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
    x: Floats
    w: Floats
    y: Floats
    scale: Floats
    norm: float
    bound: float
    certificate: dict[str, float]


def truth(problem: Problem, x: Floats, w: Floats, seed: int) -> Truth:
    """Compute the reference and certify it.

    Raises
    ------
    ReferenceDisagrees
    """
    y, bound = reference.whole_image(problem, x, w)
    scale = reference.magnitudes(problem, x, w)
    certificate = reference.certify(
        problem, x, w, y, scale, data.generator(seed, "certificate", problem)
    )
    if not certificate["worst"] <= CERTIFIED * bound:
        raise ReferenceDisagrees(
            f"the reference is off by {certificate['worst']:.1e} of its scale at one of "
            f"{certificate['points']:.0f} outputs; allowed: {CERTIFIED * bound:.1e}"
        )
    return Truth(problem, x, w, y, scale, _norm(problem, x, w, y), bound, certificate)


def given(problem: Problem, x: Floats, w: Floats, y: Floats) -> Truth:
    """A truth from an answer that is known already, summed directly in float64."""
    scale = reference.magnitudes(problem, x, w)
    bound = bounds.summation(dataclasses.replace(problem, dtype="float64"))
    return Truth(problem, x, w, y, scale, _norm(problem, x, w, y), bound, {})


def _norm(problem: Problem, x: Floats, w: Floats, y: Floats) -> float:
    """Where the sum cancels, ‖y‖ is not what rounding errors are relative to: ‖x‖·‖w‖ is."""
    share = min(1.0, math.prod(problem.output) / math.prod(problem.image))
    product = np.linalg.norm(x) * np.linalg.norm(w) * math.sqrt(share / problem.groups)
    return float(max(np.linalg.norm(y), product, np.finfo(np.float64).tiny))


def verify(y: Floats, bound: float, truth: Truth) -> str | None:
    """Why a result (as NumPy, of any float type) is wrong, or None. Every pixel is compared.

    Parameters
    ----------
    bound : the contender's declared relative L2 bound; the reference's own is added to it
    """
    if y.shape != truth.y.shape:
        return f"shape {y.shape}; expected {truth.y.shape}"
    finite = np.isfinite(y)
    if not finite.all():
        return f"{y.size - int(finite.sum())} of {y.size} outputs are not finite"
    allowed = bound + truth.bound
    difference = y - truth.y  # float64, whatever y is
    relative = float(np.linalg.norm(difference)) / truth.norm
    if not relative <= allowed:
        return f"relative L2 error {relative:.2e}; allowed: {allowed:.2e}"
    root = truth.norm / math.sqrt(truth.y.size)
    excess = np.abs(difference) / np.maximum(truth.scale, root)
    worst = int(np.argmax(excess))
    if not excess.flat[worst] <= PIXEL * allowed:
        place = tuple(int(i) for i in np.unravel_index(worst, y.shape))
        return (
            f"output {place} is off by {excess.flat[worst]:.2e} of its scale; "
            f"allowed: {PIXEL * allowed:.2e}"
        )
    return None


def relative_error(y: Floats, truth: Truth) -> float:
    """The relative L2 error that ``verify`` holds against the bound."""
    return float(np.linalg.norm(y - truth.y)) / truth.norm


def errors(y: Floats, truth: Truth) -> Errors:
    """Distances of a verified result from the reference (see ``records.Errors``).

    ULP are those of the storage type at the reference's value; the largest one is not given, it
    means nothing where the sum cancels.
    """
    difference = np.abs(y - truth.y)
    tiny = np.finfo(np.float64).tiny
    every = max(1, y.size // SAMPLED) | 1  # odd, so that it walks through all columns of tiles
    values, apart = truth.y.ravel()[::every], difference.ravel()[::every]
    ulps = apart / _ulp(values, truth.problem.dtype)
    median, high = np.quantile(ulps, [0.5, 0.999])
    return Errors(
        rel_l2=float(np.linalg.norm(difference) / max(np.linalg.norm(truth.y), tiny)),
        max_rel=float(difference.max() / max(np.abs(truth.y).max(), tiny)),
        componentwise=float((difference / truth.scale).max()),
        ulp_median=float(median),
        ulp_p999=float(high),
    )


def _ulp(values: Floats, dtype: str) -> Floats:
    """Distance between neighbours of a storage type at these values."""
    _, exponent = np.frexp(values)  # |value| in [2^(e−1), 2^e)
    least = {"float64": -1021, "float32": -125, "float16": -13, "bfloat16": -125}[dtype]
    ulp: Floats = np.ldexp(2.0 * ROUNDOFF[dtype], np.maximum(exponent, least) - 1)
    return ulp
