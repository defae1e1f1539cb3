"""Overlap-save and overlap-add: images of many tiles, of any size, some of them at a time.

The images of the common suite are one tile each by the models' own choice.
"""

from __future__ import annotations

import collections
import itertools
import math
import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convkernels import Problem, UnsupportedProblem, namespaces
from convkernels.algorithms.fft import _tiling, overlap_add, overlap_save
from convkernels.algorithms.fft._tiling import TiledFFT
from convkernels.algorithms.fft.fft import FFT
from convkernels.algorithms.fft.overlap_add import OverlapAdd
from convkernels.algorithms.fft.overlap_save import OverlapSave
from convkernels.discovery import find, load_path
from convkernels.registry import Algorithm
from support.contenders import STRICT, Contender
from support.planted import forgotten
from support.problems import FIXED, case, problems, random_case
from support.reference import relative_error

BOTH = {"overlap-save": OverlapSave, "overlap-add": OverlapAdd}
LARGE = Problem((2048, 2048), (15, 15), mode="same")


@pytest.fixture(params=BOTH)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def in_tiles(name: str, tile: tuple[int, int]) -> Algorithm:
    """The algorithm with this tile, as a user's file has it."""
    found = find(name)
    mine = type("Mine", (found.implementation,), {"tile": tile})
    return Algorithm(
        name, found.family, found.namespaces, found.arithmetic, found.source, mine, found.path
    )


def small_tile(name: str, problem: Problem, seed: int) -> tuple[int, int]:
    rng = random.Random(seed)
    rows, columns = (BOTH[name].least(extent) + rng.randint(0, 5) for extent in problem.extent)
    return rows, columns


# ---- results ---------------------------------------------------------------------------------


@pytest.mark.parametrize("cache", [1, 3000, 8 << 20])
@pytest.mark.parametrize("namespace", ["numpy", "torch", STRICT])
def test_any_tile_is_right(
    name: str, namespace: str, cache: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One tile at a time, some, and all at once; strides, dilation, padding wider than tiles."""
    monkeypatch.setattr(_tiling, "CACHE", cache)
    tiles = 0
    for index in range(40):
        case_ = random_case(index)
        problem = case_.problem
        contender = Contender(in_tiles(name, small_tile(name, problem, index)), namespace, "cpu")
        contender.skip_unless_here()
        if not contender.has_dtype(problem.dtype):
            continue
        instance = contender.prepare(problem)
        y = contender.values(contender.solve(instance, case_.x, case_.w))
        error = relative_error(y, case_.expected, case_.x, case_.w)
        assert error <= instance.error_bound(problem), problem
        tiles += math.prod(instance.provenance()["tiles"])
    assert tiles > 200


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_the_tiles_of_a_large_image_join(name: str, mode: str) -> None:
    """By the models' own choice, against the whole image at once; a border would show."""
    problem = Problem((700, 531), (17, 9), batch=2, mode=mode, dtype="float64")
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(shape) for shape in (problem.x_shape, problem.w_shape))
    results = []
    for contender in (name, "fft"):
        instance = find(contender).prepare(problem, "numpy", "cpu")
        instance.load(w)
        results.append(instance.run(x))
        told = instance.provenance()
    told = find(name).prepare(problem, "numpy", "cpu").provenance()
    assert min(told["tiles"]) > 1
    assert np.abs(results[0] - results[1]).max() < 1e-12 * np.abs(results[1]).max()


def test_gradients_pass_through_tiles(name: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    problem = Problem((30, 26), (4, 3), mode="same", dtype="float64")
    expected = []
    for algorithm in (find("direct"), in_tiles(name, (9, 8))):
        rng = np.random.default_rng(0)
        x, w = (
            torch.from_numpy(rng.standard_normal(shape)).requires_grad_()
            for shape in (problem.x_shape, problem.w_shape)
        )
        instance = algorithm.prepare(problem, "torch", "cpu")
        instance.load(w)
        (instance.run(x) ** 2).sum().backward()
        expected.append((x.grad, w.grad))
    for found, right in zip(expected[1], expected[0], strict=True):
        torch.testing.assert_close(found, right, rtol=1e-10, atol=1e-10)


# ---- tiles, and how many at once -------------------------------------------------------------


@given(problems, st.integers(0, 10**6), st.sampled_from([1, 500, 5000, 10**5, 10**7]))
@pytest.mark.parametrize("kind", BOTH)
def test_every_tile_is_in_one_block(kind: str, problem: Problem, seed: int, limit: int) -> None:
    """And a block takes what it may, or is one tile, or as large as the filters' spectra."""
    mine = in_tiles(kind, small_tile(kind, problem, seed)).implementation
    assert issubclass(mine, TiledFFT)
    tiling = mine.tiling(problem)
    blocks = tiling.blocks(limit)
    seen = collections.Counter(
        tile for block in blocks for tile in itertools.product(*map(tuple, block))
    )
    every = itertools.product(*map(range, (*tiling.tiles, problem.batch)))
    assert seen == collections.Counter(every)
    item = 8 if problem.dtype == "float64" else 4
    channels = problem.in_channels + problem.out_channels
    of_tile = 2 * item * channels * tiling.points
    filters = item * problem.in_channels * problem.out_channels // problem.groups * tiling.points
    largest = max(math.prod(block.shape) for block in blocks)
    assert largest == 1 or largest * of_tile <= max(limit, filters)


def test_of_a_large_image_some_rows_of_tiles_are_in_memory(name: str) -> None:
    """Measured: the workspace is what the cost says, and a small part of the whole image's."""
    x, w = np.ones(LARGE.x_shape, "float32"), np.ones(LARGE.w_shape, "float32")

    def workspace(name: str) -> float:
        instance = find(name).prepare(LARGE, "numpy", "cpu")
        instance.load(w)
        instance.run(x)
        tracemalloc.start()
        y = instance.run(x)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return float(peak - y.nbytes)

    said = find(name).implementation.cost(LARGE).workspace
    assert 0.4 * said < workspace(name) < 2 * said
    assert workspace(name) < 0.4 * workspace("fft")


def test_small_images_are_one_tile_and_large_ones_are_not(name: str) -> None:
    def tiles(problem: Problem) -> tuple[int, int]:
        mine = find(name).implementation
        assert issubclass(mine, TiledFFT)
        return mine.tiling(problem).tiles

    assert tiles(Problem((64, 64), (31, 31), mode="same")) == (1, 1)
    assert tiles(Problem((64, 64), (5, 5), boundary="circular")) == (1, 1)
    assert min(tiles(LARGE)) > 4
    assert tiles(Problem((30, 20000), (3, 3), mode="same"))[0] == 1
    # 4,096 pairs of channels: the smaller the tile, the less of spectra there is to read
    layer = Problem((128, 128), (31, 31), in_channels=64, out_channels=64, mode="same")
    assert min(tiles(layer)) > 1


def test_the_tile_is_the_model_s_best(name: str) -> None:
    """Of SIDES on both axes, none has less work; the kernel decides."""
    chosen = {}
    for n in (3, 15, 63, 129):
        problem = Problem((2048, 2048), (n, n), mode="same")
        chosen[n] = find(name).prepare(problem, "numpy", "cpu").provenance()["tile"]
        assert min(chosen[n]) >= BOTH[name].least(n)
    assert chosen[3] < chosen[63] < chosen[129]


def test_costs_are_those_of_fft_in_many_tiles(name: str) -> None:
    """No tile is promised to be faster than the whole image where both stay in the cache."""
    cost = find(name).implementation.cost
    for size, n in itertools.product((16, 64, 128, 200), (3, 9, 15)):
        problem = Problem((size, size), (n, n), mode="same")
        assert cost(problem).bytes >= 0.85 * FFT.cost(problem).bytes, problem
    assert cost(LARGE).bytes < FFT.cost(LARGE).bytes
    assert cost(LARGE).workspace < 0.2 * FFT.cost(LARGE).workspace
    assert cost(LARGE).flops < FFT.cost(LARGE).flops


def test_a_tile_is_transformed_once(name: str) -> None:
    problem = Problem((40, 40), (5, 5), batch=2, in_channels=3, out_channels=4, mode="same")
    instance = in_tiles(name, (16, 16)).prepare(problem, "numpy", "cpu")
    planes = {"forward": 0, "inverse": 0}

    class Counting:
        def __init__(self, library: object) -> None:
            self.library = library

        def __getattr__(self, name: str) -> object:
            def transform(array: np.ndarray) -> np.ndarray:
                planes[name] += math.prod(array.shape[:-2])
                return getattr(self.library, name)(array)  # type: ignore[no-any-return]

            return transform

    instance.load(np.ones(problem.w_shape, np.float32))
    instance.fft.library = Counting(instance.fft.library)  # type: ignore[attr-defined]
    instance.run(np.ones(problem.x_shape, np.float32))
    tiles = 4 * 4  # 12 outputs or inputs of a tile
    assert planes == {"forward": 2 * 3 * tiles, "inverse": 2 * 4 * tiles}


# ---- a tile of one's own ---------------------------------------------------------------------


@pytest.fixture
def registry_as_it_was() -> Iterator[None]:
    with forgotten():
        yield


@pytest.mark.usefixtures("registry_as_it_was")
@pytest.mark.parametrize("module", [overlap_save, overlap_add])
def test_the_three_lines_of_the_documentation(module: object, tmp_path: Path) -> None:
    text = str(module.__doc__)
    lines = text[text.index("    @algorithm") : text.index("= (64, 64)") + len("= (64, 64)")]
    assert lines.count("\n") == 2
    (tmp_path / "mine.py").write_text(
        "from convkernels import algorithm\n"
        "from convkernels.algorithms.fft.overlap_add import OverlapAdd\n"
        "from convkernels.algorithms.fft.overlap_save import OverlapSave\n"
        + "\n".join(line[4:] for line in lines.split("\n"))
    )
    load_path(tmp_path / "mine.py")
    problem = FIXED["larger"]
    found = find("mine")
    namespace = found.namespaces[0]
    if reason := found.missing(namespace):
        pytest.skip(reason)
    instance = found.prepare(problem, namespace, "cpu")
    assert instance.provenance()["tile"] == [64, 64]
    larger = case(problem)
    y = Contender(found, namespace, "cpu").solve(instance, larger.x, larger.w)
    error = relative_error(namespaces.to_numpy(y), larger.expected, larger.x, larger.w)
    assert error <= instance.error_bound(problem)


def test_a_tile_that_is_too_small_is_refused(name: str) -> None:
    problem = Problem((40, 40), (9, 7), dilation=(2, 1))
    rows, columns = BOTH[name].least(17), BOTH[name].least(7)
    assert (rows, columns) == {"overlap-save": (17, 7), "overlap-add": (32, 12)}[name]
    in_tiles(name, (rows, columns)).prepare(problem, "numpy", "cpu")
    for tile in ((rows - 1, 64), (64, columns - 1)):
        told = f"tile is {tile[0]}×{tile[1]}; allowed for this kernel: {rows}×{columns} or more"
        with pytest.raises(UnsupportedProblem, match=told):
            in_tiles(name, tile).prepare(problem, "numpy", "cpu")
