"""Standard output that fails: its reader has gone, its disk is full, it was closed before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support import synthetic

CONVCROSS = f"{sys.executable} -m convcross"


def bash(line: str, folder: Path) -> tuple[int, str]:
    """The exit code of the first command of a pipe, and what is on stderr."""
    done = subprocess.run(
        ["bash", "-c", f"{line}; exit ${{PIPESTATUS[0]}}"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    curves = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.0)}
    return synthetic.write(folder / "a.jsonl", synthetic.duels(curves))


COMMANDS = ["list", "list --json", "--help", "run --help", "floor --card h200", "crossover a.jsonl"]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("reader", ["true", "head -c 1"])
def test_a_reader_who_has_seen_enough(command: str, reader: str, results: Path) -> None:
    assert bash(f"{CONVCROSS} {command} | {reader}", results.parent) == (0, "")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk(command: str, results: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    code, told = bash(f"{CONVCROSS} {command} > /dev/full", results.parent)
    assert code == 2
    assert told == "convcross: standard output cannot be written: No space left on device\n"


def test_an_output_that_was_closed_before(results: Path) -> None:
    assert bash(f"{CONVCROSS} list >&-", results.parent) == (0, "")


def test_a_run_whose_reader_goes_measures_on(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(
        "sizes = [12]\nkernels = [1, 3, 5]\nlaunches = 1\ncontenders = ['fft/numpy']\n"
        "limits = {seconds = 0.001, samples = 5, run_seconds = 60.0}\n"
    )
    line = f"{CONVCROSS} run small.toml --device cpu --out a.jsonl | true"
    assert bash(line, tmp_path) == (0, "")
    assert (tmp_path / "a.jsonl").read_text().count('"kind":"duel"') == 3


def test_a_working_directory_that_is_gone(tmp_path: Path) -> None:
    line = f"mkdir gone; cd gone; rmdir ../gone; {CONVCROSS} list"
    code, told = bash(line, tmp_path)
    assert code == 2
    assert told.splitlines()[-1] == (
        "convcross: the working directory: No such file or directory; allowed: one that exists"
    )
    assert "Traceback" not in told


@pytest.mark.parametrize("suffix", [".jsonl", ".png"])
def test_a_name_that_is_too_long(suffix: str, tmp_path: Path) -> None:
    name = "a" * 260 + suffix
    (tmp_path / "small.toml").write_text(
        "sizes = [12]\nkernels = [1]\ncontenders = ['fft/numpy']\n"
    )
    command = f"run small.toml --out {name}" if suffix == ".jsonl" else f"demo --out {name}"
    code, told = bash(f"{CONVCROSS} {command}", tmp_path)
    assert code == 2
    assert len(told.splitlines()) == 1
    assert "File name too long" in told
