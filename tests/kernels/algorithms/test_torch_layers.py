"""PyTorch's layers: what each hands to the library, in which layout, from load or in each run."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest

from convkernels import Problem, namespaces
from convkernels.algorithms.libraries import _torch_layer
from convkernels.discovery import find

torch = pytest.importorskip("torch", reason="torch is not installed")

CHANNELS = Problem((20, 20), (3, 3), batch=2, in_channels=4, out_channels=6, groups=2)


def prepared(name: str, problem: Problem) -> Any:
    algorithm = find(name)
    if reason := algorithm.missing("torch"):
        pytest.skip(reason)
    instance = algorithm.prepare(problem, "torch", "cpu")
    instance.load(torch.ones(problem.w_shape))
    return instance


def takes_tf32() -> bool:
    """Whether cuDNN's convolutions may; from torch 2.9 on the older name raises where they and
    recurrent layers differ."""
    cudnn = torch.backends.cudnn
    return bool(cudnn.conv.fp32_precision == "tf32" if hasattr(cudnn, "conv") else cudnn.allow_tf32)


def spy_on(monkeypatch: pytest.MonkeyPatch, where: Any, name: str) -> list[tuple[Any, ...]]:
    calls: list[tuple[Any, ...]] = []
    function = getattr(where, name)

    def spy(*args: Any, **options: Any) -> Any:
        calls.append((*args, options))
        return function(*args, **options)

    monkeypatch.setattr(where, name, spy)
    return calls


def test_channels_last_reaches_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = spy_on(monkeypatch, torch.nn.functional, "conv2d")
    for name, expected in (("torch-conv2d", False), ("torch-conv2d-channels-last", True)):
        instance = prepared(name, CHANNELS)
        instance.run(torch.ones(CHANNELS.x_shape))
        x, w, _ = calls.pop()
        for operand in (x, w):
            assert operand.is_contiguous(memory_format=torch.channels_last) == expected, name
            assert operand.is_contiguous() != expected, name


def test_one_channel_has_one_layout() -> None:
    x = torch.ones(1, 1, 8, 9)
    assert x.contiguous(memory_format=torch.channels_last).stride() == x.stride()


def test_unfold_makes_the_column_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    """One matrix of its workspace's bytes a run, and the filter's matrix in load."""
    calls = spy_on(monkeypatch, torch, "matmul")
    instance = prepared("torch-unfold", CHANNELS)
    assert tuple(instance.w.shape) == (2, 3, 2 * 3 * 3)
    instance.run(torch.ones(CHANNELS.x_shape))
    (w, columns, _) = calls.pop()
    assert not calls
    assert w is instance.w
    assert columns.numel() * columns.element_size() == instance.cost(CHANNELS).workspace


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_tf32_is_off_for_the_layer_alone(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if device not in namespaces.devices("torch"):
        pytest.skip(f"torch has no {device} here")
    seen = []
    conv2d = torch.nn.functional.conv2d

    def spy(*args: Any, **options: Any) -> Any:
        seen.append(takes_tf32())
        return conv2d(*args, **options)

    monkeypatch.setattr(torch.nn.functional, "conv2d", spy)
    before = takes_tf32()
    names = ["torch-conv2d", "torch-conv2d-channels-last"]
    for name in names if device == "cpu" else [*names, "torch-conv2d-autotuned"]:
        instance = find(name).prepare(CHANNELS, "torch", device)
        instance.load(torch.ones(CHANNELS.w_shape, device=device))
        instance.run(torch.ones(CHANNELS.x_shape, device=device))
    # On the CPU it is nobody's: cuDNN's settings are left as they were.
    assert set(seen) == {before if device == "cpu" else False}
    assert takes_tf32() == before


def test_autotuning_is_on_for_the_layer_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the plan, which makes the first call of a shape, and in each run."""
    cudnn = torch.backends.cudnn
    seen = []
    conv2d = torch.nn.functional.conv2d

    def spy(x: Any, *args: Any, **options: Any) -> Any:
        seen.append((cudnn.benchmark, takes_tf32(), bool(x.any())))
        return conv2d(x, *args, **options)

    monkeypatch.setattr(torch.nn.functional, "conv2d", spy)
    found = find("torch-conv2d-autotuned")
    held = _torch_layer._cudnn(found.implementation.benchmark)  # type: ignore[attr-defined]
    monkeypatch.setattr(contextlib, "nullcontext", lambda: held)  # what the CPU has in its place
    before = cudnn.benchmark, takes_tf32()
    assert found.refuses(CHANNELS, "torch", "cpu") == "runs on cuda alone, not on cpu"
    instance = found.implementation()
    instance.plan(CHANNELS, None, "cpu")
    instance.load(torch.ones(CHANNELS.w_shape))
    instance.run(torch.ones(CHANNELS.x_shape))
    assert seen == [(True, False, False), (True, False, True)]
    assert (cudnn.benchmark, takes_tf32()) == before
    once = found.implementation.cost(CHANNELS)
    assert once.once_flops == 20 * once.flops == 20 * CHANNELS.flops


def test_fft_conv_transforms_at_the_size_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The padded image's own, its width made even; image and kernel in each run."""
    problem = Problem((20, 23), (3, 4), mode="full")
    instance = prepared("fft-conv-pytorch", problem)
    module = pytest.importorskip("fft_conv_pytorch.fft_conv")
    calls = spy_on(monkeypatch, module, "rfftn")
    for _ in range(2):
        y = instance.run(torch.ones(problem.x_shape))
        sizes = [list(x.shape[-2:]) for x, *_ in calls]
        calls.clear()
        assert sizes == [[24, 30]] * 2
    assert instance.provenance() == {"padded": [24, 30]}
    # A transform: where the sum is exactly 1, it has rounding errors.
    assert np.count_nonzero(y.numpy() != np.round(y.numpy())) > 0


@pytest.mark.parametrize("name", ["torch-conv2d", "torch-conv2d-channels-last"])
def test_what_onednn_gets_wrong_is_refused(name: str) -> None:
    """A check on a processor with AMX gave errors of 1e36 (pytorch#169688)."""
    layer: dict[str, Any] = {
        "kernel": (2, 9),
        "mode": "valid",
        "in_channels": 6,
        "out_channels": 6,
        "stride": (3, 3),
    }
    algorithm = find(name)
    one_column = Problem((21, 11), dtype="bfloat16", **layer)
    assert "oneDNN" in str(algorithm.refuses(one_column, "torch", "cpu"))
    for fine in (
        Problem((21, 12), dtype="bfloat16", **layer),
        Problem((21, 11), dtype="float16", **layer),
        Problem((21, 9), dtype="bfloat16", **(layer | {"stride": (3, 1)})),
    ):
        assert algorithm.refuses(fine, "torch", "cpu") is None
    assert algorithm.refuses(one_column, "torch", "cuda:0") is None
