"""What is told of a contender on a card, with stand-ins for the card."""

from __future__ import annotations

import random
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from convcross.machine import memory
from convcross.measure import duel as measuring
from convcross.measure import phases
from convcross.measure import trial as measuring_trial
from convcross.measure.prepare import prepare
from convcross.measure.timing.clock import Step
from convcross.measure.timing.host import HostStopwatch
from convcross.measure.trial import Ledger, Measurement, classify
from convcross.sweeps import data
from convcross.sweeps.duels import Duel
from convcross.sweeps.spec import Limits
from convkernels import Problem
from support import synthetic

SMALL = Problem((16, 16), (3, 3), mode="same")


class Card(HostStopwatch):
    """Says that a run takes a millisecond, and that its launches were waited for."""

    launch_bound = True

    def time(self, steps: Sequence[Step], *, flush: bool) -> list[float]:
        for step in steps:
            step()
        return [1e-3] * len(steps)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), "oom"),
        (RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"), "oom"),
        (RuntimeError("CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), "oom"),
        (RuntimeError("cudaErrorMemoryAllocation: out of memory"), "oom"),
        (RuntimeError("CUDA_ERROR_OUT_OF_MEMORY"), "oom"),
        (RuntimeError("CUDA error: out of memory"), "oom"),
        (MemoryError(), "oom"),
        (RuntimeError("CUDNN_STATUS_EXECUTION_FAILED"), "error"),
        (RuntimeError("out of resource: shared memory, Required: 262144"), "error"),
    ],
)
def test_who_says_that_memory_ran_out_is_oom(error: Exception, status: str) -> None:
    assert classify(error)[0] == status


@pytest.mark.parametrize("run", [5e-6, 20e-6, 40e-6, 80e-6, 100e-6, 1e-3])
def test_what_surrounds_a_sample_of_a_card_is_little(run: float) -> None:
    batch = phases.batch(run, "cuda:0")
    assert 0.02 * batch * run >= 2e-6  # two events
    assert batch == 1 or batch * run / 1.5e-6 < 500  # launches, half of what can be held


@pytest.mark.parametrize("bound", [False, True])
def test_whose_launches_are_waited_for_is_launch_bound(bound: bool) -> None:
    record = synthetic.record("direct/cupy", SMALL, device="cuda:0", flags=["preempted"])
    watch = SimpleNamespace(held=not bound, launch_bound=bound, pooled_sm_hz=lambda: 1.98e9)
    phases._tell_of_card(record, watch)  # type: ignore[arg-type]
    assert record.flags == ["launch-bound"] * bound + ["preempted"]
    assert record.telemetry.launches_hidden is not bound
    assert record.telemetry.sm_hz == 1.98e9


def test_the_runs_of_a_card_are_told_by_its_stopwatch() -> None:
    """A contender of the CPU that is called one of a card, with a stopwatch to suit."""
    asked = Duel(
        id="a-duel",
        problem=SMALL,
        contenders=["direct/numpy@cpu"],
        image_data="normal",
        kernel_data="normal",
        seed=0,
        regime=None,
        threads=1,
        limits=Limits(seconds=0.001, samples=12),
        algorithm_paths=[],
    )
    ledger = Ledger()
    trial = measuring._trial(asked, SMALL, asked.contenders[0])
    operands = data.image("normal", (16, 16), 0), data.kernel("normal", (3, 3), 0)
    truth = measuring._truth(asked, SMALL, [trial], lambda: operands, ledger)
    measurement = Measurement(asked, truth, random.Random(0), ledger)
    ready = prepare(trial, measurement)
    assert ready is not None
    ready.record.device, ready.stopwatch = "cuda:0", Card("numpy", "cpu")
    phases.time_run([ready], measurement)
    assert ready.record.flags == ["launch-bound"]
    assert ready.record.telemetry.launches_hidden is False
    assert ready.record.telemetry.rounds_again == 0


@pytest.mark.parametrize(
    ("device", "status", "works"),
    [("cpu", "error", True), ("cuda:0", "error", False), ("cuda:0", "unsupported", True)],
)
def test_a_card_whose_memory_is_not_given_back_is_lost(
    device: str, status: str, works: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal asks nothing of the card: there are many, and giving memory back takes long."""

    def release() -> None:
        raise RuntimeError("captures_underway.empty() INTERNAL ASSERT FAILED")

    monkeypatch.setattr(memory, "release", release)
    trial = SimpleNamespace(
        synchronize=lambda: None,
        contender=SimpleNamespace(device=device),
        record=SimpleNamespace(status=status),
    )
    assert measuring_trial._card_works(trial) is works  # type: ignore[arg-type]
