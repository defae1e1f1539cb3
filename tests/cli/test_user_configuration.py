"""What a user has configured for something else: matplotlib, editors, folders."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from convcross.results.reader import read
from convcross.sweeps.spec import load
from support import synthetic

MATPLOTLIBRC = """
text.usetex: True
axes.facecolor: black
savefig.facecolor: black
figure.facecolor: black
font.family: A Font That Is Not There
lines.linewidth: 40
savefig.bbox: tight
svg.fonttype: path
not.a.setting: 3
"""


def convcross(folder: Path, *arguments: object, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "convcross", *map(str, arguments)],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    curves = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.0)}
    path = tmp_path_factory.mktemp("results") / "a.jsonl"
    return synthetic.write(path, synthetic.duels(curves, sizes=[256]))


@pytest.fixture(scope="module")
def plain(results: Path) -> dict[str, bytes]:
    return figures(results, "plain")


def figures(results: Path, name: str, **environment: str) -> dict[str, bytes]:
    out = results.parent / name
    convcross(results.parent, "report", results, "--out", out, **environment)
    return {path.name: path.read_bytes() for path in out.glob("*.*") if path.suffix != ".html"}


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "nonsense"])
def test_a_notebooks_backend(backend: str, results: Path, plain: dict[str, bytes]) -> None:
    assert figures(results, "backend", MPLBACKEND=backend) == plain


def test_a_matplotlibrc(results: Path, plain: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text(MATPLOTLIBRC)
    assert figures(results, "rc", MATPLOTLIBRC=str(tmp_path / "matplotlibrc")) == plain


def test_fonts_that_are_not_there_are_not_looked_for(results: Path, tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text(MATPLOTLIBRC)
    rc = str(tmp_path / "matplotlibrc")
    told = convcross(results.parent, "report", results, "--out", tmp_path / "r", MATPLOTLIBRC=rc)
    assert "findfont" not in told


def test_measuring_does_not_import_matplotlib(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(
        "sizes = [12]\nkernels = [3]\nlaunches = 1\ncontenders = ['fft/numpy']\n"
        "image_data = ['photo']\nlimits = {seconds = 0.001, samples = 5, run_seconds = 60.0}\n"
    )
    hide = tmp_path / "hidden"
    hide.mkdir()
    (hide / "sitecustomize.py").write_text(
        "import sys\n"
        "class Hide:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.startswith('matplotlib.'): raise ImportError('matplotlib was imported')\n"
        "sys.meta_path.insert(0, Hide())\n"
    )
    paths = os.pathsep.join([str(hide), *filter(None, sys.path)])
    convcross(tmp_path, "run", "small.toml", "--out", "a.jsonl", PYTHONPATH=paths)
    (record,) = read(tmp_path / "a.jsonl").records
    assert record.status == "ok"


def test_a_byte_order_mark(tmp_path: Path, results: Path) -> None:
    mark = b"\xef\xbb\xbf"
    sweep = tmp_path / "sweep (copy), v2.toml"
    sweep.write_bytes(mark + b"sizes = [64]\r\nkernels = [3]\r\n")
    assert load(str(sweep)).name == "sweep (copy), v2"
    marked = tmp_path / "marked.jsonl"
    marked.write_bytes(mark + results.read_bytes())
    assert len(read(marked).records) == len(read(results).records)


def test_ceilings_are_found_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from convcross.machine import ceilings
    from convkernels.problem import DTYPES

    found = {
        "kind": "ceilings",
        "machine": "a-machine",
        "device": "cpu",
        "threads": 2,
        "measured_at": "now",
        "commit": "0",
        "versions": {},
        "cuda": None,
        "flops": dict.fromkeys(DTYPES, 1e9),
        "bytes": [[1024, 1e9]],
        "neighbours": {},
    }
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert ceilings.load("a-machine") is None
    path = ceilings.write(found)
    assert path.exists()
    monkeypatch.chdir(tmp_path / "there")
    assert ceilings.load("a-machine") == found
    assert ceilings.load("another-machine") is None
