"""What convcross finds on this machine, what installs the rest, and how fast the machine is."""

from __future__ import annotations

import dataclasses
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from convcross.machine import cards, ceilings, describe, floor
from convcross.machine.contention import NOTICED
from convcross.text import binary, rate
from convkernels import optional

NO_CARD = "needs an NVIDIA GPU"


@dataclasses.dataclass(frozen=True)
class Component:
    """One thing looked for.

    value : its version, count or model; of a missing thing, what it would be for
    install : the command that installs it, or None where there is nothing to install
    """

    name: str
    found: bool
    value: str
    install: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields as they are."""
        return dataclasses.asdict(self)


def examine() -> list[Component]:
    """Everything looked for, in the order of the table. Imports torch, CuPy and OpenCV: seconds."""
    return [_python(), *_driver(), *_cuda_libraries(), *_libraries(), *_threads(), *_compilers()]


def print_findings(findings: Iterable[Component]) -> None:
    """Print what is here and what is not, then the commands that install what is missing."""
    findings = list(findings)
    table = Table("", "here", "found, or what it is for")
    for finding in findings:
        # A dash marks what is not here and not needed either.
        here = "yes" if finding.found else "no" if finding.install else "–"
        table.add_row(finding.name, here, escape(finding.value))
    Console().print(table)
    for finding in findings:
        if finding.install:
            print(f"{finding.name}: {finding.install}")  # unwrapped, to be copied


def print_ceilings(measured: Mapping[str, Any]) -> None:
    """Print peak rates, bandwidths and the file that keeps them."""
    threads = f", {measured['threads']} threads" if measured["threads"] else ""
    table = Table("", "at most", title=f"{measured['machine']}{threads}", title_justify="left")
    for dtype, peak in measured["flops"].items():
        table.add_row(dtype, rate(peak, "FLOP"))
    table.add_section()
    steps = measured["bytes"]
    for (size, moved), (_, next_moved) in zip(steps, [*steps[1:], (0, 0.0)], strict=True):
        if moved != next_moved:  # of working sets that are as fast, the largest
            table.add_row(f"up to {binary(size)}", rate(moved, "B"))
    Console().print(table)
    share = sum(measured["neighbours"].values())
    if share > NOTICED:
        use = "records get no floor from them" if share > floor.BUSY else "they may be too low"
        print(
            f"note: others took {share:.0%} of the cores meanwhile: {use}; measure again when it "
            "is quiet, the better of each figure stays"
        )
    print(ceilings.path(measured["machine"]))


def pip(requirement: str, *options: str) -> str:
    """The command that installs a requirement for this very interpreter."""
    python = Path(sys.executable)
    if python.is_relative_to(Path.cwd()):
        python = python.relative_to(Path.cwd())
    return " ".join([str(python), "-m pip install", *options, f"'{requirement}'"])


def _python() -> Component:
    return Component("Python", True, f"{platform.python_version()}, {describe.name('cpu')}")


def _driver() -> list[Component]:
    found = cards.cards()
    driver, supports = cards.driver_version(), cards.cuda_version()
    if found:
        return [
            Component("NVIDIA driver", True, driver or "found"),
            Component("CUDA", True, f"{supports}, the newest that the driver takes"),
            *(
                Component(
                    f"GPU {card['device']}",
                    True,
                    f"{card['name']}, {card['memory_bytes'] / 2**30:.0f} GiB, "
                    f"compute capability {card['compute_capability']}",
                )
                for card in found
            ),
        ]
    if driver or supports:
        return [
            Component("NVIDIA driver", True, driver or "found"),
            Component("CUDA", False, "the driver shows no device; see CUDA_VISIBLE_DEVICES"),
        ]
    if _nvidia_on_pci():
        reason = "there is an NVIDIA card, but no driver that answers"
        return [Component("NVIDIA driver", False, reason, _driver_command())]
    return [Component("NVIDIA driver", False, "no NVIDIA card here: the CPU is measured")]


def _nvidia_on_pci() -> bool:
    """Whether an NVIDIA display or 3D controller is plugged in (Linux)."""
    return any(
        (device / "vendor").read_text().strip() == "0x10de"
        and (device / "class").read_text().startswith("0x03")
        for device in Path("/sys/bus/pci/devices").glob("*")
    )


def _driver_command() -> str:
    for tool, command in (
        ("ubuntu-drivers", "sudo ubuntu-drivers install"),
        ("apt-get", "sudo apt-get install nvidia-driver"),
        ("dnf", "sudo dnf install akmod-nvidia"),
    ):
        if shutil.which(tool):
            return command
    return "see NVIDIA's driver installation guide for this system"


def _cuda_libraries() -> list[Component]:
    versions = describe.cuda_libraries()
    cupy, torch = _for_cuda()
    return [
        Component(name, True, version)
        if (version := versions[name.lower()])
        else _missing(name, purpose, requirement)
        for name, purpose, requirement in (
            ("cuFFT", "FFT on the GPU", cupy),
            ("cuDNN", "torch's convolution on the GPU", torch),
            ("NVRTC", "compiles CUDA kernels", cupy),
        )
    ]


def _missing(name: str, purpose: str, requirement: str) -> Component:
    """A thing that only a card needs."""
    if cards.cards():
        return Component(name, False, purpose, pip(requirement))
    return Component(name, False, f"{purpose}: {NO_CARD}")


def _for_cuda() -> tuple[str, str]:
    """Requirements of CuPy, with its CUDA libraries, and of a torch for the driver's CUDA."""
    if (cards.cuda_version() or "").startswith("12."):
        return "cupy-cuda12x[ctk]", "torch<2.11"
    return "cupy-cuda13x[ctk]", "torch>=2.11"


def _libraries() -> list[Component]:
    found = []
    for name in ("numpy", "scipy", "array-api-compat", "pandas", "matplotlib"):
        version = describe.versions()[name]
        command = None if version else pip(name)
        found.append(Component(name, version is not None, version or "required", command))
    return [*found, _opencv(), _torch(), _cupy()]


def _opencv() -> Component:
    command = pip("opencv-python-headless")
    if not optional.installed("cv2"):
        return Component("opencv", False, "optional: OpenCV's contenders", command)
    if reason := optional.missing("cv2", command):
        return Component("opencv", False, reason, command)
    return Component("opencv", True, describe.versions()["opencv"] or "found")


def _torch() -> Component:
    """torch, and whether its build fits the machine."""
    torch = describe.import_optional("torch")
    card, requirement = bool(cards.cards()), _for_cuda()[1]
    if torch is None:
        command = pip(requirement if card else "torch")
        reason = optional.missing("torch", command) if optional.installed("torch") else "required"
        return Component("torch", False, reason or "", command)
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU"
    value = f"{torch.__version__}, {build} build"
    if card and not torch.version.cuda:
        command = pip(requirement, "--force-reinstall")
        return Component("torch", False, f"{value}: it does not use the GPU", command)
    if card and not torch.cuda.is_available():
        return Component("torch", False, f"{value}: refuses this NVIDIA driver", pip(requirement))
    return Component("torch", True, value)


def _cupy() -> Component:
    version = describe.versions()["cupy"]
    if version is None:
        return _missing("cupy", "the namespace cupy", _for_cuda()[0])
    return Component("cupy", True, version if cards.cards() else f"{version}, which {NO_CARD}")


def _threads() -> list[Component]:
    """Threads that each library takes by itself; a sweep pins them all to one number."""
    describe.import_optional("cv2")
    counts = describe.thread_counts()
    found = [("torch", counts["torch"]), ("OpenCV", counts["opencv"])]
    found += [(str(pool["internal_api"]), pool["num_threads"]) for pool in counts["pools"]]
    found += [("scipy.fft", counts["scipy_fft"]), ("usable cores", counts["usable_cores"])]
    text = ", ".join(f"{name} {count}" for name, count in found if count is not None)
    wishes = ", ".join(f"{key}={value}" for key, value in counts["environment"].items())
    return [Component("threads", True, f"{text}; {wishes}" if wishes else text)]


def _compilers() -> list[Component]:
    """Compilers that only tests of the CUDA kernels use."""
    cxx = os.environ.get("CXX", "g++")
    found = []
    for name, command, pattern, purpose in (
        ("nvcc", "nvcc", r"release [\d.]+, V([\d.]+)", "compiles CUDA kernels ahead of time"),
        ("C++ compiler", cxx, r"^.*$", "runs CUDA kernels on the CPU"),
    ):
        path = shutil.which(command)
        if path is None:
            found.append(Component(name, False, f"optional, for tests: {purpose}"))
            continue
        answer = subprocess.run([path, "--version"], capture_output=True, text=True)
        version = re.search(pattern, answer.stdout, re.MULTILINE)
        found.append(Component(name, True, version[version.lastindex or 0] if version else command))
    return found
