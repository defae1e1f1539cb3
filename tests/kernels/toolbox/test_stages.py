"""Stages: heard in order while somebody listens, and silent otherwise."""

from __future__ import annotations

import numpy as np
import pytest

from convkernels import Problem, stage
from convkernels.discovery import find
from convkernels.toolbox.stages import listening


class Log:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def begin(self, name: str) -> None:
        self.heard.append(f"+{name}")

    def end(self, name: str) -> None:
        self.heard.append(f"-{name}")


def solve(name: str) -> None:
    instance = find(name).prepare(Problem((6, 6), (3, 3)), "numpy", "cpu")
    instance.load(np.ones((3, 3), np.float32))
    instance.run(np.ones((6, 6), np.float32))


def test_a_run_is_told_in_order() -> None:
    log = Log()
    with listening(log):
        solve("fft")
    names = ["forward", "multiply", "inverse", "crop"]
    assert log.heard == [sign + name for name in names for sign in "+-"]


@pytest.mark.parametrize(
    ("name", "stages"), [("direct", {"pad", "multiply"}), ("im2col-gemm", {"unfold", "product"})]
)
def test_the_sums_have_stages_too(name: str, stages: set[str]) -> None:
    log = Log()
    with listening(log):
        solve(name)
    assert {heard[1:] for heard in log.heard} == stages


def test_stages_nest_and_listeners_too() -> None:
    outer, inner = Log(), Log()
    with listening(outer), stage("a"):
        with stage("b"), listening(inner), stage("c"):
            pass
        with stage("a"):
            pass
    assert inner.heard == ["+c", "-c"]
    assert outer.heard == ["+a", "+b", "-b", "+a", "-a", "-a"]


def test_nobody_is_told_after_the_block() -> None:
    log = Log()
    with pytest.raises(KeyError), listening(log), stage("a"):
        raise KeyError
    assert log.heard == ["+a", "-a"]
    with stage("b"):
        pass
    assert log.heard == ["+a", "-a"]


def test_a_stage_nobody_hears_makes_no_object() -> None:
    assert stage("multiply") is stage("multiply")


def test_the_stages_of_an_fft_in_their_order() -> None:
    log = Log()
    with listening(log):
        solve("fft")
    assert [heard for heard in log.heard if heard.startswith("+")] == [
        "+forward",
        "+multiply",
        "+inverse",
        "+crop",
    ]
