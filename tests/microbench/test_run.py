"""The steady state of every contender, for pytest-benchmark: ``make microbench``.

The names are those of the harness and stay the same, so that two commits compare:

    pytest tests/microbench --benchmark-save=before
    pytest tests/microbench --benchmark-compare=0001_before

Each timed call ends with the device synchronised, so that GPU times have the launch in them. For
crossovers use ``convcross run``, which measures with more care.
"""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from convkernels import Problem, UnsupportedProblem, namespaces
from support.contenders import STRICT, Contender, contenders
from support.problems import of_rank

PROBLEMS = {
    "N256-n3": Problem((256, 256), (3, 3), mode="same"),
    "N256-n31": Problem((256, 256), (31, 31), mode="same"),
    "N1024-n7": Problem((1024, 1024), (7, 7), mode="same"),
}
CONTENDERS = [c for c in contenders() if c.values[0].namespace != STRICT]


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("contender", CONTENDERS)
def test_run(benchmark: BenchmarkFixture, contender: Contender, problem: str) -> None:
    contender.skip_unless_here()
    try:
        instance = contender.prepare(PROBLEMS[problem])
    except UnsupportedProblem as refusal:
        pytest.skip(str(refusal))
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(shape) for shape in instance.problem.shapes[:2])
    x, w = (
        contender.array(values.astype("float32"), "float32")
        for values in (x, of_rank(w, contender.rank))
    )
    with namespaces.on(contender.namespace, contender.device):
        instance.load(w)

        def run() -> None:
            instance.run(x)
            namespaces.synchronize(contender.namespace, contender.device)

        benchmark.group = problem
        benchmark(run)
