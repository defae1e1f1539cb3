"""What is true: float64 references of a problem, and exact sums that certify them.

References are computed by the library that holds x and w, on their device. Exact sums are added on
the host; only what they read is fetched.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convcross.arrays import Array, norm
from convkernels import Problem, bounds, namespaces
from convkernels.registry import find

Floats = NDArray[np.float64]


def whole_image(problem: Problem, x: Array, w: Array) -> tuple[Array, float]:
    """The answer at every output, by FFT in float64, and its own a-priori relative L2 bound.

    x and w are float64 arrays of one library on one device, as is the answer; they have the
    problem's shapes and the values that its storage type holds. The FFT is that library's (cuFFT
    on a card), and the bound is that of the size which it was padded to there.
    """
    double = dataclasses.replace(problem, dtype="float64")
    instance = find("fft").prepare(double, *namespaces.of(x))
    instance.load(w)
    return instance.run(x), bounds.fourier(double, math.prod(instance.provenance()["padded"]))


def magnitudes(problem: Problem, x: Array, w: Array) -> Array:
    """|x|*|w| at every output: the scale of its rounding errors.

    At least the noise of the transforms that compute it, which is all they leave where it is 0.
    """
    xp = namespaces.namespace(namespaces.of(x)[0])
    y, bound = whole_image(problem, xp.abs(x), xp.abs(w))
    noise = max(bound * _root_mean_square(y), float(np.finfo(np.float64).tiny))
    return xp.maximum(y, xp.asarray(noise, dtype=y.dtype, device=y.device))


def _root_mean_square(array: Array) -> float:
    return norm(array) / math.sqrt(math.prod(array.shape))


def exact(problem: Problem, x: Array, w: Array, output: tuple[int, ...]) -> float:
    """One output by the definition, correctly rounded.

    Each product is split into its rounded value and its rounding error (Dekker 1971), and
    ``math.fsum`` adds both exactly.

    Parameters
    ----------
    output : (b, k, row, column)
    """
    item, out, row, column = output
    inputs, outputs = (
        channels // problem.groups for channels in (problem.in_channels, problem.out_channels)
    )
    group = out // outputs
    xp = namespaces.namespace(namespaces.of(x)[0])
    images = xp.reshape(x, (problem.batch, problem.in_channels, *problem.image))
    filters = xp.reshape(w, (problem.out_channels, inputs, *problem.kernel))
    rows = _reads(problem, 0, row)
    columns = _reads(problem, 1, column)
    channels = images[item, group * inputs : (group + 1) * inputs, ...]
    window = _crossings(channels, rows[:, 1], columns[:, 1])
    taps = _crossings(filters[out, ...], rows[:, 0], columns[:, 0])
    high, low = _two_product(window, taps)
    return math.fsum(itertools.chain(high.tolist(), low.tolist()))


def _crossings(planes: Array, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Floats:
    """Where these rows and columns of (channels, height, width) cross, flattened, on the host."""
    xp = namespaces.namespace(namespaces.of(planes)[0])
    for axis, indices in ((1, rows), (2, columns)):
        indices = xp.asarray(np.ascontiguousarray(indices), device=planes.device)
        planes = xp.take(planes, indices, axis=axis)
    values: Floats = namespaces.to_numpy(planes).ravel()
    return values


def _reads(problem: Problem, axis: int, output: int) -> NDArray[np.int64]:
    """(kernel element, image row) pairs that meet in an output, along one axis: (count, 2)."""
    size, extent, kernel = problem.image[axis], problem.extent[axis], problem.kernel[axis]
    elements = np.arange(kernel)
    offsets = elements * problem.dilation[axis]
    if problem.op == "convolution":
        offsets = extent - 1 - offsets
    places = output * problem.stride[axis] - problem.pads[axis][0] + offsets
    if problem.boundary == "circular":
        places %= size
    inside = (places >= 0) & (places < size)
    return np.stack([elements[inside], places[inside]], axis=1)


def _two_product(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """a·b as an unevaluated sum of two floats (Dekker 1971, with Veltkamp's splitting)."""

    def split(value: Floats) -> tuple[Floats, Floats]:
        scaled = value * (2.0**27 + 1)
        high = scaled - (scaled - value)
        return high, value - high

    product = a * b
    (a_high, a_low), (b_high, b_low) = split(a), split(b)
    error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return product, error


def sampled_outputs(
    problem: Problem, count: int, random: np.random.Generator
) -> list[tuple[int, ...]]:
    """(b, k, row, column) of corners, edges, borders of power-of-two tiles, and random outputs."""
    height, width = problem.output
    places = {0, height - 1, height // 2, *(t for t in (31, 32, 63, 64, 255, 256) if t < height)}
    others = {0, width - 1, width // 2, *(t for t in (31, 32, 63, 64, 255, 256) if t < width)}
    grid = list(itertools.product(sorted(places), sorted(others)))
    picked = random.choice(len(grid), min(len(grid), count // 2), replace=False)
    chosen = [(0, 0), (height - 1, width - 1), *(grid[index] for index in picked)]
    while len(chosen) < count:
        chosen.append((int(random.integers(height)), int(random.integers(width))))
    return [
        (int(random.integers(problem.batch)), int(random.integers(problem.out_channels)), *place)
        for place in chosen
    ]


def certify(
    problem: Problem,
    x: Array,
    w: Array,
    y: Array,
    scale: Array,
    random: np.random.Generator,
    count: int = 16,
) -> dict[str, float]:
    """Compare a whole-image reference with exact sums at sampled outputs.

    Returns
    -------
    dict
        "points", and "worst": the largest |y − exact| ÷ (root mean square of |x|*|w|), which an
        FFT's error is relative to.
    """
    xp = namespaces.namespace(namespaces.of(y)[0])
    full = xp.reshape(y, (problem.batch, problem.out_channels, *problem.output))
    root = max(_root_mean_square(scale), float(np.finfo(np.float64).tiny))
    points = sampled_outputs(problem, count, random)
    worst = max(abs(float(full[point]) - exact(problem, x, w, point)) / root for point in points)
    return {"points": len(points), "worst": worst}


def by_scipy(problem: Problem, x: NDArray[Any], w: NDArray[Any]) -> Floats:
    """The answer in float64 by ``scipy.signal``'s direct sums, one plane at a time.

    It shares no code with the algorithms: op, mode and boundary are SciPy's, and what SciPy lacks
    (channels, stride, dilation, padding, the circular boundary from the origin) is spelt out here.
    Slow: for small problems.
    """
    groups, kernel = problem.groups, problem.kernel
    ins, outs = problem.in_channels // groups, problem.out_channels // groups
    images = np.asarray(x, float).reshape(problem.batch, groups, ins, *problem.image)
    filters = np.zeros((groups, outs, ins, *problem.extent))
    dilated = filters[..., :: problem.dilation[0], :: problem.dilation[1]]
    dilated[...] = np.asarray(w, float).reshape(groups, outs, ins, *kernel)
    down, across = problem.stride
    planes = [
        np.sum([_plane(*pair, problem) for pair in zip(image[group], taps, strict=True)], axis=0)
        for image in images
        for group in range(groups)
        for taps in filters[group]
    ]
    y: Floats = np.asarray(planes)[..., ::down, ::across].reshape(problem.y_shape)
    return y


def _plane(x: Floats, w: Floats, problem: Problem) -> Floats:
    from scipy import signal

    convolution = problem.op == "convolution"
    function = signal.convolve2d if convolution else signal.correlate2d
    y: Floats
    if problem.padding is not None:
        y = function(np.pad(x, problem.padding), w, mode="valid")
    elif problem.boundary == "zero":
        y = function(x, w, mode=problem.mode)
    elif problem.mode == "same":
        y = function(x, w, mode="same", boundary="wrap")
    else:  # from the origin
        sign = 1 if convolution else -1
        y = np.zeros(problem.image)
        for row, column in np.ndindex(*w.shape):
            y += w[row, column] * np.roll(x, (sign * row, sign * column), axis=(0, 1))
    return y
