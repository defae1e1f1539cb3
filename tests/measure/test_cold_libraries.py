"""CUDA's libraries are loaded before a contender is watched, and once a process."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest

from convcross.measure import cold_libraries
from convcross.measure import duel as measuring
from convcross.measure.process import progress_page
from convcross.sweeps.duels import Duel
from convcross.sweeps.spec import Limits
from convkernels import Problem, namespaces


@pytest.fixture(autouse=True)
def none_loaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(namespaces, "on", lambda *place: contextlib.nullcontext())
    monkeypatch.setattr(namespaces, "synchronize", lambda *place: None)
    load = cold_libraries.load  # a test may put another in its place
    load.cache_clear()
    yield
    load.cache_clear()


def test_torch_calls_products_transforms_and_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    called = []
    for module, name in (
        (torch, "addmm"),
        (torch.fft, "rfft2"),
        (torch.fft, "irfft2"),
        (torch.nn.functional, "conv2d"),
    ):
        real = getattr(module, name)

        def call(*operands: object, real: object = real, name: str = name) -> object:
            result = real(*operands)  # type: ignore[operator]
            called.append(name)  # it takes what it is given
            return result

        monkeypatch.setattr(module, name, call)
    cold_libraries.load("torch", "cpu")
    cold_libraries.load("torch", "cpu")
    assert called == ["addmm", "rfft2", "irfft2", "conv2d"]


def test_cupy_calls_products_and_transforms(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    fft = SimpleNamespace(
        rfft2=lambda x: called.append("rfft2") or np.fft.rfft2(x),
        irfft2=lambda x: called.append("irfft2") or np.fft.irfft2(x),
    )
    stand_in = SimpleNamespace(ones=np.ones, float32=np.float32, fft=fft)
    monkeypatch.setitem(sys.modules, "cupy", stand_in)
    cold_libraries.load("cupy", "cuda:0")
    assert called == ["rfft2", "irfft2"]


@pytest.mark.parametrize("namespace", ["torch", "cupy"])
def test_what_is_broken_costs_nothing_here(monkeypatch: pytest.MonkeyPatch, namespace: str) -> None:
    monkeypatch.setitem(sys.modules, namespace, None)
    cold_libraries.load(namespace, "cuda:0")


def test_they_come_before_the_first_step_of_a_contender(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(cold_libraries, "load", lambda *place: order.append(" ".join(place)))
    monkeypatch.setattr(progress_page, "begin", lambda name, step: order.append(step))
    duel = Duel(
        id="a-duel",
        problem=Problem((16, 16), (3, 3), mode="same"),
        contenders=["direct/numpy@cpu", "direct/torch@cuda:0"],
        image_data="normal",
        kernel_data="normal",
        seed=0,
        regime=None,
        threads=1,
        limits=Limits(seconds=0.001, samples=5),
        algorithm_paths=[],
        given_up={"direct/torch@cuda:0": ("error", "planted")},
    )
    measuring.measure(duel)
    assert order[:2] == ["torch cuda:0", "answers"]
    assert order.count("torch cuda:0") == 1
