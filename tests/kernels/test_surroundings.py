"""What surrounds a call changes no number, and the call changes nothing around it."""

from __future__ import annotations

import concurrent.futures
import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from convkernels import convolve
from convkernels.discovery import algorithms
from convkernels.problem import Problem
from convkernels.toolbox.settings import Held, Setting

torch = pytest.importorskip("torch", reason="torch is not installed")

PROBLEM = Problem((40, 40), (12, 12), mode="same")
NAMES = sorted(
    name
    for name, found in algorithms().items()
    if found.missing("torch") is None
    and found.refuses(PROBLEM, "torch", "cpu") is None
    and found.family != "separable"
)


def operands() -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    x, w = rng.standard_normal((40, 40)), rng.standard_normal((12, 12))
    return torch.from_numpy(x.astype("float32")), torch.from_numpy(w.astype("float32"))


@contextlib.contextmanager
def matmul(precision: str) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextlib.contextmanager
def every_product(precision: str) -> Iterator[None]:
    """Of all of torch's backends, by the setting that they follow."""
    if not hasattr(torch.backends.mkldnn, "conv"):
        pytest.skip("torch before 2.9 has no fp32_precision")
    kinds = (torch.backends.mkldnn.matmul, torch.backends.mkldnn.conv, torch.backends.cudnn.conv)
    before = torch.backends.fp32_precision, [kind.fp32_precision for kind in kinds]
    torch.backends.fp32_precision = precision
    for kind in kinds:
        kind.fp32_precision = "none"
    try:
        yield
    finally:
        torch.backends.fp32_precision = before[0]
        for kind, found in zip(kinds, before[1], strict=True):
            kind.fp32_precision = found


@contextlib.contextmanager
def default_device() -> Iterator[None]:
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


SURROUNDINGS = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "medium": lambda: matmul("medium"),
    "bf16": lambda: every_product("bf16"),
    "ieee": lambda: every_product("ieee"),
    "default device": default_device,
    "inference": torch.inference_mode,
}


@pytest.mark.parametrize("name", ["auto", *NAMES])
@pytest.mark.parametrize("around", SURROUNDINGS)
def test_the_result_is_as_without(around: str, name: str) -> None:
    x, w = operands()
    expected = convolve(x, w, mode="same", algorithm=name)
    with SURROUNDINGS[around]():
        y = convolve(x, w, mode="same", algorithm=name)
    assert y.dtype == torch.float32
    assert torch.equal(y, expected)


def test_what_a_product_follows_it_follows_afterwards() -> None:
    with every_product("bf16"):
        convolve(*operands(), mode="same")
        kinds = torch.backends.mkldnn.matmul, torch.backends.mkldnn.conv
        assert [kind.fp32_precision for kind in kinds] == ["bf16", "bf16"]
        torch.backends.fp32_precision = "none"
        assert [kind.fp32_precision for kind in kinds] == ["none", "none"]


def test_settings_are_left_alone_by_many_threads() -> None:
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.allow_tf32
    x, w = operands()

    def call(_: int) -> float:
        return float(convolve(x, w, mode="same", algorithm="torch-conv2d")[0, 0])

    try:
        cudnn.benchmark, cudnn.allow_tf32 = True, True
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(call, range(400)))) == 1
        assert (cudnn.benchmark, cudnn.allow_tf32) == (True, True)
    finally:
        cudnn.benchmark, cudnn.allow_tf32 = before


def test_of_threads_inside_at_once_the_last_puts_back() -> None:
    state = {"value": "the user's"}
    held = Held(
        lambda: [Setting(lambda: state["value"], lambda v: state.update(value=v), "wanted")]
    )
    first, second = contextlib.ExitStack(), contextlib.ExitStack()
    first.enter_context(held)
    second.enter_context(held)
    first.close()
    assert state["value"] == "wanted"
    second.close()
    assert state["value"] == "the user's"


def test_settings_that_cannot_be_made_are_put_back() -> None:
    state = {"value": "the user's"}

    def refuse(value: str) -> None:
        raise RuntimeError(value)

    held = Held(
        lambda: [
            Setting(lambda: state["value"], lambda v: state.update(value=v), "wanted"),
            Setting(lambda: "another", refuse, "refused"),
        ]
    )
    with pytest.raises(RuntimeError, match="refused"), held:
        raise AssertionError("entered")
    assert state["value"] == "the user's"
    assert held._inside == 0


@pytest.mark.parametrize("name", ["auto", *NAMES])
def test_gradients_pass_or_are_refused(name: str) -> None:
    from convkernels import UnsupportedProblem

    x, w = (array.requires_grad_() for array in operands())
    if name != "auto" and not algorithms()[name].implementation.gradients:
        with pytest.raises(UnsupportedProblem, match=r"no gradient passes through it; allowed"):
            convolve(x, w, mode="same", algorithm=name)
        with torch.no_grad():
            assert not convolve(x, w, mode="same", algorithm=name).requires_grad
        return
    convolve(x, w, mode="same", algorithm=name).sum().backward()
    assert torch.allclose(x.grad[20, 20], w.detach().sum(), rtol=1e-4)
    assert w.grad is not None
