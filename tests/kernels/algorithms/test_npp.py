"""NPP's filter: without a GPU against a stand-in of its signature, with one on it."""

from __future__ import annotations

import ctypes
import random
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import array_api_compat.numpy as xp
import numpy as np
import pytest

from convkernels import Problem, UnsupportedProblem, namespaces
from convkernels.algorithms.libraries import npp_filterborder as npp
from convkernels.cuda import driver
from convkernels.discovery import find
from support import fakes
from support.impulses import is_direct
from support.problems import FIXED, case, random_problem
from support.reference import relative_error

ATTRIBUTES = {
    "MultiProcessorCount": 132,
    "MaxThreadsPerMultiProcessor": 2048,
    "MaxThreadsPerBlock": 1024,
    "MaxSharedMemoryPerBlock": 49152,
    "ComputeCapabilityMajor": 9,
    "ComputeCapabilityMinor": 0,
    "of no interest": 7,
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fakes.library("npp", tmp_path_factory.mktemp("npp"))


@pytest.fixture
def fake(built: Path, monkeypatch: pytest.MonkeyPatch) -> ctypes.CDLL:
    """The stand-in in NPP's place, NumPy in CuPy's, and an H200 with a stream at 0x57."""
    monkeypatch.setattr(npp, "shared_library", lambda wheel, name: built)
    monkeypatch.setattr(npp, "library", npp.library.__wrapped__)
    monkeypatch.setattr(npp, "address", lambda array: array.ctypes.data)
    monkeypatch.setattr(driver, "stream_flags", {0x57: 1}.__getitem__)
    cuda = SimpleNamespace(
        Device=lambda index: SimpleNamespace(attributes=ATTRIBUTES),
        get_current_stream=lambda index: SimpleNamespace(ptr=0x57),
    )
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=cuda))  # type: ignore[arg-type]
    stand_in = fakes.loaded(built)
    stand_in.fake_status(0)
    return stand_in


def planned(problem: Problem) -> Any:
    algorithm = find("npp-filterborder")
    reason = algorithm.refuses(problem, "cupy", "cuda:2")
    if reason is not None:
        raise UnsupportedProblem(reason)
    instance = algorithm.implementation()
    instance.plan(problem, xp, "cuda:2")
    return instance


@pytest.mark.usefixtures("fake")
def test_agrees_with_scipy() -> None:
    taken = 0
    problems = [*FIXED.values(), *(random_problem(random.Random(index)) for index in range(400))]
    for index, problem in enumerate(problems):
        try:
            instance = planned(problem)
        except UnsupportedProblem:
            continue
        case_ = case(problem, index)
        instance.load(case_.w)
        y = instance.run(case_.x)
        error = relative_error(y, case_.expected, case_.x, case_.w)
        assert y.shape == problem.y_shape
        assert error <= instance.error_bound(problem), problem
        taken += 1
    assert taken > 50


def test_the_context_is_the_devices_and_the_streams(fake: ctypes.CDLL) -> None:
    problem = Problem((9, 8), (3, 4), mode="same")
    instance = planned(problem)
    instance.load(np.ones(problem.kernel, np.float32))
    instance.run(np.ones(problem.image, np.float32))
    # Border, stream, device, multiprocessors, threads on one, in a block, shared bytes, capability,
    # the stream's flags, and the reserved field as it was.
    assert fake.fake_told().decode() == "2 0x57 2 132 2048 1024 49152 9 0 1 0"


@pytest.mark.parametrize(
    ("cuda", "status", "kind", "name"),
    [
        (12, -9999, UnsupportedProblem, "NPP_NOT_SUPPORTED_MODE_ERROR"),
        (13, -14, UnsupportedProblem, "NPP_NOT_SUPPORTED_MODE_ERROR"),
        (12, -14, RuntimeError, "NPP_STEP_ERROR"),
        (13, -16, RuntimeError, "NPP_STEP_ERROR"),
        (13, -6, RuntimeError, "NPP_SIZE_ERROR"),
        (13, 1, RuntimeError, "NPP_NO_OPERATION_WARNING"),
        (13, -77, RuntimeError, "NppStatus"),
    ],
)
def test_every_status_is_told(
    cuda: int,
    status: int,
    kind: type[Exception],
    name: str,
    fake: ctypes.CDLL,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(driver, "version", lambda: (cuda, 0))
    fake.fake_status(status)
    problem = Problem((9, 8), (3, 4))
    instance = planned(problem)
    instance.load(np.ones(problem.kernel, np.float32))
    with pytest.raises(kind, match=rf"^{npp.FILTER}: {name} \(status {status}\)$") as raised:
        instance.run(np.ones(problem.image, np.float32))
    assert type(raised.value) is kind


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"dtype": "float64"}, "is of float32, not float64"),
        ({"stride": 2}, "NPP's filter has no stride"),
        ({"dilation": 2}, "NPP's filter has no dilation"),
        ({"direction": "grad_weight"}, "no direction grad_weight"),
    ],
)
def test_refuses_with_a_reason(change: dict[str, Any], reason: str) -> None:
    problem = Problem((9, 9), (3, 3), **change)
    assert reason in str(find("npp-filterborder").refuses(problem, "cupy", "cuda:0"))


@pytest.mark.parametrize(("version", "extra"), [((12, 4), 12), ((13, 0), 13), (None, 13)])
def test_without_the_library_it_says_what_to_install(
    version: tuple[int, int] | None, extra: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "version", lambda: version)
    monkeypatch.setattr(npp, "shared_library", lambda wheel, name: Path("nowhere", wheel))
    monkeypatch.setattr(npp, "library", npp.library.__wrapped__)
    reason = str(npp.missing.__wrapped__())
    assert reason.startswith("NPP does not load (nowhere/nvidia-npp")
    assert ("-cu12" in reason) == (extra == 12)
    assert reason.endswith(f"pip install 'convcross[npp{extra}]'")


def test_a_stream_needs_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "load", lambda: None)
    with pytest.raises(RuntimeError, match="no CUDA driver"):
        driver.stream_flags(0)
    knows_nothing = SimpleNamespace(cuStreamGetFlags=lambda stream, flags: 400)
    monkeypatch.setattr(driver, "load", lambda: knows_nothing)
    with pytest.raises(RuntimeError, match="cuStreamGetFlags: status 400"):
        driver.stream_flags(0)


@pytest.mark.parametrize("wheel", ["nvidia-npp", "nvidia-npp-cu12"])
def test_the_real_library_reads_the_arguments_where_they_are(wheel: str) -> None:
    """It answers a wrong argument before it asks for a device: each in its place, structs too."""
    path = npp.shared_library(wheel, "libnppif")
    if path is None:
        pytest.skip(f"{wheel} is not installed")
    real = getattr(ctypes.CDLL(str(path)), npp.FILTER)
    real.argtypes = npp.ARGUMENTS
    x, y, w = (np.zeros(shape, np.float32) for shape in ((20, 30), (18, 26), (3, 5)))
    right: dict[str, Any] = {
        "source": x.ctypes.data + 4 * (30 + 2),
        "step": 4 * 30,
        "size": npp.Size(30, 20),
        "offset": npp.Point(2, 1),
        "result": y.ctypes.data,
        "its step": 4 * 26,
        "region": npp.Size(26, 18),
        "kernel": w.ctypes.data,
        "its size": npp.Size(5, 3),
        "anchor": npp.Point(2, 1),
        "border": npp.REPLICATE,
        "context": npp.Context(nMultiProcessorCount=132, nMaxThreadsPerBlock=1024),
    }
    names = npp.STATUSES[12 if wheel.endswith("12") else 13]
    for name, value, told in [
        ("source", None, "NPP_NULL_POINTER_ERROR"),
        ("offset", npp.Point(30, 1), "NPP_OUT_OFF_RANGE_ERROR"),
        ("size", npp.Size(0, 20), "NPP_SIZE_ERROR"),
        ("result", None, "NPP_NULL_POINTER_ERROR"),
        ("its step", 0, "NPP_STEP_ERROR"),
        ("region", npp.Size(-1, 18), "NPP_SIZE_ERROR"),
        *(("border", border, npp.NOT_SUPPORTED) for border in (0, 1, 3, 4)),
    ]:
        assert names[real(*{**right, name: value}.values())] == told, name


@pytest.mark.gpu
@pytest.mark.parametrize("n", [1, 2, 3, 4, 8, 15, 16, 31, 41])
def test_direct_at_every_size_on_a_gpu(n: int) -> None:
    """An impulse gives kh·kw nonzeros: the kernel itself, turned for a correlation."""
    algorithm = find("npp-filterborder")
    if reason := algorithm.missing("cupy"):
        pytest.skip(reason)
    problem = Problem((96, 90), (n, n), mode="full")
    x = np.zeros(problem.image, np.float32)
    x[48, 45] = 1
    w = np.random.default_rng(0).standard_normal(problem.kernel).astype(np.float32)
    place = "cupy", "cuda:0"
    with namespaces.on(*place):
        instance = algorithm.prepare(problem, *place)
        instance.load(namespaces.from_numpy(w, *place, "float32"))
        y = namespaces.to_numpy(instance.run(namespaces.from_numpy(x, *place, "float32")))
    assert is_direct(y, problem)
    assert np.array_equal(y[48 : 48 + n, 45 : 45 + n], w)
