"""convolve(), the front door: shapes, what comes back, what it refuses (``auto``: test_auto)."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from convcross.measure.accuracy.reference import by_scipy
from convkernels import Problem, UnsupportedProblem, convolve
from support.contenders import TEXTBOOK


def normal(*shape: int, dtype: str = "float64") -> Any:
    return np.random.default_rng(shape).standard_normal(shape).astype(dtype)


# ---- shapes, and what comes back -------------------------------------------------------------


@pytest.mark.parametrize("lead", [(), (1,), (3,)], ids=str)
@pytest.mark.parametrize("name", [*TEXTBOOK, "auto", "scipy-convolve2d"])
def test_images_and_batches_of_images(lead: tuple[int, ...], name: str) -> None:
    x, w = normal(*lead, 9, 8), normal(3, 4)
    y = convolve(x, w, mode="same", algorithm=name)
    assert y.shape == x.shape
    problem = Problem((9, 8), (3, 4), batch=lead[0] if lead else 1, mode="same")
    expected = by_scipy(problem, x, w).reshape(x.shape)
    assert np.abs(y - expected).max() < 1e-13


def test_one_channel_keeps_its_axes() -> None:
    y = convolve(normal(1, 1, 9, 8), normal(1, 1, 3, 3), mode="valid")
    assert y.shape == (1, 1, 7, 6)
    assert convolve(normal(2, 1, 9, 8), normal(1, 1, 3, 3), mode="valid").shape == (2, 1, 7, 6)


@pytest.mark.parametrize("name", [*TEXTBOOK, "torch-conv2d", "auto"])
@pytest.mark.parametrize("stride", [1, (2, 3)])
@pytest.mark.parametrize("dilation", [1, (2, 1)])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("pad", [0, (2, 1)])
def test_correlation_is_torchs_conv2d(
    name: str, stride: Any, dilation: Any, groups: int, pad: Any, torch: Any
) -> None:
    x = torch.from_numpy(normal(2, 4, 11, 13))
    w = torch.from_numpy(normal(6, 4 // groups, 3, 2))
    options = {"stride": stride, "dilation": dilation, "groups": groups}
    down, across = (pad, pad) if isinstance(pad, int) else pad
    padding = ((down, down), (across, across))
    y = convolve(x, w, op="correlation", padding=padding, algorithm=name, **options)
    torch.testing.assert_close(
        y, torch.nn.functional.conv2d(x, w, padding=pad, **options), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("name", [*TEXTBOOK, "auto"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_numpy_in_numpy_out(name: str, dtype: str) -> None:
    y = convolve(normal(6, 7, dtype=dtype), normal(3, 3, dtype=dtype), algorithm=name)
    assert type(y) is np.ndarray
    assert y.dtype == dtype


@pytest.mark.parametrize("name", [*TEXTBOOK, "torch-conv2d", "auto"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda:0", marks=pytest.mark.gpu)])
def test_torch_in_torch_out(name: str, dtype: str, device: str, torch: Any) -> None:
    x, w = (torch.ones(n, n, dtype=getattr(torch, dtype), device=device) for n in (7, 3))
    y = convolve(x, w, algorithm=name)
    assert isinstance(y, torch.Tensor)
    assert (str(y.dtype), str(y.device)) == (f"torch.{dtype}", device)
    assert float(y[4, 4]) == pytest.approx(9.0, rel=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("name", [*TEXTBOOK, "auto"])
def test_cupy_in_cupy_out(name: str) -> None:
    cupy = pytest.importorskip("cupy", reason="cupy is not installed")
    y = convolve(cupy.ones((7, 7), "float32"), cupy.ones((3, 3), "float32"), algorithm=name)
    assert isinstance(y, cupy.ndarray)
    assert y.dtype == "float32"
    assert float(y[4, 4]) == pytest.approx(9.0, rel=1e-5)


@pytest.mark.parametrize("name", [*TEXTBOOK, "auto"])
def test_operands_may_lie_anyhow_in_memory(name: str) -> None:
    x, w = normal(20, 16)[::-2, ::2].T, normal(4, 3)[:, ::-1]
    plain = convolve(x.copy(), w.copy(), algorithm=name)
    assert np.allclose(convolve(x, w, algorithm=name), plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", [*TEXTBOOK, "auto"])
def test_tensors_may_lie_anyhow_in_memory(name: str, torch: Any) -> None:
    x4, w4 = torch.from_numpy(normal(2, 9, 8, 4)), torch.from_numpy(normal(3, 3, 4, 6))
    x4, w4 = x4.permute(0, 3, 1, 2), w4.permute(3, 2, 0, 1)[:, :, 1:, :]
    plain = convolve(x4.contiguous(), w4.contiguous(), algorithm=name)
    torch.testing.assert_close(convolve(x4, w4, algorithm=name), plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize("name", TEXTBOOK)
def test_results_are_contiguous(name: str, mode: str) -> None:
    x, w = normal(2, 13, 17, dtype="float32"), normal(3, 4, dtype="float32")
    assert convolve(x, w, mode=mode, algorithm=name).flags.c_contiguous


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize("name", TEXTBOOK)
def test_resulting_tensors_are_contiguous(name: str, mode: str, torch: Any) -> None:
    x, w = normal(2, 13, 17, dtype="float32"), normal(3, 4, dtype="float32")
    y = convolve(torch.from_numpy(x), torch.from_numpy(w), mode=mode, algorithm=name)
    assert y.is_contiguous()


@pytest.mark.parametrize("name", TEXTBOOK)
def test_gradients_of_torch_pass_through(name: str, torch: Any) -> None:
    x = torch.ones(5, 6, dtype=torch.float64, requires_grad=True)
    w = torch.from_numpy(normal(3, 2)).requires_grad_()
    convolve(x, w, algorithm=name).sum().backward()
    assert torch.allclose(x.grad, w.sum().expand(5, 6))
    assert torch.allclose(w.grad, torch.full((3, 2), 30.0, dtype=torch.float64))


# ---- what it refuses -------------------------------------------------------------------------

X, W = np.ones((8, 8)), np.ones((3, 3))
X4, W4 = np.ones((2, 4, 8, 8)), np.ones((6, 4, 3, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: convolve(X[0], W), r"x is \(8,\) and w is \(3, 3\); allowed: x \(H, W\) or"),
        (lambda: convolve(X, W[0]), r"x is \(8, 8\) and w is \(3,\); allowed"),
        (lambda: convolve(X4, W), r"x is \(2, 4, 8, 8\) and w is \(3, 3\); allowed"),
        (lambda: convolve(X4[:, :3], W4), r"w is \(6, 4, 3, 3\) with groups=1; allowed: w \(K, 3/"),
        (lambda: convolve(X4, W4, groups=2), r"with groups=2; allowed: w \(K, 4/groups, kh, kw\)"),
        (lambda: convolve(X4, W4[:5, :2], groups=2), "out_channels is 5; allowed: multiples"),
        (lambda: convolve(X, W, groups=2), "in_channels is 1; allowed: multiples of groups=2"),
        (lambda: convolve(X, W.astype("float32")), "dtype float32; allowed: x's, float64"),
        (lambda: convolve(X.astype(int), W.astype(int)), "dtype is 'int64'; allowed: float64"),
        (lambda: convolve(X + 0j, W + 0j), "dtype is 'complex128'; allowed: float64"),
        (lambda: convolve(X, W, calls=0), "calls is 0; allowed: whole numbers >= 1"),
        (lambda: convolve(X, W, calls=2.5), "calls is 2.5; allowed: whole numbers >= 1"),
        (lambda: convolve(X, W, calls=True), "calls is True; allowed: whole numbers >= 1"),
        (lambda: convolve(X, W, mode="vaild"), "mode is 'vaild'; allowed: full, same, valid"),
        (lambda: convolve(X, W, op="corr"), "op is 'corr'; allowed: convolution, correlation"),
        (lambda: convolve(X, W, boundary="wrap"), "boundary is 'wrap'; allowed: zero, circular"),
        (lambda: convolve(X, W, stride=0), r"stride is 0; allowed: whole numbers >= 1"),
        (lambda: convolve(X, W, dilation=(1, 0)), r"dilation is \(1, 0\); allowed"),
        (lambda: convolve(X, W, padding=1), r"padding is 1; allowed: \(\(top, bottom\)"),
        (
            lambda: convolve(X, W, padding=(1, 1)),
            r"padding is \(1, 1\); allowed: \(\(top, bottom\), \(left, right\)\)",
        ),
        (lambda: convolve(X, W, padding=((1, -1), (0, 0))), r"padding is .*; allowed: \(\(top"),
        (
            lambda: convolve(X, W, mode="same", padding=((1, 1), (1, 1))),
            "mode is 'same' and padding is given; allowed: one of them",
        ),
        (lambda: convolve(X, W, stride=True), "stride is True; allowed"),
        (lambda: convolve(X, W, stride=1.0), "stride is 1.0; allowed"),
        (lambda: convolve(W, X, mode="valid"), r"kernel is \[8, 8\]; allowed with mode valid: up"),
        (lambda: convolve(X[:0], W), r"image is \(0, 8\); allowed"),
        (lambda: convolve(X, W, algorithm="magic"), "algorithm is 'magic'; allowed: .*direct"),
    ],
)
def test_errors_name_the_value_and_what_is_allowed(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_one_library_for_both(torch: Any) -> None:
    with pytest.raises(ValueError, match="w is on torch cpu; allowed: numpy cpu"):
        convolve(X, torch.ones(3, 3))
    with pytest.raises(UnsupportedProblem, match="scipy-convolve2d runs on numpy"):
        convolve(torch.ones(8, 8), torch.ones(3, 3), algorithm="scipy-convolve2d")


@pytest.mark.parametrize("value", [True, 1.0, "1", (1, True), (1, 1.0), (1.0, 1)])
@pytest.mark.parametrize("name", ["stride", "dilation"])
def test_what_only_equals_a_number_is_refused_after_that_number(name: str, value: Any) -> None:
    for known in (1, (1, 1)):
        convolve(X, W, **{name: known})
    with pytest.raises(ValueError, match=f"{name} is .*; allowed: "):
        convolve(X, W, **{name: value})


@pytest.mark.parametrize("x", [[[1.0]], 1.0, None])
def test_other_types_are_refused(x: Any) -> None:
    with pytest.raises(TypeError, match="allowed: numpy, torch, cupy"):
        convolve(x, W)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: convolve(X, W, stride=2, algorithm="scipy-fftconvolve"), "no stride"),
        (lambda: convolve(X, W, algorithm="torch-conv2d"), "torch-conv2d runs on torch"),
        (
            lambda: convolve(X.astype("f2"), W.astype("f2"), algorithm="opencv-filter2d"),
            "no float16|not installed|does not load",
        ),
    ],
)
def test_refusals_give_the_reason(call: Callable[[], Any], reason: str) -> None:
    with pytest.raises(UnsupportedProblem, match=reason):
        call()


# ---- numbers and names ------------------------------------------------------------------------


@pytest.mark.parametrize("number", [2, np.int64(2), np.uint8(2)])
def test_whole_numbers_of_any_library(number: Any) -> None:
    expected = convolve(X, W, stride=2, dilation=(2, 1), padding=((2, 2), (2, 2)))
    pair = (number, number)
    y = convolve(X, W, stride=number, dilation=(number, 1), padding=(pair, pair), calls=number)
    assert np.array_equal(y, expected)


def test_whole_numbers_of_torch(torch: Any) -> None:
    test_whole_numbers_of_any_library(torch.tensor(2))


def test_convolve_is_the_function_not_the_module() -> None:
    package = importlib.import_module("convkernels")
    assert package.convolve is convolve
    assert set(package.__all__) >= {"Problem", "algorithm", "convolve", "UnsupportedProblem"}
