"""The Makefile on machines with and without a driver, and what the wheel holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEADER = "| NVIDIA-SMI 580.65.06     Driver Version: 580.65.06      CUDA Version: {}     |"
CPU = "--constraint constraints-cpu.txt --editable '.[opencv,torch]'"


def unset() -> dict[str, str]:
    """The environment without what `make TORCH=none test`, which may run this, has put into it."""
    own = ("PYTHON", "VENV", "TORCH")
    return {key: value for key, value in os.environ.items() if key not in own and "MAKE" not in key}


def dry_run(tmp_path: Path, nvidia_smi: str, *arguments: str) -> str:
    """What make would do, were this script the machine's nvidia-smi, in a new environment."""
    script = tmp_path / "nvidia-smi"
    script.write_text(f"#!/bin/sh\n{nvidia_smi}\n")
    script.chmod(0o755)
    return subprocess.check_output(
        ["make", "--dry-run", f"VENV={tmp_path / 'venv'}", *arguments],
        cwd=ROOT,
        env=unset() | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        text=True,
    )


def answer(cuda: str) -> str:
    return f"echo '{HEADER.format(cuda)}'"


@pytest.mark.parametrize(
    ("nvidia_smi", "installed"),
    [
        (answer("12.4"), "--editable '.[opencv,cuda12]'"),
        (answer("13.0"), "--editable '.[opencv,cuda13]'"),
        (answer("14.1"), "--editable '.[opencv,cuda13]'"),
        (answer("11.8"), CPU),
        (answer("N/A"), CPU),
        ("echo 'NVIDIA-SMI has failed: no driver' >&2; exit 9", CPU),
        ("exit 127", CPU),
    ],
    ids=["12.4", "13.0", "14.1", "too old", "no libcuda", "no driver", "no nvidia-smi"],
)
@pytest.mark.parametrize("target", ["bench", "test", "microbench"])
def test_what_is_installed_fits_the_driver(
    tmp_path: Path, nvidia_smi: str, installed: str, target: str
) -> None:
    lines = dry_run(tmp_path, nvidia_smi, target).splitlines()
    tested = installed.replace("[", "[dev,torch-rivals,")
    assert installs(lines) == ([installed] if target == "bench" else [installed, tested])


@pytest.mark.parametrize(
    ("nvidia_smi", "extras"),
    [
        (answer("12.4"), "opencv,cupy12"),
        (answer("13.0"), "opencv,cupy13"),
        ("exit 127", "opencv"),
    ],
)
def test_torch_can_be_left_out(tmp_path: Path, nvidia_smi: str, extras: str) -> None:
    lines = dry_run(tmp_path, nvidia_smi, "TORCH=none", "test").splitlines()
    wanted = [f"--editable '.[{extras}]'", f"--editable '.[dev,{extras}]'"]
    assert [line[line.index("--editable") :] for line in installs(lines)] == wanted
    assert not any("--dry-run" in line for line in lines)  # nothing of torch is asked for


@pytest.mark.parametrize(
    ("needs", "said"),
    [([["nvidia-cudnn-cu13==9"]], True), ([["jinja2"]], False), ([], False)],  # [] where it is here
)
def test_a_torch_of_gigabytes_is_told(tmp_path: Path, needs: list[list[str]], said: bool) -> None:
    text = (ROOT / "Makefile").read_text()
    script = text.partition("define HEAVY\n")[2].partition("endef")[0]
    report = {"install": [{"metadata": {"requires_dist": one}} for one in needs]}
    told = subprocess.check_output(
        [sys.executable, "-c", script], input=json.dumps(report), text=True
    )
    assert ("TORCH=none" in told) == said


def installs(lines: list[str]) -> list[str]:
    """What is installed, with nothing but errors shown."""
    quiet = "pip install --quiet --quiet "
    return [line.split(quiet)[1].strip() for line in lines if quiet in line]


def test_environment_is_made_once_and_anew_for_another_build(tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    environment.mkdir()
    (environment / ".ready-cpu").touch()
    assert "pip install" not in dry_run(tmp_path, "exit 127", "bench")
    assert dry_run(tmp_path, "exit 127", "test").count("pip install") == 1
    (environment / ".tested-cpu").touch()
    assert "pip install" not in dry_run(tmp_path, "exit 127", "test")
    assert f"venv --clear {environment}" in dry_run(tmp_path, answer("13.0"), "test")


def test_python_can_be_chosen(tmp_path: Path) -> None:
    planned = dry_run(tmp_path, "exit 127", "PYTHON=python3.12", "test")
    assert "\npython3.12 -m venv" in planned


def test_without_a_python_new_enough_it_is_said(tmp_path: Path) -> None:
    done = subprocess.run(
        ["make", "PYTHON=", f"VENV={tmp_path / 'venv'}", "bench"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=unset(),
    )
    assert done.returncode != 0
    assert "no Python from 3.11 on is found; PYTHON=… names one" in done.stderr


def test_wheel_holds_every_file_of_both_packages(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run([*command, "--directory", str(tmp_path)], cwd=ROOT, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = {
        path.relative_to(root).as_posix()
        for root, package in ((ROOT / "bench", "convcross"), (ROOT / "kernels", "convkernels"))
        for path in (root / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == expected


def test_every_file_is_linted() -> None:
    """An exclusion of a folder's name at the top would skip the rooms of that name."""
    listed = subprocess.check_output(
        [sys.executable, "-m", "ruff", "check", "--show-files", "."], cwd=ROOT, text=True
    )
    linted = {Path(line).relative_to(ROOT) for line in listed.splitlines() if line.endswith(".py")}
    there = {
        path.relative_to(ROOT)
        for root in ("bench", "kernels", "tests")
        for path in (ROOT / root).rglob("*.py")
    }
    assert there <= linted
    assert Path("bench/convcross/report/report.py") in linted
    assert Path("bench/convcross/results/schema.py") in linted


def test_the_wheel_alone_measures_and_reports(tmp_path: Path) -> None:
    """In an environment that has what it depends on, and nothing of this tree."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run([*command, "--directory", str(tmp_path)], cwd=ROOT, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    home = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    (site,) = home.glob("lib/python*/site-packages")
    zipfile.ZipFile(wheel).extractall(site)
    (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")

    def convcross(*arguments: str) -> str:
        done = subprocess.run(
            [home / "bin/python", "-I", "-m", "convcross", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    where = "import convcross, convkernels; print(convcross.__file__, convkernels.__file__)"
    (place,) = {
        Path(path).parents[1]
        for path in subprocess.check_output(
            [home / "bin/python", "-I", "-c", where], cwd=tmp_path, text=True
        ).split()
    }
    assert place == site
    assert "direct" in convcross("list")
    few = ("--kernels", "3,5,7", "--launches", "1", "--contenders", "direct/numpy,fft/numpy")
    convcross("run", "quick", "--sizes", "64", *few, "--device", "cpu", "--out", "a.jsonl")
    assert "report.html" in convcross("report", "a.jsonl", "--out", "report")
    page = (tmp_path / "report" / "report.html").read_text()
    assert "Plotly.newPlot" in page or "plotly" in page.lower()
    convcross("demo", "--out", "demo.png")
    assert (tmp_path / "demo.png").stat().st_size > 100_000
    assert list(site.glob("convkernels/**/*.cu*"))
