"""A Triton contender on CPU tensors: run with TRITON_INTERPRET=1, which Triton reads when imported.

Reads [name, index of a random problem] pairs as JSON from stdin, and prints for each the relative
error and its bound, or null where the contender refuses the problem.
"""

from __future__ import annotations

import json
import random
import sys
from typing import Any

from triton.runtime import interpreter

from convkernels import namespaces
from convkernels.discovery import find
from support.problems import FIXED, case, random_problem
from support.reference import relative_error

patch = interpreter._patch_lang_tensor


def patched(tensor: Any, scope: Any) -> None:
    """Triton 3.6's own makes a number of an array of one element, which NumPy 2.4 refuses."""
    patch(tensor, scope)
    scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.item()))


interpreter._patch_lang_tensor = patched


def solve(name: str, index: int) -> tuple[float, float] | None:
    """A fixed problem for each index from 0, then random ones."""
    fixed = list(FIXED.values())
    problem = fixed[index] if index < len(fixed) else random_problem(random.Random(index))
    algorithm = find(name)
    if algorithm.refuses(problem, "torch", "cuda:0") is not None:
        return None
    if problem.dtype == "bfloat16" and name == "triton-implicit-gemm":
        return None  # the interpreter's products take the bits for integers (3.6)
    case_ = case(problem, index)
    instance = algorithm.implementation()
    instance.plan(problem, namespaces.namespace("torch"), "cpu")
    x, w = (namespaces.from_numpy(v, "torch", "cpu", problem.dtype) for v in (case_.x, case_.w))
    instance.load(w)
    result = instance.run(x)
    assert tuple(result.shape) == problem.y_shape
    assert namespaces.dtype_name(result) == problem.dtype
    y = namespaces.to_numpy(result)
    error = relative_error(y, case_.expected, case_.x, case_.w)
    return error, instance.error_bound(problem)


if __name__ == "__main__":
    print(json.dumps([solve(name, index) for name, index in json.load(sys.stdin)]))
