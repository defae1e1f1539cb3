"""Every registered algorithm in each gradient that it declares, against float64's definition."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from convkernels import Problem
from convkernels.algorithms.fft.fft_gemm import GemmFFT
from convkernels.discovery import algorithms
from convkernels.toolbox.directions import GRADIENTS
from support import behaviour
from support.contenders import Contender, contenders

RANDOM_PROBLEMS, STRICT_PROBLEMS = 150, 50

# What is not forward of each, by the issue that asked for it; others may have gradients too.
WANTED = {
    **dict.fromkeys(("direct", "im2col-gemm", "torch-conv2d"), ("grad_input", "grad_weight")),
    "torch-conv2d-channels-last": ("grad_input", "grad_weight"),
    **dict.fromkeys(
        ("fft", "fft-exact", "fft-float64", "fft-packed", "fft-power-of-two"),
        ("grad_input", "grad_weight"),
    ),
    **dict.fromkeys(("overlap-add", "overlap-save"), ("grad_input", "grad_weight")),
    **dict.fromkeys(("fft-ducc", "fft-fftw", "fft-mkl"), ("grad_input", "grad_weight")),
    "fft-gemm": ("grad_input", "grad_weight"),
}


def declared() -> list[object]:
    """(contender, direction) of every gradient, as pytest's parameters."""
    return [
        pytest.param(*parameter.values, way, id=f"{parameter.id}-{way}", marks=parameter.marks)
        for parameter in contenders()
        for way in parameter.values[0].algorithm.directions
        if way in GRADIENTS
    ]


gradients = pytest.mark.parametrize(("contender", "direction"), declared())


def test_the_directions_that_were_asked_for() -> None:
    for name, ways in WANTED.items():
        assert algorithms()[name].directions[:3] == ("forward", *ways)


@gradients
def test_random_problems(contender: Contender, direction: str) -> None:
    contender.skip_unless_here()
    behaviour.agrees_on_random_problems(contender, RANDOM_PROBLEMS, STRICT_PROBLEMS, direction)


@gradients
def test_fixed_problems(contender: Contender, direction: str) -> None:
    contender.skip_unless_here()
    behaviour.agrees_on_fixed_problems(contender, direction)


@gradients
def test_runs_repeat_and_share_no_memory(contender: Contender, direction: str) -> None:
    contender.skip_unless_here()
    behaviour.repeats_and_shares_no_memory(contender, direction)


@gradients
def test_a_second_load_replaces_the_first(contender: Contender, direction: str) -> None:
    contender.skip_unless_here()
    behaviour.forgets_what_was_loaded(contender, direction)


@gradients
def test_strided_operands(contender: Contender, direction: str) -> None:
    contender.skip_unless_here()
    behaviour.takes_strided_operands(contender, "every second", direction)


@pytest.mark.parametrize("name", ["direct", "im2col-gemm", "fft", "overlap-save"])
def test_a_dtype_that_the_library_lacks_is_refused(name: str) -> None:
    algorithm = algorithms()[name]
    problem = Problem((9, 9), (3, 3), direction="grad_weight", dtype="bfloat16")
    assert algorithm.refuses(problem, "numpy", "cpu") == "numpy has no bfloat16"


def test_a_refusal_of_an_exchanged_problem_says_what_it_is() -> None:
    algorithm = algorithms()["winograd-2x2-3x3"]
    problem = Problem((9, 9), (5, 5), direction="grad_input")
    reason = algorithm.refuses(problem, "numpy", "cpu")
    assert reason == (
        "takes kernels of 3×3 only; this is 5×5 (as a forward problem: 13×13 with 5×5)"
    )


def test_a_record_says_how_a_gradient_was_solved() -> None:
    problem = Problem((8, 8), (3, 3), mode="same", stride=(2, 2), direction="grad_weight")
    instance = algorithms()["fft"].prepare(problem, "numpy", "cpu")
    assert instance.provenance()["solved_as"] == "7×7 with 8×8"
    assert "padded" in instance.provenance()


def test_a_strided_images_gradient_is_solved_in_phases() -> None:
    problem = Problem((8, 8), (3, 3), mode="same", stride=(2, 2), direction="grad_input")
    instance = algorithms()["direct"].prepare(problem, "numpy", "cpu")
    assert instance.provenance()["solved_as"] == "4×4 with 2×2"  # of 4 outputs, to 4 channels


@pytest.mark.parametrize("name", ["direct", "im2col-gemm", "kn2row"])
def test_what_a_strided_images_gradient_costs(name: str) -> None:
    """16 elements of 4 phases of the kernel in the place of 9; no product with zeros in between."""
    problem = Problem((960, 960), (3, 3), mode="same", stride=(2, 2), direction="grad_input")
    assert algorithms()[name].cost(problem).flops / problem.flops == pytest.approx(16 / 9, rel=0.02)


@pytest.mark.parametrize("name", ["numba-direct", "numba-overlap-save"])
@pytest.mark.parametrize("channels", [1, 6])
def test_the_compiled_take_strides_and_dilations_of_a_filters_gradient(
    name: str, channels: int
) -> None:
    problem = Problem(
        (40, 30),
        (5, 3),
        in_channels=channels,
        out_channels=channels,
        groups=channels,
        stride=(2, 3),
        dilation=(3, 2),
        direction="grad_weight",
    )
    assert algorithms()[name].refuses(problem, "numpy", "cpu") is None
    image = dataclasses.replace(problem, direction="grad_input", stride=(1, 1))
    reason = algorithms()[name].refuses(image, "numpy", "cpu")
    assert reason is not None
    assert reason.startswith("no dilation (as a forward problem: ")


def test_a_pass_of_fft_gemm_costs_its_product_and_three_transforms() -> None:
    fields: dict[str, Any] = {"batch": 2, "in_channels": 8, "out_channels": 24, "mode": "same"}
    algorithm = algorithms()["fft-gemm"]
    loaded = {"forward": "w", "grad_input": "w", "grad_weight": "x"}
    for direction, operand in loaded.items():
        problem = Problem((20, 20), (5, 5), direction=direction, **fields)
        tiling = GemmFFT.tiling(problem)
        transforms = {which: tiling.transform_flops(which) for which in "xwy"}
        found = algorithm.cost(problem)
        assert found.once_flops == transforms[operand]
        whole = tiling.product_flops + sum(transforms.values())
        assert found.flops + found.once_flops == pytest.approx(whole)
