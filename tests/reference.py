"""The answer to any forward problem in float64, from SciPy's own conventions.

It shares no code with the algorithms: op, mode and boundary are SciPy's, and what SciPy lacks
(channels, stride, dilation, padding, the circular boundary from the origin) is spelt out here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import signal

from convkernels import Problem


def reference(x: Any, w: Any, problem: Problem) -> np.ndarray:
    """y of ``problem.y_shape`` in float64, for x and w of the problem's shapes."""
    groups, kernel = problem.groups, problem.kernel
    ins, outs = problem.in_channels // groups, problem.out_channels // groups
    images = np.asarray(x, float).reshape(problem.batch, groups, ins, *problem.image)
    filters = np.asarray(w, float).reshape(groups, outs, ins, *kernel)
    down, across = problem.stride
    items = []
    for image in images:
        for group in range(groups):
            for filter_ in filters[group]:
                plane = sum(
                    _plane(image[group, channel], _dilated(filter_[channel], problem), problem)
                    for channel in range(ins)
                )
                items.append(plane[::down, ::across])
    return np.asarray(items).reshape(problem.y_shape)


def _dilated(w: np.ndarray, problem: Problem) -> np.ndarray:
    dy, dx = problem.dilation
    grown = np.zeros(((w.shape[0] - 1) * dy + 1, (w.shape[1] - 1) * dx + 1))
    grown[::dy, ::dx] = w
    return grown


def _plane(x: np.ndarray, w: np.ndarray, problem: Problem) -> np.ndarray:
    convolution = problem.op == "convolution"
    function = signal.convolve2d if convolution else signal.correlate2d
    if problem.padding is not None:
        return function(np.pad(x, problem.padding), w, mode="valid")
    if problem.boundary == "zero":
        return function(x, w, mode=problem.mode)
    if problem.mode == "same":
        return function(x, w, mode="same", boundary="wrap")
    sign = 1 if convolution else -1
    return sum(
        w[row, column] * np.roll(x, (sign * row, sign * column), axis=(0, 1))
        for row, column in np.ndindex(*w.shape)
    )


def relative_error(y: Any, expected: np.ndarray, x: Any, w: Any) -> float:
    """‖y − expected‖ ÷ max(‖expected‖, ‖x‖·‖w‖): what ``error_bound`` is a bound of."""
    norms = [float(np.linalg.norm(np.asarray(a, float).ravel())) for a in (expected, x, w)]
    difference = np.asarray(y, float) - expected
    return float(np.linalg.norm(difference.ravel())) / max(norms[0], norms[1] * norms[2])
