"""``convcross advise``: contenders in the order of what they will take, by the calibration.

Seconds are a phase's, or those of a call that shares plan and load with others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from convcross.advice.near_crossover import NearCrossover, crossover
from convcross.advice.weights import Weights, total
from convcross.errors import BadInput
from convcross.sweeps.contenders import Contender, matching
from convcross.text import binary, seconds
from convkernels import Problem, calibration
from convkernels.calibration import PHASES, Calibration
from convkernels.discovery import find
from convkernels.prediction import Prediction
from convkernels.registry import Cost

MUCH = 2.0  # times as much work as the fastest does: that is why it is slower
MOST = 0.5  # of the time, that plan or load takes: likewise


@dataclasses.dataclass(frozen=True)
class Advised:
    """One contender.

    Attributes
    ----------
    seconds, low, high : of the phase, or of a call; an interval of 90 %
    error : relative L2, as large as was measured of its bound
    workspace : bytes
    beyond : the limit that it exceeds, in words, or None
    why : what makes it slower than the fastest, in words; None of that one
    """

    contender: str
    family: str
    seconds: float
    low: float
    high: float
    error: float
    workspace: float
    beyond: str | None = None
    why: str | None = None


@dataclasses.dataclass(frozen=True)
class Advice:
    """What is advised for a problem.

    Attributes
    ----------
    ranked : first those within the limits, the fastest first; of these the last are those in whose
        place others are as fast wherever they are (``calibration.Fit.spare``)
    refused : why contenders that have a fit do not take the problem
    slower : why others have no fit
    """

    problem: Problem
    device: str
    weights: Weights
    made_at: str
    ranked: list[Advised]
    refused: dict[str, str]
    slower: Mapping[str, str]
    crossover: NearCrossover | None

    def to_json(self) -> dict[str, Any]:
        return {
            "problem": self.problem.to_json(),
            "device": self.device,
            "weights": dict(zip(PHASES, self.weights, strict=True)),
            "calibrated_at": self.made_at,
            "ranked": [dataclasses.asdict(one) for one in self.ranked],
            "refused": self.refused,
            "slower": dict(self.slower),
            "crossover": None if self.crossover is None else dataclasses.asdict(self.crossover),
        }


def require(device: str) -> Calibration:
    """The calibration that holds here and now.

    Raises BadInput where there is none, or one that is damaged, stale or of another machine; it
    names the command that makes one.
    """
    reason = calibration.problem_with(device)
    found = calibration.current(device)
    if found is None:
        raise BadInput(reason or f"no calibration of {device}; {calibration.COMMAND} makes one")
    return found


def among(known: Calibration, patterns: str | None) -> Calibration:
    """The calibration of those contenders that match; one that is named in full is not spare.

    Raises BadInput where none does.
    """
    if patterns is None:
        return known
    named = patterns.split(",")
    there = [Contender(f"{name}@{known.key.device}") for name in known.contenders]
    chosen = {contender.short for contender in matching(named, there)}
    kept = {
        name: dataclasses.replace(fit, spare=() if name in named else fit.spare)
        for name, fit in known.contenders.items()
        if name in chosen
    }
    return dataclasses.replace(known, contenders=kept)


def advise(
    problem: Problem,
    known: Calibration,
    counted: Weights,
    *,
    max_error: float | None = None,
    max_workspace: float | None = None,
) -> Advice:
    """Rank the contenders that the calibration knows.

    Parameters
    ----------
    counted : of plan, load and run
    max_error : relative L2
    max_workspace : bytes

    Raises BadInput where none takes the problem, and where none is within the limits: it says which
    comes nearest.
    """
    found: list[Advised] = []
    parts: dict[str, tuple[Cost, Sequence[Prediction]]] = {}
    refused: dict[str, str] = {}
    for name, fit in known.contenders.items():
        algorithm, namespace = find(Contender(name).algorithm), Contender(name).namespace
        phases = known.predict(name, problem)
        if phases is None:
            reason = algorithm.refuses(problem, namespace, known.key.device)
            refused[name] = reason or f"the calibration has no {problem.direction}"
            continue
        cost = algorithm.cost(problem)
        parts[name] = cost, phases
        error = fit.share_of_bound * algorithm.error_bound(problem)
        beyond = _beyond(error, cost.workspace, max_error, max_workspace)
        taken = total(phases, counted)
        found.append(Advised(name, algorithm.family, *taken, error, cost.workspace, beyond))
    if not found:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
        raise BadInput(f"no contender takes it: {reasons}")
    spare = {name for name, fit in known.contenders.items() if problem.direction in fit.spare}
    found.sort(key=lambda one: (one.beyond is not None, one.contender in spare, one.seconds))
    if found[0].beyond is not None:
        raise BadInput(_nearest(found, max_error, max_workspace))
    best = found[0]
    ranked = [best] + [
        dataclasses.replace(one, why=_why(one, best, parts, counted)) for one in found[1:]
    ]
    return Advice(
        problem,
        known.key.device,
        counted,
        known.made_at,
        ranked,
        refused,
        known.slower,
        crossover(problem, known, counted),
    )


def _beyond(
    error: float, workspace: float, max_error: float | None, max_workspace: float | None
) -> str | None:
    if max_error is not None and error > max_error:
        return f"error {error:.1e}"
    if max_workspace is not None and workspace > max_workspace:
        return f"workspace {binary(workspace)}"
    return None


def _nearest(found: Sequence[Advised], max_error: float | None, max_workspace: float | None) -> str:
    """No contender is within the limits: which is the least beyond them."""

    def excess(one: Advised) -> float:
        error = one.error / max_error if max_error else 0.0
        return max(error, one.workspace / max_workspace if max_workspace else 0.0)

    nearest = min(found, key=excess)
    limits = [
        *([f"error {max_error:g}"] if max_error is not None else []),
        *([f"workspace {binary(max_workspace)}"] if max_workspace is not None else []),
    ]
    return (
        f"no contender is within {' and '.join(limits)}; the nearest is {nearest.contender} with "
        f"error {nearest.error:.1e}, workspace {binary(nearest.workspace)}"
    )


def _why(
    one: Advised,
    best: Advised,
    parts: Mapping[str, tuple[Cost, Sequence[Prediction]]],
    counted: Weights,
) -> str:
    """What makes it slower."""
    if one.beyond is not None:
        return f"beyond the limit: {one.beyond}"
    if one.low <= best.high:
        return "perhaps as fast"
    (cost, phases), (least, _) = parts[one.contender], parts[best.contender]
    for name, weight, phase in zip(PHASES[:2], counted[:2], phases[:2], strict=True):
        if weight * phase.seconds > MOST * one.seconds:
            return f"{name} takes {seconds(weight * phase.seconds)} of it"
    for what, mine, other in (
        ("FLOP", cost.flops, least.flops),
        ("bytes", cost.bytes, least.bytes),
    ):
        if mine > MUCH * other:
            return f"{mine / other:.2g} times the {what}"
    return "at a lower rate"
