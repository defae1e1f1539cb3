"""The calibration's file: what it holds, and what it is refused for."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from convkernels import cache, calibration
from convkernels.calibration import Calibration, HeldOut
from convkernels.problem import Problem
from convkernels.registry import Cost
from convkernels.toolbox import threads
from support.calibrations import SMALL, made

CALIBRATION = dataclasses.replace(
    made({"fft/numpy": (3e-3, 2e-3, 1e-3), "direct/numpy": (1.0, 1.0, 1.0)}),
    held_out=(HeldOut(SMALL, {"fft/numpy": (3e-3, 2e-3, 1e-3)}),),
    slower={"mec/numpy": "3 samples, at best 4.0 times the fastest's time"},
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv(cache.FOLDER, str(tmp_path))
    calibration.forget()
    yield tmp_path
    calibration.forget()


def rewritten(change: dict[str, Any]) -> None:
    """The file with these values in the place of its own, ``key.`` for one of the key's."""
    data = CALIBRATION.to_json()
    for name, value in change.items():
        part, _, last = name.rpartition(".")
        (data[part] if part else data)[last] = value
    file = calibration.path("cpu")
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(data))


def test_what_is_written_is_read() -> None:
    file = calibration.write(CALIBRATION)
    assert file == calibration.path("cpu")
    assert calibration.current("cpu") == CALIBRATION
    assert calibration.problem_with("cpu") is None


def test_the_file_is_the_json_that_is_promised() -> None:
    data = json.loads(calibration.write(CALIBRATION).read_text())
    assert (data["kind"], data["schema"]) == ("calibration", 3)
    parts = {"key", "made_at", "commit", "contenders", "held_out", "slower"}
    assert set(data) == {"kind", "schema"} | parts
    assert set(data["key"]) == {"machine", "device", "threads", "versions"}
    entry = data["contenders"]["fft/numpy"]
    assert set(entry["passes"]) == {"forward"}
    assert set(entry["passes"]["forward"]) == {"plan", "load", "run"}
    assert entry["error"] == {"share_of_bound": 0.5}
    assert entry["spare"] == []


def test_a_phase_predicts_as_before() -> None:
    read = Calibration.from_json(json.loads(json.dumps(CALIBRATION.to_json())))
    run = read.contenders["fft/numpy"].passes["forward"]["run"]
    assert run.predict(SMALL, Cost(0, 0)).seconds == pytest.approx(1e-3)


def test_a_gradient_is_predicted_by_the_code_that_computes_it() -> None:
    """FFT solves both as forward problems, the direct sum has code of its own for the filters'."""
    inputs, filters = (
        dataclasses.replace(SMALL, direction=direction)
        for direction in ("grad_input", "grad_weight")
    )

    def run(contender: str, problem: Problem) -> float | None:
        phases = known.predict(contender, problem)
        return None if phases is None else phases[-1].seconds

    known = made({"fft/numpy": (0.0, 0.0, 1e-3), "direct/numpy": (0.0, 0.0, 2e-3)})
    assert run("fft/numpy", inputs) == run("fft/numpy", filters) == pytest.approx(1e-3)
    assert run("direct/numpy", inputs) == pytest.approx(2e-3)
    assert run("direct/numpy", filters) is None
    assert known.leading("grad_weight") == ["fft/numpy"]
    known = made({"direct/numpy": {"grad_weight": (0.0, 0.0, 3e-3)}})
    assert run("direct/numpy", filters) == pytest.approx(3e-3)
    assert run("direct/numpy", inputs) is None
    assert Calibration.from_json(known.to_json()) == known


def test_without_a_file_there_is_none() -> None:
    assert calibration.current("cpu") is None
    assert calibration.problem_with("cpu") == (
        "no calibration of cpu is kept here; convcross calibrate makes one"
    )


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"key.machine": "Z80, 1 cores"}, "machine is 'Z80, 1 cores'; allowed: '"),
        ({"key.threads": 99}, "threads is 99; allowed: "),
        ({"key.device": "cuda:0"}, "device is 'cuda:0'; allowed: 'cpu'"),
        ({"key.versions": {"scipy": "0.1"}}, "numpy is None; allowed: '"),
        ({"schema": 2}, "is damaged: kind is 'calibration', schema 2; allowed: calibration, 3"),
        ({"kind": "record"}, "is damaged: kind is 'record'"),
        ({"contenders": {"fft/numpy": {}}}, "is damaged: it has no 'passes'"),
        (
            {"contenders.fft/numpy": {"passes": {"backward": {}}, "spare": []}},
            "is damaged: direction is 'backward'; allowed: forward, grad_input, grad_weight",
        ),
        ({"contenders": []}, "is damaged: "),
        ({"key": None}, "is damaged: "),
        ({"held_out": [{}]}, "is damaged: it has no 'seconds'"),
        ({"slower": None}, "is damaged: "),
    ],
)
def test_another_file_is_not_used_and_says_why(change: dict[str, Any], complaint: str) -> None:
    rewritten(change)
    assert calibration.current("cpu") is None
    said = str(calibration.problem_with("cpu"))
    assert complaint in said
    assert said.endswith("; convcross calibrate makes one")
    assert "\n" not in said


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\x00", b"[]", b'"text"', b"null"])
def test_a_damaged_file_says_so(content: bytes) -> None:
    calibration.path("cpu").parent.mkdir()
    calibration.path("cpu").write_bytes(content)
    assert calibration.current("cpu") is None
    assert "is damaged: " in str(calibration.problem_with("cpu"))


def test_other_threads_are_another_machine() -> None:
    calibration.write(CALIBRATION)
    with threads.limited(threads.usable() + 1):
        assert calibration.current("cpu") is None
        assert f"threads is {threads.usable()}; allowed: " in str(calibration.problem_with("cpu"))
    assert calibration.current("cpu") == CALIBRATION


def test_a_library_that_has_come_is_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    calibration.write(CALIBRATION)
    key = calibration.key("cpu")
    newer = dataclasses.replace(key, versions={**key.versions, "numpy": "99.0"})
    monkeypatch.setattr(calibration, "key", lambda device: newer)
    assert "; allowed: '99.0', as here" in str(calibration.problem_with("cpu"))


def test_each_device_has_its_own_file() -> None:
    names = {calibration.path(device).name for device in ("cpu", "cuda:0", "cuda:1")}
    assert names == {"cpu.json", "cuda-0.json", "cuda-1.json"}
    assert str(calibration.problem_with("cuda:0")).endswith("--device cuda:0 makes one")


def test_what_cannot_be_kept_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.touch()
    monkeypatch.setenv(cache.FOLDER, str(occupied))
    with pytest.raises(OSError, match="cannot be written"):
        calibration.write(CALIBRATION)


def test_the_key_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom convkernels import calibration\ncalibration.key('cpu')\n"
        "calibration.problem_with('cpu')\n"
        "print(*{'numpy', 'scipy', 'torch', 'cupy', 'cv2', 'numba', 'psutil'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
