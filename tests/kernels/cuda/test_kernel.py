"""The way of a kernel onto a GPU, with a stand-in for CuPy: when it is compiled, and when not."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from convkernels import cache, compiling
from convkernels.cuda import kernel as cuda

KERNEL = cuda.Kernel("source", "name", 0)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The sources that the stand-in was given."""
    found: list[str] = []

    class Device:
        compute_capability = "90"

        def __init__(self, index: int) -> None: ...

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

    def module(*, code: str, options: tuple[str, ...]) -> Any:
        found.append(code)
        return SimpleNamespace(get_function=lambda name: SimpleNamespace())

    fake = SimpleNamespace(
        cuda=SimpleNamespace(Device=Device), RawModule=module, __version__="14.2"
    )
    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.setenv(cache.FOLDER, str(tmp_path))
    monkeypatch.setattr(cuda, "_loaded", {})
    return found


def test_a_kernel_is_loaded_once(compiled: list[str]) -> None:
    assert cuda.on_gpu(KERNEL, "cuda:0") is cuda.on_gpu(KERNEL, "cuda:0")
    cuda.on_gpu(KERNEL, "cuda:1")
    assert compiled == ["source", "source"]


def test_what_was_never_compiled_is_not(compiled: list[str]) -> None:
    with compiling.kept_alone(), pytest.raises(compiling.NotCompiled, match=r"^name is not comp"):
        cuda.on_gpu(KERNEL, "cuda:0")
    assert compiled == []


def test_what_another_process_has_compiled_is_loaded(
    compiled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda.on_gpu(KERNEL, "cuda:0")
    monkeypatch.setattr(cuda, "_loaded", {})  # as a new process has it
    with compiling.kept_alone():
        cuda.on_gpu(KERNEL, "cuda:0")
    assert compiled == ["source", "source"]


@pytest.mark.parametrize("changed", ["version", "capability", "folder", "source"])
def test_a_binary_of_something_else_does_not_count(
    changed: str, compiled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda.on_gpu(KERNEL, "cuda:0")
    monkeypatch.setattr(cuda, "_loaded", {})
    cupy = sys.modules["cupy"]
    if changed == "version":
        monkeypatch.setattr(cupy, "__version__", "14.3")
    elif changed == "capability":
        monkeypatch.setattr(cupy.cuda.Device, "compute_capability", "80")
    elif changed == "folder":
        monkeypatch.setenv("CUPY_CACHE_DIR", "elsewhere")
    other = cuda.Kernel("another", "name", 0) if changed == "source" else KERNEL
    with compiling.kept_alone(), pytest.raises(compiling.NotCompiled):
        cuda.on_gpu(other, "cuda:0")
