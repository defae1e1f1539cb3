"""What counts of plan, load and run, and what they take together.

A sum's interval is as wide as those of independent parts together: the root of their squares.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from convcross.errors import BadInput
from convkernels.prediction import Prediction

Weights = tuple[float, float, float]  # of plan, load and run

PHASE_WEIGHTS: dict[str, Weights] = {
    "steady": (0.0, 0.0, 1.0),
    "fresh": (0.0, 1.0, 1.0),
    "first": (1.0, 1.0, 1.0),
}


def weights(phase: str | None, calls: int | None) -> Weights:
    """What counts of plan, load and run. Raises BadInput on an unknown phase, and on both."""
    if phase is not None and calls is not None:
        raise BadInput("--phase and --calls are both given; allowed: one of them")
    if calls is not None:
        return (1 / calls, 1 / calls, 1.0)
    if (phase or "steady") not in PHASE_WEIGHTS:
        raise BadInput(f"phase is {phase!r}; allowed: {', '.join(PHASE_WEIGHTS)}")
    return PHASE_WEIGHTS[phase or "steady"]


def total(phases: Sequence[Prediction], counted: Weights) -> Prediction:
    """Plan, load and run together, each as far as it counts."""
    middle = sum(weight * one.seconds for weight, one in zip(counted, phases, strict=True))
    below = math.hypot(
        *(w * (one.seconds - one.low) for w, one in zip(counted, phases, strict=True))
    )
    above = math.hypot(
        *(w * (one.high - one.seconds) for w, one in zip(counted, phases, strict=True))
    )
    return Prediction(middle, max(middle - below, middle / 1e3), middle + above)
