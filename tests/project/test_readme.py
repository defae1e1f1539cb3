"""README's walk through a new algorithm, executed as it stands there; and its other promises."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from convcross.run.cluster import slurm as jobs
from convcross.sweeps.spec import shipped, validated

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def convcross(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "convcross", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with README's algorithm file, where README says to put it."""
    (text,) = [block for block in blocks("python") if "@algorithm" in block]
    (name,) = re.findall(r"Put this in `(.*?)`", README)
    place: Path = tmp_path_factory.mktemp("readme")
    (place / name).parent.mkdir()
    (place / name).write_text(text)
    return place


def test_the_algorithm_is_about_15_lines() -> None:
    (text,) = [block for block in blocks("python") if "@algorithm" in block]
    assert len([line for line in text.splitlines() if line.strip()]) <= 16


def test_the_new_algorithm_is_listed(folder: Path) -> None:
    rows = json.loads(convcross(folder, "list", "--algorithms", "my_algorithms", "--json"))
    (row,) = [row for row in rows if row["name"] == "scipy-oaconvolve"]
    assert row["family"] == "fft"
    assert row["available"] == {"numpy": True}


def test_the_new_algorithm_is_verified(folder: Path) -> None:
    arguments = ["--algorithms", "my_algorithms", "--contenders", "scipy-oaconvolve", "--json"]
    (row,) = json.loads(convcross(folder, "check", *arguments, "--problems", "50"))
    assert row["contender"] == "scipy-oaconvolve/numpy@cpu"
    assert row["problems"] == 50
    assert row["failures"] == 0
    assert 0 < row["worst_error"] <= row["bound"]


def test_the_new_algorithm_is_timed_and_plotted(folder: Path) -> None:
    grid = ["--sizes", "32,48", "--kernels", "3,5,7"]
    contenders = ["--contenders", "direct/numpy,scipy-oaconvolve"]
    told = convcross(
        folder, "run", "quick", "--algorithms", "my_algorithms", *grid, *contenders
    ).splitlines()
    results = folder / told[-1]
    lines: list[dict[str, Any]] = [json.loads(line) for line in results.read_text().splitlines()]
    mine = [line for line in lines if line.get("algorithm") == "scipy-oaconvolve"]
    assert len(mine) == 6
    assert {line["status"] for line in mine} == {"ok"}
    assert all(line["phase_seconds"]["run"] for line in mine)
    crossed = convcross(folder, "crossover", str(results))
    assert "scipy-oaconvolve/numpy against direct/numpy" in crossed
    page = Path(folder / convcross(folder, "report", str(results)).splitlines()[-1])
    assert "scipy-oaconvolve/numpy" in page.read_text(encoding="utf-8")
    (times,) = page.parent.glob("*-time.svg")
    assert "scipy-oaconvolve/numpy" in times.read_text(encoding="utf-8")


def test_the_other_python_block_runs() -> None:
    (text,) = [block for block in blocks("python") if "@algorithm" not in block]
    subprocess.run([sys.executable, "-W", "error", "-c", text], check=True, timeout=60)


def test_the_sweep_shown_is_valid() -> None:
    import tomllib

    (text,) = [block for block in blocks("toml") if "[slurm]" not in block]
    sweep = validated({"name": "readme", **tomllib.loads(text)}, "README")
    assert sweep.sizes == [256, 512, 1024]
    assert sweep.kernels[-1] == 31


def test_the_jobs_are_read_as_they_stand_there(tmp_path: Path) -> None:
    (text,) = [block for block in blocks("toml") if "[slurm]" in block]
    (tmp_path / "slurm.toml").write_text(text)
    slurm = jobs.load(str(tmp_path / "slurm.toml"))
    assert (slurm.jobs, slurm.gres, slurm.wait_minutes) == (4, "gpu:1", 60)
    keys = set(re.findall(r"^(\w+) =", text, flags=re.MULTILINE))
    assert keys == set(type(slurm).model_fields)


def test_commands_and_sweeps_named_exist() -> None:
    shell = "\n".join(blocks("sh"))
    commands = set(re.findall(r"^convcross (\w+)", shell, flags=re.MULTILINE))
    from convcross.cli.app import app

    known = {info.name or info.callback.__name__.rstrip("_") for info in app.registered_commands}
    assert commands <= known
    assert set(re.findall(r"^convcross run (\w+)", shell, flags=re.MULTILINE)) <= set(shipped())


def test_the_first_figure_and_sentence_are_those_of_the_results() -> None:
    from convcross.analysis.crossover.crossover import crossovers
    from convcross.report.page import summary

    root = Path(__file__).parents[2]
    ((figure, told),) = re.findall(
        r"<!-- figure -->\n!\[.*?\]\((.*?)\)\n\n(.*?)\n<!-- /figure -->", README, flags=re.DOTALL
    )
    assert (root / figure).is_file()
    (folder,) = re.findall(r"\(From \[`(results/.*?)`\]", README)
    (results,) = (root / folder).glob("*-reference-*.jsonl.gz")
    assert " ".join(told.split()) == summary(crossovers([results]))
