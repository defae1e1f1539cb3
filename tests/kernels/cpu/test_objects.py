"""Machine code on disk: found by the next process, and never taken where it is not whole."""

from __future__ import annotations

import concurrent.futures
import ctypes
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from convkernels import cache, compiling
from convkernels.cpu import instructions, objects, operands, vectors
from convkernels.cpu.vectors import Value, Vectors

pytestmark = pytest.mark.skipif(operands.missing() is not None, reason=str(operands.missing()))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "kept"))
    monkeypatch.setattr(objects, "_loaded", {})
    return tmp_path / "kept" / "kernels"


def _add(v: Vectors, arguments: list[Value]) -> None:
    x, y, count = arguments
    with v.loop(count, v.lanes) as k:
        v.store(v.builder.fadd(v.load(x, k), v.load(y, k)), y, k)


def compiled() -> objects.Compiled:
    here = instructions.here()

    def text() -> str:
        return vectors.module({"add": (3, _add)}, "float64", here.lanes("float64"), here)

    return objects.load(["add"], ("add", "a test"), text, here)


def adds(found: objects.Compiled) -> bool:
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3)(found.addresses["add"])
    x, y = np.arange(16.0), np.ones(16)
    function(x.ctypes.data, y.ctypes.data, 16)
    return bool((y == np.arange(16.0) + 1).all())


def test_it_is_compiled_once_and_read_by_the_next_process(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compiled()
    assert first.origin == "compiled"
    assert adds(first)
    assert compiled() is first
    monkeypatch.setattr(objects, "_loaded", {})  # as a new process has it
    second = compiled()
    assert (second.origin, second.seconds) == ("disk", pytest.approx(first.seconds, abs=1e-6))
    assert adds(second)
    assert [path.stat().st_mode & 0o077 for path in (folder, *folder.iterdir())] == [0, 0]


@pytest.mark.parametrize(
    "spoil", [lambda code: code[:-9], lambda code: code[:40] + b"x" + code[41:]]
)
def test_what_is_not_whole_is_compiled_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[bytes], bytes]
) -> None:
    compiled()
    (path,) = folder.iterdir()
    path.write_bytes(spoil(path.read_bytes()))
    monkeypatch.setattr(objects, "_loaded", {})
    again = compiled()
    assert again.origin == "compiled"
    assert adds(again)


def test_a_folder_that_cannot_be_written_costs_only_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "file" / "below"))
    assert adds(compiled())


def test_nothing_compiles_before_it_is_asked_for() -> None:
    """Listing the algorithms loads no compiler."""
    code = (
        "import sys; from convkernels.discovery import algorithms; algorithms()\n"
        "print([name for name in ('numba', 'llvmlite') if name in sys.modules])"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert out.strip() == "[]"


def test_nothing_is_compiled_where_only_what_is_kept_may_be_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        compiling.kept_alone(),
        pytest.raises(compiling.NotCompiled, match=r"^add is not compiled"),
    ):
        compiled()
    assert not folder.exists()
    compiled()
    for kept in (objects._loaded, {}):  # in memory; on disk
        monkeypatch.setattr(objects, "_loaded", kept)
        with compiling.kept_alone():
            assert adds(compiled())


def test_only_the_thread_that_asks_for_it_compiles_nothing() -> None:
    with compiling.kept_alone(), concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert adds(pool.submit(compiled).result())
