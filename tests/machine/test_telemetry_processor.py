"""Readings of the processor: energy of its packages, frequencies of its cores."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import psutil
import pytest

from convcross.machine import telemetry
from convcross.machine.telemetry import Gauge, NotTold, Packages

# ---- the processor


def zone(folder: Path, name: str, told: str, microjoules: int, most: int = 1000) -> Path:
    made = folder / name
    made.mkdir(parents=True)
    (made / "name").write_text(f"{told}\n")
    (made / "energy_uj").write_text(f"{microjoules}\n")
    (made / "max_energy_range_uj").write_text(f"{most}\n")
    return made


@pytest.fixture
def rapl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two packages of 300 and 500 µJ, and what lies within, around or beside them."""
    zone(tmp_path, "intel-rapl:0", "package-0", 300)
    zone(tmp_path, "intel-rapl:0:0", "core", 7)
    zone(tmp_path, "intel-rapl:0:1", "dram", 7)
    zone(tmp_path, "intel-rapl:1", "package-1", 500)
    zone(tmp_path, "intel-rapl:2", "psys", 7)
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 7)
    monkeypatch.setattr(telemetry, "POWERCAP", tmp_path)
    return tmp_path


def test_packages_are_summed(rapl: Path) -> None:
    assert Gauge("cpu").read()["energy_j"] == pytest.approx(800e-6)


def test_a_counter_that_wraps_around_goes_on(rapl: Path) -> None:
    packages = Packages(rapl)
    counter = rapl / "intel-rapl:1" / "energy_uj"
    told = []
    for microjoules in (500, 900, 100, 400, 50):  # of a range of 1000
        counter.write_text(f"{microjoules}\n")
        told.append(packages.joules() * 1e6)
    assert told == pytest.approx([800, 1200, 1400, 1700, 2350])


def test_a_refused_package_refuses_the_sum(rapl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test may run as root, whom no file mode stops."""
    read = Path.read_text

    def refuse(path: Path, *arguments: Any) -> str:
        if path == rapl / "intel-rapl:1" / "energy_uj":
            raise PermissionError(13, "Permission denied")
        return read(path, *arguments)

    monkeypatch.setattr(Path, "read_text", refuse)
    found = Gauge("cpu").read()
    assert "energy_j" not in found
    assert found["missing"]["energy_j"] == "RAPL: Permission denied"


def test_a_refused_range_loses_no_energy(rapl: Path) -> None:
    packages = Packages(rapl)
    packages.joules()
    (rapl / "intel-rapl:1" / "energy_uj").write_text("100\n")
    limit = rapl / "intel-rapl:1" / "max_energy_range_uj"
    limit.write_text("")
    with pytest.raises(NotTold, match=r"RAPL: invalid literal"):
        packages.joules()
    limit.write_text("1000\n")
    assert packages.joules() * 1e6 == pytest.approx(1400)


@pytest.mark.parametrize("folder", ["absent", "."])
def test_no_rapl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    monkeypatch.setattr(telemetry, "POWERCAP", tmp_path / folder)
    assert Gauge("cpu").read()["missing"]["energy_j"] == "no RAPL"


def test_frequencies_of_the_cores(rapl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cores = [types.SimpleNamespace(current=mhz) for mhz in (3000.0, 2000.0, 0.0, 4000.0)]
    monkeypatch.setattr(psutil, "cpu_freq", lambda percpu: cores)
    found = Gauge("cpu").read()
    assert found["frequency_mhz"] == {"mean": 3000.0, "min": 2000.0, "max": 4000.0}
    assert found["missing"] == {}


@pytest.mark.parametrize(
    ("cores", "reason"),
    [
        ([], "the system tells no frequency"),
        ([types.SimpleNamespace(current=0.0)], "the system tells no frequency"),
        (NotImplementedError("no file"), "NotImplementedError: no file"),
        (PermissionError("no"), "PermissionError: no"),
    ],
)
def test_no_frequency(monkeypatch: pytest.MonkeyPatch, cores: Any, reason: str) -> None:
    def told(percpu: bool) -> Any:
        if isinstance(cores, Exception):
            raise cores
        return cores

    monkeypatch.setattr(psutil, "cpu_freq", told)
    found = Gauge("cpu").read()
    assert "frequency_mhz" not in found
    assert found["missing"]["frequency_mhz"] == reason
