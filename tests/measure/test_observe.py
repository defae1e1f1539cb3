"""Floors, executed kernels and energy, as a duel's records have them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from convcross.machine import telemetry
from convcross.measure import observe
from convcross.measure.duel import measure
from convcross.measure.observers import kernels, profiler
from convcross.results.schema import Energy, Record
from convcross.sweeps.contenders import available
from convcross.sweeps.duels import Duel, duels
from convcross.sweeps.spec import Limits, Sweep
from convkernels import Problem, namespaces
from support.planted import forgotten, plant

DISGUISED = """
import torch
from convkernels import algorithm


@algorithm(
    name="disguised", family="direct", namespaces=["torch"], arithmetic="ieee", source="a test"
)
def disguised(x, w, problem):
    size = [x.shape[0] + w.shape[0] - 1, x.shape[1] + w.shape[1] - 1]
    spectrum = torch.fft.rfft2(x, s=size) * torch.fft.rfft2(w, s=size)
    top, left = w.shape[0] // 2, w.shape[1] // 2
    return torch.fft.irfft2(spectrum, s=size)[top : top + x.shape[0], left : left + x.shape[1]]
"""


DIES = """

@algorithm(name="dies", family="direct", namespaces=["torch"], arithmetic="ieee", source="a test")
def dies(x, w, problem):
    import os
    os._exit(3)
"""


HANGS = """

@algorithm(name="hangs", family="direct", namespaces=["torch"], arithmetic="ieee", source="a test")
def hangs(x, w, problem):
    import time
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def registry_as_it_was() -> Iterator[None]:
    with forgotten():
        yield


def ceilings(flops: float, copy: float) -> dict[str, Any]:
    return {
        "flops": dict.fromkeys(("float64", "float32", "float16", "bfloat16"), flops),
        "bytes": [[1 << 14, copy], [1 << 30, copy]],
        "threads": 1,
        "neighbours": {},
    }


def a_duel(*contenders: str, paths: tuple[str, ...] = (), **more: Any) -> Duel:
    return Duel(
        id="a-duel",
        problem=Problem((16, 16), (3, 3), mode="same"),
        contenders=list(contenders),
        image_data="normal",
        kernel_data="normal",
        seed=0,
        regime=None,
        limits=Limits(seconds=0.001, samples=5, run_seconds=60.0),
        algorithm_paths=list(paths),
        **{"threads": 1, **more},
    )


def records(*contenders: str, paths: tuple[str, ...] = (), **more: Any) -> list[Record]:
    duel = a_duel(*contenders, paths=paths, **more)
    result = measure(duel)
    return result.records


def test_a_time_under_the_floor_is_impossible() -> None:
    (record,) = records("direct/numpy@cpu", ceilings={"cpu": ceilings(1.0, 1e20)})
    assert record.floor_s is not None
    assert record.median_s is not None
    assert record.floor_s > 1e3 > record.median_s
    assert record.flags == ["impossible"]


def test_a_time_over_the_floor_is_possible() -> None:
    (record,) = records("direct/numpy@cpu", ceilings={"cpu": ceilings(1e20, 1e20)})
    assert record.floor_s is not None
    assert 0 < record.floor_s < 1e-9
    assert record.flags == []


@pytest.mark.parametrize("known", [{}, {"cuda:0": ceilings(1.0, 1.0)}], ids=["none", "another's"])
def test_no_ceilings_no_floor(known: dict[str, Any]) -> None:
    (record,) = records("direct/numpy@cpu", ceilings=known)
    assert record.floor_s is None
    assert record.flags == []


def test_more_threads_than_the_ceilings_were_measured_with_have_no_floor() -> None:
    known = {"cpu": ceilings(1.0, 1.0)}
    (record,) = records("direct/numpy@cpu", ceilings=known, threads=2)
    assert record.floor_s is None


@pytest.mark.torch
def test_a_direct_sum_that_runs_an_fft_is_flagged(tmp_path: Path) -> None:
    path = plant(tmp_path, DISGUISED)
    found = records("disguised/torch@cpu", "fft/torch@cpu", paths=(path,), profiled=True)
    disguised, fft = found
    assert (disguised.status, disguised.flags) == ("ok", ["ran-fft"])
    assert any("fft" in kernel.name for kernel in disguised.provenance.kernels or ())
    assert (fft.status, fft.flags) == ("ok", [])
    (again,) = records("disguised/torch@cpu", paths=(path,))
    assert again.flags == []
    assert again.provenance.kernels is None


@pytest.mark.torch
def test_kernels_are_told_by_a_process_of_their_own(tmp_path: Path) -> None:
    path = plant(tmp_path, DISGUISED + DIES)
    duel = a_duel("disguised/torch@cpu", "dies/torch@cpu", paths=(path,))
    told = profiler.executed(duel, "dies/torch@cpu")
    assert told["kernels"] == []
    assert told["reason"] == "profiling failed: its process died"
    told = profiler.executed(duel, "absent/torch@cpu")
    assert told["kernels"] == []
    assert "absent" in told["reason"]
    told = profiler.executed(duel, "disguised/torch@cpu")
    assert any("fft" in kernel["name"] for kernel in told["kernels"])
    assert not told["reason"]


@pytest.mark.torch
def test_a_profile_that_hangs_costs_the_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = plant(tmp_path, "from convkernels import algorithm\n" + HANGS)
    duel = a_duel("fft/torch@cpu", "hangs/torch@cpu", paths=(path,))
    assert profiler.executed(duel, "fft/torch@cpu")["kernels"]
    assert profiler.processes() == 1
    hung = profiler._process()._process
    with monkeypatch.context() as impatient:
        impatient.setattr(profiler, "SECONDS", 2.0)
        told = profiler.executed(duel, "hangs/torch@cpu")
    assert told["kernels"] == []
    assert told["reason"] == "profiling failed: no answer in 2 s"
    assert profiler.processes() == 0
    assert not hung.is_alive()
    assert profiler.executed(duel, "fft/torch@cpu")["kernels"]


def test_a_profile_is_given_up_long_before_its_worker_is() -> None:
    cell = Limits().cell_seconds
    assert 2 * min(profiler.SECONDS, profiler.SHARE * cell) < cell


@pytest.mark.gpu
@pytest.mark.parametrize("namespace", ["torch", "cupy"])
def test_kernels_of_the_card_five_times_over(namespace: str) -> None:
    """cuFFT's, of either library, each time, in a process of their own: where CUPTI is lost between
    two sessions, it may dump core."""
    if (reason := namespaces.missing(namespace)) is not None:
        pytest.skip(reason)
    fft, direct = (f"{name}/{namespace}@cuda:0" for name in ("fft", "direct"))
    duel = a_duel(fft, direct)
    for _ in range(5):
        by_fft = profiler.executed(duel, fft)
        assert by_fft["reason"] is None
        assert kernels.ran_fft(by_fft["kernels"]), by_fft
        assert by_fft["streams"]
        plain = profiler.executed(duel, direct)
        assert plain["kernels"]
        assert not kernels.ran_fft(plain["kernels"]), plain


def test_stages_are_timed_where_a_duel_is_profiled() -> None:
    (record,) = records("fft/numpy@cpu")
    assert record.stage_seconds == {}
    (record,) = records("fft/numpy@cpu", profiled=True)
    assert {"multiply", "inverse", "kernel"} <= set(record.stage_seconds)
    assert all(seconds > 0 for values in record.stage_seconds.values() for seconds in values)


def test_errors_over_seeds_are_recorded() -> None:
    (record,) = records("fft/numpy@cpu", error_seeds=3)
    assert record.error is not None
    assert len(record.error_seeds) == 3
    assert record.error_seeds[0] == record.error.rel_l2
    assert len(set(record.error_seeds)) == 3
    assert record.status == "ok"


def test_libraries_are_named() -> None:
    import numpy as np

    (record,) = records("direct/numpy@cpu")
    assert record.provenance.libraries["numpy"] == np.__version__


def test_energy_is_measured_where_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def energy(run: Any, synchronize: Any, gauge: telemetry.Gauge) -> dict[str, Any]:
        run()
        asked.append("asked")
        return {"j_per_run": [1.0, 2.0, 3.0]}

    monkeypatch.setattr(observe, "energy", energy)
    (record,) = records("direct/numpy@cpu")
    assert asked == []
    assert record.telemetry.energy is None
    (record,) = records("direct/numpy@cpu", energy=True)
    assert asked == ["asked"]
    assert record.telemetry.energy == Energy(j_per_run=[1.0, 2.0, 3.0])


def test_clocks_are_read_before_and_after() -> None:
    (record,) = records("direct/numpy@cpu")
    assert set(record.telemetry.known()) == {"before", "after", "missing"}


def test_the_ends_and_the_middle_of_each_row_are_profiled() -> None:
    sweep = Sweep(name="a", sizes=[32, 64], kernels=[3, 5, 7, 9, 11], contenders=["direct/numpy"])
    found = duels(sweep, available(["cpu"]), ceilings={"cpu": {"a": 1}, "cuda:0": {"b": 2}})
    kernels = {(duel.problem.image[0], duel.problem.kernel[0]) for duel in found}
    profiled = {(duel.problem.image[0], duel.problem.kernel[0]) for duel in found if duel.profiled}
    assert kernels - profiled == {(size, n) for size in (32, 64) for n in (5, 9)}
    few = Sweep(name="a", sizes=[32], kernels=[3, 5, 7, 9], contenders=["direct/numpy"])
    assert all(duel.profiled for duel in duels(few, available(["cpu"])))
    assert all(duel.ceilings == {"cpu": {"a": 1}} for duel in found)
    layer = {"name": "one", "image": (8, 8), "kernel": (3, 3)}
    alone = Sweep.model_validate({"name": "a", "layers": [layer], "contenders": ["direct/numpy"]})
    assert [duel.profiled for duel in duels(alone, available(["cpu"]))] == [True]
