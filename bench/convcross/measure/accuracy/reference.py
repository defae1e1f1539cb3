"""What is true: float64 references of a problem, and exact sums that certify them.

References and compensated sums are computed by the library that holds x and w, on their device.
Exact sums are added on the host; only what they read is fetched.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convcross.measure.accuracy import arrays
from convcross.measure.accuracy.arrays import Array, norm
from convkernels import Problem, namespaces
from convkernels.discovery import find
from convkernels.toolbox import bounds, directions

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

TILES = (32, 64, 256)  # sides of usual tiles: 16 and 128 divide or hold them


def whole_image(problem: Problem, x: Array, w: Array) -> tuple[Array, float]:
    """The answer at every output, by FFT in float64, and its own a-priori relative L2 bound.

    x and w, its two operands in any direction, are float64 arrays of one library on one device, as
    is the answer; they have the problem's shapes and the values that its storage type holds. The
    FFT is that library's (cuFFT on a card), and the bound is that of the size which it was padded
    to there.
    """
    double = dataclasses.replace(problem, dtype="float64")
    instance = find("fft").prepare(double, *namespaces.of(x))
    instance.load(w)
    points = math.prod(instance.provenance()["padded"])
    return instance.run(x), bounds.fourier(directions.exchange(double).solved, points)


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


def _crossings(planes: Array, rows: Integers, columns: Integers) -> Floats:
    """Where these rows and columns of (channels, height, width) cross, flattened, on the host."""
    xp = namespaces.namespace(namespaces.of(planes)[0])
    for axis, indices in ((1, rows), (2, columns)):
        indices = xp.asarray(np.ascontiguousarray(indices), device=planes.device)
        planes = xp.take(planes, indices, axis=axis)
    values: Floats = namespaces.to_numpy(planes).ravel()
    return values


def compensated(problem: Problem, x: Array, w: Array, outputs: Integers) -> tuple[Array, Array]:
    """Many outputs by the definition, to about twice float64's digits, where x and w lie.

    Exact products (Dekker 1971) are added pairwise with their rounding errors kept (Knuth's
    two-sum), as in Ogita, Rump & Oishi 2005, SIAM J. Sci. Comput. 26(6): the error is of the order
    of 2⁻¹⁰⁰ of |x|*|w|.

    Parameters
    ----------
    outputs : (count, 4), each b, k, row, column

    Returns
    -------
    high, low : (count,) each; high + low is the output, and high that rounded to float64
    """
    xp = namespaces.namespace(namespaces.of(x)[0])
    cached = namespaces.of(x)[1] == "cpu"
    step = max(1, (arrays.CACHED if cached else arrays.LAUNCHED) // reads_each(problem))
    parts = [
        _sum(*_two_product(*_operands(problem, x, w, outputs[begin : begin + step])))
        for begin in range(0, len(outputs), step)
    ]
    highs, lows = zip(*parts, strict=True)
    return xp.concat(highs), xp.concat(lows)


def reads_each(problem: Problem) -> int:
    """Elements of the image that an output reads, padding included."""
    return problem.in_channels // problem.groups * math.prod(problem.kernel)


def _operands(problem: Problem, x: Array, w: Array, outputs: Integers) -> tuple[Array, Array]:
    """What is multiplied for these outputs: two arrays (count, ``reads_each``)."""
    xp = namespaces.namespace(namespaces.of(x)[0])

    def there(array: NDArray[Any]) -> Array:
        return xp.asarray(np.ascontiguousarray(array), device=x.device)

    item, out, row, column = outputs.T
    inputs = problem.in_channels // problem.groups
    group = out // (problem.out_channels // problem.groups)
    first = item * problem.in_channels + group * inputs
    planes = there(first[:, None, None, None] + np.arange(inputs)[:, None, None])
    (rows, above), (columns, beside) = (
        _places(problem, axis, outputs) for axis, outputs in enumerate((row, column))
    )
    height, width = problem.image
    lines = planes * height + there(rows[:, None, :, None])
    index = lines * width + there(columns[:, None, None, :])
    inside = there(above[:, None, :, None]) & there(beside[:, None, None, :])
    window = xp.reshape(xp.take(xp.reshape(x, (-1,)), xp.reshape(index, (-1,))), index.shape)
    window = xp.where(inside, window, xp.zeros_like(window))
    filters = xp.reshape(w, (problem.out_channels, reads_each(problem)))
    return xp.reshape(window, (len(outputs), -1)), xp.take(filters, there(out), axis=0)


def _sum(high: Array, low: Array) -> tuple[Array, Array]:
    """Sums over the last axis of unevaluated sums (count, terms), as unevaluated sums (count,)."""
    xp = namespaces.namespace(namespaces.of(high)[0])
    while (terms := high.shape[1]) > 1:
        half = terms // 2
        total, error = _two_sum(high[:, :half], high[:, half : 2 * half])
        error = error + (low[:, :half] + low[:, half : 2 * half])
        # Of an odd number of terms the last one waits for the next round.
        high = xp.concat([total, high[:, 2 * half :]], axis=1)
        low = xp.concat([error, low[:, 2 * half :]], axis=1)
    return _two_sum(high[:, 0], low[:, 0])


def _two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """a + b as an unevaluated sum of two floats (Knuth 1969)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _reads(problem: Problem, axis: int, output: int) -> Integers:
    """(kernel element, image row) pairs that meet in an output, along one axis: (count, 2)."""
    (places,), (inside,) = _places(problem, axis, np.array([output]))
    return np.stack([np.flatnonzero(inside), places[inside]], axis=1)


def _places(problem: Problem, axis: int, outputs: Integers) -> tuple[Integers, NDArray[np.bool_]]:
    """The image row that meets each kernel element, along one axis: (outputs, kernel); and whether
    it lies inside the image (else it is some row that does)."""
    size, extent, kernel = problem.image[axis], problem.extent[axis], problem.kernel[axis]
    offsets = np.arange(kernel) * problem.dilation[axis]
    if problem.op == "convolution":
        offsets = extent - 1 - offsets
    places = outputs[:, None] * problem.stride[axis] - problem.pads[axis][0] + offsets
    if problem.boundary == "circular":
        places %= size
    return np.clip(places, 0, size - 1), (places >= 0) & (places < size)


def _two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """a·b as an unevaluated sum of two floats (Dekker 1971, with Veltkamp's splitting)."""

    def split(value: Array) -> tuple[Array, Array]:
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
    """(b, k, row, column) of so many outputs: all corners, one output on each edge, a quarter on
    both sides of the borders of usual tiles, and the rest anywhere.

    The first is of the first image and channel, the last corner of the last ones.
    """
    height, width = problem.output
    rows, columns = (
        [place for tile in TILES if tile < size for place in (tile - 1, tile)]
        for size in (height, width)
    )

    def anywhere(size: int) -> int:
        return int(random.integers(size))

    def at_border(borders: list[int], size: int) -> int:
        return int(random.choice(borders)) if borders else anywhere(size)

    corners = list(dict.fromkeys(itertools.product((0, height - 1), (0, width - 1))))
    spots = [*corners]
    spots += [(row, anywhere(width)) for row in (0, height - 1)]
    spots += [(anywhere(height), column) for column in (0, width - 1)]
    spots += [(at_border(rows, height), at_border(columns, width)) for _ in range(count // 4)]
    spots += [(anywhere(height), anywhere(width)) for _ in range(count - len(spots))]
    planes = [(anywhere(problem.batch), anywhere(problem.out_channels)) for _ in range(len(spots))]
    planes[0] = (0, 0)
    planes[len(corners) - 1] = (problem.batch - 1, problem.out_channels - 1)
    points: list[tuple[int, ...]] = [
        (*plane, *spot) for plane, spot in zip(planes, spots, strict=True)
    ]
    return points[:count]


def certify(
    problem: Problem,
    x: Array,
    w: Array,
    y: Array,
    scale: Array,
    random: np.random.Generator,
    count: int = 16,
) -> dict[str, float]:
    """Compare a whole-image reference with exact sums at ``sampled_outputs``.

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
    """The answer in float64 by ``scipy.signal``'s direct sums, one plane at a time; that of a
    gradient by the definition (``gradient``).

    It shares no code with the algorithms: op, mode and boundary are SciPy's, and what SciPy lacks
    (channels, stride, dilation, padding, the circular boundary from the origin) is spelt out here.
    Slow: for small problems.
    """
    if problem.direction != "forward":
        return gradient(problem, x, w)
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


def gradient(problem: Problem, gy: NDArray[Any], b: NDArray[Any]) -> Floats:
    """A gradient in float64 by the definition: each product of the forward sum is handed back to
    its factor, one kernel element at a time.

    Parameters
    ----------
    gy : of y's shape
    b : w for "grad_input", x for "grad_weight"
    """
    groups = problem.groups
    ins, outs = problem.in_channels // groups, problem.out_channels // groups
    gy = np.asarray(gy, float).reshape(problem.batch, groups, outs, *problem.output)
    image = (problem.batch, groups, ins, *problem.image)
    filters = (groups, outs, ins, *problem.kernel)
    towards_w = problem.direction == "grad_weight"
    b = np.asarray(b, float).reshape(image if towards_w else filters)
    found: Floats = np.zeros(filters if towards_w else image)
    (rows, above), (columns, beside) = (
        _places(problem, axis, np.arange(problem.output[axis])) for axis in (0, 1)
    )
    for row, column in np.ndindex(*problem.kernel):
        met = np.ix_(above[:, row], beside[:, column])
        places = np.ix_(rows[above[:, row], row], columns[beside[:, column], column])
        part = gy[..., met[0], met[1]]
        if towards_w:
            read = b[..., places[0], places[1]]
            found[..., row, column] = np.einsum("bgkij,bgcij->gkc", part, read)
        else:
            back = np.einsum("gkc,bgkij->bgcij", b[..., row, column], part)
            found[..., places[0], places[1]] += back  # each place once
    return found.reshape(problem.shapes[2])


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
