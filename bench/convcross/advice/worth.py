"""What a choice is worth on problems that were kept out of the fits: its loss.

The loss of a choice is the time of what it takes over that of the fastest that was measured. Where
what it takes was not measured, since it was expected to be far behind, the choice counts as untold.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable

import numpy as np

from convcross.advice.weights import PHASE_WEIGHTS, Weights, total
from convkernels import Problem
from convkernels.calibration import Calibration, HeldOut
from convkernels.toolbox.directions import GRADIENTS

ALIKE = 1.05  # a loss that nobody minds
LARGE = 1.5

# A choice on what problems, and what counts of its time, in words.
TOLD = (
    ("forward", "fresh", "with its plan kept"),
    ("forward", "first", "a first call"),
    *((direction, "fresh", f"{direction} with its plan kept") for direction in GRADIENTS),
)

Choice = Callable[[Problem, list[str]], str | None]  # among these contenders


@dataclasses.dataclass(frozen=True)
class Loss:
    """Of a choice on several problems.

    Attributes
    ----------
    losses : of each problem on which it is told, ≥ 1
    untold : problems on which what it takes was not measured
    """

    losses: tuple[float, ...]
    untold: int

    @property
    def mean(self) -> float:
        """Geometric; NaN of none."""
        return math.exp(float(np.mean(np.log(self.losses)))) if self.losses else math.nan

    def share(self, most: float) -> float:
        """Of the problems, on which the loss is no more than this."""
        return float(np.mean(np.array(self.losses) <= most)) if self.losses else math.nan

    def words(self) -> str:
        if not self.losses:
            return "not told: what it takes was measured on none of them"
        untold = f", and untold on {self.untold} more" if self.untold else ""
        return (
            f"{self.mean:.3f} in the geometric mean, within 5 % on {self.share(ALIKE):.0%}, max "
            f"{max(self.losses):.2f}, on {len(self.losses)} held-out problems{untold}"
        )


def loss(choice: Choice, held_out: Iterable[HeldOut], among: list[str], counted: Weights) -> Loss:
    """Of a choice among these contenders, with what counts of plan, load and run."""
    losses, untold = [], 0
    for held in held_out:
        times = {
            name: sum(w * s for w, s in zip(counted, held.seconds[name], strict=True))
            for name in among
            if name in held.seconds
        }
        if not times:
            continue
        chosen = choice(held.problem, among)
        if chosen is None or chosen not in times:
            untold += 1
        else:
            losses.append(times[chosen] / min(times.values()))
    return Loss(tuple(losses), untold)


def predicted(known: Calibration, counted: Weights) -> Choice:
    """The choice by the calibration's predictions."""

    def choice(problem: Problem, among: list[str]) -> str | None:
        expected = {}
        for name in among:
            phases = known.predict(name, problem)
            if phases is not None:
                expected[name] = total(phases, counted).seconds
        return min(expected, key=lambda name: expected[name], default=None)

    return choice


def coverage(known: Calibration) -> tuple[int, int]:
    """(times inside their predicted intervals, times): of runs of the held-out problems."""
    inside = count = 0
    for held in known.held_out:
        for name, seconds in held.seconds.items():
            phases = known.predict(name, held.problem) if name in known.contenders else None
            if phases is not None:
                *_, run = phases
                count += 1
                inside += run.low <= seconds[-1] <= run.high
    return inside, count


def words(known: Calibration) -> list[str]:
    """What the calibration is worth, a sentence a line."""
    inside, count = coverage(known)
    if not count:
        return ["No problem was held out: what it is worth is not told."]
    lines = [f"Of {count} times of held-out runs {inside / count:.0%} lie in their 90 % intervals."]
    for namespace in sorted({name.partition("/")[2] for name in known.contenders}):
        for direction, phase, what in TOLD:
            there = [held for held in known.held_out if held.problem.direction == direction]
            among = [name for name in known.leading(direction) if name.endswith(f"/{namespace}")]
            weights = PHASE_WEIGHTS[phase]
            told = loss(predicted(known, weights), there, among, weights)
            if there or direction == "forward":
                lines.append(f"The loss of choosing on {namespace}, {what}: {told.words()}.")
    return lines
