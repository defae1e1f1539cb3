"""torch's tensors as users have them: layouts, subclasses, masks, no batch; as of arrays."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import signal

from convkernels import UnsupportedProblem, convolve
from convkernels.discovery import algorithms

torch = pytest.importorskip("torch", reason="torch is not installed")

BASE = torch.from_numpy(np.random.default_rng(8).standard_normal((64, 64)))
LAYOUTS: dict[str, Callable[[], Any]] = {
    "overlapping": lambda: torch.arange(40.0, dtype=torch.float64).unfold(0, 20, 1),
    "repeated": lambda: torch.arange(20.0, dtype=torch.float64).expand(21, 20),
    "negated when read": lambda: torch.complex(BASE, BASE).conj().imag,
    "stepped": lambda: BASE[::3, 1::2],
    "transposed": lambda: BASE[:30].T,
    "a part": lambda: BASE[3:40, 5:50],
}


@pytest.mark.parametrize("algorithm", ["auto", *algorithms()])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout: str, algorithm: str) -> None:
    x, w = LAYOUTS[layout](), BASE[:7, 1:12:4]
    try:
        y = convolve(x, w, mode="valid", algorithm=algorithm)
    except UnsupportedProblem as refusal:
        pytest.skip(str(refusal))
    want = signal.convolve2d(x.resolve_neg().numpy(), w.numpy(), "valid")
    assert np.abs(y.numpy() - want).max() <= 1e-12 * np.abs(want).max()


class Tagged(torch.Tensor):
    """A subclass that means what a tensor means."""


def test_subclasses_that_mean_the_same() -> None:
    w = torch.ones(3, 3)
    for x in (torch.nn.Parameter(torch.ones(8, 8)), torch.ones(8, 8).as_subclass(Tagged)):
        assert float(convolve(x, w, mode="same").sum().detach()) == 484


def masked_tensor() -> Any:
    from torch.masked import masked_tensor

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return masked_tensor(torch.ones(8, 8), torch.ones(8, 8, dtype=torch.bool))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (masked_tensor, r"ignore its mask; allowed: .*\.to_tensor\(0\)"),
        (lambda: torch.ones(8, 8).to_sparse(), r"torch.sparse_coo; allowed: .*\.to_dense\(\)"),
        (lambda: torch.ones(8, 8, device="meta"), "on device meta; allowed: cpu, cuda"),
    ],
)
@pytest.mark.parametrize("algorithm", ["auto", "direct", "fft"])
def test_what_means_more_than_its_numbers_is_refused(
    make: Callable[[], Any], message: str, algorithm: str
) -> None:
    odd, plain = make(), torch.ones(8, 8)
    for x, w in ((odd, plain[:3, :3]), (plain, odd)):
        with pytest.raises(TypeError, match=message):
            convolve(x, w, algorithm=algorithm)


@pytest.mark.parametrize("algorithm", ["auto", "direct", "im2col-gemm", "torch-conv2d", "fft"])
def test_finite_results_and_the_kernels_own_nan_are_silent(algorithm: str) -> None:
    x, w = torch.ones(32, 32), torch.ones(9, 9)
    convolve(x, w, algorithm=algorithm)
    w[3, 3] = float("nan")
    convolve(x, w, algorithm=algorithm)


@pytest.mark.parametrize("algorithm", ["auto", "direct", "torch-conv2d"])
def test_an_empty_batch_has_an_empty_result(algorithm: str) -> None:
    x, w = torch.ones(0, 4, 9, 8), torch.ones(6, 2, 3, 3)
    padding = ((1, 1), (1, 1))
    y = convolve(x, w, groups=2, padding=padding, op="correlation", algorithm=algorithm)
    assert y.shape == torch.nn.functional.conv2d(x, w, groups=2, padding=1).shape == (0, 6, 9, 8)
    assert y.dtype == x.dtype
    with pytest.raises(ValueError, match="allowed"):  # as of any batch
        convolve(x, w, groups=3, algorithm=algorithm)
