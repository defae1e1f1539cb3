"""An algorithm's gradients by its own code: ``toolbox/directions.py`` and ``toolbox/phases.py`` say
how."""

from __future__ import annotations

import dataclasses
from typing import Any

from convkernels.implementation import Cost, Implementation, workspace_bytes
from convkernels.problem import ITEMSIZE, Problem
from convkernels.toolbox import directions
from convkernels.toolbox.directions import Exchange
from convkernels.toolbox.phases import Phases, phases
from convkernels.toolbox.stages import stage

Ways = tuple[Phases | Exchange, ...]


def ways(implementation: type[Implementation], problem: Problem) -> Ways:
    """From a problem to what the implementation is given of it, one after the other: a gradient's
    phases, then the forward problem with the roles exchanged. Empty where it takes it as it is."""
    direction = problem.direction
    if direction in implementation.native:
        return ()
    first = phases(problem) if direction in implementation.phases else None
    if direction in implementation.apart:
        return () if first is None else (first,)
    if first is None:
        return (directions.exchange(problem),)
    return first, directions.exchange(first.solved)


def own_direction(implementation: type[Implementation], direction: str) -> str:
    """The direction in which the implementation's own code computes this one: itself, or "forward"
    where it is solved with the roles exchanged."""
    own = direction in (*implementation.native, *implementation.apart)
    return direction if own else "forward"


def solved(implementation: type[Implementation], problem: Problem) -> Problem:
    """What the implementation is given of a problem: itself, or the last of ``ways``."""
    found = ways(implementation, problem)
    return found[-1].solved if found else problem


def refuses(
    implementation: type[Implementation], problem: Problem, namespace: str, device: str
) -> str | None:
    """Why it refuses what it is given, or None."""
    given = solved(implementation, problem)
    reason = _solver(implementation, problem).refuses(given, namespace, device)
    if reason is None or given is problem:
        return reason
    return f"{reason} (as a {given.direction} problem: {_told(given)})"


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
    found = _solver(implementation, problem).cost(solved(implementation, problem))
    item = ITEMSIZE[problem.dtype]
    for way in ways(implementation, problem):
        a, b, y = way.copied
        found = dataclasses.replace(
            found,
            bytes=found.bytes + 2.0 * item * (a + y),
            workspace=found.workspace + workspace_bytes(problem, a + b + y),
            once_bytes=found.once_bytes + 2.0 * item * b,
        )
    return found


def error_bound(implementation: type[Implementation], problem: Problem) -> float:
    """The relative L2 error that it promises of what it is given."""
    return float(_solver(implementation, problem).error_bound(solved(implementation, problem)))


def instance(implementation: type[Implementation], problem: Problem) -> Implementation:
    """One that is not planned yet."""
    made, found = _solver(implementation, problem)(), ways(implementation, problem)
    return Exchanged(made, found) if found else made


def _solver(implementation: type[Implementation], problem: Problem) -> type[Implementation]:
    return implementation.apart.get(problem.direction, implementation)


class Exchanged(Implementation):
    """An instance that solves a gradient as the problem at the end of ``ways``."""

    def __init__(self, inner: Implementation, ways: Ways) -> None:
        self.inner, self.ways = inner, ways
        self.solved = ways[-1].solved

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        self.problem, self.xp = problem, xp
        self.inner.plan(self.solved, xp, device)
        self.threads, self.compile_seconds = self.inner.threads, self.inner.compile_seconds

    def load(self, b: Any) -> None:
        for way in self.ways:
            b = way.filters(b, self.xp)
        self.inner.load(b)

    def run(self, a: Any) -> Any:
        with stage("exchange"):
            for way in self.ways:
                a = way.image(a, self.xp)
        y = self.inner.run(a)
        with stage("exchange"):
            for way in reversed(self.ways):
                y = way.result(y, self.xp)
        return y

    def provenance(self) -> dict[str, Any]:
        return {**self.inner.provenance(), "solved_as": _told(self.solved)}
