"""Who fails cell after cell is not measured again; who fails now and then is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from convcross.results.reader import read
from convcross.run.progress import summary
from convcross.run.session import run
from convcross.run.suspension import Suspension
from convcross.sweeps.spec import Limits, Sweep
from convkernels import Problem
from convkernels.discovery import load_path
from support.planted import forgotten, plant
from support.runs import InProcess
from support.synthetic import record

NAME = "direct/numpy@cpu"
OK, REFUSED, WRONG = ("ok", False), ("unsupported", False), ("wrong", False)
ERROR, CRASH, SLOW, HUNG = ("error", False), ("error", True), ("timeout", False), ("timeout", True)
FULL, KILLED = ("oom", False), ("oom", True)  # of memory


@pytest.mark.parametrize(
    ("cells", "suspended"),
    [
        ([ERROR] * 3, True),
        ([CRASH, HUNG, KILLED], True),
        ([ERROR] * 2, False),
        ([ERROR, ERROR, OK, ERROR, ERROR], False),
        ([ERROR, ERROR, OK, ERROR, ERROR, CRASH], True),
        ([ERROR, REFUSED, CRASH, REFUSED, ERROR], True),  # what was refused was not tried
        ([WRONG] * 5, False),
        ([SLOW] * 5, False),  # by its cost, or a run that came back: larger cells are slower
        ([FULL] * 5, False),
    ],
)
def test_three_cells_in_a_row(cells: list[tuple[str, bool]], suspended: bool) -> None:
    bench, problem = Suspension(), Problem((16, 16), (3, 3), mode="same")
    for number, (status, lost) in enumerate(cells, start=1):
        telemetry = {"worker_lost": True} if lost else {}
        one = record(
            "direct/numpy", problem, status=status, reason=f"reason {number}", telemetry=telemetry
        )
        bench.record_result([one])
    expected = {NAME: ("error", f"suspended after 3 cells: reason {len(cells)}")}
    assert bench.given_up([NAME, "fft/numpy@cpu"]) == (expected if suspended else {})


BREAKS = """
from pathlib import Path
from convkernels import algorithm, convolve

@algorithm(name="breaks", family="direct", namespaces=["numpy"], arithmetic="ieee", source="a test")
def breaks(x, w, problem):
    if Path("broken").exists():
        raise RuntimeError("broken")
    return convolve(x, w, mode=problem.mode, algorithm="direct")
"""
SWEEP = Sweep(
    name="small",
    sizes=[12, 14, 16, 18, 20],
    kernels=[3],
    launches=1,
    contenders=["breaks", "direct/numpy"],
    limits=Limits(seconds=0.001, samples=5, run_seconds=60.0),
)


def test_the_rest_of_a_run_and_its_resumption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONVCROSS_COMMIT", "tested")
    path, source = Path("a.jsonl"), plant(tmp_path, BREAKS)
    options: dict[str, Any] = {"algorithm_paths": [source], "out": path}
    broken = "RuntimeError: broken"
    suspended = f"suspended after 3 cells: {broken}"

    def reasons() -> list[str | None]:
        return [one.reason for one in read(path).records if one.algorithm == "breaks"]

    with forgotten():
        load_path(source)
        Path("broken").touch()
        [outcome] = run(SWEEP, [InProcess()], **options)
        assert outcome.suspended == ["breaks/numpy@cpu"]
        summary(outcome, None)
        assert "breaks/numpy@cpu: suspended, as it failed in 3 cells" in capsys.readouterr().out
        assert reasons() == [broken] * 3 + [suspended] * 2
        assert {one.status for one in read(path).records} == {"ok", "error"}
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[: 1 + 3 * 3]))
        run(SWEEP, [InProcess()], resume=True, **options)
        assert reasons() == [broken] * 3 + [suspended] * 2
        Path("broken").unlink()
        run(SWEEP, [InProcess()], retry_failed=True, **options)
        assert reasons()[5:] == [None] * 5
