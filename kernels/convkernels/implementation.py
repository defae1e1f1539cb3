"""What an algorithm is: what it costs, and every method that it may have."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from convkernels.problem import ITEMSIZE, Problem
from convkernels.toolbox import bounds


@dataclasses.dataclass(frozen=True)
class Cost:
    """What an algorithm itself needs for one run: FLOP, bytes moved, bytes of workspace (what
    ``load`` keeps included); and once, before it: FLOP and bytes of ``plan`` and ``load``.

    ``serial`` where what computes and what moves are passes of their own, one after the other, so
    that their times add; else the shorter one may hide behind the longer.
    """

    flops: float
    bytes: float
    workspace: float = 0.0
    once_flops: float = 0.0
    once_bytes: float = 0.0
    serial: bool = False


class Implementation:
    """What an algorithm is: every method but ``run`` has a default that a class may leave.

    A registered class that does not inherit it is given it. Operands and results: see
    ``Problem.shapes``. In direction "step" ``load`` is given w, which changes from step to step and
    is only kept there, and ``run`` is given (x, gy) and returns (y, gx, gw).
    """

    problem: Problem
    b: Any
    gradients: bool = True  # torch's autograd sees through ``load`` and ``run``
    native: tuple[str, ...] = ("forward",)  # directions that its methods take as they are
    apart: Mapping[str, type[Implementation]] = {}  # direction → the class that takes it instead
    phases: tuple[str, ...] = ()  # directions whose strides come to it in ``toolbox/phases.py``
    spreads: bool = False  # a pixel that is not finite reaches further than in its family's sums
    devices: tuple[str, ...] = ("cpu", "cuda")  # the kinds that it runs on
    settled: bool = True  # what ``refuses`` takes, ``plan`` takes: no library is asked there
    compiles: bool = False  # in ``plan`` or the first run, and nobody can tell whether it must
    compile_seconds: float = 0.0  # that compiling its code took, here or in an earlier process
    threads: int | None = None  # that its runs take, where the plan chose fewer than it may have

    @staticmethod
    def missing(namespace: str) -> str | None:
        """Why this machine cannot run it on this namespace (a library to install), or None."""
        return None

    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        """Why this problem is refused, or None; sees no values."""
        return forward_only(problem)

    @staticmethod
    def cost(problem: Problem) -> Cost:
        return Cost(problem.flops, problem.min_bytes)

    @staticmethod
    def error_bound(problem: Problem) -> float:
        """The relative L2 error it promises."""
        return bounds.summation(problem)

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        """Once a shape: padded sizes, FFT plans, compilation."""
        self.problem = problem

    def load(self, b: Any) -> None:
        """Once a filter: flip, transform. May raise UnsupportedProblem."""
        self.b = b

    def run(self, a: Any) -> Any:
        """Once an image: the steady state. Returns the result."""
        raise NotImplementedError

    def provenance(self) -> dict[str, Any]:
        """What a record should say of how this instance computes: padded sizes, engines; JSON."""
        return {}


def forward_only(problem: Problem) -> str | None:
    """The refusal of an algorithm that has no gradients."""
    return None if problem.direction == "forward" else f"no direction {problem.direction}"


def workspace_bytes(problem: Problem, elements: float) -> float:
    """Bytes of so many elements of the type that the arithmetic of this problem is done in."""
    return elements * max(4, ITEMSIZE[problem.dtype])
