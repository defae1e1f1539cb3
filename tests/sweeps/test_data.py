"""Images and kernels: seeded, of the shape asked for, and what their names say."""

from __future__ import annotations

import numpy as np
import pytest

from convcross.sweeps import data
from convkernels import namespaces

SHAPES = [(7, 9), (3, 8, 6), (2, 3, 5, 4)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", data.IMAGES)
def test_images(kind: str, shape: tuple[int, ...]) -> None:
    x = data.image(kind, shape, 3)
    assert x.shape == shape
    assert x.dtype == np.float64
    assert np.isfinite(x).all()
    assert x.any()
    assert np.array_equal(x, data.image(kind, shape, 3))
    assert not np.array_equal(x, data.image(kind, shape, 4))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", data.KERNELS)
def test_kernels(kind: str, shape: tuple[int, ...]) -> None:
    w = data.kernel(kind, shape, 3)
    assert w.shape == shape
    assert np.isfinite(w).all()
    assert np.array_equal(w, data.kernel(kind, shape, 3))
    seeded = kind in ("normal", "rank-1", "rank-r", "denormal")
    assert np.array_equal(w, data.kernel(kind, shape, 4)) != seeded
    w[...] = 0.0  # writable: nothing shared or broadcast


def test_images_differ_within_a_batch() -> None:
    for kind in data.IMAGES:
        first, second = data.image(kind, (2, 16, 16), 0)
        assert not np.array_equal(first, second), kind


def test_normal_and_uniform() -> None:
    normal, uniform = (data.image(kind, (200, 200), 0) for kind in ("normal", "uniform"))
    assert abs(normal.mean()) < 0.02
    assert abs(normal.std() - 1) < 0.02
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.01


@pytest.mark.parametrize("shape", [(40, 30), (700, 1100), (2000, 3)])
def test_a_photo_of_any_size_is_luminance(shape: tuple[int, int]) -> None:
    x = data.image("photo", shape, 1)
    assert x.min() >= 0
    assert x.max() <= 1
    assert np.abs(np.diff(x, axis=1)).mean() < 0.1  # neighbours are alike, at the mirrors too


def test_a_photo_is_continued_as_in_a_mirror() -> None:
    source = data.portrait()
    height, width = source.shape
    x = data.image("photo", (3 * height, 2 * width), 5)
    place = 2 * height  # the reflection has this period
    assert np.array_equal(x[: height // 2], x[place : place + height // 2])


@pytest.mark.parametrize(("size", "count"), [(8, 1), (40, 1), (64, 4), (200, 40)])
def test_impulses_are_a_pixel_in_a_thousand(size: int, count: int) -> None:
    for plane in data.image("impulses", (2, size, size), 0):
        assert np.count_nonzero(plane) == count


def test_high_dynamic_range_is_one_spot_on_a_dark_field() -> None:
    for plane in data.image("high-dynamic-range", (3, 20, 20), 0):
        assert np.count_nonzero(plane == 1e3) == 1
        assert np.sort(plane.ravel())[-2] < 1e-3


def test_bright_spots_differ_from_image_to_image_and_seed_to_seed() -> None:
    spots = [
        int(plane.argmax())
        for seed in range(3)
        for plane in data.image("high-dynamic-range", (3, 20, 20), seed)
    ]
    assert len(set(spots)) >= 8


def test_denormal_values_are_subnormal_and_not_lost() -> None:
    least = float(np.finfo(np.float32).tiny)
    for values in (data.image("denormal", (40, 40), 0), data.kernel("denormal", (9, 9), 0)):
        stored = np.abs(values.astype(np.float32))
        assert stored.max() < least
        assert np.count_nonzero(stored) == stored.size
        assert np.abs(stored - np.abs(values)).max() < 1e-5 * stored.max()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("kind", sorted(set(data.IMAGES) - {"denormal"}))
def test_sixteen_bits_hold_every_kind(kind: str, dtype: str) -> None:
    """Neither the bright spot nor the dark field is lost, nor what a kernel makes of them."""
    x = data.image(kind, (40, 40), 0)
    stored = namespaces.round_to(x, dtype).astype(float)
    assert np.isfinite(stored).all()
    assert np.count_nonzero(stored) >= 0.999 * np.count_nonzero(x)
    assert np.linalg.norm(stored - x, np.inf) < 0.01 * np.linalg.norm(x, np.inf)
    for name in data.KERNELS:
        most = np.abs(stored).max() * np.abs(data.kernel(name, (31, 31), 0)).sum()
        assert most < np.finfo(np.float16).max


def test_smooth_kernels_sum_to_one() -> None:
    for kind in ("gaussian", "box"):
        w = data.kernel(kind, (2, 5, 7), 0)
        assert np.allclose(w.sum(axis=(1, 2)), 1)
        assert np.allclose(w, w[:, ::-1, ::-1])
    w = data.kernel("gaussian", (9, 9), 0)
    assert w.argmax() == 40
    assert np.allclose(w[4] / w[4, 4], np.exp(-0.5 * ((np.arange(9) - 4) / 1.5) ** 2))


@pytest.mark.parametrize(("shape", "rank"), [((9, 11), 3), ((2, 9), 2), ((4, 8, 8), 3)])
def test_rank(shape: tuple[int, ...], rank: int) -> None:
    assert (np.linalg.matrix_rank(data.kernel("rank-r", shape, 0)) == rank).all()


def test_scale_does_not_grow_with_the_kernel() -> None:
    """So that outputs of all kernel sizes are alike."""
    for kind in ("normal", "rank-r"):
        norms = [np.linalg.norm(data.kernel(kind, (n, n), 0)) for n in (3, 15, 63)]
        assert all(0.3 < norm < 3 for norm in norms), norms


def test_unknown_kinds() -> None:
    with pytest.raises(ValueError, match="image_data is 'cat'; allowed: normal, uniform, photo"):
        data.image("cat", (4, 4), 0)
    with pytest.raises(ValueError, match="kernel_data is 'cat'; allowed: normal, gaussian, box"):
        data.kernel("cat", (4, 4), 0)


def test_streams_under_one_seed_are_apart() -> None:
    first, second = (data.generator(0, what).random(4) for what in ("image", "kernel"))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, data.generator(0, "image").random(4))


def test_luminance() -> None:
    pixels = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
    assert np.allclose(data.luminance(pixels), [[0.2126, 0.7152, 0.0722, 1.0]])
    opaque = np.concatenate([pixels, np.full((1, 4, 1), 9, np.uint8)], axis=2)
    assert np.array_equal(data.luminance(opaque), data.luminance(pixels))
    assert np.array_equal(data.luminance(np.full((2, 2), 65535, np.uint16)), np.ones((2, 2)))
    assert np.array_equal(data.luminance(np.full((2, 2), 0.25)), np.full((2, 2), 0.25))
