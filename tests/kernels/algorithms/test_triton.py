"""Triton's contenders without a GPU: their numbers by Triton's interpreter, and their machine code.

The interpreter runs programs one after the other in NumPy, so that shapes, masks and offsets are
what is tested; the compiler for sm_90 needs no GPU.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from convkernels import Problem, optional
from convkernels.algorithms.libraries.triton_direct import BLOCK
from convkernels.algorithms.libraries.triton_implicit_gemm import BK, BM, filters
from convkernels.discovery import find
from support.problems import FIXED

NAMES = ("triton-direct", "triton-implicit-gemm")
needs_triton = pytest.mark.skipif(
    not optional.installed("triton"),
    reason="triton is not installed (190 MB): pip install 'convcross[triton]'",
)
ROOT = Path(__file__).parents[3]


@needs_triton
@pytest.mark.torch
@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_scipy_in_the_interpreter(name: str) -> None:
    asked = [(name, index) for index in range(len(FIXED) + 8)]
    done = subprocess.run(
        [sys.executable, "-m", "support.triton_interpreter"],
        input=json.dumps(asked),
        env={
            **os.environ,
            "TRITON_INTERPRET": "1",
            "PYTHONPATH": f"{ROOT / 'tests'}{os.pathsep}" + os.pathsep.join(sys.path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    solved = [pair for pair in json.loads(done.stdout) if pair is not None]
    assert len(solved) > 18
    for error, bound in solved:
        assert error <= bound


def compiled(kernel: str, problem: Problem, blocks: dict[str, int], dtype: str) -> Any:
    """The kernel for sm_90, with a problem's constants and types."""
    import triton
    import triton.language as tl
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from convkernels.algorithms.libraries import _triton_kernels

    function = getattr(_triton_kernels, kernel)
    pointer = {"float64": "*fp64", "float32": "*fp32", "float16": "*fp16", "bfloat16": "*bf16"}
    known = {"KW": problem.kernel[1], "SX": 1, "DX": 1, **blocks}
    known["DTYPE"] = tl.float64 if dtype == "float64" else tl.float32
    constants = {name: value for name, value in known.items() if name in function.arg_names}
    assert {name for name in function.arg_names if name.isupper()} == set(constants)
    signature = {
        name: "constexpr"
        if name in constants
        else pointer[dtype]
        if name.endswith("_ptr")
        else "i32"
        for name in function.arg_names
    }
    aligned = {(index,): [["tt.divisibility", 16]] for index in range(3)}
    source = ASTSource(fn=function, signature=signature, constexprs=constants, attrs=aligned)
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 4})


@needs_triton
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_compiles_for_sm_90(name: str, dtype: str) -> None:
    problem = Problem((64, 64), (7, 7), in_channels=4, out_channels=32, dtype=dtype)
    if find(name).refuses(problem, "torch", "cuda:0") is not None:
        pytest.skip(f"{name} refuses {dtype}")
    gemm = {"BM": BM, "BN": filters(problem), "BK": BK}
    kernel, blocks = ("direct", BLOCK) if name == "triton-direct" else ("implicit_gemm", gemm)
    code = compiled(kernel, problem, blocks, dtype)
    ptx = code.asm["ptx"]
    assert re.search(r"\.target sm_90", ptx)
    assert len(code.asm["cubin"]) > 0
    # Products of float32 on no tensor core: no TF32 where none is asked for.
    assert "tf32" not in ptx
    if dtype in ("float32", "float64"):
        assert re.search(rf"fma\.rn\.f{dtype[-2:]}", ptx)
    elif name == "triton-implicit-gemm":
        assert re.search(r"(wgmma|mma)\.", ptx)


def test_filters_of_a_program_are_a_power_of_two() -> None:
    def held(outputs: int, groups: int = 1) -> int:
        problem = Problem((8, 8), (3, 3), in_channels=groups, out_channels=outputs, groups=groups)
        return filters(problem)

    assert [held(n) for n in (1, 16, 17, 64, 200)] == [16, 16, 32, 64, 64]
    assert held(64, groups=64) == 16


def test_wide_kernels_are_refused_with_the_limit() -> None:
    problem = Problem((200, 200), (3, 65))
    assert (
        find("triton-direct").refuses(problem, "torch", "cuda:0") == "kernels to 64 columns, not 65"
    )
    assert find("triton-direct").refuses(Problem((200, 200), (65, 64)), "torch", "cuda:0") is None


@pytest.mark.skipif(optional.installed("triton"), reason="triton is installed")
@pytest.mark.parametrize("name", NAMES)
def test_without_triton_it_says_what_to_install(name: str) -> None:
    told = find(name).implementation.missing("torch")
    assert told == "triton is not installed: pip install 'convcross[triton]'"


@pytest.mark.parametrize("name", NAMES)
def test_one_filter_pays_for_sixteen_in_a_product_alone(name: str) -> None:
    def flops(channels: int) -> float:
        problem = Problem(
            (64, 64), (3, 3), in_channels=channels, out_channels=channels, mode="same"
        )
        return find(name).implementation.cost(problem).flops / problem.flops

    assert (flops(1) > 10) == (name == "triton-implicit-gemm")
    assert flops(64) < 1.2
