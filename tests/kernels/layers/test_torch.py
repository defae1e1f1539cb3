"""``FFTConv2d`` and ``Conv2d`` in the place of ``torch.nn.Conv2d``."""

from __future__ import annotations

import copy
import itertools
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from convkernels import Problem, UnsupportedProblem, calibration, plans
from support.calibrations import made

torch = pytest.importorskip("torch", reason="torch is not installed")

from convkernels.torch import Conv2d, FFTConv2d, fft_conv2d  # noqa: E402

# PyTorch's own layer, once a process.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")

LAYERS = [FFTConv2d, Conv2d, lambda *a, **o: Conv2d(*a, algorithm="fft", **o)]
NAMES = ["FFTConv2d", "auto", "fft"]
every = pytest.mark.parametrize("layer", LAYERS, ids=NAMES)

KINDS: list[dict[str, Any]] = [
    {},
    {"padding": 2, "bias": False},
    {"stride": 2, "padding": (1, 3)},
    {"padding": "same", "dilation": (2, 1)},
    {"padding": "valid", "groups": 2},
    {"padding": "same", "groups": 4, "kernel_size": (2, 4)},
    {"padding": 2, "padding_mode": "reflect"},
    {"padding": "same", "padding_mode": "circular"},
    {"padding": 1, "stride": (2, 1), "dilation": 2, "padding_mode": "replicate"},
]


def pair(layer: Any, dtype: Any = torch.float64, **kind: Any) -> tuple[Any, Any]:
    """The layer and PyTorch's, with the same parameters."""
    kind = {"in_channels": 4, "out_channels": 8, "kernel_size": 3} | kind
    theirs = torch.nn.Conv2d(**kind, dtype=dtype)
    ours = layer(**kind, dtype=dtype)
    assert ours.load_state_dict(theirs.state_dict()) == ([], [])
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    return ours, theirs


def images(*shape: int, dtype: Any = torch.float64) -> Any:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def step(layer: Any, x: Any) -> list[Any]:
    """y, and the gradients of the sum of its squares: of x and of the parameters."""
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    y = layer(x)
    gradients = torch.autograd.grad(y.float().square().sum(), [x, *layer.parameters()])
    return [y.detach(), *gradients]


@every
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_same_outputs_and_gradients(layer: Any, kind: dict[str, Any]) -> None:
    ours, theirs = pair(layer, **kind)
    for x in (images(3, 4, 9, 8), images(4, 9, 8)):
        for found, true in zip(step(ours, x), step(theirs, x), strict=True):
            assert found.shape == true.shape
            torch.testing.assert_close(found, true, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_gradcheck(kind: dict[str, Any]) -> None:
    layer, _ = pair(FFTConv2d, **kind, in_channels=4, out_channels=4)
    x = images(2, 4, 5, 5).requires_grad_()

    def function(x: Any, *parameters: Any) -> Any:
        named = dict(zip(dict(layer.named_parameters()), parameters, strict=True))
        return torch.func.functional_call(layer, named, x)

    parameters = [one.detach().requires_grad_() for one in layer.parameters()]
    assert torch.autograd.gradcheck(function, (x, *parameters), fast_mode=True)
    assert torch.autograd.gradgradcheck(function, (x, *parameters), fast_mode=True)


@every
def test_gradcheck_in_full(layer: Any) -> None:
    ours, _ = pair(layer, in_channels=2, out_channels=2, padding=1)
    x = images(1, 2, 4, 3).requires_grad_()
    assert torch.autograd.gradcheck(ours, (x,))
    assert torch.autograd.gradgradcheck(ours, (x,))


@every
def test_only_the_gradients_that_are_wanted(layer: Any) -> None:
    ours, theirs = pair(layer)
    for both in (ours, theirs):
        both.weight.requires_grad_(False)
    x = images(2, 4, 7, 7).requires_grad_()
    (found,), (true,) = (torch.autograd.grad(one(x).sum(), x) for one in (ours, theirs))
    torch.testing.assert_close(found, true)
    with torch.no_grad():
        assert not ours(x).requires_grad
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours(x), theirs(x))  # what inference mode has made is of use here


@every
def test_memory_format(layer: Any) -> None:
    ours, theirs = pair(layer, dtype=torch.float32, padding=1)
    x = images(2, 4, 9, 8, dtype=torch.float32)
    last = {"memory_format": torch.channels_last}
    for own, other, given in (
        (ours, theirs, x),
        (ours, theirs, x.contiguous(**last)),
        (copy.deepcopy(ours).to(**last), copy.deepcopy(theirs).to(**last), x),
    ):
        found, true = step(own, given), step(other, given)
        assert found[0].is_contiguous(**last) == true[0].is_contiguous(**last)
        for result, answer in zip(found, true, strict=True):
            torch.testing.assert_close(result, answer, rtol=1e-4, atol=1e-4)


@every
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast(layer: Any, dtype: Any) -> None:
    ours, theirs = pair(layer, dtype=torch.float32)
    x = images(2, 4, 9, 8, dtype=torch.float32)
    with torch.autocast("cpu", dtype=dtype):
        found, true = step(ours, x), step(theirs, x)
    for one, other in zip(found, true, strict=True):
        assert one.dtype == other.dtype
        assert float((one.float() - other.float()).norm()) <= 0.03 * float(other.float().norm())


@every
def test_an_empty_batch(layer: Any) -> None:
    ours, theirs = pair(layer)
    x = images(0, 4, 7, 7)
    for found, true in zip(step(ours, x), step(theirs, x), strict=True):
        assert torch.equal(found, true)


@every
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_where_it_is(layer: Any, value: float) -> None:
    """A transform would spread it over the image; gradients likewise."""
    ours, theirs = pair(layer, dtype=torch.float32, padding=1, bias=False)
    x = images(2, 4, 16, 16, dtype=torch.float32)
    x[0, 1, 3, 3] = value
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, true = step(ours, x), step(theirs, x)
    for one, other in zip(found, true, strict=True):
        assert torch.equal(one.isfinite(), other.isfinite())
    assert found[0].isfinite().sum() > 3000


@every
def test_deterministic(layer: Any) -> None:
    ours, _ = pair(layer, dtype=torch.float32)
    x = images(2, 4, 16, 16, dtype=torch.float32)
    for one, other in zip(step(ours, x), step(ours, x), strict=True):
        assert torch.equal(one, other)


@every
def test_copies_and_repr(layer: Any) -> None:
    ours, theirs = pair(layer)
    x = images(1, 4, 6, 6)
    assert torch.equal(copy.deepcopy(ours)(x), ours(x))
    inside = repr(theirs).removeprefix("Conv2d(").removesuffix(")")
    assert inside in repr(ours)


@pytest.mark.filterwarnings("ignore")
def test_compile_breaks_the_graph_and_runs() -> None:
    """By the tracing of torch.compile alone: a back end needs a C++ compiler."""
    ours, _ = pair(FFTConv2d, dtype=torch.float32)
    model = torch.nn.Sequential(torch.nn.ReLU(), ours, torch.nn.ReLU())
    x = images(2, 4, 9, 8, dtype=torch.float32)
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager")
    for one, other in zip(step(compiled, x), step(model, x), strict=True):
        torch.testing.assert_close(one, other)
    assert torch._dynamo.explain(model)(x).graph_break_count <= 1
    torch._dynamo.reset()


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"input": images(5, 5)}, RuntimeError, r"input is \(5, 5\); allowed: \(B, C, H, W\) or \(C"),
    ({"input": images(1, 3, 5, 5)}, RuntimeError, r"allowed: input \(B, 4, H, W\) or weight \(K"),
    ({"input": images(1, 4, 2, 5)}, RuntimeError, r"kernel is \[3, 3\].*up to \[2, 5\]"),
    ({"input": images(1, 4, 5, 5).float()}, RuntimeError, r"weight has dtype torch.float64"),
    ({"input": images(1, 4, 5, 5).long()}, RuntimeError, r"dtype torch.int64; allowed: float64"),
    ({"input": images(1, 4, 5, 5).cfloat()}, RuntimeError, r"complex64; allowed: float64"),
    ({"weight": images(8, 4, 3)}, RuntimeError, r"weight is \(8, 4, 3\); allowed: \(K"),
    ({"bias": images(7)}, RuntimeError, r"bias is \(7,\); allowed: \(8,\)"),
    ({"groups": 3}, RuntimeError, r"weight is .* with groups=3; allowed: K a multiple"),
    ({"groups": 0}, ValueError, r"groups is 0; allowed: whole numbers >= 1"),
    ({"stride": 0}, ValueError, r"stride is .*; allowed: whole numbers >= 1"),
    ({"dilation": 0}, ValueError, r"dilation is .*; allowed: whole numbers >= 1"),
    ({"padding": -1}, ValueError, r"padding is .*; allowed"),
    ({"padding": "full"}, RuntimeError, r"padding is 'full'; allowed: 'valid', 'same'"),
    ({"padding": "same", "stride": 2}, RuntimeError, r"'same' with stride \(2, 2\); allowed"),
    ({"input": images(1, 4, 5, 5).to_sparse()}, TypeError, r"layout torch.sparse_coo; allowed"),
]


@pytest.mark.parametrize(("changed", "error", "told"), BAD, ids=[str(one[2]) for one in BAD])
def test_bad_input(changed: dict[str, Any], error: type[Exception], told: str) -> None:
    given = {"input": images(1, 4, 5, 5), "weight": images(8, 4, 3, 3), "bias": images(8)}
    with pytest.raises(error, match=told):
        fft_conv2d(**(given | changed))


def test_bad_algorithms() -> None:
    with pytest.raises(ValueError, match=r"algorithm is 'fftt'; allowed: .*fft"):
        Conv2d(4, 8, 3, algorithm="fftt")
    layer = Conv2d(4, 8, 3, stride=2, algorithm="winograd-4x4-3x3")
    with pytest.raises(UnsupportedProblem, match="winograd-4x4-3x3"):
        layer(images(1, 4, 9, 9, dtype=torch.float32))


def test_named_algorithm_without_gradients_has_pytorchs() -> None:
    ours, theirs = pair(
        lambda **o: Conv2d(**o, algorithm="numba-overlap-save"),
        dtype=torch.float32,
        groups=4,
        out_channels=4,
    )
    x = images(2, 4, 16, 16, dtype=torch.float32)
    for found, true in zip(step(ours, x), step(theirs, x), strict=True):
        torch.testing.assert_close(found, true, rtol=1e-4, atol=1e-3)


def test_auto_goes_by_the_calibration_of_each_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"forward": 3e-3, "grad_input": 3e-3, "grad_weight": 1e-3}
    passes = {direction: (0.0, 0.0, seconds) for direction, seconds in own.items()}
    calibration.write(made({"fft/torch": (0.0, 0.0, 2e-3), "torch-conv2d/torch": passes}))
    taken, take_best = {}, plans.take_best

    def spy(problem: Problem, *arguments: Any, **options: Any) -> plans.Plan:
        plan = take_best(problem, *arguments, **options)
        taken[problem.direction] = plan.algorithm.name
        return plan

    monkeypatch.setattr(plans, "take_best", spy)
    ours, theirs = pair(Conv2d, dtype=torch.float32)
    x = images(2, 4, 16, 16, dtype=torch.float32)
    for found, true in zip(step(ours, x), step(theirs, x), strict=True):
        torch.testing.assert_close(found, true, rtol=1e-4, atol=1e-3)
    assert taken == {"forward": "fft", "grad_input": "fft", "grad_weight": "torch-conv2d"}


def test_meta_tensors_have_shapes_alone() -> None:
    layer = FFTConv2d(4, 8, 3, device="meta")
    assert layer(torch.empty(2, 4, 9, 9, device="meta")).shape == (2, 8, 7, 7)


def test_import_convkernels_needs_no_torch() -> None:
    code = "import sys, convkernels, convkernels.discovery; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_page_of_layers_runs() -> None:
    """Its blocks of code, one after the other, on a model of torch.nn.Conv2d."""
    page = Path(__file__).parents[3] / "kernels/convkernels/layers/README.md"
    texts = re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert len(texts) == 3
    convolutions = [torch.nn.Conv2d(3, 4, 7, padding=3), torch.nn.Conv2d(4, 2, 3)]
    model = torch.nn.Sequential(*convolutions)
    x = images(2, 3, 9, 9, dtype=torch.float32)
    before = model(x)
    named: dict[str, Any] = {"model": model}
    for text in texts:
        exec(text, named)
    assert [type(one) for one in model] == [FFTConv2d, torch.nn.Conv2d]
    torch.testing.assert_close(model(x), before, rtol=1e-4, atol=1e-5)
    y, gx, gw = named["result"]
    problem = named["problem"]
    assert (y.shape, gx.shape, gw.shape) == (problem.y_shape, problem.x_shape, problem.w_shape)


def test_layers_of_many_shapes_share_matrices() -> None:
    from convkernels.layers import transforms

    layer = FFTConv2d(2, 2, 3, padding=1)
    layer(images(1, 2, 11, 13, dtype=torch.float32))
    before = transforms.on_device.cache_info().misses
    for batch, channels in itertools.product((2, 3, 5), (1, 2)):
        own = FFTConv2d(channels, 2, 3, padding=1)
        own(images(batch, channels, 11, 13, dtype=torch.float32))
    assert transforms.on_device.cache_info().misses - before <= 3 * 5  # a few tilings, not 6 layers
