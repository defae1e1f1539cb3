"""torch.compile: compiled in plan and never in a run, and really compiled."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from convkernels import Problem
from convkernels.discovery import find

torch = pytest.importorskip("torch", reason="torch is not installed")


@pytest.fixture(autouse=True)
def _here() -> None:
    if reason := find("torch-compile").missing("torch"):
        pytest.skip(reason)


def graphs() -> int:
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])


def prepared(problem: Problem) -> Any:
    return find("torch-compile").prepare(problem, "torch", "cpu")


@pytest.mark.parametrize("mode", ["valid", "same"])
def test_compiled_in_plan_once_a_kernel_size(mode: str) -> None:
    torch._dynamo.reset()  # what other tests have compiled
    prepared(Problem((30, 40), (2, 3), mode=mode))
    before = graphs()
    instance = prepared(Problem((31, 37), (2, 11), mode=mode))
    assert graphs() == before + 1
    instance.load(torch.ones(2, 11))
    with torch.compiler.set_stance("fail_on_recompile"):
        instance.run(torch.ones(31, 37))
        instance.run(torch.ones(62, 74)[::2, ::2])  # a layout that plan has not seen
    prepared(Problem((50, 45), (2, 11), mode=mode))
    assert graphs() == before + 1


def test_compiling_leaves_no_threads_of_python() -> None:
    before = threading.active_count()
    prepared(Problem((33, 35), (4, 12), mode="same"))
    assert threading.active_count() == before


def test_without_a_compiler_the_reason_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    reason = find("torch-compile").missing("torch")
    assert reason is not None
    assert "no-such-compiler" in reason


def test_surroundings_that_come_after_many_plans() -> None:
    torch._dynamo.reset()
    for width in range(2, 12):  # more graphs than Dynamo allows one function
        instance = prepared(Problem((30, 40), (2, width), mode="valid"))
    instance.load(torch.ones(2, 11))
    expected = instance.run(torch.ones(30, 40))
    with torch.device("cpu"):
        assert torch.equal(instance.run(torch.ones(30, 40)), expected)
