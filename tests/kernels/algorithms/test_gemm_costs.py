"""What the contenders made of matrix products declare as FLOP is what they multiply."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from convkernels import Problem
from convkernels.algorithms.direct import toeplitz_gemm
from convkernels.algorithms.im2col import im2col_chunked, kn2row, mec
from convkernels.algorithms.separable import _low_rank
from convkernels.discovery import algorithms
from support.contenders import RANKS
from support.problems import case, problems

SMALL = [  # what bounds a block or a strip, and a value at which images of 16 pixels have many
    (toeplitz_gemm, "ROWS", 3),
    (toeplitz_gemm, "TOGETHER", 20),
    (im2col_chunked, "CHUNK", 2000),
    (mec, "LIMIT", 2000),
    (mec, "COLUMNS", 5),
    (kn2row, "STRIP", 30),
    (_low_rank, "BLOCK", 3),
    (_low_rank, "LIMIT", 2000),
]
NAMES = ["toeplitz-gemm", "im2col-chunked", "mec", "kn2row", "separable", "low-rank-2"]


class Counting:
    """An array library whose matrix products are counted."""

    def __init__(self, xp: Any) -> None:
        self.xp, self.flops = xp, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.xp, name)

    def matmul(self, a: Any, b: Any) -> Any:
        product = self.xp.matmul(a, b)
        self.flops += 2 * math.prod(product.shape) * a.shape[-1]
        return product


def rank_of(name: str) -> int | None:
    family = algorithms()[name].family
    return RANKS.get(name, 1) if family == "separable" else None


@pytest.mark.parametrize("small", [False, True], ids=["whole", "in parts"])
@pytest.mark.parametrize("name", NAMES)
@given(problem=problems)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_flop_declared_are_those_of_the_products(
    name: str, small: bool, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    if problem.dtype == "bfloat16":
        return
    with monkeypatch.context() as patch:
        for module, constant, value in SMALL if small else ():
            patch.setattr(module, constant, value)
        instance = algorithms()[name].prepare(problem, "numpy", "cpu")
        instance.xp = counting = Counting(instance.xp)
        case_ = case(problem, rank=rank_of(name))
        instance.load(case_.w)
        y = instance.run(case_.x)
        declared = instance.cost(problem).flops
        bound = instance.error_bound(problem)
    difference = float(np.linalg.norm(y.astype(float) - case_.expected))
    scale = max(np.linalg.norm(case_.expected), np.linalg.norm(case_.x) * np.linalg.norm(case_.w))
    assert difference <= bound * scale
    if name == "kn2row" and problem.in_channels == problem.groups:
        return  # elementwise
    assert counting.flops == declared
