"""Minimal filtering in tiles: tiles and chunks join, the error bound is the model's, the cost is
what runs."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse.linalg import eigsh

from convkernels import Problem, UnsupportedProblem, convolve
from convkernels.algorithms.winograd import _winograd
from convkernels.algorithms.winograd._cook_toom import transforms
from convkernels.algorithms.winograd._winograd import Winograd
from convkernels.discovery import algorithms
from convkernels.problem import ROUNDOFF
from support.contenders import Contender, contenders
from support.problems import case, random_problem
from support.reference import relative_error

NAMES = [
    name
    for name, algorithm in algorithms().items()
    if issubclass(algorithm.implementation, Winograd)
]
RANDOM_PROBLEMS = 100


def of(name: str) -> type[Winograd]:
    implementation = algorithms()[name].implementation
    assert issubclass(implementation, Winograd)
    return implementation


def problems(name: str, count: int, seed: int = 0) -> Iterator[Problem]:
    """Of every kind that it takes."""
    rng, side = random.Random(seed), of(name).r
    while count:
        drawn = random_problem(rng)
        image = tuple(size + rng.randint(0, 12) for size in drawn.image)
        try:
            yield dataclasses.replace(
                drawn, image=image, kernel=(side, side), stride=(1, 1), dilation=(1, 1)
            )
        except ValueError:  # the kernel does not fit
            continue
        count -= 1


@pytest.fixture(params=[param for param in contenders() if param.values[0].algorithm.name in NAMES])
def contender(request: pytest.FixtureRequest) -> Contender:
    request.param.skip_unless_here()
    return request.param


def error_of(contender: Contender, problem: Problem, seed: int = 0) -> float:
    """In its bound."""
    case_ = case(problem, seed)
    instance = contender.prepare(problem)
    y = contender.values(contender.solve(instance, case_.x, case_.w))
    assert y.shape == problem.y_shape
    return relative_error(y, case_.expected, case_.x, case_.w) / instance.error_bound(problem)


def test_agrees_with_scipy(contender: Contender) -> None:
    for index, problem in enumerate(problems(contender.algorithm.name, RANDOM_PROBLEMS)):
        if contender.has_dtype(problem.dtype):
            assert error_of(contender, problem, index) <= 1, problem


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_chunks_join(name: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of tiles and images that are taken in parts, and that are not all of one size."""
    numpy = Contender(algorithms()[name], "numpy", "cpu")
    chunked = 0
    for index, problem in enumerate(problems(name, 30, rows)):
        if not numpy.has_dtype(problem.dtype):
            continue
        item = 8 if problem.dtype == "float64" else 4
        channels = problem.in_channels + problem.out_channels
        cls = of(name)
        row = (cls.m + cls.r - 1) ** 2 * channels * -(-problem.output[1] // cls.m) * item
        monkeypatch.setattr(_winograd, "CACHED", rows * row)
        instance = numpy.prepare(problem)
        chunked += (instance.images, instance.strip) != (problem.batch, instance.tiles[0])
        assert error_of(numpy, problem, index) <= 1, problem
    assert chunked > 5


@pytest.mark.parametrize("name", NAMES)
def test_refuses_with_the_reason(name: str) -> None:
    numpy, side = Contender(algorithms()[name], "numpy", "cpu"), of(name).r
    usual = Problem((12, 12), (side, side), mode="same")
    numpy.prepare(usual)
    for changes, reason in (
        ({"kernel": (side, side + 1)}, f"{side}×{side} only; this is {side}×{side + 1}"),
        ({"kernel": (7, 7)}, f"{name} on numpy: takes kernels of .* only; this is 7×7"),
        ({"stride": (1, 2)}, "has no stride"),
        ({"dilation": (2, 1)}, "has no dilation"),
    ):
        with pytest.raises(UnsupportedProblem, match=reason):
            numpy.prepare(dataclasses.replace(usual, **changes))


# ---- errors ----------------------------------------------------------------------------------


def rounded_sums(row: np.ndarray) -> np.ndarray:
    """The partial sums of a row's terms that are rounded, as rows: from the second term on."""
    last = np.flatnonzero(row)[1:]
    return np.where(np.arange(row.size) <= last[:, None], row, 0)


def worst_mean_square(m: int, r: int) -> float:
    """Of the errors of a tile's m × m outputs, in u²·|g|²·|d|², for the filter and the pixels that
    are worst.

    Each rounding is uniform within half a unit in the last place of its result, a mean square of
    u²/3 of it at most: one of the filter's transform, one of the product, and one for each partial
    sum of the transforms, first along columns and then along rows.
    """
    found, alpha = transforms(m, r), m + r - 1
    a, g, b = (
        np.asarray(matrix, dtype=float) for matrix in (np.transpose(found.at), found.g, found.bt)
    )
    products = np.einsum("ik,jl,ip,jq->ijklpq", g, g, b, b).reshape(alpha, alpha, -1)  # of g ⊗ d
    spread = np.linalg.norm(a, axis=1)  # by which an error at a point reaches all outputs
    both = np.outer(spread, spread)
    errors = [both[..., None] * products] * 2
    half = np.einsum("io,ijx->ojx", a, products)
    for o in range(m):
        sums = rounded_sums(a[:, o])
        errors.append(np.einsum("si,ijx,j->sjx", sums, products, spread))
        errors.append(np.einsum("sj,pjx->spx", sums, half))
    rows = np.concatenate([error.reshape(-1, products.shape[-1]) for error in errors])
    square = rows.T @ rows
    of_sums = [sums.T @ sums for sums in map(rounded_sums, b)]
    for i, j in np.ndindex(alpha, alpha):
        filtered = np.kron(g[i], g[j])
        columns = np.kron(of_sums[i], np.diag(b[j] ** 2))
        image = columns + np.kron(np.outer(b[i], b[i]), of_sums[j])
        square += both[i, j] ** 2 * np.kron(np.outer(filtered, filtered), image)
    (largest,) = eigsh(square, k=1, return_eigenvectors=False)
    return float(largest) / 3


@pytest.mark.parametrize("name", NAMES)
def test_the_bound_is_the_models_worst_case(name: str) -> None:
    """Not below it, and above by less than an eighth."""
    m, r = of(name).m, of(name).r
    overlap = (m + r - 1) / m
    worst = ROUNDOFF["float32"] * overlap * math.sqrt(worst_mean_square(m, r))
    bound = of(name).error_bound(Problem((32, 32), (r, r)))
    assert worst <= bound <= 1.125 * worst


@pytest.mark.parametrize("name", NAMES)
def test_the_rooms_readme_says_so(name: str) -> None:
    m, r = of(name).m, of(name).r
    text = Path(_winograd.__file__).with_name("README.md").read_text(encoding="utf-8")
    table, _, _ = text.partition("<!-- wins -->")
    (line,) = (line for line in table.splitlines() if line.startswith(f"| `{name}`"))
    bound = f"{of(name).error_bound(Problem((32, 32), (r, r))):.1e}".replace("e-0", "e-")
    products = f"{((m + r - 1) / m) ** 2:.3g}"
    assert [cell.strip() for cell in line.split("|")[2:-1]] == [products, str(r * r), bound]


@pytest.mark.parametrize("name", NAMES)
def test_normal_data_err_within_the_bound_and_not_far_below(name: str) -> None:
    side = of(name).r
    numpy = Contender(algorithms()[name], "numpy", "cpu")
    for dtype in ("float32", "float64"):
        problem = Problem((96, 96), (side, side), mode="same", dtype=dtype)
        errors = [error_of(numpy, problem, seed) for seed in range(8)]
        assert max(errors) <= 0.5
        # float64 is compared with sums in float64, and has more roundings in its bound.
        assert np.median(errors) >= (1 / 25 if dtype == "float32" else 1 / 100)


@pytest.mark.parametrize("scale", [1e-34, 2.0**-130, 1e30])
@pytest.mark.parametrize("name", NAMES)
def test_small_and_large_kernels(name: str, scale: float) -> None:
    """As precise as others, where the result is a normal number: the transforms are."""
    side = of(name).r
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((40, 40)) * (1e4 if scale < 1 else 1)).astype("float32")
    w = (rng.standard_normal((side, side)) * scale).astype("float32")
    y = convolve(x, w, algorithm=name).astype("float64")
    expected = convolve(x.astype("float64"), w.astype("float64"), algorithm="direct")
    error = np.linalg.norm(y - expected) / np.linalg.norm(expected)
    assert error <= of(name).error_bound(Problem((40, 40), (side, side)))


@pytest.mark.parametrize("name", NAMES)
def test_nan_spreads_over_its_tiles_and_is_told(name: str) -> None:
    m, side = of(name).m, of(name).r
    x, w = np.ones((60, 60), "float32"), np.ones((side, side), "float32")
    x[30, 30] = np.nan
    with pytest.warns(RuntimeWarning, match=f"outputs that its values do not reach: {name}"):
        y = convolve(x, w, mode="valid", algorithm=name)
    rows, columns = np.nonzero(np.isnan(y))
    for places in (rows, columns):
        first, last = 30 - side + 1, 30  # that the sum brings it to
        assert places.min() == first // m * m
        assert places.max() == last // m * m + m - 1


# ---- cost, gradients -------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_cost_is_what_is_multiplied(name: str) -> None:
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    side = of(name).r
    problem = Problem(
        (29, 23), (side, side), batch=3, in_channels=6, out_channels=4, groups=2, mode="same"
    )
    instance = algorithms()[name].prepare(problem, "torch", "cpu")
    x, w = torch.randn(problem.x_shape), torch.randn(problem.w_shape)
    cost = instance.cost(problem)
    with FlopCounterMode(display=False) as counter:
        instance.load(w)
    assert counter.get_total_flops() == cost.once_flops
    with FlopCounterMode(display=False) as counter:
        instance.run(x)
    assert counter.get_total_flops() == cost.flops


@pytest.mark.parametrize("boundary", ["zero", "circular"])
@pytest.mark.parametrize("name", NAMES)
def test_gradients(name: str, boundary: str) -> None:
    torch = pytest.importorskip("torch")
    side = of(name).r
    x = torch.randn(2, 4, 7, 6, dtype=torch.float64, requires_grad=True)
    w = torch.randn(2, 2, side, side, dtype=torch.float64, requires_grad=True)

    def filtered(x: object, w: object) -> object:
        return convolve(x, w, groups=2, mode="same", boundary=boundary, algorithm=name)

    assert torch.autograd.gradcheck(filtered, (x, w), fast_mode=True)
