"""What is planned for a GPU, run on the CPU: whole images in few calls, and no strips."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convkernels import namespaces
from convkernels.discovery import algorithms
from convkernels.problem import Problem
from support.contenders import RANKS
from support.problems import random_case
from support.reference import relative_error

NAMES = ["direct", "kn2row", "toeplitz-gemm", "integral", "low-rank-2", "mec", "im2col-chunked"]


@pytest.mark.parametrize("namespace", ["numpy", "torch"])
@pytest.mark.parametrize("name", NAMES)
def test_the_plan_of_a_gpu_is_right(name: str, namespace: str) -> None:
    if reason := namespaces.missing(namespace):
        pytest.skip(reason)
    found = algorithms()[name]
    solved = 0
    for index in range(120):
        case_ = random_case(index, RANKS.get(name))
        problem = case_.problem
        if found.refuses(problem, namespace, "cpu"):
            continue
        instance = found.implementation()
        instance.plan(problem, namespaces.namespace(namespace), "cuda:0")

        def there(values: Any, problem: Problem = problem) -> Any:
            return namespaces.from_numpy(values, namespace, "cpu", problem.dtype)

        instance.load(there(case_.w))
        y = namespaces.to_numpy(instance.run(there(case_.x)))
        error = relative_error(y, case_.expected, case_.x, case_.w)
        assert error <= instance.error_bound(problem), problem
        solved += 1
    assert solved > 50


class Calls:
    """An array library whose functions are counted as they are called."""

    def __init__(self, xp: Any) -> None:
        self.xp, self.count = xp, 0

    def __getattr__(self, name: str) -> Any:
        self.count += 1
        return getattr(self.xp, name)


@pytest.mark.parametrize("name", ["kn2row", "toeplitz-gemm", "integral"])
def test_a_gpu_is_called_as_often_for_a_large_image_as_for_a_small_one(name: str) -> None:
    counts = []
    for size in (64, 512):
        problem = Problem((size, size), (3, 3), mode="same")
        instance: Any = algorithms()[name].implementation()
        instance.plan(problem, namespaces.namespace("numpy"), "cuda:0")
        instance.load(np.ones((3, 3), "float32"))
        instance.xp = calls = Calls(instance.xp)
        instance.run(np.ones((size, size), "float32"))
        counts.append(calls.count)
    assert counts[0] == counts[1]
