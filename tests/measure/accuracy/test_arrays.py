"""Arrays moved between libraries, and what is computed piece by piece."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convcross.measure.accuracy import arrays
from convkernels import namespaces
from support.places import play_card

torch = pytest.importorskip("torch", reason="torch is not installed")

VALUES = np.random.default_rng(0).standard_normal((6, 7))
CARDS = [("torch", "cuda:0"), ("cupy", "cuda:0")]


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("source", ["numpy", "torch"])
@pytest.mark.parametrize("target", ["numpy", "torch"])
def test_values_and_dtype_arrive(source: str, target: str, dtype: str) -> None:
    array = namespaces.from_numpy(VALUES, source, "cpu", dtype)
    there = arrays.moved(array, (target, "cpu"))
    assert namespaces.of(there) == (target, "cpu")
    assert namespaces.dtype_name(there) == dtype
    assert np.array_equal(namespaces.to_numpy(there), VALUES.astype(dtype))
    assert (there is array) == (source == target == "numpy")  # torch's is detached


def test_bfloat16_goes_out_as_float32_and_stays_itself_in_torch() -> None:
    array = torch.tensor([1.0, 1.0078125, -3.0], dtype=torch.bfloat16)
    assert arrays.moved(array, ("numpy", "cpu")).tolist() == [1.0, 1.0078125, -3.0]
    assert arrays.moved(array, ("torch", "cpu")).dtype == torch.bfloat16


@pytest.mark.parametrize("values", [VALUES[::-1], np.broadcast_to(VALUES[0], (6, 7)), VALUES.T])
def test_views_and_read_only_arrays_move(values: np.ndarray) -> None:
    assert np.array_equal(arrays.moved(values, ("torch", "cpu")).numpy(), values)


def test_a_graph_is_left_behind() -> None:
    parameter = torch.ones(3, requires_grad=True) * 2
    for place in (("torch", "cpu"), ("numpy", "cpu")):
        assert not getattr(arrays.moved(parameter, place), "requires_grad", False)


def test_what_is_no_array_is_named() -> None:
    with pytest.raises(TypeError, match="array is a list; allowed: numpy, torch, cupy"):
        arrays.moved([1.0], ("numpy", "cpu"))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_libraries_on_one_card_share_memory(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = play_card(monkeypatch)
    tensor = torch.arange(6.0).to(getattr(torch, dtype))
    in_cupy = arrays.moved(tensor, ("cupy", "cuda:0"))
    assert (type(in_cupy), in_cupy.dtype) == (np.ndarray, np.float32)
    assert in_cupy.tolist() == [0, 1, 2, 3, 4, 5]
    if dtype == "float32":
        tensor[0] = 7.0
        assert in_cupy[0] == 7.0
    in_torch = arrays.moved(VALUES.copy(), ("torch", "cuda:0"))
    assert np.array_equal(in_torch.numpy(), VALUES)
    assert fetched == []


@pytest.mark.gpu
@pytest.mark.parametrize("source", [("numpy", "cpu"), ("torch", "cpu"), *CARDS], ids=str)
@pytest.mark.parametrize("target", [("numpy", "cpu"), ("torch", "cpu"), *CARDS], ids=str)
def test_there_and_back_with_a_card(source: arrays.Place, target: arrays.Place) -> None:
    for name, _ in (source, target):
        if reason := namespaces.missing(name):
            pytest.skip(reason)
    with namespaces.on(*source):
        array = namespaces.from_numpy(VALUES, *source, "float32")
    there = arrays.moved(array, target)
    assert namespaces.of(there) == target
    assert np.array_equal(namespaces.to_numpy(there), VALUES.astype(np.float32))
    if {source, target} == set(CARDS):
        array *= -1
        for place in CARDS:
            namespaces.synchronize(*place)
        assert np.array_equal(namespaces.to_numpy(there), -VALUES.astype(np.float32))


@pytest.mark.parametrize("step", [1, 5, 42, 1000])
@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_pieces_cover_all_once(name: str, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "CACHED", step)
    array: Any = namespaces.from_numpy(VALUES, name, "cpu", "float64")
    parts = list(arrays.pieces(array, 2 * array))
    assert len(parts) == -(-42 // step)
    assert np.array_equal(np.concatenate([part for part, _ in parts]), VALUES.ravel())
    assert np.array_equal(np.concatenate([twice for _, twice in parts]), 2 * VALUES.ravel())
    assert arrays.norm(array) == pytest.approx(np.linalg.norm(VALUES), rel=1e-14)
    assert arrays.largest(array) == np.abs(VALUES).max()
    assert arrays.largest(-abs(array)) == np.abs(VALUES).max()
