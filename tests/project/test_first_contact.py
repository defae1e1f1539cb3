"""The checks of a first contact: what each run of them says, and that they can fail."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from convcross.measure.timing import cuda as cuda_clock
from convkernels import namespaces
from convkernels.cuda import kernel as cuda
from support.scripted_device import Device

SCRIPT = Path(__file__).parents[2] / "bench" / "gpu-visit" / "first-contact.py"

PLANTED = """
import os, sys, time
name = sys.argv[1]
if name == "held-streams":
    time.sleep(60)
if name == "launch-bound":
    os._exit(11)
print("something before")
print(f"{name} said")
sys.exit(name == "contexts")
"""


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("first_contact", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(script: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments])
    code: int = script.main()
    return code


def test_the_order_is_that_of_what_would_be_spoilt(script: ModuleType) -> None:
    processes = ["failed-capture", "profiles"]
    cells = ["memory-words", "cold-loads", "contexts"]
    numbers = ["held-streams", "launch-bound", "cuda-direct", "events", "replays"]
    assert list(script.CHECKS) == [*processes, *cells, *numbers, "counters", "clock"]
    assert all(function.__doc__ for function in script.CHECKS.values())


def test_without_a_card_nothing_is_asked(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(namespaces, "cuda_devices", lambda: 0)
    assert run(script, monkeypatch) == 0
    assert "no CUDA GPU: 12 checks are not asked" in capsys.readouterr().out


def test_an_unknown_check_names_the_allowed_ones(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(script, monkeypatch, "profile")
    assert "check is 'profile'; allowed: failed-capture, profiles" in capsys.readouterr().err


def test_who_breaks_hangs_or_dies_costs_the_others_nothing(
    script: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text(PLANTED)
    monkeypatch.setattr(script, "__file__", str(planted))
    monkeypatch.setattr(script, "LIMIT", 3.0)
    monkeypatch.setattr(namespaces, "cuda_devices", lambda: 1)
    asked = ["contexts", "held-streams", "launch-bound", "events"]
    assert run(script, monkeypatch, *asked) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("BROKEN  contexts: contexts said (expected: A process that has")
    assert lines[1].startswith("BROKEN  held-streams: no answer in 3 s (expected: ")
    assert lines[2].startswith("BROKEN  launch-bound: exit code 11: it said nothing")
    assert lines[3:] == ["holds   events: events said", "3 of 4 checks do not hold"]
    assert run(script, monkeypatch, "events") == 0


# ---- two of them, on a scripted device ----------------------------------------------------------


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    found = Device()
    monkeypatch.setitem(sys.modules, "cupy", found.cupy())
    monkeypatch.setattr(cuda, "on_gpu", found.launcher)
    monkeypatch.setattr(namespaces, "missing", lambda name: None)
    monkeypatch.setattr(namespaces, "on", lambda *place: contextlib.nullcontext())
    monkeypatch.setattr(cuda_clock, "time", SimpleNamespace(perf_counter=lambda: found.host * 1e-9))
    caches = (cuda_clock.resolution, cuda_clock.scrub, cuda_clock.gate)
    for cache in caches:
        cache.cache_clear()
    yield found
    for cache in caches:
        cache.cache_clear()


def planted(
    script: ModuleType,
    device: Device,
    monkeypatch: pytest.MonkeyPatch,
    launches: Callable[[int], int],
) -> None:
    """A contender of so many launches a kernel size, of a microsecond, or 0.2 ms on a large image;
    a queue of 1024, which a host that fills it waits for; and a host that may sleep."""
    monkeypatch.setattr(script, "here", lambda: ["cupy"])

    def prepared(name: str, namespace: str, place: str, problem: Any) -> Any:
        count = launches(problem.kernel[0])

        def run(x: Any) -> None:
            for number in range(count):
                if number == 1024:
                    device.synchronize()
                device.work(1_000 if problem.image[0] < 8192 else 200_000)

        return SimpleNamespace(run=run), None, None

    def sleep(seconds: float) -> None:
        if seconds:
            device.synchronize()

    monkeypatch.setattr(script, "prepared", prepared)
    monkeypatch.setattr(script, "time", SimpleNamespace(sleep=sleep))


def test_streams_that_are_held(
    script: ModuleType, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted(script, device, monkeypatch, lambda n: n * n)
    assert "after a stall" in script.held_streams("cuda:0")


def test_streams_that_are_not_held_are_told(
    script: ModuleType, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted(script, device, monkeypatch, lambda n: 2 * n * n)
    with pytest.raises(AssertionError, match="direct at n = 31 cannot be held"):
        script.held_streams("cuda:0")


def test_a_stall_that_ends_holding_is_told(
    script: ModuleType, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted(script, device, monkeypatch, lambda n: n * n)
    monkeypatch.setattr(cuda_clock, "STALLS", 1)
    with pytest.raises(AssertionError, match="one stall ends holding"):
        script.held_streams("cuda:0")


def test_launches_that_are_waited_for(
    script: ModuleType, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted(script, device, monkeypatch, lambda n: n * n)
    told = script.launch_bound("cuda:0")
    assert "N = 128: held False, launch-bound True" in told
    assert "N = 8192: held False, launch-bound False" in told
    monkeypatch.setattr(cuda_clock, "KEPT_UP", 10.0)
    with pytest.raises(AssertionError, match="N = 128: held False, launch-bound False"):
        script.launch_bound("cuda:0")
