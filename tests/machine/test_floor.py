"""Floors from first principles, and what they must not say of an honest contender."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from convcross.machine.floor import floor, impossible, least_bytes
from convcross.sweeps.regimes import REGIMES
from convkernels import Problem
from convkernels.discovery import find
from convkernels.problem import DIRECTIONS
from convkernels.registry import Algorithm, Cost, Implementation

# What FACTS of the reference machine say: 4.3 TB/s, 67 TFLOP/s.
H200: dict[str, Any] = {
    "threads": None,
    "neighbours": {},
    "flops": {
        "float64": 67e12,
        "float32": 67e12,
        "tf32": 400e12,
        "float16": 790e12,
        "bfloat16": 790e12,
    },
    "bytes": [[65536, 4.3e12], [2**30, 4.3e12]],
}
# Round figures, with a cache: 400 GB/s up to 1 MiB, 200 up to 16 MiB, 50 in main memory.
CPU: dict[str, Any] = {
    "threads": 2,
    "neighbours": {"others": 0.02, "stolen": 0.0},
    "flops": {"float64": 1e11, "float32": 2e11, "float16": 3e9, "bfloat16": 4e11},
    "bytes": [[16 << 10, 4e11], [1 << 20, 4e11], [16 << 20, 2e11], [128 << 20, 5e10]],
}
FREE = {"float64": math.inf, "float32": math.inf, "float16": math.inf, "bfloat16": math.inf}
MEMORY_ONLY = CPU | {"flops": FREE}


def image(size: int, n: int, **more: Any) -> Problem:
    return Problem((size, size), (n, n), **{"mode": "same"} | more)


def declaring(flops: float, family: str = "direct", arithmetic: str = "ieee") -> Algorithm:
    class Declares(Implementation):
        @staticmethod
        def cost(problem: Problem) -> Cost:
            return Cost(flops, 0.0)

    return Algorithm("a", family, ("numpy",), arithmetic, "a test", Declares, "here")


@pytest.mark.parametrize(("n", "microseconds"), [(3, 31), (7, 31), (11, 61), (15, 113), (31, 481)])
@pytest.mark.parametrize("regime", ["warm", "flushed"])
def test_direct_on_the_reference_machine(n: int, microseconds: float, regime: str) -> None:
    least = floor(find("direct"), image(4096, n), REGIMES[regime].flushed, H200)
    assert least == pytest.approx(microseconds * 1e-6, rel=0.015)


def test_one_of_the_two_bounds_is_the_floor() -> None:
    problem = image(1000, 3)
    assert floor(declaring(2e9), problem, False, CPU) == pytest.approx(2e9 / 2e11)
    moved = 8 * 1000**2 + 36
    assert floor(declaring(1.0), problem, False, CPU) == pytest.approx(moved / 4e11)


@pytest.mark.parametrize(
    ("dtype", "arithmetic", "rate"),
    [
        ("float32", "ieee", 67e12),
        ("float32", "ieee (TF32 off)", 67e12),
        ("float32", "ieee, float32 for 16-bit storage", 67e12),
        ("float32", "ieee, float32 for float16 storage", 67e12),
        ("float32", "tf32", 400e12),
        ("float32", "TF32 x 3", 400e12),
        ("float32", "bfloat16 products, float32 sums", 790e12),
        ("float16", "ieee, float32 for 16-bit storage", 790e12),
    ],
)
def test_the_rate_is_that_of_the_arithmetic(dtype: str, arithmetic: str, rate: float) -> None:
    algorithm = declaring(1e15, arithmetic=arithmetic)
    assert floor(algorithm, image(64, 3, dtype=dtype), False, H200) == pytest.approx(1e15 / rate)


def test_halves_on_a_cpu_may_be_computed_in_float32() -> None:
    assert CPU["flops"]["float16"] < CPU["flops"]["float32"]
    least = floor(declaring(2e11), image(64, 3, dtype="float16"), False, CPU)
    assert least == pytest.approx(1.0)


def test_a_library_answers_for_its_bytes_alone() -> None:
    problem = image(1024, 31)
    library = floor(find("torch-conv2d"), problem, False, CPU)
    assert library == pytest.approx(least_bytes(problem)[0] / 4e11 + (4 << 20) / 4e11, rel=0.01)
    assert floor(declaring(1e12, "library"), problem, False, CPU) == library
    assert floor(declaring(1e12, "direct"), problem, False, CPU) == pytest.approx(5.0)


@pytest.mark.parametrize("family", ["fft", "winograd", "separable", "direct", "im2col"])
def test_the_cost_of_the_sum_binds_only_who_computes_it(family: str) -> None:
    """A function declares nothing; README's overlap-add is one."""
    plain = dataclasses.replace(declaring(0.0, family), implementation=Implementation)
    problem = image(256, 31)
    least = floor(plain, problem, False, CPU)
    assert least is not None
    assert (least == pytest.approx(problem.flops / 2e11)) == (family in ("direct", "im2col"))
    declared = floor(declaring(3e9, family), problem, False, CPU)
    assert declared == pytest.approx(3e9 / 2e11)


@pytest.mark.parametrize("flops", [math.nan, math.inf, -1.0])
def test_a_cost_that_is_no_number_gives_no_floor(flops: float) -> None:
    assert floor(declaring(flops), image(64, 3), False, CPU) is None


# ---- memory ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "rate"),
    [
        (16, 4e11),  # smaller than any measured set
        (256, 4e11),  # half a MiB
        (1024, 4e11),  # 8 MiB: from the set of 1 MiB on
        (1449, 2e11),  # just past 16 MiB
        (8192, 5e10),  # past the largest
    ],
)
@pytest.mark.parametrize("regime", ["warm", "wall", "graph"])
def test_data_in_a_cache_is_held_to_the_cache(size: int, rate: float, regime: str) -> None:
    moved = sum(least_bytes(image(size, 3)))
    least = floor(declaring(0.0), image(size, 3), REGIMES[regime].flushed, CPU)
    assert least == pytest.approx(moved / rate)


def test_a_smaller_set_is_never_slower_even_in_a_table_that_says_so() -> None:
    steps = [[16 << 10, 1e9], [1 << 20, 4e11], [128 << 20, 5e10]]
    moved = sum(least_bytes(image(16, 3)))
    least = floor(declaring(0.0), image(16, 3), False, MEMORY_ONLY | {"bytes": steps})
    assert least == pytest.approx(moved / 4e11)


def test_flushed_operands_come_from_main_memory_and_the_result_may_not() -> None:
    algorithm = declaring(0.0)
    problem = image(256, 3)
    read, written = least_bytes(problem)
    assert floor(algorithm, problem, True, CPU) == pytest.approx(read / 5e10)
    # Mostly written: 64 planes from one.
    wide = Problem((64, 64), (3, 3), in_channels=1, out_channels=64, mode="same")
    read, written = least_bytes(wide)
    slow_cache = CPU | {"bytes": [[16 << 10, 6e10], [128 << 20, 5e10]]}
    assert read / 5e10 < (read + written) / 6e10
    assert floor(algorithm, wide, True, slow_cache) == pytest.approx((read + written) / 6e10)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    "more",
    [
        {"mode": "full"},
        {"mode": "valid"},
        {"boundary": "circular"},
        {"batch": 2, "in_channels": 4, "out_channels": 6, "groups": 2},
        {"mode": None, "padding": ((3, 0), (0, 5))},
    ],
)
def test_every_byte_counts_once(more: dict[str, Any], direction: str) -> None:
    problem = Problem((9, 12), (3, 4), **{"mode": "same", "direction": direction} | more)
    assert sum(least_bytes(problem)) == problem.min_bytes
    result = 4 * math.prod(problem.shapes[2])
    assert least_bytes(problem)[1] == result


@pytest.mark.parametrize(
    ("more", "rows", "columns"),
    [
        ({"kernel": (1, 1), "stride": 2}, 4, 5),
        ({"kernel": (2, 1), "stride": (3, 4)}, 6, 3),
        ({"kernel": (3, 3), "stride": 2}, 7, 9),  # the last column meets no window
        ({"kernel": (2, 2), "dilation": (6, 1)}, 4, 10),
        # rows -1 0, 2 3, 5 6: the first is padding, or the last by wrapping
        ({"kernel": (2, 1), "stride": 3, "mode": None, "padding": ((1, 0), (0, 0))}, 5, 4),
        ({"kernel": (2, 1), "stride": 3, "mode": "full", "boundary": "circular"}, 6, 4),
    ],
)
def test_what_a_stride_passes_over_need_not_be_read(
    more: dict[str, Any], rows: int, columns: int
) -> None:
    problem = Problem((8, 10), **{"mode": "valid"} | more)
    kernel = math.prod(problem.kernel)
    assert least_bytes(problem)[0] == 4 * (rows * columns + kernel)


def test_a_separable_filter_may_be_smaller_than_the_kernel() -> None:
    problem = image(256, 255)
    assert least_bytes(problem)[0] - least_bytes(problem, filtered=False)[0] == 4 * 255**2
    whole = floor(declaring(0.0, "fft"), problem, True, CPU)
    assert whole == pytest.approx(4 * (256**2 + 255**2) / 5e10)
    factors = floor(declaring(0.0, "separable"), problem, True, CPU)
    assert factors == pytest.approx(4 * 256**2 / 5e10)


# ---- where nothing can be said ---------------------------------------------------------------


def test_no_ceilings_no_floor() -> None:
    assert floor(find("direct"), image(64, 3), False, None) is None


@pytest.mark.parametrize(("threads", "told"), [(None, True), (1, True), (2, True), (3, False)])
def test_more_threads_than_were_measured_have_no_floor(threads: int | None, told: bool) -> None:
    least = floor(find("direct"), image(64, 3), False, CPU, threads)
    assert (least is not None) == told


def test_ceilings_of_a_busy_machine_bind_nobody() -> None:
    busy = CPU | {"neighbours": {"others": 0.3, "stolen": 0.0}}
    assert floor(find("direct"), image(64, 3), False, busy) is None


@pytest.mark.parametrize(
    ("high", "least", "verdict"),
    [
        (0.9, 1.0, True),
        (1.0, 1.0, False),
        (1.1, 1.0, False),
        (None, 1.0, False),
        (0.9, None, False),
    ],
)
def test_a_time_is_impossible_when_its_whole_interval_is(
    high: float | None, least: float | None, verdict: bool
) -> None:
    assert impossible(high, least) is verdict
