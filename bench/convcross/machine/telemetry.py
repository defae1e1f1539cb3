"""What a device tells of itself beside a duel: clocks, power, temperature, throttling, energy.

What the system refuses is left out, and its reason kept: no reading is ever made up.

NVML's readings are slow: from Ampere on its power is the mean of the last second, and NVIDIA states
no period for its energy counter. PETSc's manual says that it moves every 20 to 100 ms; Yang, Adamek
and Armour (SC24, arXiv:2312.02741) found that an H100 samples its power for 25 of every 100 ms. So
energy is measured over windows of at least a second, from one move of the counter to another.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from convcross.machine import cards

POWERCAP = Path("/sys/class/powercap")  # Linux's counters of Intel and AMD processors
READINGS = (  # of a card
    "sm_clock_mhz",
    "memory_clock_mhz",
    "power_w",
    "temperature_c",
    "throttle",
    "energy_j",
    "other_processes",
)
THROTTLE = {  # nvmlClocksEventReason… of nvml.h
    0x1: "idle",
    0x2: "application clocks",
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
    0x100: "display clocks",
    0x200: "board limit",
    0x400: "reliability",
}
UNKNOWN = (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)  # NVML_VALUE_NOT_AVAILABLE
BATCH = 0.01  # seconds of runs between two synchronisations, about
QUEUE = 1024  # runs queued at most: what they allocate is not free before they ran
PATIENCE = 2.0  # seconds after which a counter that did not move has stopped


class NotTold(RuntimeError):
    """The system does not tell this; the message says why."""


class Gauge:
    """The readings of a device.

    Parameters
    ----------
    device : "cpu", or "cuda:0" as torch and CuPy number it
    helpers : how many processes of ours are on the card beside this one
    """

    def __init__(self, device: str, helpers: Callable[[], int] = lambda: 0) -> None:
        self._asks = _processor() if device == "cpu" else _card(device, self, helpers)

    def read(self) -> dict[str, Any]:
        """What the device tells now, and under "missing" why it does not tell the rest.

        A card: sm_clock_mhz, memory_clock_mhz, power_w, temperature_c, throttle (what holds the
        clocks down, in words), energy_j (of the whole board, since the driver was loaded) and
        other_processes (that compute on it, without ours). The processor: frequency_mhz
        {mean, min, max} over its cores (of a virtual machine often the nominal one), and energy_j
        (of its packages, from an arbitrary zero).
        """
        found: dict[str, Any] = {}
        missing = {}
        for name, ask in self._asks.items():
            try:
                found[name] = ask()
            except NotTold as error:
                missing[name] = str(error)
        return {**found, "missing": missing}

    def since(self, before: dict[str, Any]) -> dict[str, Any]:
        """For a record: {"before", "after", "missing"}, given an earlier ``read``."""
        after = self.read()
        missing = {**before["missing"], **after["missing"]}
        readings = [
            {name: value for name, value in reading.items() if name != "missing"}
            for reading in (before, after)
        ]
        return {"before": readings[0], "after": readings[1], "missing": missing}

    def joules(self) -> float:
        """energy_j alone. Raises NotTold."""
        return float(self._asks["energy_j"]())


def energy(
    run: Callable[[], object],
    synchronize: Callable[[], None],
    gauge: Gauge,
    *,
    seconds: float = 1.0,
    windows: int = 3,
) -> dict[str, Any]:
    """Energy of a run, from windows of back-to-back runs, one window right after the other.

    A window begins and ends where the counter was seen to move, at most a batch of runs later, so
    that the counter's period does not blur it. Its energy is that of the whole card, or of all
    packages of the processor: what idles and what neighbours do is in it. Runs are synchronised in
    batches of about BATCH, or of QUEUE where these take less.

    Parameters
    ----------
    run, synchronize : one run, and the wait for all runs
    seconds : length of a window, at least 1

    Returns
    -------
    dict
        "j_per_run", "runs" and "seconds": a list each, an element a window; or "not_measured", a
        reason.
    """
    if seconds < 1:
        raise ValueError(f"seconds is {seconds}; allowed: at least 1, as counters move slowly")
    done, batch = 0, 1

    def work() -> None:
        nonlocal done, batch
        begin = time.perf_counter()
        for _ in range(batch):
            run()
        synchronize()
        done += batch
        if time.perf_counter() - begin < BATCH:
            batch = min(2 * batch, QUEUE)

    def tick() -> tuple[float, float, int]:
        """Joules, time and runs done when the counter has just moved."""
        before, begin = gauge.joules(), time.perf_counter()
        while True:
            work()
            joules, now = gauge.joules(), time.perf_counter()
            if joules < before:
                raise NotTold("the energy counter went back")
            if joules > before:
                return joules, now, done
            if now - begin > PATIENCE:
                raise NotTold(f"the energy counter did not move in {now - begin:.1f} s")

    try:
        marks = [tick()]
        for _ in range(windows):
            while time.perf_counter() - marks[-1][1] < seconds:
                work()
            marks.append(tick())
            if marks[-1][0] <= marks[-2][0]:
                raise NotTold("the energy counter went back")
    except NotTold as error:
        return {"not_measured": str(error)}
    spent, lengths, runs = (
        [after - before for before, after in itertools.pairwise(column)]
        for column in zip(*marks, strict=True)
    )
    per_run = [joules / count for joules, count in zip(spent, runs, strict=True)]
    return {"j_per_run": per_run, "runs": runs, "seconds": lengths}


Asks = dict[str, Callable[[], Any]]


def _card(device: str, owner: Gauge, helpers: Callable[[], int]) -> Asks:
    """The readings of a card. NVML stays initialised while their owner lives."""
    try:
        stack = contextlib.ExitStack()
        nvml = stack.enter_context(cards.nvml())
        weakref.finalize(owner, stack.close)
        address = cards.pci_address(device)
        if address is None:
            raise NotTold(f"no card {device}")
        handle = _query(nvml, "nvmlDeviceGetHandleByPciBusId", address)
    except (cards.NoNVML, NotTold) as error:
        return dict.fromkeys(READINGS, _refuse(str(error)))

    def ask(function: str, *arguments: Any) -> Any:
        return _query(nvml, function, handle, *arguments)

    def throttle() -> list[str]:
        reasons = ask("nvmlDeviceGetCurrentClocksEventReasons")
        bits = [1 << bit for bit in range(reasons.bit_length()) if reasons >> bit & 1]
        return [THROTTLE.get(bit, f"reason {bit:#x}") for bit in bits]

    def other_processes() -> int:
        numbers = [process.pid for process in ask("nvmlDeviceGetComputeRunningProcesses")]
        # In a container NVML gives the host's numbers, or 0: this process is one of them, unnamed.
        own = os.getpid() in numbers or cards.holds_context(device)
        if own and not numbers:
            raise NotTold("NVML lists no process, not even this one")
        return max(0, len(numbers) - own - helpers())

    asks = (
        lambda: ask("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_SM),
        lambda: ask("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_MEM),
        lambda: ask("nvmlDeviceGetPowerUsage") / 1000,
        lambda: ask("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU),
        throttle,
        lambda: ask("nvmlDeviceGetTotalEnergyConsumption") / 1000,
        other_processes,
    )
    return dict(zip(READINGS, asks, strict=True))


def _query(nvml: Any, function: str, *arguments: Any) -> Any:
    """NVML's answer. Raises NotTold."""
    try:
        answer = getattr(nvml, function)(*arguments)
    except nvml.NVMLError as error:
        raise NotTold(str(error)) from error
    if answer in UNKNOWN:
        raise NotTold("not available")
    return answer


def _refuse(reason: str) -> Callable[[], Any]:
    def ask() -> Any:
        raise NotTold(reason)

    return ask


def _processor() -> Asks:
    return {"frequency_mhz": _frequency, "energy_j": Packages(POWERCAP).joules}


def _frequency() -> dict[str, float]:
    try:
        readings = psutil.cpu_freq(percpu=True)
    except (NotImplementedError, OSError, RuntimeError) as error:
        raise NotTold(f"{type(error).__name__}: {error}") from error
    cores = [core.current for core in readings if core.current > 0]
    if not cores:
        raise NotTold("the system tells no frequency")
    return {"mean": sum(cores) / len(cores), "min": min(cores), "max": max(cores)}


class Packages:
    """The energy of all packages of the processor, by RAPL.

    Only the zones ``intel-rapl:N`` named "package-N" count: the others lie within a package, around
    all of them, or (``intel-rapl-mmio``) tell of the same package again. A counter starts anew past
    its range, after minutes at full load: between two readings it is taken to do so at most once.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last: dict[Path, int] = {}
        self._past_ranges = 0

    def joules(self) -> float:
        """Raises NotTold, also where one package of several is refused."""
        try:
            zones = [
                zone
                for zone in sorted(self._folder.glob("intel-rapl:*"))
                if (zone / "name").read_text().startswith("package-")
            ]
            now = {zone: int((zone / "energy_uj").read_text()) for zone in zones}
            past = sum(
                int((zone / "max_energy_range_uj").read_text())
                for zone in zones
                if now[zone] < self._last.get(zone, 0)
            )
        except OSError as error:
            raise NotTold(f"RAPL: {error.strerror}") from error
        except ValueError as error:
            raise NotTold(f"RAPL: {error}") from error
        if not zones:
            raise NotTold("no RAPL")
        self._last = now
        self._past_ranges += past
        return (sum(now.values()) + self._past_ranges) * 1e-6
