"""Which algorithm ``auto`` takes: the least by the cost models, of those that fit in memory."""

from __future__ import annotations

from convkernels.discovery import algorithms
from convkernels.problem import Problem, UnsupportedProblem
from convkernels.registry import Algorithm, Cost

# FLOP that a machine does in the time of moving a byte. What `auto` needs of it is the order of
# magnitude: CPUs and GPUs of the last decade lie between 5 and 20 in float32.
FLOPS_A_BYTE = 10.0
ROOM = 32 << 20  # bytes of workspace that any problem may take, beside twice its own arrays


def room(problem: Problem) -> float:
    """Bytes of workspace that a call may take: a multiple of what its caller holds anyway."""
    return ROOM + 2.0 * problem.min_bytes


def flops_of_call(cost: Cost) -> float:
    """Of one call, which plans and loads for itself; moving bytes counted as FLOP in its time."""
    together = sum if cost.serial else max
    once = together((cost.once_flops, FLOPS_A_BYTE * cost.once_bytes))
    return once + together((cost.flops, FLOPS_A_BYTE * cost.bytes))


def choose(problem: Problem, namespace: str, device: str, *, gradients: bool = False) -> Algorithm:
    """The algorithm whose cost model promises the least time of a call, and that takes the problem.

    One that needs more memory than ``room`` is taken where none needs less.

    Parameters
    ----------
    gradients : whether torch's autograd must see through it

    Raises
    ------
    UnsupportedProblem
        Where every algorithm of the namespace refuses it; each with its reason.
    """
    refusals: dict[str, str] = {}
    found: list[tuple[bool, float, float, str]] = []
    known = algorithms()
    for name, candidate in known.items():
        if namespace not in candidate.namespaces:
            continue
        reason = candidate.missing(namespace) or candidate.refuses(problem, namespace, device)
        if candidate.family == "separable":  # it may yet refuse the kernel, by its values
            reason = reason or "for some kernels alone, and the choice looks at no values"
        if not candidate.implementation.settled:
            reason = reason or "its library may yet refuse it, and the choice does not ask"
        if candidate.arithmetic.startswith("tf32"):
            reason = reason or "TF32 is for those who ask for it"
        if gradients and not candidate.implementation.gradients:
            reason = reason or "no gradient passes through it"
        if reason is not None:
            refusals[name] = reason
            continue
        cost = candidate.implementation.cost(problem)
        found.append((cost.workspace > room(problem), flops_of_call(cost), cost.bytes, name))
    if not found:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in refusals.items())
        raise UnsupportedProblem(f"no algorithm on {namespace} takes it: {reasons}")
    return known[min(found)[-1]]
