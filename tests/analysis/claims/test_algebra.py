"""The claims of algebra hold under their condition, and a contender that breaks one is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from convcross.analysis.claims import algebra
from convcross.analysis.claims.finding import Finding

# ---- 5 to 7: algebra -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "judge", [algebra.judge_flipping, algebra.judge_order, algebra.judge_theorem]
)
def test_algebra_holds_under_its_condition(judge: Callable[[], Finding]) -> None:
    one = judge()
    assert one.verdict == "holds only if"
    assert one.where.startswith("computed here: ")
    json.dumps(one.values, allow_nan=False)


def test_the_conditions_of_algebra_are_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(algebra, "contenders", lambda: ["direct"])
    flips, order, theorem = algebra.flipping(), algebra.order(), algebra.theorem()
    held = [flips.flipped, flips.symmetric, order.commutes, order.associates]
    held += [theorem.circular, theorem.padded]
    assert all(one.equal and not one.different for one in held)
    broken = [flips.even, flips.transposed, order.cropped, theorem.unpadded]
    broken += [order.correlation_commutes, order.correlation_associates]
    assert all(one.different and not one.equal for one in broken)
    assert {dtype for one in held for dtype in one.largest} == {"float64", "float32"}
    assert order.commutes.identical == order.associates.identical == 0  # it is rounding


@pytest.mark.parametrize("wrong", [1e-4, np.nan])
@pytest.mark.parametrize(
    "judge", [algebra.judge_flipping, algebra.judge_order, algebra.judge_theorem]
)
def test_a_contender_that_breaks_the_algebra_is_named(
    monkeypatch: pytest.MonkeyPatch, judge: Callable[[], Finding], wrong: float
) -> None:
    right = algebra.convolve

    def convolve(x: Any, w: Any, **options: Any) -> Any:
        y = right(x, w, **options)
        if options["algorithm"] == "im2col-gemm" and options.get("op") != "correlation":
            y[0, 0] += wrong * np.abs(x).max() * w.shape[0]
        return y

    monkeypatch.setattr(algebra, "convolve", convolve)
    one = judge()
    assert (one.verdict, one.condition) == ("false", "im2col-gemm breaks it")


def test_distances_of_nothing_say_nothing() -> None:
    none = algebra.Distances()
    assert not none.equal
    assert not none.different
