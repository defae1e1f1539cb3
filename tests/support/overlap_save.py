"""What the tests of cuda-overlap-save share."""

from __future__ import annotations

import math
from typing import Any

from convkernels.algorithms.fft import cuda_overlap_save as overlap_save
from convkernels.problem import Problem
from support.problems import Case
from support.reference import relative_error

LARGEST = overlap_save.LARGEST
THREADS = math.prod(overlap_save.BLOCK)
KERNELS = [(1, 1), (3, 3), (2, 5), (6, 4), (15, 15), (1, 20), (LARGEST, LARGEST), (LARGEST, 2)]
PLAIN = Problem(image=(512, 512), kernel=(7, 7), mode="same")


def assert_right(y: Any, case_: Case) -> None:
    problem = case_.problem
    assert y.shape == problem.y_shape
    error = relative_error(y, case_.expected, case_.x, case_.w)
    bound = overlap_save.CUDAOverlapSave.error_bound(problem)
    assert error <= bound, f"off by {error:.2g}, bound {bound:.2g}: {problem}"
