"""The script of a GPU visit: every chapter of its dry run on a CPU, and what it refuses."""

import functools
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "bench" / "gpu-visit.sh"

Done = subprocess.CompletedProcess[str]


def visit(folder: Path, *arguments: str) -> Done:
    environment = {**os.environ, "OUT": str(folder), "PYTHON": sys.executable}
    return subprocess.run(
        [str(SCRIPT), "--dry-run", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def visited(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Done]]:
    """The folder of a visit for one chapter alone, and how it ended; each is visited once."""

    @functools.cache
    def once(chapter: str) -> tuple[Path, Done]:
        folder = tmp_path_factory.mktemp(chapter)
        return folder, visit(folder, chapter)

    return once


@pytest.mark.torch
@pytest.mark.parametrize("chapter", ["verify", "clock", "image", "cnn", "crossover", "profile"])
def test_chapter(chapter: str, visited: Callable[[str], tuple[Path, Done]]) -> None:
    folder, done = visited(chapter)
    assert done.returncode == 0, done.stdout + done.stderr
    with tarfile.open(folder / f"{chapter}.tar.gz") as archive:
        names = archive.getnames()
    assert f"{chapter}.log" in names
    if chapter == "clock":
        assert any(name.endswith("ceilings.json") for name in names)
    elif chapter == "crossover":
        assert "Crossovers n*" in done.stdout  # of the first search and the second, side by side
    elif chapter == "profile":
        assert "aten::_fft_r2c" in done.stdout
    if chapter not in ("verify", "clock"):
        assert any(name.endswith(".jsonl") for name in names)
        assert any(name.endswith("report.html") for name in names)


@pytest.mark.torch
def test_second_visit_goes_on_with_the_first(
    visited: Callable[[str], tuple[Path, Done]],
) -> None:
    folder, first = visited("cnn")
    assert first.returncode == 0
    again = visit(folder, "cnn")
    assert "0 duels measured, 3 found finished, 0 left" in again.stdout
    assert len(list(folder.glob("results/*/*.jsonl"))) == 1


def test_failed_chapter_is_told(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file where the folder should be")
    done = visit(tmp_path, "cnn")
    assert done.returncode == 1
    assert "cnn: exit 2" in done.stdout


def test_unknown_chapter_names_the_allowed_ones(tmp_path: Path) -> None:
    done = visit(tmp_path, "imagee")
    assert done.returncode == 2
    assert (
        done.stderr
        == "gpu-visit: chapter is 'imagee'; allowed: verify clock image cnn crossover profile\n"
    )


COLLECT = """
import sys
for module in ("cryptography", "cv2", "dask", "dask_jobqueue", "distributed", "pyperf"):
    sys.modules[module] = None
import pytest
sys.exit(pytest.main(["--collect-only", "-q", "-m", "gpu", "-p", "no:cacheprovider"]))
"""


@pytest.mark.torch
def test_a_bare_machine_collects_the_tests_that_it_is_to_run() -> None:
    """Without what neither it has nor a visit carries."""
    done = subprocess.run(
        [sys.executable, "-c", COLLECT],
        cwd=SCRIPT.parents[1],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-2000:]
