"""What is convolved: seeded images and kernels, as NumPy float64 arrays.

Operand values move both times (by a few per cent, through power) and errors (by magnitudes), so
each kind is named in the records and none is zeros.
"""

from __future__ import annotations

import functools
import importlib.util
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convkernels.problem import STEP, Problem, one_of

IMAGES = ("normal", "uniform", "photo", "high-dynamic-range", "impulses", "denormal")
KERNELS = ("normal", "gaussian", "box", "rank-1", "rank-r", "denormal")

Floats = NDArray[np.float64]
# Of kinds "denormal": the largest values are a quarter of float32's least normal number, 2⁻¹²⁶.
DENORMAL = 2.0**-130
RANK = 3  # of the kernels of kind "rank-r"


def generator(seed: int, *what: object) -> np.random.Generator:
    """A stream of its own for each purpose under one seed."""
    return np.random.default_rng([seed, zlib.crc32(repr(what).encode())])


@functools.cache
def portrait() -> Floats:
    """The photograph of Grace Hopper that ships with matplotlib, as luminance in [0, 1]: (H, W)."""
    from PIL import Image

    # Found without importing matplotlib, whose user's configuration is none of a measurement's.
    spec = importlib.util.find_spec("matplotlib")
    assert spec is not None
    assert spec.origin is not None
    with Image.open(Path(spec.origin).parent / "mpl-data/sample_data/grace_hopper.jpg") as file:
        return luminance(np.asarray(file))


def luminance(pixels: NDArray[Any]) -> Floats:
    """(H, W) or (H, W, 3 or 4) of bytes or floats → (H, W) in [0, 1], by Rec. 709 weights."""
    scale = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1
    values = pixels.astype(np.float64) / scale
    return values if values.ndim == 2 else values[..., :3] @ np.array([0.2126, 0.7152, 0.0722])


def image(kind: str, shape: tuple[int, ...], seed: int, what: str = "image") -> Floats:
    """Images of a kind, of any shape (…, H, W).

    normal: N(0, 1). uniform: [0, 1). photo: a photograph, tiled by reflection, with a fresh
    offset for each image. high-dynamic-range: a dark field of 1e-3 with one spot of 1e3 an image.
    impulses: one pixel in a thousand is N(0, 1), at least one, and the rest are 0. denormal:
    N(0, 2⁻¹³⁰), subnormal in float32, as what fades out to silence or to black is. ``what`` tells
    streams of one seed apart.

    Raises ValueError on an unknown kind.
    """
    one_of("image_data", kind, IMAGES)
    random = generator(seed, what, kind, shape)
    if kind in ("normal", "denormal"):
        values: Floats = random.standard_normal(shape)
        return DENORMAL * values if kind == "denormal" else values
    if kind == "uniform":
        return random.random(shape)
    planes = np.empty((int(np.prod(shape[:-2], dtype=int)), *shape[-2:]))
    for plane in planes:
        height, width = plane.shape
        if kind == "photo":
            source = portrait()
            top, left = (int(random.integers(size)) for size in source.shape)
            rows = _reflected(np.arange(top, top + height), source.shape[0])
            columns = _reflected(np.arange(left, left + width), source.shape[1])
            plane[:] = source[np.ix_(rows, columns)]
        elif kind == "high-dynamic-range":
            plane[:] = 1e-3 * random.random(plane.shape)
            plane[random.integers(height), random.integers(width)] = 1e3
        else:
            plane[:] = 0.0
            count = max(1, plane.size // 1000)
            plane.flat[random.choice(plane.size, count, replace=False)] = random.standard_normal(
                count
            )
    return planes.reshape(shape)


def _reflected(index: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Indices past the end walk back, as in a mirror."""
    period = index % (2 * size)
    return np.where(period < size, period, 2 * size - 1 - period)


def kernel(kind: str, shape: tuple[int, ...], seed: int) -> Floats:
    """Kernels of a kind, of any shape (…, kh, kw).

    normal: N(0, 1)/√(kh·kw). gaussian: of σ = n/6 a side, of sum 1. box: of sum 1.
    rank-1: a random separable kernel. rank-r: the sum of 3 of them. denormal: N(0, 2⁻¹³⁰).

    Raises ValueError on an unknown kind.
    """
    one_of("kernel_data", kind, KERNELS)
    random = generator(seed, "kernel", kind, shape)
    height, width = shape[-2:]
    if kind == "denormal":
        values: Floats = DENORMAL * random.standard_normal(shape)
        return values
    if kind == "normal":
        normal: Floats = random.standard_normal(shape) / np.sqrt(height * width)
        return normal
    if kind == "box":
        return np.full(shape, 1.0 / (height * width))
    if kind == "gaussian":
        plane = np.outer(_bell(height), _bell(width))
        return np.broadcast_to(plane / plane.sum(), shape).copy()
    rank = 1 if kind == "rank-1" else min(RANK, height, width)
    columns = random.standard_normal((*shape[:-1], rank))
    rows = random.standard_normal((*shape[:-2], rank, width))
    product: Floats = columns @ rows / np.sqrt(height * width * rank)
    return product


def _bell(size: int) -> Floats:
    offset = np.arange(size) - (size - 1) / 2
    bell: Floats = np.exp(-0.5 * (6 * offset / size) ** 2)
    return bell


def operands(problem: Problem, kinds: tuple[str, str], seed: int) -> tuple[Any, Floats]:
    """The two operands of a problem, from kinds of image and of kernel data.

    Forward x and w. Of a gradient that of the output, which is an image of the same kind, and w for
    "grad_input" or x for "grad_weight". Of a step (x, gy), and w.

    Raises ValueError on an unknown kind.
    """
    if problem.direction == STEP:
        x = image(kinds[0], problem.x_shape, seed)
        gy = image(kinds[0], problem.y_shape, seed, "gradient")
        return (x, gy), kernel(kinds[1], problem.w_shape, seed)
    first, second, _ = problem.shapes
    if problem.direction == "forward":
        return image(kinds[0], first, seed), kernel(kinds[1], second, seed)
    gy = image(kinds[0], first, seed, "gradient")
    if problem.direction == "grad_input":
        return gy, kernel(kinds[1], second, seed)
    return gy, image(kinds[0], second, seed)
