"""What a device refuses is left out with its reason; what it tells is read in plain units."""

from __future__ import annotations

import gc
import json
import os
import sys
import types
from collections.abc import Callable
from typing import Any

import pynvml
import pytest

from convcross.machine import cards, telemetry
from convcross.machine.telemetry import READINGS, Gauge, energy
from convcross.measure.observers import profiler

REFUSALS = {
    pynvml.NVML_ERROR_NOT_SUPPORTED: "Not Supported",
    pynvml.NVML_ERROR_NO_PERMISSION: "Insufficient Permissions",
    pynvml.NVML_ERROR_GPU_IS_LOST: "GPU is lost",
}


class Card:
    """A stand-in for NVML with one card: each function of pynvml that a gauge may call."""

    def __init__(self) -> None:
        self.opened = 0
        self.context = True
        self.refusals: dict[str, int] = {}
        self.answers: dict[str, Any] = {
            "nvmlDeviceGetClockInfo": {pynvml.NVML_CLOCK_SM: 1980, pynvml.NVML_CLOCK_MEM: 3201},
            "nvmlDeviceGetPowerUsage": 123_456,
            "nvmlDeviceGetTemperature": {pynvml.NVML_TEMPERATURE_GPU: 41},
            "nvmlDeviceGetCurrentClocksEventReasons": 0x4 | 0x20 | 0x8000,
            "nvmlDeviceGetTotalEnergyConsumption": 7_654_321,
            "nvmlDeviceGetComputeRunningProcesses": self.processes(os.getpid(), 1, 2),
        }

    @staticmethod
    def processes(*numbers: int) -> list[types.SimpleNamespace]:
        return [types.SimpleNamespace(pid=number) for number in numbers]

    def refuse(self, error: int, *functions: str) -> None:
        """Answer these functions, or all, with this error."""
        self.refusals |= dict.fromkeys(functions or self.answers, error)

    def function(self, name: str) -> Callable[..., Any]:
        def call(handle: object, *arguments: Any) -> Any:
            assert handle == "handle of 0000:fe:1f.0"
            if name in self.refusals:
                raise pynvml.NVMLError(self.refusals[name])
            answer = self.answers[name]
            return answer[arguments[0]] if isinstance(answer, dict) else answer

        return call

    def open(self) -> None:
        self.opened += 1

    def close(self) -> None:
        self.opened -= 1


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    planted = Card()
    for name in planted.answers:  # a name that pynvml lacks raises here
        monkeypatch.setattr(pynvml, name, planted.function(name))
    monkeypatch.setattr(pynvml, "nvmlInit", planted.open)
    monkeypatch.setattr(pynvml, "nvmlShutdown", planted.close)
    monkeypatch.setattr(
        pynvml, "nvmlDeviceGetHandleByPciBusId", lambda pci: f"handle of {pci.decode()}"
    )
    monkeypatch.setattr(cards, "pci_address", {"cuda:0": b"0000:fe:1f.0"}.get)
    monkeypatch.setattr(cards, "holds_context", lambda device: planted.context)
    monkeypatch.setattr(profiler, "processes", lambda: 0)  # an earlier test may have begun one
    return planted


def test_a_card_is_read_in_plain_units(card: Card) -> None:
    assert Gauge("cuda:0").read() == {
        "sm_clock_mhz": 1980,
        "memory_clock_mhz": 3201,
        "power_w": 123.456,
        "temperature_c": 41,
        "throttle": ["power cap", "thermal slowdown", "reason 0x8000"],
        "energy_j": 7654.321,
        "other_processes": 2,
        "missing": {},
    }


def test_a_card_that_nothing_holds_down(card: Card) -> None:
    card.answers["nvmlDeviceGetCurrentClocksEventReasons"] = 0
    assert Gauge("cuda:0").read()["throttle"] == []


@pytest.mark.parametrize("error", REFUSALS)
def test_one_refused_reading_leaves_the_others(card: Card, error: int) -> None:
    card.refuse(error, "nvmlDeviceGetPowerUsage")
    found = Gauge("cuda:0").read()
    assert found["missing"] == {"power_w": REFUSALS[error]}
    assert set(found) == {*READINGS, "missing"} - {"power_w"}


@pytest.mark.parametrize("value", [0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF])
def test_a_value_that_nvml_marks_unknown_is_none(card: Card, value: int) -> None:
    card.answers["nvmlDeviceGetTotalEnergyConsumption"] = value
    card.answers["nvmlDeviceGetClockInfo"] = {pynvml.NVML_CLOCK_SM: value, pynvml.NVML_CLOCK_MEM: 1}
    found = Gauge("cuda:0").read()
    assert found["missing"] == {"energy_j": "not available", "sm_clock_mhz": "not available"}
    assert found["memory_clock_mhz"] == 1


def test_a_card_lost_midway(card: Card) -> None:
    gauge = Gauge("cuda:0")
    before = gauge.read()
    card.refuse(pynvml.NVML_ERROR_GPU_IS_LOST)
    found = gauge.since(before)
    assert found["before"]["power_w"] == 123.456
    assert found["after"] == {}
    assert found["missing"] == dict.fromkeys(READINGS, "GPU is lost")
    json.dumps(found, allow_nan=False)


def test_before_and_after(card: Card) -> None:
    card.refuse(pynvml.NVML_ERROR_NOT_SUPPORTED, "nvmlDeviceGetTemperature")
    gauge = Gauge("cuda:0")
    before = gauge.read()
    card.answers["nvmlDeviceGetTotalEnergyConsumption"] = 8_000_000
    found = gauge.since(before)
    assert (found["before"]["energy_j"], found["after"]["energy_j"]) == (7654.321, 8000.0)
    assert found["missing"] == {"temperature_c": "Not Supported"}
    assert "missing" not in found["before"]
    assert "missing" not in found["after"]


@pytest.mark.parametrize(
    ("numbers", "context", "others"),
    [
        ([os.getpid()], True, 0),
        ([os.getpid(), 1], False, 1),
        ([1, 2], False, 2),  # this process has not used the card
        ([1, 2], True, 1),  # in a container: one of them is this process
        ([0, 0, 0], True, 2),
        ([], False, 0),
    ],
)
def test_other_processes(card: Card, numbers: list[int], context: bool, others: int) -> None:
    card.answers["nvmlDeviceGetComputeRunningProcesses"] = card.processes(*numbers)
    card.context = context
    assert Gauge("cuda:0").read()["other_processes"] == others


def test_the_process_that_profiles_is_no_other(card: Card) -> None:
    card.answers["nvmlDeviceGetComputeRunningProcesses"] = card.processes(os.getpid(), 1, 2)
    assert Gauge("cuda:0", helpers=lambda: 1).read()["other_processes"] == 1


def test_a_list_of_processes_that_lacks_this_one(card: Card) -> None:
    card.answers["nvmlDeviceGetComputeRunningProcesses"] = []
    found = Gauge("cuda:0").read()
    assert "other_processes" not in found
    assert found["missing"] == {"other_processes": "NVML lists no process, not even this one"}


def without_nvml(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    return "nvidia-ml-py is not installed"


def without_library(monkeypatch: pytest.MonkeyPatch) -> str:
    def refuse() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", refuse)
    return "NVML Shared Library Not Found"


def without_driver(monkeypatch: pytest.MonkeyPatch) -> str:
    def refuse() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_DRIVER_NOT_LOADED)

    monkeypatch.setattr(pynvml, "nvmlInit", refuse)
    return "Driver Not Loaded"


def without_handle(monkeypatch: pytest.MonkeyPatch) -> str:
    def refuse(address: bytes) -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByPciBusId", refuse)
    return "Insufficient Permissions"


def without_card(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(cards, "pci_address", lambda device: None)
    return "no card cuda:0"


@pytest.mark.parametrize(
    "plant", [without_nvml, without_library, without_driver, without_handle, without_card]
)
def test_nothing_is_told_without_nvml(
    card: Card, monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], str]
) -> None:
    reason = plant(monkeypatch)
    gauge = Gauge("cuda:0")
    assert gauge.read() == {"missing": dict.fromkeys(READINGS, reason)}
    assert energy(lambda: None, lambda: None, gauge) == {"not_measured": reason}


def test_nvml_is_open_while_its_gauge_lives(card: Card) -> None:
    gauge = Gauge("cuda:0")
    gauge.read()
    assert card.opened == 1
    del gauge
    gc.collect()
    assert card.opened == 0


class Driver:
    """A stand-in for libcuda with two cards, of which the second has a context."""

    def cuDeviceGet(self, handle: Any, index: Any) -> int:
        handle._obj.value = 40 + index.value
        return 0 if index.value < 2 else 101  # CUDA_ERROR_INVALID_DEVICE

    def cuDeviceGetPCIBusId(self, text: Any, length: int, handle: Any) -> int:
        text.value = f"0000:{handle.value}:00.0".encode()
        return 0

    def cuDevicePrimaryCtxGetState(self, handle: Any, flags: Any, active: Any) -> int:
        active._obj.value = handle.value == 41
        return 0


def test_the_driver_tells_address_and_context(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards.driver, "load", Driver)
    assert [cards.pci_address(f"cuda:{index}") for index in range(3)] == [
        b"0000:40:00.0",
        b"0000:41:00.0",
        None,
    ]
    assert [cards.holds_context(f"cuda:{index}") for index in range(3)] == [False, True, False]


def test_no_card_without_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards.driver, "load", lambda: None)
    assert cards.pci_address("cuda:0") is None
    assert not cards.holds_context("cuda:0")


# ---- energy of a run


class Machine:
    """A clock that only runs move, and a counter of joules that moves every so often.

    A run takes `length` seconds and `joules`; the counter shows what it was at the last multiple
    of `period`.
    """

    def __init__(self, length: float, joules: float, period: float = 0.1) -> None:
        self.length, self.spent, self.period = length, joules, period
        self.now = self.total = 0.0
        self.shown = 1000.0
        self.moved = 0
        self.longest_queue = self.queue = 0

    def run(self) -> None:
        self.queue += 1
        self.now += self.length
        self.total += self.spent
        if self.now // self.period > self.moved:
            self.moved = int(self.now // self.period)
            self.shown = 1000.0 + self.total

    def synchronize(self) -> None:
        self.longest_queue = max(self.longest_queue, self.queue)
        self.queue = 0

    def joules(self) -> float:
        return self.shown

    def energy(self, **options: Any) -> dict[str, Any]:
        return energy(self.run, self.synchronize, self, **options)  # type: ignore[arg-type]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[Machine], Machine]:
    def use(machine: Machine) -> Machine:
        stand_in = types.SimpleNamespace(perf_counter=lambda: machine.now)
        monkeypatch.setattr(telemetry, "time", stand_in)
        return machine

    return use


@pytest.mark.parametrize(
    ("length", "tolerance"), [(20e-6, 0.02), (1e-3, 0.02), (0.03, 0.06), (0.5, 1e-9), (3.0, 1e-9)]
)
def test_energy_of_a_run(clock: Any, length: float, tolerance: float) -> None:
    """The counter's period of 0.1 s would blur a window of 1 s by up to 10 % on either side."""
    machine = clock(Machine(length, joules=0.25))
    found = machine.energy(seconds=1.0, windows=3)
    assert found["j_per_run"] == pytest.approx([0.25] * 3, rel=tolerance)
    assert all(seconds >= 1.0 for seconds in found["seconds"])
    for runs, seconds in zip(found["runs"], found["seconds"], strict=True):
        assert runs * length == pytest.approx(seconds)
    json.dumps(found, allow_nan=False)


def test_the_queue_is_bounded(clock: Any) -> None:
    machine = clock(Machine(1e-6, joules=1e-3))
    machine.energy(windows=1)
    assert machine.longest_queue == telemetry.QUEUE
    machine = clock(Machine(0.5, joules=1e-3))
    machine.energy(windows=1)
    assert machine.longest_queue == 1


def test_a_counter_that_stands_still(clock: Any) -> None:
    machine = clock(Machine(1e-3, joules=0.0))
    found = machine.energy()
    assert found == {"not_measured": "the energy counter did not move in 2.0 s"}


def test_a_counter_that_goes_back(clock: Any) -> None:
    machine = clock(Machine(1e-3, joules=-1.0))
    assert machine.energy() == {"not_measured": "the energy counter went back"}


def test_a_counter_that_starts_anew_within_a_window(clock: Any) -> None:
    machine = clock(Machine(1e-3, joules=1.0))

    def run() -> None:
        machine.run()
        if machine.moved == 5:
            machine.total -= 100.0

    found = energy(run, machine.synchronize, machine)
    assert found == {"not_measured": "the energy counter went back"}


def test_a_card_lost_while_its_energy_is_measured(card: Card, clock: Any) -> None:
    machine = clock(Machine(1e-3, joules=0.25))
    card.answers["nvmlDeviceGetTotalEnergyConsumption"] = 1_000_000

    def run() -> None:
        machine.run()
        card.answers["nvmlDeviceGetTotalEnergyConsumption"] = round(1000 * machine.shown)
        if machine.now > 1.5:
            card.refuse(pynvml.NVML_ERROR_GPU_IS_LOST)

    found = energy(run, machine.synchronize, Gauge("cuda:0"))
    assert found == {"not_measured": "GPU is lost"}


def test_windows_under_a_second_are_refused() -> None:
    with pytest.raises(ValueError, match=r"seconds is 0.5; allowed: at least 1"):
        energy(lambda: None, lambda: None, Gauge("cpu"), seconds=0.5)


@pytest.mark.gpu
def test_the_card_here() -> None:
    """Printed, as what a card refuses is the card's: only what it tells is checked."""
    torch = pytest.importorskip("torch", reason="torch is not installed")

    x = torch.ones(4096, 4096, device="cuda:0")
    gauge = Gauge("cuda:0")
    before = gauge.read()
    found = energy(lambda: x @ x, lambda: torch.cuda.synchronize("cuda:0"), gauge, windows=1)
    watched = gauge.since(before)
    print(watched, found)
    told = watched["after"]
    assert {*told, *watched["missing"]} == set(READINGS)
    assert told
    assert 100 < told.get("sm_clock_mhz", 1000) < 5000
    assert 10 < told.get("power_w", 100) < 2000
    assert 0 < told.get("temperature_c", 40) < 120
    if "not_measured" not in found:
        watts = found["j_per_run"][0] * found["runs"][0] / found["seconds"][0]
        assert 10 < watts < 2000
