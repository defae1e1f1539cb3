"""What load and run take of NumPy's memory is what the cost declares: ``auto`` goes by it."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from convkernels import Problem
from support.contenders import contenders

PROBLEMS = {
    "image": Problem((400, 500), (15, 15), mode="same"),
    "many filters": Problem((40, 40), (15, 15), in_channels=24, out_channels=24, mode="same"),
    "batch": Problem((60, 60), (5, 5), batch=16, mode="same"),
}
OWN = 1.5  # of the operands and the result: casts, copies, the result itself
SMALL = 300e3  # bytes: tables, Python's own
CLOSE = 1.1  # a declaration may miss by so much


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("contender", [c for c in contenders() if c.values[0].namespace == "numpy"])
def test_workspace(contender: Any, name: str) -> None:
    problem = PROBLEMS[name]
    contender.skip_unless_here()
    found = contender.algorithm
    if (reason := found.refuses(problem, "numpy", "cpu")) is not None:
        pytest.skip(reason)
    rng = np.random.default_rng(5)
    a, b = (rng.standard_normal(shape).astype("float32") for shape in problem.shapes[:2])
    if found.family == "separable":
        b = np.ones_like(b)
    instance = found.prepare(problem, "numpy", "cpu")
    instance.load(b)
    instance.run(a)  # imports, plans of a library
    tracemalloc.start()
    try:
        instance = found.prepare(problem, "numpy", "cpu")
        instance.load(b)
        instance.run(a)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    declared = found.implementation.cost(problem).workspace
    assert peak <= CLOSE * declared + OWN * problem.min_bytes + SMALL
