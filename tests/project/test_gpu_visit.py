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

CHAPTERS = ["verify", "clock", "image", "cnn", "crossover", "profile", "calibrate"]

Done = subprocess.CompletedProcess[str]


def packed(file: Path) -> list[str]:
    with tarfile.open(file) as archive:
        return archive.getnames()


def visit(folder: Path, *arguments: str, **variables: str) -> Done:
    environment = {**os.environ, "OUT": str(folder), "PYTHON": sys.executable, **variables}
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
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_chapter(chapter: str, visited: Callable[[str], tuple[Path, Done]]) -> None:
    folder, done = visited(chapter)
    assert done.returncode == 0, done.stdout + done.stderr
    names = packed(folder / f"{chapter}.tar.gz")
    assert f"{chapter}.log" in names
    if chapter == "clock":
        assert any(name.endswith("ceilings.json") for name in names)
    elif chapter == "crossover":
        assert "Crossovers n*" in done.stdout  # of the first search and the second, side by side
    elif chapter == "profile":
        assert "aten::_fft_r2c" in done.stdout
    elif chapter == "verify":
        assert "no CUDA GPU: 12 checks are not asked" in done.stdout
    elif chapter == "calibrate":
        assert any(name.endswith("calibration.json") for name in names)
        assert "time over the fastest's" in done.stdout
    reported = folder / f"{chapter}-reports.tar.gz"
    if chapter in ("verify", "clock", "calibrate"):
        assert not reported.exists()
    else:
        assert any(name.endswith(".jsonl") for name in names)
        assert not any(name.endswith("report.html") for name in names)
        assert any(name.endswith("report.html") for name in packed(reported))


@pytest.mark.torch
def test_an_archive_holds_its_chapter_alone(
    visited: Callable[[str], tuple[Path, Done]],
) -> None:
    folder, _ = visited("cnn")
    done = visit(folder, "clock")
    assert done.returncode == 0, done.stdout + done.stderr
    names = packed(folder / "clock.tar.gz")
    assert any(name.endswith("ceilings.json") for name in names)
    assert not any(name.endswith(".jsonl") for name in names)


@pytest.mark.torch
def test_an_archive_that_is_too_large_comes_in_parts(
    visited: Callable[[str], tuple[Path, Done]], tmp_path: Path
) -> None:
    folder, _ = visited("cnn")
    done = visit(folder, "cnn", PART="30000")
    assert done.returncode == 0, done.stdout + done.stderr
    parts = sorted(folder.glob("cnn-reports.tar.gz.*"))
    assert len(parts) > 1
    assert all(part.stat().st_size <= 30000 for part in parts)
    assert not (folder / "cnn-reports.tar.gz").exists()
    joined = tmp_path / "joined.tar.gz"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert any(name.endswith("report.html") for name in packed(joined))
    assert parts[0].name in done.stdout


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


def test_a_chapter_ends_when_its_time_is_over(tmp_path: Path) -> None:
    """The functions of the script, with a limit of two seconds."""
    text = SCRIPT.read_text(encoding="utf-8")
    body = text[text.index("within() {") : text.index("convcross() {")]
    done = subprocess.run(
        ["bash", "-c", f"{body}\nLIMIT=2; within 60 sleep 30; echo $?; within 1 true; echo $?"],
        capture_output=True,
        text=True,
        timeout=20,
    )
    told = ["time is over for: sleep 30", "124", "no time is left for: true", "124"]
    assert done.stdout.splitlines() == told


def test_unknown_chapter_names_the_allowed_ones(tmp_path: Path) -> None:
    done = visit(tmp_path, "imagee")
    assert done.returncode == 2
    assert done.stderr == f"gpu-visit: chapter is 'imagee'; allowed: {' '.join(CHAPTERS)}\n"


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
