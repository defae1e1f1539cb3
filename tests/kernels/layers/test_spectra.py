"""Passes by shared spectra, whole and in tiles, against PyTorch's float64 autograd."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from convkernels import Problem
from convkernels.layers import tiles
from convkernels.layers.tiles import Tiling
from support.layers import Operands, assert_close, drawn, expected, operands

torch = pytest.importorskip("torch", reason="torch is not installed")

from convkernels.layers.spectra import SharedSpectra  # noqa: E402
from convkernels.layers.training import LEAST_ROOM, planned, room  # noqa: E402


def passes(tiling: Tiling, given: Operands) -> tuple[Any, Any, Any]:
    """y, gx and gw by one set of spectra."""
    layer = SharedSpectra(tiling, "cpu")
    x, w, gy = layer.images(given["x"]), layer.filters(given["w"]), layer.gradients(given["gy"])
    return layer.forward(x, w), layer.grad_input(gy, w), layer.grad_weight(gy, x)


def test_every_tiling_of_every_layer() -> None:
    count = 0
    for problem in drawn(40, seed=1):
        given = operands(problem)
        true = expected(problem, given)
        rows, columns = tiles.cuts(problem, 0)[:3], tiles.cuts(problem, 1)[:3]
        for pair in itertools.product(rows, columns):
            assert_close(passes(Tiling(problem, *pair), given), true, given, 1e-12)
            count += 1
    assert count > 150


def test_modes_and_even_kernels() -> None:
    for mode, op in itertools.product(("full", "same", "valid"), ("convolution", "correlation")):
        fields: dict[str, Any] = {"mode": mode, "op": op, "in_channels": 2, "out_channels": 3}
        problem = Problem((9, 8), (4, 3), dtype="float64", **fields)
        given = operands(problem)
        true = expected(problem, given)
        assert_close(passes(tiles.cheapest(problem), given), true, given, 1e-12)


def test_circular() -> None:
    """The image itself is the transform's period."""
    fields: dict[str, Any] = {"in_channels": 2, "out_channels": 3, "dtype": "float64"}
    problem = Problem((7, 6), (3, 2), mode="same", boundary="circular", **fields)
    (top, bottom), (left, right) = problem.pads
    given = operands(problem)
    x, w = given["x"].requires_grad_(), given["w"].requires_grad_()
    grown = torch.nn.functional.pad(x, (left, right, top, bottom), mode="circular")
    y = torch.nn.functional.conv2d(grown, w.flip(-2, -1))
    true = (y, *torch.autograd.grad(y, (x, w), given["gy"]))
    with torch.no_grad():
        assert_close(passes(tiles.cheapest(problem), given), true, given, 1e-12)


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 2e-6), ("bfloat16", 2e-6)])
def test_arithmetic_is_in_float32(dtype: str, bound: float) -> None:
    problem = Problem((20, 20), (5, 5), in_channels=8, out_channels=8, mode="same", dtype=dtype)
    given = operands(problem)
    true = expected(problem, {name: value.double() for name, value in given.items()})
    assert_close(passes(tiles.cheapest(problem), given), true, given, bound)


def test_tiles_are_cheaper_where_the_image_is_large() -> None:
    fields: dict[str, Any] = {"in_channels": 64, "out_channels": 64, "mode": "same"}
    large = tiles.cheapest(Problem((256, 256), (5, 5), batch=4, **fields))
    assert large.rows.tiles > 1
    assert large.columns.tiles > 1
    whole = tiles.cheapest(Problem((24, 24), (13, 13), batch=4, **fields))
    assert (whole.rows.tiles, whole.columns.tiles) == (1, 1)
    assert whole.rows.points == 24 + 6  # what wraps round is cropped away


def test_a_step_keeps_to_its_room() -> None:
    """As ``room`` argues for stride and dilation 1, whatever the sizes."""
    count = 0
    for problem in drawn(60, seed=2, stride=1, dilation=1, dtype="float32"):
        (height, width), kernel = problem.image, problem.kernel
        large = Problem(
            (16 * height, 16 * width),
            (4 * kernel[0] + 1, 4 * kernel[1] + 1),
            batch=problem.batch,
            in_channels=32 * problem.groups,
            out_channels=32 * problem.groups,
            groups=problem.groups,
            mode="same",
        )
        assert planned(large, "cpu", 1e18).step_bytes <= room(large)
        count += room(large) > 2 * LEAST_ROOM
    assert count > 20
