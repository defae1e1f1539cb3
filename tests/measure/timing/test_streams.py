"""Contenders that leave work on a stream of their own, planted on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from convcross.measure.duel import measure
from convcross.sweeps.duels import Duel
from convcross.sweeps.spec import Limits
from convkernels import Problem
from support.planted import forgotten, plant

pytestmark = pytest.mark.gpu

SOURCE = """
import torch
from convkernels import algorithm


def plant(name, waits, is_waited_for):
    @algorithm(name=name, family="direct", namespaces=["torch"], arithmetic="ieee", source="a test")
    class Aside:
        def load(self, b):
            self.side = torch.cuda.Stream()
            self.w = b.flip(0, 1)[None, None].contiguous()

        def run(self, a):
            here = torch.cuda.current_stream()
            y = torch.zeros_like(a)
            if waits:
                self.side.wait_stream(here)
            with torch.cuda.stream(self.side):
                slow = a
                for _ in range(20):
                    slow = slow + 0
                with torch.backends.cudnn.flags(allow_tf32=False):
                    y.copy_(torch.nn.functional.conv2d(slow[None, None], self.w, padding=1)[0, 0])
            if is_waited_for:
                here.wait_stream(self.side)
            return y

    return Aside


plant("in-order", True, True)
plant("too-early", False, True)
plant("too-late", True, False)
"""


@pytest.fixture(autouse=True)
def registry_as_it_was() -> Iterator[None]:
    with forgotten():
        yield


def test_work_on_another_stream_is_caught(tmp_path: Path) -> None:
    names = ("in-order", "too-early", "too-late")
    duel = Duel(
        id="a-duel",
        problem=Problem((2048, 2048), (3, 3), mode="same"),
        contenders=[f"{name}/torch@cuda:0" for name in names],
        image_data="normal",
        kernel_data="normal",
        seed=0,
        regime=None,
        threads=1,
        limits=Limits(seconds=0.01, samples=8),
        algorithm_paths=[plant(tmp_path, SOURCE)],
    )
    records = measure(duel).records
    statuses = [(record["status"], record["reason"]) for record in records]
    assert statuses[0] == ("ok", None)
    assert [status for status, _ in statuses[1:]] == ["wrong", "wrong"], statuses
