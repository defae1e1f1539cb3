"""What the doctor finds, and what it says to install."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from convcross import cards, doctor, machine

CARD = {
    "device": "cuda:0",
    "name": "NVIDIA H200",
    "memory_bytes": 141 << 30,
    "compute_capability": "9.0",
}


def by_name() -> dict[str, doctor.Finding]:
    findings = doctor.examine()
    assert len({finding.name for finding in findings}) == len(findings)
    return {finding.name: finding for finding in findings}


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with no array library but NumPy, no driver and no card."""
    monkeypatch.setattr(cards, "cards", tuple)
    monkeypatch.setattr(cards, "driver_version", lambda: None)
    monkeypatch.setattr(cards, "cuda_version", lambda: None)
    monkeypatch.setattr(doctor, "_nvidia_on_pci", lambda: False)
    monkeypatch.setattr(machine, "import_optional", lambda module: None)
    monkeypatch.setattr(machine, "_wheel", lambda name: None)
    versions = dict.fromkeys(machine.DISTRIBUTIONS) | {"numpy": "2.4.6"}
    monkeypatch.setattr(machine, "versions", lambda: versions)


@pytest.fixture
def carded(bare: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with a card and its driver."""
    monkeypatch.setattr(cards, "cards", lambda: (CARD,))
    monkeypatch.setattr(cards, "driver_version", lambda: "580.65.06")
    monkeypatch.setattr(cards, "cuda_version", lambda: "13.0")


def test_this_machine_has_what_the_project_requires() -> None:
    found = by_name()
    for name in ("Python", "numpy", "scipy", "torch", "array-api-compat", "pandas", "matplotlib"):
        assert found[name].found, found[name]
    assert f"torch {machine.thread_counts()['torch']}" in found["threads"].value


def test_without_a_card_nothing_of_cuda_is_asked_for(bare: None) -> None:
    found = by_name()
    for name in ("NVIDIA driver", "cuFFT", "cuDNN", "NVRTC", "cupy"):
        assert not found[name].found
        assert found[name].install is None
    assert found["numpy"].found
    assert found["scipy"].install == doctor.pip("scipy")
    assert found["torch"].install == doctor.pip("torch")


def test_a_card_without_a_driver(bare: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_nvidia_on_pci", lambda: True)
    assert by_name()["NVIDIA driver"].install == doctor._driver_command()


@pytest.mark.parametrize(
    ("cuda", "cupy", "torch"),
    [
        ("12.8", "cupy-cuda12x[ctk]", "torch<2.11"),
        ("13.0", "cupy-cuda13x[ctk]", "torch>=2.11"),
        ("14.1", "cupy-cuda13x[ctk]", "torch>=2.11"),
    ],
)
def test_commands_fit_the_cuda_of_the_driver(
    carded: None, monkeypatch: pytest.MonkeyPatch, cuda: str, cupy: str, torch: str
) -> None:
    monkeypatch.setattr(cards, "cuda_version", lambda: cuda)
    found = by_name()
    assert found["GPU cuda:0"].value == "NVIDIA H200, 141 GiB, compute capability 9.0"
    assert cuda in found["CUDA"].value
    assert found["cupy"].install == found["cuFFT"].install == doctor.pip(cupy)
    assert found["torch"].install == found["cuDNN"].install == doctor.pip(torch)


@pytest.mark.parametrize(
    ("build", "available", "complaint", "options"),
    [
        (None, False, "does not use the GPU", ["--force-reinstall"]),
        ("13.2", False, "refuses this NVIDIA driver", []),
        ("13.0", True, None, []),
    ],
)
def test_a_torch_whose_build_does_not_fit(
    carded: None,
    monkeypatch: pytest.MonkeyPatch,
    build: str | None,
    available: bool,
    complaint: str | None,
    options: list[str],
) -> None:
    torch: Any = SimpleNamespace(
        __version__="2.13.0",
        version=SimpleNamespace(cuda=build),
        cuda=SimpleNamespace(is_available=lambda: available),
        backends=SimpleNamespace(cudnn=SimpleNamespace(version=lambda: 92400)),
    )
    monkeypatch.setattr(machine, "import_optional", {"torch": torch}.get)
    found = by_name()
    assert found["cuDNN"].value == "9.24"
    if complaint is None:
        assert found["torch"].found
    else:
        assert complaint in found["torch"].value
        assert found["torch"].install == doctor.pip("torch>=2.11", *options)


def test_commands_name_this_interpreter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv/bin/python"))
    monkeypatch.chdir(tmp_path)
    assert doctor.pip("a[b]>=1") == ".venv/bin/python -m pip install 'a[b]>=1'"
    monkeypatch.chdir(tmp_path.parent)
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    assert doctor.pip("a") == "/usr/bin/python3 -m pip install 'a'"


def test_printed_commands_are_whole_lines(bare: None, capsys: pytest.CaptureFixture[str]) -> None:
    findings = doctor.examine()
    doctor.print_findings(findings)
    printed = capsys.readouterr().out
    assert f"scipy: {doctor.pip('scipy')}" in printed.splitlines()
    for finding in findings:
        assert finding.name in printed
