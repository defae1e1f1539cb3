"""What the doctor finds, and what it says to install."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from convcross.cli import app
from convcross.machine import cards, ceilings, describe, doctor
from convcross.measure import ceilings as measuring

CARD = {
    "device": "cuda:0",
    "name": "NVIDIA H200",
    "memory_bytes": 141 << 30,
    "compute_capability": "9.0",
}


def by_name() -> dict[str, doctor.Component]:
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
    monkeypatch.setattr(describe, "import_optional", lambda module: None)
    monkeypatch.setattr(describe, "_wheel", lambda name: None)
    versions = dict.fromkeys(describe.DISTRIBUTIONS) | {"numpy": "2.4.6"}
    monkeypatch.setattr(describe, "versions", lambda: versions)


@pytest.fixture
def carded(bare: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with a card and its driver."""
    monkeypatch.setattr(cards, "cards", lambda: (CARD,))
    monkeypatch.setattr(cards, "driver_version", lambda: "580.65.06")
    monkeypatch.setattr(cards, "cuda_version", lambda: "13.0")


@pytest.mark.torch
def test_this_machine_has_what_the_project_requires() -> None:
    found = by_name()
    for name in ("Python", "numpy", "scipy", "torch", "array-api-compat", "pandas", "matplotlib"):
        assert found[name].found, found[name]
    assert f"torch {describe.thread_counts()['torch']}" in found["threads"].value


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
    monkeypatch.setattr(describe, "import_optional", {"torch": torch}.get)
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


# ---- ceilings --------------------------------------------------------------------------------


CEILINGS = ("doctor", "--ceilings", "--device", "cpu")


def figures(device: str = "cpu", **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "machine": describe.name("cpu"),
        "device": device,
        "threads": 2,
        "measured_at": "2026-11-22T16:00:00+00:00",
        "commit": "abc",
        "versions": {"torch": "2.13.0"},
        "cuda": None,
        "flops": {"float64": 1.05e11, "float32": 2.071e11, "float16": 3.2e6, "bfloat16": 7.9e14},
        "bytes": [(16 << 10, 2e11), (1 << 20, 2e11), (512 << 20, 1e11), (2 << 30, 4.3e12)],
        "neighbours": {"others": 0.01, "stolen": 0.0},
    }
    return ceilings.Ceilings(**made | more).model_dump(mode="json")


@pytest.fixture
def convcross(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Any:
    """Run a command line in this process: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["convcross", *arguments])
        code = app._main()
        return code, *capsys.readouterr()

    return run


def test_ceilings_are_measured_printed_and_kept(
    convcross: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "measure", figures)
    code, out, err = convcross(*CEILINGS)
    assert (code, err) == (0, "")
    rows = [line.split("│")[1:3] for line in out.splitlines() if "│" in line]
    assert {name.strip(): value.strip() for name, value in rows} == {
        "float64": "105 GFLOP/s",
        "float32": "207 GFLOP/s",
        "float16": "3.2 MFLOP/s",
        "bfloat16": "790 TFLOP/s",
        "up to 1 MiB": "200 GB/s",  # one row for sets that are as fast
        "up to 512 MiB": "100 GB/s",
        "up to 2 GiB": "4.3 TB/s",
    }
    title = f"{describe.name('cpu')}, 2 threads"  # it wraps, inside a long name too
    assert "".join(title.split()) in "".join(out.split())
    assert "note" not in out
    assert out.splitlines()[-1] == str(ceilings.path(describe.name("cpu")))
    assert ceilings.load(describe.name("cpu")) == figures()


def test_ceilings_measured_again_keep_the_better(
    convcross: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = figures()["flops"] | {"float64": 9e11, "float32": 1e9}
    monkeypatch.setattr(measuring, "measure", figures)
    convcross(*CEILINGS)
    monkeypatch.setattr(measuring, "measure", lambda device: figures(flops=slow))
    code, out, _ = convcross(*CEILINGS, "--json")
    assert code == 0
    (printed,) = json.loads(out)
    assert printed["flops"] == figures()["flops"] | {"float64": 9e11}
    assert ceilings.load(describe.name("cpu")) == printed


@pytest.mark.parametrize(
    ("shares", "told"),
    [((0.04, 0.0), None), ((0.1, 0.1), "may be too low"), ((0.2, 0.2), "get no floor")],
)
def test_ceilings_of_a_busy_machine_are_called_that(
    convcross: Any,
    monkeypatch: pytest.MonkeyPatch,
    shares: tuple[float, float],
    told: str | None,
) -> None:
    busy = dict(zip(("others", "stolen"), shares, strict=True))
    monkeypatch.setattr(measuring, "measure", lambda device: figures(neighbours=busy))
    _, out, _ = convcross(*CEILINGS)
    notes = [line for line in out.splitlines() if line.startswith("note: ")]
    assert len(notes) == (told is not None)
    assert told is None or told in notes[0]


@pytest.mark.parametrize("content", ["{", "[]", '{"kind": "header"}', "\x00"])
def test_a_damaged_ceilings_file_is_one_line_and_never_measured_over(
    convcross: Any, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    monkeypatch.setattr(measuring, "measure", lambda device: pytest.fail("measured"))
    file = ceilings.path(describe.name("cpu"))
    file.parent.mkdir(parents=True)
    file.write_text(content)
    code, out, err = convcross(*CEILINGS)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"convcross: ceilings file {file}: ")
    assert "allowed: what convcross doctor --ceilings writes" in err
    assert file.read_text() == content


def test_ceilings_of_a_device_that_is_not_here(convcross: Any) -> None:
    code, _, err = convcross("doctor", "--ceilings", "--device", "cuda:99")
    assert code == 2
    assert err.startswith("convcross: device is 'cuda:99'; allowed: cpu")
