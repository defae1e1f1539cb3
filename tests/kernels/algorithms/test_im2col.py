"""Patches in little memory: blocks that join, and the workspace that is declared and measured."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from convkernels import Problem
from convkernels.algorithms.im2col import im2col_chunked, mec
from convkernels.discovery import find
from support.problems import random_case
from support.reference import relative_error

LARGE = Problem((1024, 1024), (15, 15), mode="same")


def loaded(name: str, problem: Problem) -> Any:
    instance = find(name).prepare(problem, "numpy", "cpu")
    instance.load(np.ones(problem.w_shape, problem.dtype))
    return instance


def taken(instance: Any, problem: Problem) -> int:
    """Bytes of NumPy's arrays that a run takes at once, beside its result."""
    x = np.ones(problem.x_shape, problem.dtype)
    instance.run(x)
    tracemalloc.start()
    try:
        y = instance.run(x)
        return tracemalloc.get_traced_memory()[1] - y.nbytes
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["mec", "im2col-chunked"])
def test_the_workspace_is_a_tenth_of_im2cols(name: str) -> None:
    """At N = 1024, n = 15 and one channel: as declared, and as taken."""
    whole = find("im2col-gemm")
    declared = find(name).implementation.cost(LARGE).workspace
    assert declared <= whole.implementation.cost(LARGE).workspace / 10
    # One strip of im2col-gemm's, which takes 0.3 s and as much memory as all of them.
    rows = loaded("im2col-gemm", LARGE).rows
    strip = Problem((rows + 14, 1024), (15, 15), padding=((0, 0), (7, 7)))
    most = taken(loaded("im2col-gemm", strip), strip)
    assert most > 0.9 * whole.implementation.cost(LARGE).workspace
    assert 0.8 * declared < taken(loaded(name, LARGE), LARGE) <= min(1.02 * declared, most / 10)


@pytest.mark.parametrize("name", ["mec", "im2col-chunked"])
@pytest.mark.parametrize(
    "problem",
    [
        Problem((300, 200), (9, 5), mode="full", dtype="float64"),
        Problem((56, 56), (3, 3), batch=8, in_channels=16, out_channels=32, mode="same"),
        Problem((40, 40), (5, 5), batch=3, in_channels=8, out_channels=16, groups=4, stride=(2, 2)),
        Problem((200, 300), (5, 5), mode="same", dtype="float16"),
    ],
    ids=["image", "channels", "groups", "halves"],
)
def test_the_workspace_declared_is_what_is_taken(name: str, problem: Problem) -> None:
    declared = find(name).implementation.cost(problem).workspace
    assert 0.6 * declared < taken(loaded(name, problem), problem) < 1.1 * declared + 20e3


@pytest.mark.parametrize("parts", [1, 3, 20])
@pytest.mark.parametrize("name", ["mec", "im2col-chunked"])
def test_blocks_join(name: str, parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of images, of rows and of columns: a limit so small makes many of a small problem."""
    seen = np.zeros(3, int)
    for index in range(60):
        case_ = random_case(index)
        problem = case_.problem
        if problem.dtype == "bfloat16":
            continue
        output = 8 * problem.in_channels * problem.kernel[0] * problem.kernel[1]
        monkeypatch.setattr(im2col_chunked, "CHUNK", parts * output)
        monkeypatch.setattr(mec, "LIMIT", parts * output)
        monkeypatch.setattr(mec, "COLUMNS", parts)
        instance = find(name).prepare(problem, "numpy", "cpu")
        seen += [len({block[axis] for block in instance.blocks}) > 1 for axis in range(3)]
        instance.load(case_.w)
        error = relative_error(instance.run(case_.x), case_.expected, case_.x, case_.w)
        assert error <= instance.error_bound(problem), problem
    assert (seen >= 5).all() if parts < 20 else seen.any()


def test_mec_keeps_a_row_of_each_patch_once() -> None:
    """L is im2col's matrix without what its patches have in common from row to row: kh times less,
    but for the rows above and below."""
    problem = Problem((20, 30), (5, 3), mode="valid", in_channels=2, out_channels=1)
    x = np.random.default_rng(0).standard_normal((1, 1, 2, 20, 30)).astype("float32")
    lowered = loaded("mec", problem)._lowered(x, (0, 16), (0, 28))
    assert lowered.shape == (1, 20, 2 * 3, 28)
    for row, channel, tap in np.ndindex(20, 2, 3):
        expected = x[0, 0, channel, row, tap : tap + 28]
        assert np.array_equal(lowered[0, row, channel * 3 + tap], expected)


def test_narrow_images_are_multiplied_side_by_side() -> None:
    wide = Problem((56, 256), (3, 3), batch=4, in_channels=4, out_channels=4, mode="same")
    narrow = Problem((14, 14), (3, 3), batch=20, in_channels=4, out_channels=4, mode="same")
    assert mec.MEC.block_size(wide).images == 1
    assert 2 <= mec.MEC.block_size(narrow).images <= mec.COLUMNS // 14
