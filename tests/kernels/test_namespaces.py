"""The array libraries: what an array is and where, and the way in and out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convkernels import namespaces

torch = pytest.importorskip("torch", reason="torch is not installed")


def test_of_tells_namespace_and_device() -> None:
    assert namespaces.of(np.ones(3)) == ("numpy", "cpu")
    assert namespaces.of(torch.ones(3)) == ("torch", "cpu")
    assert namespaces.of(torch.nn.Parameter(torch.ones(3))) == ("torch", "cpu")


@pytest.mark.gpu
def test_of_tells_the_cuda_device() -> None:
    assert namespaces.of(torch.ones(3, device="cuda")) == ("torch", "cuda:0")


@pytest.mark.parametrize("value", [1.0, [1.0], None, torch, np], ids=str)
def test_of_refuses_anything_else(value: Any) -> None:
    with pytest.raises(TypeError, match="allowed: numpy, torch, cupy"):
        namespaces.of(value)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_rounding_is_torchs(dtype: str) -> None:
    """To nearest, ties to even; bfloat16 is held in float32."""
    rng = np.random.default_rng(0)
    ties = 1 + np.arange(64) / 256  # halfway between two bfloat16 numbers, for every odd one
    values = np.concatenate([rng.standard_normal(1000) * 1e3, ties, -ties]).astype(np.float32)
    expected = torch.from_numpy(values).to(getattr(torch, dtype)).double().numpy()
    assert np.array_equal(namespaces.round_to(values, dtype).astype(np.float64), expected)


@pytest.mark.parametrize("name", ["numpy", "torch"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_there_and_back(name: str, dtype: str) -> None:
    values = namespaces.round_to(np.random.default_rng(0).standard_normal((4, 5)), dtype)
    array = namespaces.from_numpy(values, name, "cpu", dtype)
    assert namespaces.of(array) == (name, "cpu")
    back = namespaces.to_numpy(array)
    assert np.array_equal(back, values)
    array[0, 0] = 7.0  # a copy of its own
    assert values[0, 0] != 7.0
    if (name, dtype) != ("numpy", "bfloat16"):
        assert namespaces.dtype_name(array) == dtype


def test_to_numpy_leaves_the_graph() -> None:
    assert namespaces.to_numpy(torch.ones(2, requires_grad=True)).tolist() == [1.0, 1.0]


def test_only_torch_has_bfloat16() -> None:
    refusing = [n for n in namespaces.NAMES if namespaces.refuses_dtype(n, "bfloat16")]
    assert refusing == ["numpy", "cupy"]
    assert namespaces.refuses_dtype("numpy", "float16") is None


def test_unknown_namespace() -> None:
    for function in (namespaces.missing, namespaces.namespace):
        with pytest.raises(ValueError, match="namespace is 'jax'; allowed: numpy, torch, cupy"):
            function("jax")


def test_devices() -> None:
    assert namespaces.devices("numpy") == ("cpu",)
    assert namespaces.devices("torch")[0] == "cpu"
    if namespaces.cuda_devices() == 0:
        assert namespaces.devices("cupy") == ()
        assert "no CUDA" in (namespaces.missing("cupy") or "")
