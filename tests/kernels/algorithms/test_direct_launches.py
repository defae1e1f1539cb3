"""How many kernels a run of the textbook sum launches on a GPU, counted without one."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from convkernels import Problem, namespaces
from convkernels.discovery import find
from convkernels.toolbox import channels

QUEUE = 1000  # launches that a held stream takes, about

VIEWS = {"slice", "view", "select", "unsqueeze", "reshape", "_unsafe_view", "expand", "alias"}


def as_on_a_gpu(problem: Problem, namespace: str) -> tuple[Any, Any]:
    """An instance on the CPU that runs as it would on a GPU, loaded, and its image."""
    rng = np.random.default_rng(1)
    x, w = (
        namespaces.from_numpy(rng.standard_normal(shape), namespace, "cpu", problem.dtype)
        for shape in (problem.x_shape, problem.w_shape)
    )
    instance = find("direct").prepare(problem, namespace, "cpu")
    instance.fused, instance.strip = True, problem.output[0]
    instance.load(w)
    return instance, x


@pytest.mark.parametrize("n", [3, 31])
def test_a_tap_is_one_launch_of_torch(n: int) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    from torch.utils._python_dispatch import TorchDispatchMode

    launched: list[str] = []

    class Counting(TorchDispatchMode):
        def __torch_dispatch__(  # type: ignore[no-untyped-def]
            self, func, types, args=(), kwargs=None
        ):
            name = func.overloadpacket.__name__
            if name not in VIEWS:
                launched.append(name)
            return func(*args, **(kwargs or {}))

    instance, x = as_on_a_gpu(Problem((40, 50), (n, n), mode="same"), "torch")
    with Counting():
        instance.run(x)
    assert launched.count("addcmul_") == n * (n - 1)
    assert len(launched) <= n * n + n + 10
    assert len(launched) <= QUEUE


@pytest.mark.parametrize(
    "channelled",
    [
        {},
        {"batch": 2, "in_channels": 3, "out_channels": 6, "groups": 3},
        {"batch": 2, "in_channels": 4, "out_channels": 6, "groups": 2},
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_sums_are_the_same(channelled: dict[str, int], dtype: str) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    problem = Problem((20, 30), (5, 4), mode="full", dtype=dtype, **channelled)
    instance, x = as_on_a_gpu(problem, "torch")
    fused = namespaces.to_numpy(instance.run(x)).copy()
    instance.fused = False
    bound = find("direct").implementation.error_bound(problem)
    apart = namespaces.to_numpy(instance.run(x)) - fused
    assert np.linalg.norm(apart) <= bound * np.linalg.norm(fused)


def test_a_tap_is_one_launch_of_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    """CuPy's kernel stands in NumPy: y = f(inputs…, output) over the broadcast inputs."""
    made: list[tuple[str, ...]] = []

    class ElementwiseKernel:
        def __init__(self, in_params: str, out_params: str, operation: str, name: str) -> None:
            made.append((in_params, out_params, operation, name))

        def __call__(self, x: Any, w: Any, total: Any) -> Any:
            assert np.broadcast_shapes(x.shape, w.shape) == total.shape
            total += x * w
            return total

    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(ElementwiseKernel=ElementwiseKernel))
    channels._multiply_add.cache_clear()
    try:
        problem = Problem((20, 30), (5, 4), mode="same", in_channels=2, out_channels=4, groups=2)
        instance, x = as_on_a_gpu(problem, "numpy")
        library = {**vars(instance.xp), "__name__": "array_api_compat.cupy"}
        instance.xp = SimpleNamespace(**library)
        fused = instance.run(x).copy()
        instance.fused = False
        np.testing.assert_allclose(instance.run(x), fused, rtol=1e-5, atol=1e-5)
    finally:
        channels._multiply_add.cache_clear()
    assert made == [("T x, T w", "T total", "total += x * w", "multiply_add")]


@pytest.mark.gpu
@pytest.mark.parametrize("namespace", ["torch", "cupy"])
def test_it_agrees_with_the_cpu_on_a_card(namespace: str) -> None:
    if reason := find("direct").missing(namespace):
        pytest.skip(reason)
    problem = Problem((40, 50), (7, 7), mode="same")
    rng = np.random.default_rng(1)
    x, w = (rng.standard_normal(shape) for shape in (problem.x_shape, problem.w_shape))
    found = []
    for place in (("numpy", "cpu"), (namespace, "cuda:0")):
        with namespaces.on(*place):
            a, b = (namespaces.from_numpy(values, *place, "float32") for values in (x, w))
            instance = find("direct").prepare(problem, *place)
            instance.load(b)
            found.append(namespaces.to_numpy(instance.run(a)))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4, atol=1e-4)
