"""Problems that fill the space in which people ask: a designed sample of it, not a grid.

Sizes are log-uniform by a scrambled Sobol' sequence (Owen 1998, ACM Trans. Model. Comput. Simul.
8(1)), each kind of problem by one of its own; kinds take turns. Larger sides of images are
multiples of 16, larger numbers of channels of 8, sides of kernels odd, and every other layer's
3, as people have them. Gradients are of layers: nobody trains on single images.
"""

from __future__ import annotations

import functools
import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from scipy.stats import qmc

from convkernels import Problem
from convkernels.toolbox.directions import GRADIENTS

LARGEST = 1 << 22  # numbers of x or of y
SUMS = 1e9  # products of the direct sum where there are channels: some 20 ms of a good one
MODES = ("same", "same", "same", "same", "valid", "full")
DOUBLE = 0.15  # of the problems are of float64

Unit = Sequence[float]  # numbers in [0, 1), one a dimension
Make = Callable[[Unit], dict[str, Any]]


def _between(unit: float, least: float, most: float) -> int:
    """Log-uniform."""
    return round(math.exp(math.log(least) + unit * math.log(most / least)))


def _multiple(unit: float, least: int, most: int, step: int) -> int:
    """Log-uniform; a multiple of the step where it is several."""
    number = _between(unit, least, most)
    return number - number % step if number >= 4 * step else number


def _side(unit: float, least: int, most: int) -> int:
    return _multiple(unit, least, most, 16)


def _channels(unit: float, least: int, most: int) -> int:
    return _multiple(unit, least, most, 8)


def _kernel(unit: float, least: int, most: int) -> int:
    return _between(unit, least, max(least, most - 1)) | 1


def image(unit: Unit) -> dict[str, Any]:
    """One image, one kernel."""
    side = _side(unit[0], 64, 2048)
    return {"image": (side, side), "kernel": (_kernel(unit[1], 1, min(128, side)),) * 2}


def images(unit: Unit) -> dict[str, Any]:
    """A batch of images that share a kernel."""
    side = _side(unit[0], 32, 512)
    batch = _between(unit[2], 2, 32)
    size = _kernel(unit[1], 1, min(64, side))
    return {"image": (side, side), "kernel": (size, size), "batch": batch}


def layer(unit: Unit) -> dict[str, Any]:
    """A layer of a network."""
    side = _between(unit[0], 7, 224)
    size = 3 if unit[1] < 0.5 else _kernel(2 * unit[1] - 1, 1, min(16, side))
    return {
        "image": (side, side),
        "kernel": (size, size),
        "in_channels": _channels(unit[3], 3, 256),
        "out_channels": _channels(unit[4], 8, 256),
        "batch": _between(unit[2], 1, 16),
        "op": "correlation",
    }


def depthwise(unit: Unit) -> dict[str, Any]:
    """A layer whose channels have a kernel each."""
    side = _between(unit[0], 7, 112)
    size, channels = _kernel(unit[1], 3, min(32, side)), _channels(unit[3], 16, 256)
    return {
        "image": (side, side),
        "kernel": (size, size),
        "in_channels": channels,
        "out_channels": channels,
        "groups": channels,
        "batch": _between(unit[2], 1, 16),
        "op": "correlation",
    }


@functools.cache
def gradient(make: Make, direction: str) -> Make:
    """In a direction, what another kind is forward."""
    return lambda unit: {**make(unit), "direction": direction}


# In turns, so often each.
FORWARD: tuple[Make, ...] = (image, layer, images, image, layer, images, depthwise)
KINDS = {"forward": FORWARD} | {
    direction: tuple(gradient(make, direction) for make in (layer, layer, depthwise))
    for direction in GRADIENTS
}
EVERY: tuple[Make, ...] = (*FORWARD, *FORWARD, *itertools.chain(*KINDS.values()))
DIMENSIONS = 7  # sides, kernel, batch, channels, filters, mode, dtype


def problems(
    seed: int,
    kinds: Sequence[Make] = FORWARD,
    dtypes: Sequence[str] = ("float32", "float64"),
) -> Iterator[Problem]:
    """Without end; those of one seed and of another share none but by chance.

    Parameters
    ----------
    kinds : of which turns are taken
    dtypes : of which the last is drawn for DOUBLE of the problems
    """
    sequences = {make: _units(seed, number) for number, make in enumerate(dict.fromkeys(kinds))}
    for make in itertools.cycle(kinds):
        for unit in sequences[make]:
            dtype = dtypes[-1] if unit[6] < DOUBLE else dtypes[0]
            found = Problem(**make(unit), mode=MODES[int(unit[5] * len(MODES))], dtype=dtype)
            if _fits(found):
                yield found
                break


def _units(seed: int, number: int) -> Iterator[Unit]:
    sequence = qmc.Sobol(DIMENSIONS, seed=np.random.default_rng([seed, number]))
    with warnings.catch_warnings():  # a sequence balances at powers of two; any part of it fills
        warnings.simplefilter("ignore", UserWarning)
        while True:
            yield from sequence.random(64).tolist()


def _fits(problem: Problem) -> bool:
    numbers = max(math.prod(problem.x_shape), math.prod(problem.y_shape))
    return numbers <= LARGEST * 1.2 and (problem.is_image or problem.flops / 2 <= SUMS)
