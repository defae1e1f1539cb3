"""Which algorithm ``auto`` takes: the one whose calls are promised to take the least time.

By what was measured on this machine where there is a calibration (``calibration``), else by the
cost models' arithmetic; among those that fit in memory.
"""

from __future__ import annotations

from typing import NamedTuple

from convkernels import calibration as calibrations
from convkernels.discovery import algorithms
from convkernels.problem import Problem, UnsupportedProblem
from convkernels.registry import Algorithm, Cost

# FLOP that a machine does in the time of moving a byte. What `auto` needs of it is the order of
# magnitude: CPUs and GPUs of the last decade lie between 5 and 20 in float32.
FLOPS_A_BYTE = 10.0
NOMINAL = 1e11  # FLOP a second, by which arithmetic is told in seconds
ROOM = 32 << 20  # bytes of workspace that any problem may take, beside twice its own arrays


class Ranked(NamedTuple):
    """What one algorithm's call is promised to take.

    Attributes
    ----------
    seconds : of a call, with its share of the plan: plan/calls + load + run
    plan, load, run : seconds of the phases
    workspace : bytes
    fits : whether that is within ``room``
    source : "calibrated", or "arithmetic": seconds of a machine of NOMINAL FLOP a second, to be
        compared with each other alone
    """

    algorithm: Algorithm
    seconds: float
    plan: float
    load: float
    run: float
    workspace: float
    fits: bool
    source: str


class Ranking(NamedTuple):
    """Algorithms that take a problem, best first, and why the namespace's others do not."""

    taken: list[Ranked]
    refusals: dict[str, str]


def room(problem: Problem) -> float:
    """Bytes of workspace that a call may take: a multiple of what its caller holds anyway."""
    return ROOM + 2.0 * problem.min_bytes


def ranked(
    problem: Problem,
    namespace: str,
    device: str,
    *,
    gradients: bool = False,
    calls: int = 1,
    calibration: calibrations.Calibration | None = None,
) -> Ranking:
    """Every algorithm of the namespace: first what fits in memory, the least time before the more;
    without those that the calibration calls spare, where one of the others fits in memory.

    Parameters
    ----------
    gradients : whether torch's autograd must see through it
    calls : of this shape that are to come, each with a filter of its own: what a plan takes is
        spread over them
    calibration : by which time is predicted; algorithms unknown to it in this direction are refused
        while it knows one that takes the problem. None for the cost models' arithmetic
    """
    candidates, refusals = _candidates(problem, namespace, device, gradients)
    known = {} if calibration is None else calibration.contenders
    fits = {
        name: fit
        for name, candidate in candidates.items()
        if (fit := known.get(f"{name}/{namespace}")) and fit.knows(candidate, problem.direction)
    }
    if fits:
        for name in candidates.keys() - fits:
            refusals[name] = f"the calibration does not know it; {calibrations.COMMAND} makes one"
    costs = {name: candidates[name].cost(problem) for name in fits or candidates}
    leading = {name for name, fit in fits.items() if problem.direction not in fit.spare}
    if any(costs[name].workspace <= room(problem) for name in leading):
        for name in fits.keys() - leading:
            refusals[name] = "spare: others are as fast wherever it is"
            del costs[name]
    taken = [
        _ranked(candidates[name], problem, costs[name], fits.get(name), calls)
        for name in sorted(costs, key=lambda name: (costs[name].bytes, name))
    ]
    return Ranking(sorted(taken, key=lambda one: (not one.fits, one.seconds)), refusals)


def never(candidate: Algorithm) -> str | None:
    """Why it is chosen for no problem, only by its name; None where it may be."""
    if candidate.family == "separable":  # it may yet refuse the kernel, by its values
        return "for some kernels alone, and the choice looks at no values"
    if not candidate.implementation.settled:
        return "its library may yet refuse it, and the choice does not ask"
    if candidate.arithmetic.startswith("tf32"):
        return "TF32 is for those who ask for it"
    return None


def _candidates(
    problem: Problem, namespace: str, device: str, gradients: bool
) -> tuple[dict[str, Algorithm], dict[str, str]]:
    """Those of the namespace that take the problem, and why the others do not, by name."""
    candidates: dict[str, Algorithm] = {}
    refusals: dict[str, str] = {}
    for name, candidate in algorithms().items():
        if namespace not in candidate.namespaces:
            continue
        reason = (
            candidate.missing(namespace)
            or candidate.refuses(problem, namespace, device)
            or never(candidate)
        )
        if gradients and not candidate.implementation.gradients:
            reason = reason or "no gradient passes through it"
        if reason is None:
            candidates[name] = candidate
        else:
            refusals[name] = reason
    return candidates, refusals


def _ranked(
    candidate: Algorithm, problem: Problem, cost: Cost, fit: calibrations.Fit | None, calls: int
) -> Ranked:
    if fit is None:
        plan, load, run = _arithmetic(cost, candidate.implementation.compiles)
    else:
        plan, load, run = fit.seconds(candidate, problem, cost)
    return Ranked(
        candidate,
        plan / calls + load + run,
        plan,
        load,
        run,
        cost.workspace,
        fits=cost.workspace <= room(problem),
        source="arithmetic" if fit is None else "calibrated",
    )


def _arithmetic(cost: Cost, compiles: bool) -> tuple[float, float, float]:
    """Of plan, load and run. What an algorithm declares for plan and load together is nearly all
    compiling, or nearly all the filter's."""
    once = _flops(cost, cost.once_flops, cost.once_bytes) / NOMINAL
    run = _flops(cost, cost.flops, cost.bytes) / NOMINAL
    return (once, 0.0, run) if compiles else (0.0, once, run)


def _flops(cost: Cost, flops: float, moved: float) -> float:
    """Moving bytes counted as FLOP in its time."""
    return (sum if cost.serial else max)((flops, FLOPS_A_BYTE * moved))


def preferred(
    problem: Problem, namespace: str, device: str, *, gradients: bool = False, calls: int = 1
) -> list[Algorithm]:
    """Those of ``ranked``, by the calibration that holds here if there is one.

    Raises
    ------
    UnsupportedProblem
        Where every algorithm of the namespace refuses it; each with its reason.
    """
    calibration = calibrations.current(device)
    ranking = ranked(
        problem, namespace, device, gradients=gradients, calls=calls, calibration=calibration
    )
    if not ranking.taken:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in ranking.refusals.items())
        raise UnsupportedProblem(f"no algorithm on {namespace} takes it: {reasons}")
    return [one.algorithm for one in ranking.taken]
