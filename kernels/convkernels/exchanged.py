"""An algorithm's gradients by its own forward code: ``toolbox/directions.py`` says how."""

from __future__ import annotations

import dataclasses
from typing import Any

from convkernels.implementation import Cost, Implementation, workspace_bytes
from convkernels.problem import ITEMSIZE, Problem
from convkernels.toolbox import directions
from convkernels.toolbox.stages import stage


def own_direction(implementation: type[Implementation], direction: str) -> str:
    """The direction in which the implementation's own code computes this one: itself, or "forward"
    where it is solved with the roles exchanged."""
    own = direction in (*implementation.native, *implementation.apart)
    return direction if own else "forward"


def solved(implementation: type[Implementation], problem: Problem) -> Problem:
    """What the implementation is given of a problem: itself, or the forward problem with the roles
    exchanged, where this direction is none of its own."""
    if own_direction(implementation, problem.direction) == problem.direction:
        return problem
    return directions.exchange(problem).solved


def refuses(
    implementation: type[Implementation], problem: Problem, namespace: str, device: str
) -> str | None:
    """Why it refuses what it is given, or None."""
    given = solved(implementation, problem)
    reason = _solver(implementation, problem).refuses(given, namespace, device)
    if reason is None or given is problem:
        return reason
    return f"{reason} (as a forward problem: {_told(given)})"


def _told(problem: Problem) -> str:
    told = [f"{'×'.join(map(str, problem.image))} with {'×'.join(map(str, problem.kernel))}"]
    told += [
        f"{name} {'×'.join(map(str, value))}"
        for name in ("stride", "dilation")
        if (value := getattr(problem, name)) != (1, 1)
    ]
    return ", ".join(told)


def cost(implementation: type[Implementation], problem: Problem) -> Cost:
    """Of what it is given, and of the copies on the way there and back."""
    given = solved(implementation, problem)
    found = _solver(implementation, problem).cost(given)
    if given is problem:
        return found
    a, b, y = directions.exchange(problem).copied
    item = ITEMSIZE[problem.dtype]
    return dataclasses.replace(
        found,
        bytes=found.bytes + 2.0 * item * (a + y),
        workspace=found.workspace + workspace_bytes(problem, a + b),
        once_bytes=found.once_bytes + 2.0 * item * b,
    )


def error_bound(implementation: type[Implementation], problem: Problem) -> float:
    """The relative L2 error that it promises of what it is given."""
    return float(_solver(implementation, problem).error_bound(solved(implementation, problem)))


def instance(implementation: type[Implementation], problem: Problem) -> Implementation:
    """One that is not planned yet."""
    made = _solver(implementation, problem)()
    return made if solved(implementation, problem) is problem else Exchanged(made)


def _solver(implementation: type[Implementation], problem: Problem) -> type[Implementation]:
    return implementation.apart.get(problem.direction, implementation)


class Exchanged(Implementation):
    """An instance that solves a gradient as the forward problem with the roles exchanged."""

    def __init__(self, inner: Implementation) -> None:
        self.inner = inner

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        self.problem, self.xp = problem, xp
        self.exchange = directions.exchange(problem)
        self.inner.plan(self.exchange.solved, xp, device)
        self.threads, self.compile_seconds = self.inner.threads, self.inner.compile_seconds

    def load(self, b: Any) -> None:
        self.inner.load(self.exchange.filters(b, self.xp))

    def run(self, a: Any) -> Any:
        with stage("exchange"):
            image = self.exchange.image(a, self.xp)
        y = self.inner.run(image)
        with stage("exchange"):
            return self.exchange.result(y, self.xp)

    def provenance(self) -> dict[str, Any]:
        return {**self.inner.provenance(), "solved_as": _told(self.exchange.solved)}
