"""convolve(), the front door: shapes, what comes back, what it refuses, and what auto picks."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings

from convcross.measure.accuracy.reference import by_scipy
from convkernels import Cost, Problem, UnsupportedProblem, algorithm, convolve, registry
from convkernels.discovery import algorithms
from convkernels.selection import choose, flops_of_call, room
from support.contenders import TEXTBOOK
from support.problems import problems
from support.reference import relative_error

torch = pytest.importorskip("torch", reason="torch is not installed")


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
    name: str, stride: Any, dilation: Any, groups: int, pad: Any
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
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda:0", marks=pytest.mark.gpu)])
def test_torch_in_torch_out(name: str, dtype: Any, device: str) -> None:
    x, w = (torch.ones(n, n, dtype=dtype, device=device) for n in (7, 3))
    y = convolve(x, w, algorithm=name)
    assert isinstance(y, torch.Tensor)
    assert (y.dtype, str(y.device)) == (dtype, device)
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
    x4, w4 = torch.from_numpy(normal(2, 9, 8, 4)), torch.from_numpy(normal(3, 3, 4, 6))
    x4, w4 = x4.permute(0, 3, 1, 2), w4.permute(3, 2, 0, 1)[:, :, 1:, :]
    plain = convolve(x4.contiguous(), w4.contiguous(), algorithm=name)
    torch.testing.assert_close(convolve(x4, w4, algorithm=name), plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize("name", TEXTBOOK)
def test_results_are_contiguous(name: str, mode: str) -> None:
    x, w = normal(2, 13, 17, dtype="float32"), normal(3, 4, dtype="float32")
    assert convolve(x, w, mode=mode, algorithm=name).flags.c_contiguous
    y = convolve(torch.from_numpy(x), torch.from_numpy(w), mode=mode, algorithm=name)
    assert y.is_contiguous()


@pytest.mark.parametrize("name", TEXTBOOK)
def test_gradients_of_torch_pass_through(name: str) -> None:
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
        (lambda: convolve(X, torch.ones(3, 3)), "w is on torch cpu; allowed: numpy cpu"),
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


@pytest.mark.parametrize("x", [[[1.0]], 1.0, None])
def test_other_types_are_refused(x: Any) -> None:
    with pytest.raises(TypeError, match="allowed: numpy, torch, cupy"):
        convolve(x, W)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (
            lambda: convolve(torch.ones(8, 8), torch.ones(3, 3), algorithm="scipy-convolve2d"),
            "scipy-convolve2d runs on numpy",
        ),
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


# ---- auto ------------------------------------------------------------------------------------


def plant(
    name: str,
    reason: str | None,
    namespaces: tuple[str, ...] = ("numpy",),
    family: str = "direct",
    arithmetic: str = "ieee",
    settled: bool = True,
) -> None:
    """The cheapest algorithm of all, by its own account."""
    final = settled

    @algorithm(
        name=name, family=family, namespaces=namespaces, arithmetic=arithmetic, source="this test"
    )
    class Planted:
        settled = final

        @staticmethod
        def refuses(problem: Problem, namespace: str, device: str) -> str | None:
            return reason

        @staticmethod
        def cost(problem: Problem) -> Cost:
            return Cost(0.0, 0.0)

        def run(self, a: Any) -> Any:
            raise AssertionError(f"{name} was picked")


@pytest.mark.usefixtures("clean_registry")
@given(problems)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_auto_never_picks_one_that_refuses(problem: Problem) -> None:
    plant("refusing", "it always refuses")
    plant("elsewhere", None, namespaces=("cupy",))
    plant("rank 1", None, family="separable")
    plant("rounded", None, arithmetic="tf32")
    plant("asks its library", None, settled=False)
    for namespace in ("numpy", "torch"):
        if namespace == "numpy" and problem.dtype == "bfloat16":
            continue
        chosen = choose(problem, namespace, "cpu")
        assert chosen.name not in ("refusing", "elsewhere", "rank 1", "rounded", "asks its library")
        assert namespace in chosen.namespaces
        assert chosen.missing(namespace) is None
        assert chosen.refuses(problem, namespace, "cpu") is None


@given(problems)
@settings(max_examples=40)
def test_auto_is_right(problem: Problem) -> None:
    assume(problem.dtype in ("float32", "float64"))
    x, w = normal(*problem.x_shape, dtype=problem.dtype), normal(*problem.w_shape)
    w = w.astype(problem.dtype)
    keys = ("op", "padding", "stride", "dilation", "groups", "boundary")
    options = {key: getattr(problem, key) for key in keys}
    y = convolve(x, w, mode=problem.mode, **options)
    expected = by_scipy(problem, x, w)
    limit = 1e-12 if problem.dtype == "float64" else 1e-4
    assert relative_error(y.reshape(expected.shape), expected, x, w) < limit


@pytest.mark.usefixtures("clean_registry")
def test_auto_picks_the_cheapest_that_takes_it() -> None:
    problem = Problem((8, 8), (3, 3), dtype="float64")
    plant("cheapest", None)
    assert choose(problem, "numpy", "cpu").name == "cheapest"
    with pytest.raises(AssertionError, match="cheapest was picked"):
        convolve(X, W)
    assert choose(problem, "torch", "cpu").name != "cheapest"


def test_auto_turns_to_fourier_when_the_kernel_is_large() -> None:
    def family(kernel: int, namespace: str) -> str:
        problem = Problem((512, 512), (kernel, kernel), mode="same")
        return choose(problem, namespace, "cpu").family

    for namespace in ("numpy", "torch"):
        assert family(129, namespace) == "fft"
        assert family(2, namespace) != "fft"


@pytest.mark.parametrize(
    ("x", "w"),
    [
        ((1, 64, 128, 128), (64, 64, 31, 31)),  # whole-image spectra: 978 MiB, 22 by torch
        ((8, 512, 14, 14), (512, 512, 3, 3)),  # 262,144 spectra of filters for one call
        ((1, 1, 1024, 1024), (1, 1, 15, 15)),  # patches: 900 MB
        ((1, 1, 4096, 4096), (1, 1, 31, 31)),
    ],
)
@pytest.mark.parametrize("namespace", ["numpy", "torch"])
def test_auto_takes_what_fits_beside_the_operands(
    namespace: str, x: tuple[int, ...], w: tuple[int, ...]
) -> None:
    channels = {"batch": x[0], "in_channels": x[1], "out_channels": w[0]}
    problem = Problem(x[2:], w[2:], mode="same", **channels)
    cost = choose(problem, namespace, "cpu").implementation.cost(problem)
    assert cost.workspace <= room(problem)


def test_auto_counts_what_one_call_plans_and_loads() -> None:
    problem = Problem((14, 14), (3, 3), batch=8, in_channels=512, out_channels=512, mode="same")
    assert choose(problem, "torch", "cpu").name == "torch-conv2d"
    single = Problem((64, 64), (3, 3), mode="same")
    assert choose(single, "torch", "cpu").name != "torch-compile"


def test_passes_that_follow_one_another_add() -> None:
    cost = Cost(8e9, 1e8, once_flops=3e9, once_bytes=4e8)
    assert flops_of_call(cost) == 8e9 + 4e9
    assert flops_of_call(dataclasses.replace(cost, serial=True)) == 8e9 + 1e9 + 3e9 + 4e9


@pytest.mark.parametrize("number", [2, np.int64(2), np.uint8(2), torch.tensor(2)])
def test_whole_numbers_of_any_library(number: Any) -> None:
    expected = convolve(X, W, stride=2, dilation=(2, 1), padding=((2, 2), (2, 2)))
    pair = (number, number)
    y = convolve(X, W, stride=number, dilation=(number, 1), padding=(pair, pair))
    assert np.array_equal(y, expected)


@pytest.mark.parametrize("fill", [0.0, np.nan, np.inf, 1e300])
def test_auto_does_not_look_at_values(fill: float, monkeypatch: pytest.MonkeyPatch) -> None:
    picked: list[str] = []
    prepare = registry.Algorithm.prepare

    def spy(self: registry.Algorithm, *arguments: Any) -> Any:
        picked.append(self.name)
        return prepare(self, *arguments)

    monkeypatch.setattr(registry.Algorithm, "prepare", spy)
    with np.errstate(all="ignore"):
        convolve(normal(30, 30), normal(5, 5))
        convolve(np.full((30, 30), fill), np.full((5, 5), fill))
    assert picked[0] == picked[1]


@pytest.mark.usefixtures("clean_registry")
def test_auto_with_nothing_left_gives_every_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    algorithms()
    registry.registered.clear()
    plant("one", "too blue")
    plant("two", "too green")
    plant("three", None, namespaces=("torch",))
    with pytest.raises(UnsupportedProblem, match="on numpy takes it: one: too blue; two: too gree"):
        convolve(X, W)


def test_convolve_is_the_function_not_the_module() -> None:
    package = importlib.import_module("convkernels")
    assert package.convolve is convolve
    assert set(package.__all__) >= {"Problem", "algorithm", "convolve", "UnsupportedProblem"}
