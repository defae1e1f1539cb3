"""The report is a function of the results alone: not of what is installed or registered here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from convcross.run import session
from convcross.run.workers.local import LocalMachine
from convcross.sweeps.spec import Limits, Sweep
from convkernels.discovery import load_path
from support.planted import forgotten

MINE = """
from scipy import signal
from convkernels import algorithm

@algorithm(name="mine", family="direct", namespaces=["numpy"], arithmetic="ieee", source="a test")
def mine(x, w, problem):
    function = signal.convolve2d if problem.op == "convolution" else signal.correlate2d
    return function(x, w, mode=problem.mode)
"""
REPORT = """
import sys

class Hidden:  # as where they are not installed
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {hidden!r}:
            raise ModuleNotFoundError(f"no {{name}} here", name=name)

sys.meta_path.insert(0, Hidden())
from convcross.cli.app import main
sys.argv = ["convcross", "report", {file!r}, "--out", {out!r}]
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
loaded = {{"torch", "cupy", "cv2"}} & {{name for name, module in sys.modules.items() if module}}
assert not loaded, loaded
from convkernels import discovery
assert not discovery._discover.cache_info().currsize  # nobody asked what is registered
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep with a contender from a file that the report does not have."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "mine.py").write_text(MINE)
    sweep = Sweep(
        name="alone",
        sizes=[16, 24],
        kernels=[3, 5],
        launches=1,
        contenders=["direct/numpy", "fft/numpy", "mine"],
        limits=Limits(seconds=0.001, samples=8, run_seconds=60.0),
    )
    with forgotten(), pytest.MonkeyPatch.context() as patched:
        patched.setenv("CONVCROSS_COMMIT", "tested")
        path = str(folder / "mine.py")
        load_path(path)
        here = LocalMachine(["cpu"], [{}])
        try:
            session.run(sweep, [here], algorithm_paths=[path], out=folder / "a.jsonl")
        finally:
            here.close()
    (folder / "mine.py").unlink()
    return folder / "a.jsonl"


def report(results: Path, out: str, hidden: tuple[str, ...]) -> dict[str, bytes]:
    """The files of a report, by their names; the page in full."""
    folder = results.parent / out
    code = REPORT.format(hidden=hidden, file=str(results), out=str(folder))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_page_is_the_same_without_libraries_and_algorithm_files(results: Path) -> None:
    whole = report(results, "whole", ())
    bare = report(results, "bare", ("torch", "cupy", "cupyx", "cv2", "triton", "dask"))
    assert set(whole) == set(bare)
    for name in whole:
        assert whole[name] == bare[name], name
    page = whole["report.html"].decode()
    assert "mine/numpy" in page
    assert "A kernel that equals its half turn" in page  # claims 5 to 7 are in the records
