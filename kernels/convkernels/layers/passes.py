"""Who computes a layer's passes: the shared spectra, or algorithms, chosen or named."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from convkernels import plans
from convkernels.discovery import find
from convkernels.layers import sums, training
from convkernels.layers.spectra import SharedSpectra
from convkernels.problem import Problem, UnsupportedProblem

Tensor = Any
Wanted = tuple[bool, bool]

CALLS = 100  # of one shape that a layer is planned for: what a plan takes is spread over them


class FFTPasses:
    """By spectra that forward and backward share."""

    def __init__(self, problem: Problem, device: str) -> None:
        self.problem = problem
        self._spectra = SharedSpectra(training.planned(problem, device), device)

    def forward(self, x: Tensor, w: Tensor, wanted: Wanted) -> tuple[Tensor, tuple[Tensor, ...]]:
        spectra = self._spectra
        images, filters = spectra.images(x), spectra.filters(w)
        kept = (filters if wanted[0] else None, images if wanted[1] else None)
        return spectra.forward(images, filters), kept

    def backward(
        self, gy: Tensor, x: Tensor, w: Tensor, kept: tuple[Tensor, ...], wanted: Wanted
    ) -> tuple[Tensor | None, Tensor | None]:
        filters, images = kept
        gradients = self._spectra.gradients(gy)
        gx = self._spectra.grad_input(gradients, filters) if wanted[0] else None
        gw = self._spectra.grad_weight(gradients, images) if wanted[1] else None
        return gx, gw


class ChosenPasses:
    """Each by the algorithm of that name where it takes it, or for "auto" by the one that
    ``convolve`` would take; a gradient that none takes is PyTorch's sum.

    Raises
    ------
    ValueError, UnsupportedProblem
        From ``forward``: there is no such algorithm, or it refuses the layer, for the reason given.
    """

    def __init__(self, problem: Problem, device: str, algorithm: str) -> None:
        self.problem, self._device, self._algorithm = problem, device, algorithm

    def forward(self, x: Tensor, w: Tensor, wanted: Wanted) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self._computed("forward", x, w), ()

    def backward(
        self, gy: Tensor, x: Tensor, w: Tensor, kept: tuple[Tensor, ...], wanted: Wanted
    ) -> tuple[Tensor | None, Tensor | None]:
        gx = self._gradient("grad_input", gy, w) if wanted[0] else None
        gw = self._gradient("grad_weight", gy, x) if wanted[1] else None
        if (wanted[0] and gx is None) or (wanted[1] and gw is None):
            left = (wanted[0] and gx is None, wanted[1] and gw is None)
            own = sums.backward(gy, x, w, self.problem, left)
            gx, gw = (gx if own[0] is None else own[0]), (gw if own[1] is None else own[1])
        return gx, gw

    def _gradient(self, direction: str, a: Tensor, b: Tensor) -> Tensor | None:
        try:
            return self._computed(direction, a, b)
        except UnsupportedProblem:
            return None

    def _computed(self, direction: str, a: Tensor, b: Tensor) -> Tensor:
        problem = dataclasses.replace(self.problem, direction=direction)
        first, second, result = problem.shapes
        if self._algorithm == "auto":
            plan = plans.take_best(problem, "torch", self._device, calls=CALLS)
        else:
            plan = plans.take(find(self._algorithm), problem, "torch", self._device)
        plan.instance.load(b.reshape(second))
        found = plan.instance.run(a.reshape(first))
        plans.put_back(plan)
        return found.reshape(_four(problem, result))


def _four(problem: Problem, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a result, of images of one channel too, as layers have it."""
    if not problem.is_image:
        return shape
    if problem.direction == "grad_weight":
        return (1, 1, *problem.kernel)
    return (problem.batch, 1, *shape[-2:])


@functools.lru_cache(256)
def fft(problem: Problem, device: str) -> FFTPasses:
    """Of this layer on this device; kept, with the transforms' matrices."""
    return FFTPasses(problem, device)
