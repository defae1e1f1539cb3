"""What measures: the machine, its software and the commit, as the header of a results file.

Nothing here names a host, a user or a path. Versions come from the packages' metadata, so that
asking for them imports no array library; only the CUDA libraries of a card are asked themselves.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

import convcross
from convcross.errors import BadInput
from convcross.machine import cards, threads
from convcross.machine.caches import caches
from convcross.text import slug
from convkernels import optional
from convkernels import versions as versions_of
from convkernels.cpu import processor

# Of the libraries that compute, and of those that draw.
DISTRIBUTIONS = versions_of.DISTRIBUTIONS | {"pandas": ("pandas",), "matplotlib": ("matplotlib",)}
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def describe(device: str) -> dict[str, Any]:
    """The machine: ``name``, ``cpu``, ``gpus`` (every card, see `cards.cards`) and ``os``.

    Raises BadInput as `name` does.
    """
    return {"name": name(device), "cpu": cpu(), "gpus": list(cards.cards()), "os": _os()}


def software(device: str) -> dict[str, Any]:
    """``python``, ``versions``, ``cuda`` (None for the CPU), ``threads`` and ``commit``.

    For a card, torch and CuPy are imported where installed: they know which CUDA libraries run.
    """
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": versions(),
        "cuda": None if device == "cpu" else cuda_libraries(),
        "threads": thread_counts(),
        "commit": commit(),
    }


def name(device: str) -> str:
    """A short, stable, filesystem-safe name of what measures on this device.

    The card's for ``cuda:0`` ("nvidia-h200"), else the processor's with its physical cores
    ("amd-epyc-7b13-2c"). Raises BadInput on a device that is not here.
    """
    if device == "cpu":
        described = cpu()
        return f"{_slug(described['model'])}-{described['physical_cores']}c"
    names = {card["device"]: str(card["name"]) for card in cards.cards()}
    if device not in names:
        raise BadInput(f"device is {device!r}; allowed: {', '.join(['cpu', *names])}")
    return _slug(names[device])


def cpu() -> dict[str, Any]:
    """``model``, ``physical_cores``, ``logical_cores``, ``usable_cores`` (this process may run on
    them), ``cache_bytes`` (of each cache that core 0 uses, {} where unknown), ``memory_bytes``.
    """
    logical = psutil.cpu_count() or 1
    return {
        "model": processor.name(),
        "physical_cores": psutil.cpu_count(logical=False) or logical,
        "logical_cores": logical,
        "usable_cores": threads.usable(),
        "cache_bytes": caches(),
        "memory_bytes": psutil.virtual_memory().total,
    }


def versions() -> dict[str, str | None]:
    """The version of convcross and of each library, None where it is not installed."""
    found = {library: versions_of.version(names) for library, names in DISTRIBUTIONS.items()}
    return {"convcross": convcross.__version__, **found}


def cuda_libraries() -> dict[str, str | None]:
    """``driver`` and the CUDA it takes (``supports``), and the ``runtime``, ``cufft``, ``cudnn``
    and ``nvrtc`` that torch and CuPy run with: None where neither tells. Imports both.
    """
    found: dict[str, str | None] = {
        "driver": cards.driver_version(),
        "supports": cards.cuda_version(),
        "runtime": None,
        "cufft": _wheel("nvidia-cufft"),
        "cudnn": None,
        "nvrtc": _wheel("nvidia-cuda-nvrtc"),
    }
    torch = import_optional("torch")
    if torch is not None:
        found["runtime"] = torch.version.cuda
        with contextlib.suppress(RuntimeError):  # built against another cuDNN than is loaded
            if cudnn := torch.backends.cudnn.version():
                found["cudnn"] = _dotted(cudnn, 10000, 100)
    cupy = import_optional("cupy")
    if cupy is not None:
        found["runtime"] = found["runtime"] or _dotted(
            cupy.cuda.runtime.runtimeGetVersion(), 1000, 10
        )
        with contextlib.suppress(ImportError, RuntimeError):  # the library itself is not there
            found["cufft"] = _dotted(cupy.cuda.cufft.getVersion(), 1000, 100)
        with contextlib.suppress(ImportError, RuntimeError):
            major, minor = cupy.cuda.nvrtc.getVersion()
            found["nvrtc"] = f"{major}.{minor}"
    return found


def thread_counts() -> dict[str, Any]:
    """Threads as they stand: ``usable_cores``, the ``environment``'s wishes, each loaded BLAS or
    OpenMP pool, ``scipy_fft`` workers, and ``torch`` and ``opencv`` (None until imported).
    """
    import scipy.fft
    import threadpoolctl

    torch, opencv = sys.modules.get("torch"), sys.modules.get("cv2")
    return {
        "usable_cores": threads.usable(),
        "environment": {key: os.environ[key] for key in THREAD_VARIABLES if key in os.environ},
        "pools": [
            {key: pool.get(key) for key in ("user_api", "internal_api", "version", "num_threads")}
            for pool in threadpoolctl.threadpool_info()
        ],
        "scipy_fft": scipy.fft.get_workers(),
        "torch": torch.get_num_threads() if torch else None,
        "opencv": opencv.getNumThreads() if opencv else None,
    }


def commit() -> str:
    """The commit of the running code, 12 digits, "-dirty" where the checkout's code differs.

    ``CONVCROSS_COMMIT`` speaks for a copy without git; "unknown" without either. Raises BadInput
    on a value of it that no file name should hold.
    """
    stated = os.environ.get("CONVCROSS_COMMIT", "").strip()
    if stated:
        if not re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}", stated):
            raise BadInput(
                f"CONVCROSS_COMMIT is {stated!r}; allowed: up to 64 letters, digits, '.', '_', '-'"
            )
        return stated
    package = Path(convcross.__file__).parent
    # An installed package may lie inside somebody else's checkout: only tracked code has a commit.
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return "unknown"
    head = _git(package, "rev-parse", "--short=12", "HEAD")
    if head is None:
        return "unknown"
    changes = _git(package, "status", "--porcelain", "--", ".", "../../kernels")
    return f"{head}-dirty" if changes else head


def import_optional(module: str) -> Any | None:
    """The module, or None where it is not installed or does not load."""
    return optional.load(module) if optional.missing(module, "") is None else None


def _git(folder: Path, *arguments: str) -> str | None:
    """What git answers in this folder, or None where there is no git or no answer."""
    # In a hook, GIT_DIR and its like would point at whatever repository the hook runs for.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        answer = subprocess.run(command, env=environment, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def _os() -> str:
    """ "Linux 6.1, Debian GNU/Linux 12": the system, its release's numbers, its distribution."""
    numbers = re.match(r"\d+(\.\d+)*", platform.release())
    text = f"{platform.system()} {numbers[0] if numbers else ''}".strip()
    try:
        return f"{text}, {platform.freedesktop_os_release()['PRETTY_NAME']}"
    except (OSError, KeyError):
        return text


def _slug(text: str) -> str:
    """Lower case and hyphens, without marks, clocks and words that say nothing."""
    text = re.sub(r"\((R|TM|C)\)|@.*| w/.*| with .*", " ", text, flags=re.IGNORECASE)
    text = re.sub(r"\b(CPU|Processor|\S+-Cores?)\b", " ", text, flags=re.IGNORECASE)
    return slug(text)[:48].strip("-") or "unnamed"


def _dotted(number: int, major: int, minor: int) -> str:
    """A version packed in an integer: CUDA's 13020 (1000, 10) is "13.2", cuDNN's 92400 (10000, 100)
    is "9.24", cuFFT's 12203 (1000, 100) is "12.2"."""
    return f"{number // major}.{number % major // minor}"


def _wheel(name: str) -> str | None:
    """The version of an NVIDIA wheel, whose name has its CUDA's major from before CUDA 13."""
    return versions_of.version((name, f"{name}-cu12"))
