"""What the textbook algorithms are handed: filters that BLAS takes, images that are not copied."""

import array_api_compat.numpy as xp
import numpy as np
import pytest

from convkernels.problem import OPS, Problem
from convkernels.toolbox import layout


@pytest.mark.parametrize("op", OPS)
def test_filters_are_contiguous(op: str) -> None:
    """A flipped view has negative strides: NumPy multiplies such a matrix without BLAS."""
    problem = Problem((8, 8), (3, 5), op=op)
    w = np.arange(15.0, dtype=np.float32).reshape(3, 5)
    found = layout.filters(w, problem, xp)
    assert found.flags.c_contiguous
    expected = w[::-1, ::-1] if op == "convolution" else w
    np.testing.assert_array_equal(found[0, 0, 0], expected)


def test_images_are_views() -> None:
    x = np.zeros((2, 6, 4, 5), np.float32)
    problem = Problem((4, 5), (3, 3), batch=2, in_channels=6, out_channels=3, groups=3)
    found = layout.images(x, problem, xp)
    assert found.shape == (2, 3, 2, 4, 5)
    assert np.shares_memory(found, x)


@pytest.mark.parametrize("corner", [(0, 0), (1, 2), (-3, 4), (2, -9), (4, 5), (-20, 0), (50, 1)])
@pytest.mark.parametrize("size", [(1, 1), (4, 5), (2, 3), (9, 2)])
def test_a_window_is_zero_outside_the_image(corner: tuple[int, int], size: tuple[int, int]) -> None:
    x = np.arange(1.0, 41.0).reshape(2, 4, 5)
    far = np.pad(x, ((0, 0), (60, 60), (60, 60)))
    top, left = corner[0] + 60, corner[1] + 60
    found = layout.window(x, corner, size, xp)
    np.testing.assert_array_equal(found, far[:, top : top + size[0], left : left + size[1]])
    inside = 0 <= corner[0] <= 4 - size[0] and 0 <= corner[1] <= 5 - size[1]
    assert np.shares_memory(found, x) == inside
