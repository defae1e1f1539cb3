"""Kernels of every instruction set: those of x86 run here, those of ARM are compiled."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from convcross.measure.accuracy.reference import by_scipy
from convkernels import Problem, namespaces
from convkernels.cpu import instructions, operands
from convkernels.cpu.instructions import AVX2, AVX512, NEON, SSE2, Instructions
from convkernels.discovery import find
from support.reference import relative_error

pytestmark = pytest.mark.skipif(operands.missing() is not None, reason=str(operands.missing()))

NAMES = ("numba-direct", "numba-overlap-save", "numba-separable")
ON_X86 = platform.machine().lower() in ("x86_64", "amd64")


def forced(kind: Instructions) -> Instructions:
    """Its vectors and registers, on this processor: where that has no such vectors, LLVM makes two
    or four instructions of each."""
    here = instructions.here()
    return dataclasses.replace(kind, triple=here.triple, cpu=here.cpu, features=here.features)


@pytest.mark.skipif(not ON_X86, reason="not an x86 processor")
@pytest.mark.parametrize("kind", [AVX512, AVX2, SSE2], ids=lambda kind: kind.name)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_vectors_of_every_width_compute_the_same(name: str, dtype: str, kind: Instructions) -> None:
    algorithm = find(name)
    rng = np.random.default_rng(0)
    for kernel in ((3, 5), (9, 2), (31, 24)):
        problem = Problem((70, 133), kernel, dtype=dtype, mode="same", batch=2)
        x = rng.standard_normal(problem.x_shape).astype(dtype)
        w = np.outer(rng.standard_normal(kernel[0]), rng.standard_normal(kernel[1])).astype(dtype)
        instance = algorithm.implementation()
        instance.instructions = forced(kind)  # type: ignore[attr-defined]
        instance.plan(problem, namespaces.namespace("numpy"), "cpu")
        instance.load(w)
        y = instance.run(x)
        expected = by_scipy(problem, x, w)
        assert relative_error(y, expected, x, w) <= algorithm.implementation.error_bound(problem)


def texts(kind: Instructions, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """LLVM's text of every kernel that this processor may be given."""
    from convkernels.algorithms.direct import _micro_kernel
    from convkernels.algorithms.fft import _tile_transform
    from convkernels.cpu import fma, objects

    found: list[str] = []

    def load(names: Any, key: Any, text: Callable[[], str], kind: Instructions) -> Any:
        found.append(text())
        return objects.Compiled(dict.fromkeys(names, 0), 0.0, "compiled")

    monkeypatch.setattr(objects, "load", load)
    for dtype in ("float32", "float64"):
        for rows in range(1, _micro_kernel.ROWS + 1):
            _micro_kernel.block_kernel.__wrapped__((rows, 5), dtype, kind)
        for side in _tile_transform.SIDES:
            _tile_transform.row_kernels.__wrapped__(side, dtype, kind)
            _tile_transform.column_kernel.__wrapped__(side, dtype, kind)
        found.append(fma.text(dtype, kind))
    return found


@pytest.mark.parametrize("kind", [AVX512, AVX2, SSE2, NEON], ids=lambda kind: kind.name)
def test_every_kernel_compiles_for_every_processor(
    kind: Instructions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of NEON this is all that was done: no ARM processor has run it."""
    from convkernels.cpu import objects

    multiply_add = {
        "avx512": ("vfmadd", "zmm"),
        "avx2": ("vfmadd", "ymm"),
        "sse2": ("mulp", "xmm"),
        "neon": ("fmla", "v"),
    }[kind.name]
    for text in texts(kind, monkeypatch):
        code = objects.assembly(text, kind)
        assert all(word in code for word in multiply_add), kind.name


def test_sums_of_a_block_stay_in_registers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop over kernel columns in which nearly all time goes has as many multiply-adds as the
    block has sums, and stores nothing: a sum without a register would be stored in each turn."""
    from convkernels.algorithms.direct import _micro_kernel
    from convkernels.cpu import objects

    for kind, register in ((AVX512, "zmm"), (AVX2, "ymm")):
        block = texts(kind, monkeypatch)[_direct_block()]
        code = objects.assembly(block, kind).splitlines()
        sums = _micro_kernel.ROWS * _micro_kernel.vectors_wide(kind)
        (loop,) = (
            loop for loop in _innermost(code) if sum("vfmadd" in line for line in loop) == sums
        )
        stores = [line for line in loop if _stores(line, register)]
        assert not stores, f"{kind.name}: {stores}"


def _direct_block() -> int:
    return 3  # of at least 4 kernel rows: see ``texts``


def _innermost(code: list[str]) -> list[list[str]]:
    """Blocks that end by a jump to their own label."""
    found, label, block = [], "", []
    for line in code:
        if line.startswith(".L") and line.split("#")[0].rstrip().endswith(":"):
            label, block = line.partition(":")[0], []
            continue
        block.append(line)
        words = line.split()
        if words and words[0].startswith("j") and words[-1] == label:
            found.append(block)
    return found


def _stores(line: str, register: str) -> bool:
    words = line.split("#")[0].split()
    moves = bool(words) and words[0].startswith("vmov")
    return moves and words[-1].endswith(")") and f"%{register}" in line
