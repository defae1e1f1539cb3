"""The machine, its software and the commit, as the header of a results file names them."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import convcross
from convcross.errors import BadInput
from convcross.machine import cards, describe
from convkernels.cpu import processor

FAKE_DRIVER = r"""
#include <stddef.h>
#include <string.h>
static const char *names[] = {"NVIDIA H200", "NVIDIA RTX 6000 Ada Generation"};
int cuInit(unsigned flags) { return 0; }
int cuDriverGetVersion(int *version) { *version = 13020; return 0; }
int cuDeviceGetCount(int *count) { *count = 2; return 0; }
int cuDeviceGet(int *device, int index) { *device = index; return 0; }
int cuDeviceGetName(char *text, int size, int device) {
  strncpy(text, names[device], size);
  return 0;
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = (size_t)141 << 30; return 0; }
int cuDeviceGetPCIBusId(char *text, int size, int device) {
  strncpy(text, "0000:fe:1f.7", size);
  return 0;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  switch (attribute) {
    case 16: *value = 132; return 0;
    case 38: *value = 60 << 20; return 0;
    case 97: *value = 227 << 10; return 0;
    case 75: *value = 9; return 0;
    case 76: *value = 0; return 0;
  }
  return 1;
}
"""


@pytest.fixture
def no_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "cards", tuple)


@pytest.fixture
def forgetful() -> Iterator[None]:
    """The driver is asked anew in this test, and by the tests after it."""
    asked = (cards.cards, cards.driver_version, cards.driver.library, cards.driver.load)
    for function in asked:
        function.cache_clear()
    yield
    for function in asked:
        function.cache_clear()


def in_a_new_process(code: str, **environment: str) -> Any:
    """What this code prints as JSON, in a process that has imported nothing yet."""
    path = os.pathsep.join(sys.path)
    command = [sys.executable, "-c", f"import json, sys\n{code}"]
    answer = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(answer.stdout)


def test_header_of_a_cpu_imports_no_array_library_but_numpy() -> None:
    header, imported = in_a_new_process(
        "from convcross.machine import describe as machine\n"
        "header = [machine.describe('cpu'), machine.software('cpu')]\n"
        "imported = [name for name in ('torch', 'cupy', 'cv2') if name in sys.modules]\n"
        "print(json.dumps([header, imported]))"
    )
    described, software = header
    assert imported == []
    assert described["name"] == describe.name("cpu")
    assert described["cpu"]["memory_bytes"] > 2**20
    assert described["cpu"]["usable_cores"] <= described["cpu"]["logical_cores"]
    assert software["versions"]["numpy"] == importlib.metadata.version("numpy")
    assert software["cuda"] is None
    assert software["threads"]["torch"] is None  # nobody has asked torch yet
    assert software["threads"]["pools"]  # NumPy's BLAS
    assert "site-packages" not in json.dumps(header)  # a path would tell whose machine it is


@pytest.mark.parametrize(
    ("model", "slug"),
    [
        ("AMD EPYC 7B13 64-Core Processor", "amd-epyc-7b13"),
        ("AMD Ryzen Threadripper PRO 5995WX 64-Cores", "amd-ryzen-threadripper-pro-5995wx"),
        ("AMD Ryzen 7 7840U w/ Radeon 780M Graphics", "amd-ryzen-7-7840u"),
        ("Intel(R) Xeon(R) CPU @ 2.20GHz", "intel-xeon"),
        ("Intel(R) Core(TM) i7-8550U CPU @ 1.80GHz", "intel-core-i7-8550u"),
        ("Neoverse-N1", "neoverse-n1"),
        ("NVIDIA H100 80GB HBM3", "nvidia-h100-80gb-hbm3"),
        ("../../etc", "etc"),
        ("龍芯", "unnamed"),
        ("x" * 100, "x" * 48),
    ],
)
def test_names_are_short_and_safe(model: str, slug: str) -> None:
    assert describe._slug(model) == slug


def test_a_hidden_number_is_told_by_family_and_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ "AMD EPYC" alone would give machines of several generations one name."""
    cpuinfo = tmp_path / "cpuinfo"
    monkeypatch.setattr(processor, "CPUINFO", cpuinfo)
    name = processor.name.__wrapped__  # asks each time
    told = "cpu family\t: 23\nmodel\t\t: 1\nmodel name\t: {}\n"
    cpuinfo.write_text(told.format("AMD EPYC"))
    assert name() == "AMD EPYC family 23 model 1"
    cpuinfo.write_text(told.format("AMD EPYC 7B13"))
    assert name() == "AMD EPYC 7B13"


def test_name_of_a_cpu_has_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "name", lambda: "AMD EPYC 7B13 64-Core Processor")
    monkeypatch.setattr(describe.psutil, "cpu_count", lambda logical=True: 4 if logical else 2)
    assert describe.name("cpu") == "amd-epyc-7b13-2c"


def test_name_where_cores_cannot_be_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "name", lambda: "Neoverse-N1")
    monkeypatch.setattr(describe.psutil, "cpu_count", lambda logical=True: 4 if logical else None)
    assert describe.name("cpu") == "neoverse-n1-4c"


def test_name_of_a_device_that_is_not_here(no_cards: None) -> None:
    with pytest.raises(BadInput, match=r"device is 'cuda:0'; allowed: cpu$"):
        describe.name("cuda:0")


def test_version_of_a_library_that_several_packages_provide(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def version(distribution: str) -> str:
        if distribution == "opencv-contrib-python":
            return "4.12.0"
        raise importlib.metadata.PackageNotFoundError(distribution)

    monkeypatch.setattr(importlib.metadata, "version", version)
    found = describe.versions()
    assert found.pop("convcross") == convcross.__version__
    assert {name: text for name, text in found.items() if text} == {"opencv": "4.12.0"}


@pytest.mark.parametrize(
    ("packed", "version"),
    [((13020, 1000, 10), "13.2"), ((92400, 10000, 100), "9.24"), ((12203, 1000, 100), "12.2")],
)
def test_packed_versions(packed: tuple[int, int, int], version: str) -> None:
    assert describe._dotted(*packed) == version


def test_cards_come_from_the_driver_in_its_order(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to make a driver of two cards with")
    library = tmp_path / "libcuda.so.1"
    command = [compiler, "-shared", "-fPIC", "-x", "c", "-", "-o", str(library)]
    subprocess.run(command, input=FAKE_DRIVER, text=True, check=True)
    found, version, name = in_a_new_process(
        "from convcross.machine import cards\n"
        "from convcross.machine import describe as machine\n"
        "print(json.dumps([cards.cards(), cards.cuda_version(), machine.name('cuda:1')]))",
        LD_LIBRARY_PATH=str(tmp_path),
    )
    assert found[0] == {
        "device": "cuda:0",
        "name": "NVIDIA H200",
        "memory_bytes": 141 << 30,
        "l2_bytes": 60 << 20,
        "shared_bytes": 227 << 10,
        "multiprocessors": 132,
        "compute_capability": "9.0",
        "power_limit_w": None,  # NVML knows no card at this address
    }
    assert found[1]["device"] == "cuda:1"
    assert version == "13.2"
    assert name == "nvidia-rtx-6000-ada-generation"


def test_nvml_tells_the_driver_and_is_shut_down(
    monkeypatch: pytest.MonkeyPatch, forgetful: None
) -> None:
    calls: list[str] = []
    nvml = SimpleNamespace(
        NVMLError=RuntimeError,
        nvmlInit=lambda: calls.append("init"),
        nvmlShutdown=lambda: calls.append("shutdown"),
        nvmlSystemGetDriverVersion=lambda: "580.65.06",
        nvmlDeviceGetHandleByPciBusId=lambda address: address,
        nvmlDeviceGetEnforcedPowerLimit=lambda handle: 700_000,
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert cards.driver_version() == "580.65.06"
    assert cards._power_limit(b"0000:01:00.0") == 700.0
    assert calls == ["init", "shutdown"] * 2


def test_without_nvml(monkeypatch: pytest.MonkeyPatch, forgetful: None) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert cards.driver_version() is None


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git checkout of a project laid out as this one, whose code is the one that runs."""
    monkeypatch.delenv("CONVCROSS_COMMIT", raising=False)
    for file in ("bench/convcross/__init__.py", "kernels/convkernels/__init__.py", "README.md"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    monkeypatch.setattr(convcross, "__file__", str(tmp_path / "bench/convcross/__init__.py"))
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    settings = ("-c", "user.name=tester", "-c", "user.email=", "-c", "commit.gpgsign=false")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    command = ["git", "-C", str(folder), *settings, *arguments]
    return subprocess.check_output(command, env=environment, text=True).strip()


def test_commit_of_a_clean_checkout(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (checkout / "results").mkdir()
    (checkout / "results/new.jsonl").write_text("{}")
    (checkout / "README.md").write_text("edited")  # no code
    monkeypatch.setenv("GIT_DIR", str(checkout / "elsewhere"))  # as in a hook of another repository
    assert describe.commit() == git(checkout, "rev-parse", "HEAD")[:12]


@pytest.mark.parametrize(
    "file",
    [
        "bench/convcross/__init__.py",
        "kernels/convkernels/__init__.py",
        "kernels/convkernels/new.py",
    ],
)
def test_commit_of_changed_code_is_dirty(checkout: Path, file: str) -> None:
    (checkout / file).write_text("changed = True")
    assert describe.commit() == git(checkout, "rev-parse", "HEAD")[:12] + "-dirty"


def test_commit_of_a_copy_in_somebody_elses_checkout(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = checkout / ".venv/site-packages/convcross/__init__.py"
    installed.parent.mkdir(parents=True)
    installed.write_text("")
    monkeypatch.setattr(convcross, "__file__", str(installed))
    assert describe.commit() == "unknown"


def test_commit_of_a_plain_copy(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(checkout / ".git")
    assert describe.commit() == "unknown"
    monkeypatch.setenv("CONVCROSS_COMMIT", " 0123456789ab\n")
    assert describe.commit() == "0123456789ab"


def test_commit_without_git(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(checkout))
    assert describe.commit() == "unknown"


def test_commit_told_that_is_no_file_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVCROSS_COMMIT", "feature/x")
    with pytest.raises(BadInput, match=r"CONVCROSS_COMMIT is 'feature/x'; allowed: .* letters"):
        describe.commit()
