"""Intel IPP: which algorithm answers, the library for the CPU, statuses."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from convkernels import Problem
from convkernels.algorithms.libraries import _ipp, ipp_fft
from convkernels.discovery import find
from support.impulses import answer, is_direct


@pytest.fixture
def ipp() -> _ipp.IPP:
    if reason := _ipp.missing():
        pytest.skip(reason)
    return _ipp.library()


@pytest.mark.usefixtures("ipp")
@pytest.mark.parametrize("mode", ["full", "same"])
@pytest.mark.parametrize("name", ["ipp-direct", "ipp-filterborder"])
def test_direct_is_direct_at_every_size(name: str, mode: str) -> None:
    dtypes = ["float32"] if name == "ipp-direct" else ["float32", "float64"]
    for dtype in dtypes:
        for n in range(1, 41):
            problem = Problem((96, 90), (n, n), mode=mode, dtype=dtype)
            assert is_direct(answer(name, problem), problem), problem


@pytest.mark.usefixtures("ipp")
@pytest.mark.parametrize("n", [3, 5, 8, 9, 16, 17, 32, 33])
def test_fft_leaves_noise_in_one_tile(n: int) -> None:
    """A transform at every size, of the tiles that the cost is declared of."""
    problem = Problem((700, 650), (n, n))
    y = answer("ipp-fft", problem)
    assert not is_direct(y, problem)
    tile = ipp_fft.tile(problem)
    for axis, side in enumerate(tile):
        touched = np.nonzero(y.any(axis=1 - axis))[0]
        extent = touched[-1] + 1 - touched[0]
        blocks = math.ceil(extent / (side - n + 1))
        assert n < extent
        assert blocks <= 2  # its own block, and the next that its kernel reaches into
        assert touched[0] % (side - n + 1) == 0


@pytest.mark.usefixtures("ipp")
def test_auto_is_one_or_the_other() -> None:
    kinds = []
    for n in (3, 31):
        problem = Problem((96, 90), (n, n))
        kinds.append(is_direct(answer("ipp-auto", problem), problem))
    assert kinds == [True, False]


def test_the_library_is_one_that_the_cpu_has(ipp: _ipp.IPP) -> None:
    path = Path("/proc/cpuinfo")
    if not path.exists():
        pytest.skip("no /proc/cpuinfo")
    flags = next(line for line in path.read_text().splitlines() if line.startswith("flags")).split()
    skylake = {f"avx512{part}" for part in ("f", "cd", "bw", "dq", "vl")}
    name = "(k0)" if skylake <= set(flags) else "(l9)" if "avx2" in flags else "(y8)"
    assert name in ipp.version


def test_a_status_is_raised_with_its_text(ipp: _ipp.IPP) -> None:
    nothing = _ipp.Size(0, 0)
    with pytest.raises(RuntimeError, match=r"^ippiConvGetBufferSize: status -\d+, ippSts\w+: "):
        ipp.call("ippiConvGetBufferSize", nothing, nothing, 13, 1, 0, None)


@pytest.mark.usefixtures("ipp")
def test_filterborder_keeps_its_own_copy_of_the_kernel() -> None:
    problem = Problem((12, 11), (4, 3), mode="same", op="correlation")
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(shape).astype("f4") for shape in (problem.image, problem.kernel))
    instance = find("ipp-filterborder").prepare(problem, "numpy", "cpu")
    instance.load(w)
    first = instance.run(x)
    w[...] = np.nan
    instance.w[...] = np.nan  # type: ignore[attr-defined]
    assert np.array_equal(instance.run(x), first)


def test_without_the_wheel_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_ipp, "shared_library", lambda wheel, name: None)
    reason = _ipp.missing.__wrapped__()
    assert reason == "ipp is not installed: pip install 'convcross[ipp]'"


def test_a_library_that_does_not_load_is_a_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "libippcore.so.12"
    broken.write_bytes(b"of another machine")
    monkeypatch.setattr(_ipp, "shared_library", lambda wheel, name: broken)
    monkeypatch.setattr(_ipp, "library", _ipp.IPP)
    assert str(_ipp.missing.__wrapped__()).startswith("ipp does not load: ")
