"""Outputs at which the errors of a float64 problem are measured, where the truth lies."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convcross.measure.accuracy import reference
from convcross.measure.accuracy.arrays import Array
from convkernels import Problem, namespaces
from convkernels.toolbox import directions

Floats = NDArray[np.float64]

# Outputs of a float64 problem at which errors are measured: at most, at least, and between them so
# many that this many products are summed (some 0.4 s on a CPU). The standard error of the relative
# L2 error is about 1 % with the most, 5 % with the least.
POINTS, FEWEST, PRODUCTS = 4096, 256, 1 << 23


@dataclasses.dataclass(frozen=True)
class Sample:
    """Outputs that are known to twice the digits of float64, where the truth lies.

    One half is drawn evenly. The other is drawn with probability ∝ (|x|*|w|)², as the squares of
    rounding errors of a direct sum are distributed: beside a bright spot, a few outputs in a
    million can hold all of them. Weighted by how often it is to be expected in either half, each
    output stands for its like (Horvitz & Thompson 1952; Veach & Guibas 1995, balance heuristic).

    Attributes
    ----------
    index : (count,) places in the flattened output; all of them where they are few
    high, low : (count,) the outputs, as unevaluated sums
    weight : (count,) such that Σ weight·e² estimates Σ e² over all outputs
    even : how many of them, the first, are drawn evenly
    """

    index: Array
    high: Array
    low: Array
    weight: Array
    even: int


def draw(problem: Problem, x: Array, w: Array, scale: Array, random: np.random.Generator) -> Sample:
    """Draw a sample of a problem's result, whose operands and |x|*|w| these are, and compute it."""
    xp = namespaces.namespace(namespaces.of(scale)[0])
    size = math.prod(scale.shape)
    reads = reference.reads_each(directions.exchange(problem).solved)
    count = max(FEWEST, min(POINTS, PRODUCTS // reads))
    places: NDArray[np.int64]
    weight: Floats
    if count >= size:
        even, places, weight = size, np.arange(size), np.ones(size)
    else:
        even = count // 2
        flat = xp.reshape(scale, (-1,))
        sums = xp.cumulative_sum(flat * flat)
        whole = float(sums[-1])
        aims = xp.asarray(random.random(count - even) * whole, device=scale.device)
        large = namespaces.to_numpy(xp.searchsorted(sums, aims, side="right"))
        places = np.concatenate([random.integers(size, size=even), np.minimum(large, size - 1)])
        drawn = namespaces.to_numpy(xp.take(flat, xp.asarray(places, device=scale.device)))
        weight = 1.0 / (even / size + (count - even) * drawn**2 / whole)
    forward, x, w, *_ = as_forward(problem, x, w)
    full = (forward.batch, forward.out_channels, *forward.output)
    outputs = np.stack(np.unravel_index(_places(problem)[places], full), axis=1)
    high, low = reference.compensated(forward, x, w, outputs)
    index, weights = (xp.asarray(array, device=scale.device) for array in (places, weight))
    return Sample(index, high, low, weights, even)


def as_forward(problem: Problem, x: Array, w: Array, *results: Array) -> tuple[Any, ...]:
    """The forward problem that solves it, with its operands and results: whose sums are known."""
    exchange = directions.exchange(problem)
    xp = namespaces.namespace(namespaces.of(x)[0])
    operands = exchange.image(x, xp), exchange.filters(w, xp)
    return exchange.solved, *operands, *(exchange.unresult(result, xp) for result in results)


def _places(problem: Problem) -> NDArray[np.int64]:
    """Where each element of the flattened result lies in that of the forward problem."""
    import array_api_compat.numpy as xp

    exchange = directions.exchange(problem)
    count = math.prod(problem.shapes[2])
    places = np.arange(count).reshape(exchange.solved.y_shape)
    found: NDArray[np.int64] = np.asarray(exchange.result(places, xp)).ravel()
    return found
