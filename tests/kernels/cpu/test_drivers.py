"""Drivers in machine code: compiled once, then found without Numba."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from convkernels import cache
from convkernels.cpu import drivers, operands

pytestmark = pytest.mark.skipif(operands.missing() is not None, reason=str(operands.missing()))

PLAN = """
import sys
import numpy as np
from convkernels import Problem
from convkernels.discovery import find
instance = find("{name}").prepare(Problem((40, 50), (3, 5)), "numpy", "cpu")
instance.load(np.outer(np.arange(3.0), np.arange(5.0)).astype("float32"))
y = instance.run(np.eye(40, 50, dtype="float32"))
print("numba" in sys.modules, instance.compile_seconds, y.sum())
"""


@pytest.mark.parametrize("name", ["numba-direct", "numba-overlap-save", "numba-separable"])
def test_a_process_that_finds_the_code_loads_no_numba(name: str, tmp_path: Path) -> None:
    def plan() -> list[str]:
        run = subprocess.run(
            [sys.executable, "-c", PLAN.format(name=name)],
            env=os.environ | {cache.FOLDER: str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        return run.stdout.split()

    (compiled, seconds, total), (found, seconds_then, total_then) = plan(), plan()
    assert (compiled, found) == ("True", "False")
    assert float(seconds) == pytest.approx(float(seconds_then), abs=1e-5)
    assert total == total_then


def test_arguments_lie_flat_and_their_shape_is_kept() -> None:
    arguments = [(1, 2), 3, (4,), (5, 6, 7)]
    assert drivers.flat(arguments) == [1, 2, 3, 4, 5, 6, 7]
    assert drivers.shape(arguments) == (2, 0, 1, 3)
