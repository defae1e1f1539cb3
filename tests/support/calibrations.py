"""Calibrations of a machine that takes what a test says."""

from __future__ import annotations

from collections.abc import Mapping

from convkernels import calibration
from convkernels.calibration import PHASES, Calibration, Fit
from convkernels.prediction import FEATURES, TERMS, CostModel
from convkernels.problem import Problem

Seconds = tuple[float, float, float]  # of plan, load and run


def constant(seconds: float) -> CostModel:
    """Of a phase that takes this long, whatever the problem."""
    nothing = (0.0,) * len(FEATURES)
    return CostModel(
        coefficients=(seconds, *(0.0,) * (len(TERMS) - 1)),
        signal=1e-3,
        noise=1e-3,
        scales=(1.0,) * len(FEATURES),
        slopes=nothing,
        reach=2.0,
        samples=(nothing,),
        residuals=(0.0,),
        excess=(0.0,),
        weights=(0.0,),
    )


def fit(seconds: Mapping[str, Seconds]) -> Fit:
    """By what the contender's own code takes in each direction."""
    passes = {
        direction: {phase: constant(value) for phase, value in zip(PHASES, of_phases, strict=True)}
        for direction, of_phases in seconds.items()
    }
    return Fit(passes, 0.5)


def made(
    contenders: Mapping[str, Seconds | Mapping[str, Seconds]], device: str = "cpu"
) -> Calibration:
    """Of this machine, by the seconds of each contender's plan, load and run: forward, or by the
    direction that its own code computes."""
    fits = {
        name: fit({"forward": seconds} if isinstance(seconds, tuple) else seconds)
        for name, seconds in contenders.items()
    }
    return Calibration(calibration.key(device), "2026-01-01T00:00:00Z", "0" * 12, fits)


SMALL = Problem((32, 32), (5, 5), mode="same")
