"""NVIDIA's fused FFT without a GPU: a stand-in of its documented signatures, shapes and layouts.

As subquadratic_ops_torch 0.3.1 documents them: tiles of 8 to 128, images to half a tile, the
spectrum frequency-major with real and imaginary parts in turn, the result from F/2 on.
"""

from __future__ import annotations

import random
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from convkernels import Problem, UnsupportedProblem, namespaces
from convkernels.algorithms.libraries import nvidia_fused_fft as fused
from convkernels.discovery import find
from support.problems import FIXED, case, random_problem
from support.reference import relative_error

torch = pytest.importorskip("torch", reason="torch is not installed")
NAME = "nvidia-fused-fft"


class Library(ModuleType):
    """subquadratic_ops_torch.fused_fft_conv2d, by torch's own transforms."""

    def __init__(self) -> None:
        super().__init__("subquadratic_ops_torch.fused_fft_conv2d")
        self.loads = self.runs = 0
        self.limit = 128

    def fused_rfft2d_fwd(self, weight: Any, fft_size: int | None = None) -> Any:
        assert weight.dim() == 4
        assert weight.shape[0] == 1
        assert fft_size in (8, 16, 32, 64, 128)
        assert max(weight.shape[-2:]) <= fft_size
        self.loads += 1
        spectrum = torch.fft.rfft2(weight, s=(fft_size, fft_size), norm="forward")
        pairs = torch.view_as_real(spectrum.transpose(-2, -1).contiguous())
        return pairs.reshape(1, weight.shape[1], fft_size // 2 + 1, 2 * fft_size)

    def fused_fft_conv2d_fwd(self, x: Any, kf: Any) -> Any:
        size = kf.shape[-1] // 2
        if size > self.limit:
            raise RuntimeError("the workspace exceeds the per-block shared-memory limit")
        assert x.dim() == 4
        assert (x.shape[1], size // 2 + 1) == tuple(kf.shape[1:3])
        assert max(x.shape[-2:]) <= size // 2
        self.runs += 1
        spectrum = torch.view_as_complex(kf.reshape(*kf.shape[:-1], size, 2).contiguous())
        product = torch.fft.rfft2(x, s=(size, size)) * spectrum.transpose(-2, -1)
        y = torch.fft.irfft2(product, s=(size, size), norm="forward")
        return y[..., size // 2 :, size // 2 :][..., : x.shape[-2], : x.shape[-1]].contiguous()


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    stub, package = Library(), ModuleType(fused.PACKAGE)
    package.fused_fft_conv2d = stub  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, fused.PACKAGE, package)
    monkeypatch.setitem(sys.modules, stub.__name__, stub)
    return stub


def planned(problem: Problem) -> Any:
    reason = find(NAME).refuses(problem, "torch", "cuda:0")
    if reason is not None:
        raise UnsupportedProblem(reason)
    instance = find(NAME).implementation()
    instance.plan(problem, namespaces.namespace("torch"), "cpu")
    return instance


def solved(problem: Problem, seed: int = 0) -> float:
    """The error of its result, in bounds of it."""
    case_ = case(problem, seed)
    instance = planned(problem)
    x, w = (namespaces.from_numpy(v, "torch", "cpu", "float32") for v in (case_.x, case_.w))
    instance.load(w)
    y = instance.run(x).numpy()
    assert y.shape == problem.y_shape
    error = relative_error(y, case_.expected, case_.x, case_.w)
    return error / float(instance.error_bound(problem))


@pytest.mark.usefixtures("library")
def test_agrees_with_scipy() -> None:
    taken = 0
    problems = [*FIXED.values(), *(random_problem(random.Random(index)) for index in range(500))]
    for index, problem in enumerate(problems):
        try:
            assert solved(problem, index) <= 1, problem
        except UnsupportedProblem:
            continue
        taken += 1
    assert taken > 50


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("op", ["convolution", "correlation"])
@pytest.mark.parametrize(
    "problem",
    [
        {"image": (64, 64), "kernel": (15, 14), "mode": "same"},  # the largest tile
        {"image": (33, 20), "kernel": (31, 31), "mode": "full"},
        {"image": (20, 20), "kernel": (90, 70), "mode": "same"},  # larger than the tile
        {"image": (5, 5), "kernel": (3, 3), "padding": ((12, 0), (0, 9))},  # far off the image
        {"image": (20, 22), "kernel": (20, 3), "boundary": "circular", "mode": "full"},
        {"image": (16, 16), "kernel": (5, 5), "batch": 2, "mode": "valid"}
        | {"in_channels": 3, "out_channels": 3, "groups": 3},
    ],
)
def test_every_place_of_the_kernel(problem: dict[str, Any], op: str) -> None:
    assert solved(Problem(op=op, **problem)) <= 1


def test_the_filter_is_transformed_in_load_alone(library: Library) -> None:
    problem = Problem((20, 20), (3, 3), mode="same")
    instance = planned(problem)
    assert (library.loads, library.runs) == (1, 1)  # the plan's
    instance.load(torch.ones(problem.kernel))
    for _ in range(3):
        instance.run(torch.ones(problem.image))
    assert (library.loads, library.runs) == (2, 4)
    assert instance.provenance() == {"padded": [64, 64]}


def test_a_card_with_too_little_shared_memory_is_a_refusal(library: Library) -> None:
    library.limit = 64
    planned(Problem((32, 32), (3, 3), mode="same"))
    with pytest.raises(UnsupportedProblem, match="exceeds the per-block shared-memory limit"):
        planned(Problem((33, 32), (3, 3), mode="same"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"dtype": "float16"}, "in float32 alone, not float16"),
        ({"in_channels": 2, "out_channels": 4, "groups": 2}, "2 to 4 channels in 2 groups"),
        ({"image": (63, 40)}, "to 64×64; this is 65×42"),
        ({"image": (60, 60), "boundary": "circular", "kernel": (7, 3)}, "this is 66×62"),
        ({"stride": 2}, "fused_fft_conv2d has no stride"),
        ({"dilation": 2}, "fused_fft_conv2d has no dilation"),
        ({"direction": "grad_input"}, "no direction grad_input"),
    ],
)
def test_refuses_with_a_reason(change: dict[str, Any], reason: str) -> None:
    problem = Problem(**{"image": (20, 20), "kernel": (3, 3)} | change)
    assert reason in str(find(NAME).refuses(problem, "torch", "cuda:0"))


@pytest.mark.parametrize(("side", "size"), [(1, 8), (4, 8), (5, 16), (32, 64), (33, 128)])
def test_the_tile_is_the_least_that_holds_twice_the_image(side: int, size: int) -> None:
    assert fused.transform_size(Problem((side, 1), (1, 1))) == size


def test_the_cost_is_of_whole_tiles() -> None:
    def flops(side: int) -> float:
        return find(NAME).implementation.cost(Problem((side, side), (3, 3), mode="same")).flops

    assert flops(33) == flops(64) > 4 * flops(32)
    assert np.isfinite(flops(1))
