"""A cv2 that is installed and does not load costs its own contenders, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from convcross.results.reader import read
from convkernels import cache

SAID = "cv2 is installed but does not load: ImportError: libGL.so.1: cannot open"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("broken")
    (place / "hiding" / "cv2").mkdir(parents=True)
    broken = 'raise ImportError("libGL.so.1: cannot open shared object file")\n'
    (place / "hiding" / "cv2" / "__init__.py").write_text(broken)
    (place / "small.toml").write_text(
        "sizes = [32]\nkernels = [3, 5]\nlaunches = 1\n"
        "contenders = ['direct/numpy', 'fft/numpy', 'opencv-*']\n"
        "limits = {seconds = 0.001, samples = 5, run_seconds = 60.0}\n"
    )
    return place


def convcross(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(folder / "hiding"), *filter(None, sys.path)])
    return subprocess.run(
        [sys.executable, "-m", "convcross", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": paths, cache.FOLDER: str(folder / "cache")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("command", ["list", "doctor"])
def test_what_does_not_load_is_said(command: str, folder: Path) -> None:
    done = convcross(folder, command, "--json")
    assert done.returncode == 0, done.stderr
    assert SAID in done.stdout


def test_a_run_measures_the_others(folder: Path) -> None:
    done = convcross(folder, "run", "small.toml", "--device", "cpu", "--out", "a.jsonl",
                     "--contenders", "direct/numpy,fft/numpy")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {record.status for record in read(folder / "a.jsonl").records} == {"ok"}
    report = convcross(folder, "report", "a.jsonl", "--out", "report")
    assert report.returncode == 0, report.stderr


def test_its_own_contenders_are_refused_with_the_reason(folder: Path) -> None:
    done = convcross(folder, "run", "small.toml", "--device", "cpu", "--out", "b.jsonl")
    assert done.returncode == 2
    assert SAID in done.stderr


def test_a_demo(folder: Path) -> None:
    done = convcross(folder, "demo", "--out", "demo.png")
    assert done.returncode == 0, done.stderr
