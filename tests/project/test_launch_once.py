"""What Nsight Compute is given in a visit: each kernel of ours, once a kernel size."""

from __future__ import annotations

import contextlib
import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from convkernels import namespaces
from convkernels.cuda import kernel as cuda

VISIT = Path(__file__).parents[2] / "bench" / "gpu-visit"


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("launch_once", VISIT / "launch-once.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_kernel_is_launched_once_a_size(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: list[str] = []

    def on_gpu(kernel: cuda.Kernel, device: str) -> Any:
        assert device == "cuda:0"
        return lambda *arguments, **options: launched.append(kernel.name)

    monkeypatch.setattr(cuda, "on_gpu", on_gpu)
    monkeypatch.setattr(cuda, "processors", lambda device: 132)
    monkeypatch.setattr(namespaces, "on", lambda *place: contextlib.nullcontext())
    monkeypatch.setattr(namespaces, "synchronize", lambda *place: None)
    monkeypatch.setattr(namespaces, "namespace", lambda name: np)
    monkeypatch.setattr(script, "N", 64)
    monkeypatch.setattr("sys.argv", ["launch-once.py"])
    script.main()
    wanted = re.compile(script.names())
    seen = [name for name in launched if wanted.search(name)]
    sizes = script.SIZES
    assert seen == ["direct"] * len(sizes["cuda-direct"]) + ["overlap_save"] * len(
        sizes["cuda-overlap-save"]
    )
    assert set(launched) - set(seen) == {"overlap_save_load"}


@pytest.mark.parametrize(
    "other",
    [
        "dgrad2d_direct",
        "direct_copy_kernel_cuda",  # of torch, by its template's arguments
        "elementwise_kernel",
        "unrolled_elementwise_kernel",
        "cupy_copy__float32_float32",
    ],
)
def test_the_kernels_of_libraries_are_none_of_ours(script: ModuleType, other: str) -> None:
    assert not re.search(script.names(), other)


def test_the_visit_asks_by_function_name() -> None:
    visit = VISIT.with_name("gpu-visit.sh").read_text(encoding="utf-8")
    assert "--kernel-name-base function" in visit
    assert re.search(r"--kernel-name \"regex:\$\(.*launch-once.py\" --names\)\"", visit)
