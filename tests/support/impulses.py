"""How an algorithm answers an impulse: a direct sum with the kernel and exact zeros elsewhere, a
transform with rounding noise."""

from __future__ import annotations

import numpy as np

from convkernels import Problem
from convkernels.discovery import find


def answer(name: str, problem: Problem) -> np.ndarray:
    """A contender's result on NumPy for one pixel of 1 in the middle, and a kernel of normals."""
    x = np.zeros(problem.image, dtype=problem.dtype)
    x[problem.image[0] // 2, problem.image[1] // 2] = 1.0
    w = np.random.default_rng(0).standard_normal(problem.kernel).astype(problem.dtype)
    instance = find(name).prepare(problem, "numpy", "cpu")
    instance.load(w)
    return np.asarray(instance.run(x))


def is_direct(y: np.ndarray, problem: Problem) -> bool:
    """Exactly kh·kw nonzeros; the kernel must lie inside the image."""
    return int(np.count_nonzero(y)) == problem.terms
