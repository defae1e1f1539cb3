"""A calibration that was never measured: contenders whose times are functions of the problem."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

from convcross.advice import design
from convcross.advice.fit import fit
from convkernels import Problem, calibration
from convkernels.calibration import PHASES, Calibration, Fit, HeldOut
from convkernels.discovery import find

Seconds = Callable[[Problem], tuple[float, float, float]]  # of plan, load and run


def pixels(problem: Problem) -> float:
    return float(problem.batch * problem.image[0] * problem.image[1])


# A direct sum of 1e10 products a second, and a transform that takes 8 ns a pixel: they cross at
# n² / 1e10 = 8e-9, near n = 9.
PLANTED: dict[str, Seconds] = {
    "direct/numpy": lambda p: (1e-6, 1e-6, 1e-6 + pixels(p) * p.kernel[0] ** 2 / 1e10),
    "fft/numpy": lambda p: (1e-3, 1e-4, 1e-6 + pixels(p) * 8e-9),
}


def planted(
    contenders: Mapping[str, Seconds] = PLANTED,
    *,
    samples: int = 60,
    held_out: int = 20,
    kinds: Sequence[design.Make] = (design.image,),
) -> Calibration:
    """Of problems of one image each, if no other kinds are asked: what a perfect clock would have
    found."""
    problems = list(itertools.islice(design.problems(0, kinds, ["float32"]), samples))
    others = list(itertools.islice(design.problems(1, kinds, ["float32"]), held_out))
    fits = {}
    for name, seconds in contenders.items():
        algorithm = find(name.partition("/")[0])
        passes = {}
        for direction in {algorithm.solved(one).direction for one in problems}:
            own = [one for one in problems if algorithm.solved(one).direction == direction]
            solved, costs = map(algorithm.solved, own), map(algorithm.cost, own)
            given, paid, times = list(solved), list(costs), [seconds(one) for one in own]
            passes[direction] = {
                phase: fit(given, paid, [time[k] for time in times])
                for k, phase in enumerate(PHASES)
            }
        fits[name] = Fit(passes, share_of_bound=0.5)
    return Calibration(
        calibration.key("cpu"),
        "2026-01-02T03:04:05+00:00",
        "0" * 12,
        fits,
        tuple(
            HeldOut(one, {name: seconds(one) for name, seconds in contenders.items()})
            for one in others
        ),
        {"scipy-convolve2d/numpy": "3 samples, at best 9.0 times the fastest's time"},
    )
