"""``fft`` in float64 for storage of less: transforms without a rounding error to speak of.

The operands are converted, exactly, and the result is rounded once: its error is that of its
storage type, whatever the size. Costs twice ``fft``'s memory traffic, and on GPUs that are not made
for float64 up to 64 times its arithmetic. Refuses float64 problems, which ``fft`` solves so.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from convkernels.algorithms.fft.fft import FFT
from convkernels.namespaces import NAMES
from convkernels.problem import DIRECTIONS, ROUNDOFF, Problem
from convkernels.registry import Cost, Implementation, algorithm
from convkernels.toolbox import bounds


def in_float64(problem: Problem) -> Problem:
    return dataclasses.replace(problem, dtype="float64")


@algorithm(
    name="fft-float64",
    family="fft",
    namespaces=NAMES,
    arithmetic="float64",
    source="Cooley & Tukey 1965; Mathieu, Henaff & LeCun 2013",
    directions=DIRECTIONS,
)
class Float64FFT(Implementation):
    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        if problem.dtype == "float64":
            return "float64 problems are transformed in float64 by fft: the same"
        return FFT.refuses(problem, namespace, device)

    @staticmethod
    def cost(problem: Problem) -> Cost:
        return FFT.cost(in_float64(problem))

    @staticmethod
    def error_bound(problem: Problem) -> float:
        """Of ``fft`` in float64, and of the rounding to storage: at most a unit roundoff of each
        number, hence of the norm; ``bounds.storage`` where 16 bits have subnormal numbers."""
        rounding = bounds.storage(problem) or ROUNDOFF[problem.dtype]
        return FFT.error_bound(in_float64(problem)) + rounding

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        self.problem, self.xp = problem, xp
        self.fft = FFT()
        self.fft.plan(in_float64(problem), xp, device)

    def load(self, b: Any) -> None:
        self.fft.load(b)

    def run(self, a: Any) -> Any:
        return self.xp.astype(self.fft.run(a), getattr(self.xp, self.problem.dtype))

    def provenance(self) -> dict[str, Any]:
        return self.fft.provenance()
