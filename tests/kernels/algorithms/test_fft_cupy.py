"""cuFFT's side of ``fft`` without a GPU: a stand-in for CuPy that holds plans to CuPy's own rules.

The rules are those of ``cupy.fft._fft._exec_fftn`` and ``cupyx.scipy.fft.get_fft_plan`` (14.2): a
plan fits one shape, type and direction, and arrays that are both C- and F-contiguous have none.
"""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import array_api_compat.numpy as xp
import numpy as np
import pytest
import scipy.fft

from convcross.measure.accuracy.reference import by_scipy
from convkernels.algorithms.fft import _libraries, fft
from convkernels.discovery import find
from convkernels.problem import Problem


class CuFFT(ModuleType):
    """cupyx.scipy.fft on NumPy; spectra are overwritten, as cuFFT may."""

    def __init__(self) -> None:
        super().__init__("cupyx.scipy.fft")
        self.plans = 0
        self.unplanned = 0

    def get_fft_plan(self, a: Any, shape: Any, axes: Any, value_type: str) -> Any:
        assert a.flags.c_contiguous
        assert not a.flags.f_contiguous
        assert axes == (-2, -1)
        half = shape if value_type == "R2C" else (shape[0], shape[1] // 2 + 1)
        assert a.shape[-2:] == half
        self.plans += 1
        return SimpleNamespace(
            shape=tuple(shape), kind=value_type, batch=a.shape[:-2], dtype=a.dtype
        )

    def _check(self, a: Any, s: Any, plan: Any, kind: str) -> None:
        if plan is None:
            self.unplanned += 1
            return
        assert a.flags.c_contiguous
        assert plan.kind == kind
        assert (plan.shape, plan.batch, plan.dtype) == (tuple(s), a.shape[:-2], a.dtype)

    def rfftn(self, a: Any, s: Any, axes: Any, plan: Any) -> Any:
        a = np.ascontiguousarray(a)  # as _fftn does
        self._check(a, s, plan, "R2C")
        assert a.shape[-2:] == tuple(s)
        return scipy.fft.rfftn(a, s=s, axes=axes)

    def irfftn(self, a: Any, s: Any, axes: Any, norm: str, overwrite_x: bool, plan: Any) -> Any:
        a = np.ascontiguousarray(a)
        self._check(a, s, plan, "C2R")
        y = scipy.fft.irfftn(a, s=s, axes=axes, norm=norm)
        a[...] = np.nan
        return y


@pytest.fixture
def cufft(monkeypatch: pytest.MonkeyPatch) -> CuFFT:
    stub, package, scipy_package = CuFFT(), ModuleType("cupyx"), ModuleType("cupyx.scipy")
    package.scipy, scipy_package.fft = scipy_package, stub  # type: ignore[attr-defined]
    cupy = SimpleNamespace(empty=np.empty, zeros=np.zeros)
    modules = {"cupy": cupy, "cupyx": package, "cupyx.scipy": scipy_package}
    for name, module in {**modules, "cupyx.scipy.fft": stub}.items():
        monkeypatch.setitem(sys.modules, name, module)  # type: ignore[arg-type]
    monkeypatch.setattr(
        fft,
        "library",
        lambda xp, size, dtype, device, forward, inverse: _libraries.CuPy(
            size, dtype, forward, inverse
        ),
    )
    return stub


PROBLEMS = {
    "image": Problem((40, 33), (7, 5), mode="same"),
    "float64": Problem((20, 20), (3, 3), mode="full", dtype="float64"),
    "float16": Problem((20, 20), (3, 3), mode="same", dtype="float16"),
    "batch": Problem((24, 24), (5, 4), batch=3, mode="valid", op="correlation"),
    "channels": Problem((12, 14), (3, 3), batch=2, in_channels=4, out_channels=6, groups=2),
    "depthwise": Problem((12, 14), (3, 3), in_channels=4, out_channels=8, groups=4, mode="same"),
    "circular": Problem((15, 16), (4, 3), boundary="circular"),
    "one row": Problem((1, 9), (1, 3), mode="same"),
    "one column": Problem((9, 1), (3, 1), boundary="circular"),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_plans_fit_and_results_are_right(name: str, cufft: CuFFT) -> None:
    problem = PROBLEMS[name]
    rng = np.random.default_rng(0)
    x = rng.standard_normal(problem.x_shape).astype(problem.dtype)
    w = rng.standard_normal(problem.w_shape).astype(problem.dtype)
    instance = find("fft").implementation()
    instance.plan(problem, xp, "cpu")
    planned = cufft.plans
    instance.load(w)
    bound = instance.error_bound(problem)
    for image in (x, 2 * x):  # the second meets the kept padded image
        y = instance.run(image)
        expected = by_scipy(problem, image, w)
        scale = max(np.linalg.norm(expected), np.linalg.norm(image) * np.linalg.norm(w))
        assert np.linalg.norm(y - expected) <= bound * scale
    assert cufft.plans == planned  # all of them made in plan
    degenerate = 1 in instance.size  # type: ignore[attr-defined]
    assert (planned == 0) == degenerate
    assert (cufft.unplanned == 0) == (not degenerate)


@pytest.mark.parametrize("name", ["overlap-save", "overlap-add"])
@pytest.mark.parametrize("channels", [1, 2])
def test_tiles_go_through_one_plan(name: str, channels: int, cufft: CuFFT) -> None:
    """All at once, as a GPU wants them: one transform there and one back, planned before."""
    problem = Problem(
        (60, 49), (7, 5), batch=2, in_channels=channels, out_channels=channels, mode="same"
    )
    rng = np.random.default_rng(0)
    x = rng.standard_normal(problem.x_shape).astype("float32")
    w = rng.standard_normal(problem.w_shape).astype("float32")
    instance: Any = type("Mine", (find(name).implementation,), {"tile": (24, 20)})()
    instance.plan(problem, xp, "cuda:0")
    assert len(instance.blocks) == 1
    assert cufft.plans == 3
    instance.load(w)
    y = instance.run(x)
    expected = by_scipy(problem, x, w)
    scale = max(np.linalg.norm(expected), np.linalg.norm(x) * np.linalg.norm(w))
    assert np.linalg.norm(y - expected) <= instance.error_bound(problem) * scale
    assert (cufft.plans, cufft.unplanned) == (3, 0)
