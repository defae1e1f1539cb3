"""What is true of a problem in any direction: of a step of training three truths, one a result."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from convcross.measure.accuracy import truth as accuracy
from convcross.measure.accuracy.arrays import Array, Place, each, moved
from convcross.measure.accuracy.truth import Floats, Truth
from convcross.results.schema import Errors
from convkernels import Problem, namespaces
from convkernels.problem import STEP

RESULTS = ("y", "gx", "gw")  # of a step, in the order of ``Problem.passes``


@dataclasses.dataclass(frozen=True)
class StepTruth:
    """What the three results of a step are compared to.

    Attributes
    ----------
    passes : truths of y, gx and gw
    """

    problem: Problem
    passes: tuple[Truth, ...]

    @property
    def x(self) -> tuple[Array, Array]:
        """x and gy"""
        forward, grad_input, _ = self.passes
        return forward.x, grad_input.x

    @property
    def w(self) -> Array:
        return self.passes[0].w

    @property
    def place(self) -> Place:
        return self.passes[0].place

    @property
    def certificate(self) -> dict[str, float]:
        """The worst of the three, at the points of all."""
        told = [one.certificate for one in self.passes]
        if not all(told):
            return {}
        worst = max(one["worst"] for one in told)
        return {
            "worst": worst,
            **{key: sum(one[key] for one in told) for key in ("points", "error_points")},
        }

    def verify(self, y: tuple[Array, ...], bound: float) -> str | None:
        """Why one of the results is wrong, or None."""
        if not isinstance(y, tuple) or len(y) != len(RESULTS):
            return f"a {type(y).__name__}; expected a tuple of {', '.join(RESULTS)}"
        for name, result, true in zip(RESULTS, y, self.passes, strict=True):
            if (reason := true.verify(result, bound)) is not None:
                return f"{name}: {reason}"
        return None

    def errors(self, y: tuple[Array, ...]) -> Errors:
        """The largest of each kind over the three results."""
        found = [true.errors(result) for result, true in zip(y, self.passes, strict=True)]
        return Errors(**{key: max(one.known()[key] for one in found) for key in found[0].known()})

    def relative_error(self, y: tuple[Array, ...]) -> float:
        """The largest of the three."""
        return max(true.relative_error(part) for part, true in zip(y, self.passes, strict=True))


AnyTruth = Truth | StepTruth


def parts(problem: Problem, x: Any, w: Array) -> Iterator[tuple[Problem, Array, Array]]:
    """Each pass with its two operands; x of a step is x and gy."""
    if problem.direction != STEP:
        yield problem, x, w
        return
    image, gy = x
    yield from zip(problem.passes, (image, gy, gy), (w, w, image), strict=True)


def truth(
    problem: Problem,
    x: Any,
    w: Array,
    seed: int,
    place: Place | None = None,
    *,
    certified: bool = True,
) -> AnyTruth:
    """The references of all results; parameters and errors of ``truth.truth``.

    x is of a step a tuple of x and gy.
    """
    place = place or namespaces.of(w)

    def known(one: Problem, a: Array, b: Array) -> Truth:
        return accuracy.truth(one, a, b, seed, place, certified=certified)

    with namespaces.on(*place):
        x, w = (each(lambda one: moved(one, place), values) for values in (x, w))
    return together(problem, x, w, known)


def together(
    problem: Problem, x: Any, w: Array, known: Callable[[Problem, Array, Array], Truth]
) -> AnyTruth:
    """What is true of all results, from what is true of each pass."""
    found = tuple(known(*part) for part in parts(problem, x, w))
    return StepTruth(problem, found) if problem.direction == STEP else found[0]


def rounded(problem: Problem, x: Any, w: Floats) -> tuple[Any, Floats]:
    """The nearest values that the problem's storage type holds, in float64."""

    def nearest(values: Floats) -> Floats:
        stored: Floats = namespaces.round_to(values, problem.dtype).astype("float64")
        return stored

    return each(nearest, x), nearest(w)


def dtype(result: Any, problem: Problem) -> str:
    """Of a result, or of the first of a step's that has another than the problem's."""
    results = result if isinstance(result, tuple) else (result,)
    names = [namespaces.dtype_name(one) for one in results]
    return next((name for name in names if name != problem.dtype), problem.dtype)
