"""README's walk through a new algorithm, executed as it stands there; what else it and the pages
beside the code promise; and their links."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from convcross.run.cluster import slurm as jobs
from convcross.sweeps.groups import GROUPS
from convcross.sweeps.shipped import shipped
from convcross.sweeps.spec import load

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = ["README.md", *sorted(f"bench/{path.name}" for path in (ROOT / "bench").glob("*.md"))]
LINKING = [
    *PAGES,
    "CONTRIBUTING.md",
    "bench/convcross/README.md",
    "kernels/convkernels/README.md",
    "kernels/convkernels/layers/README.md",
    "tests/README.md",
]
LONGEST = 200  # lines of README

on_each_page = pytest.mark.parametrize("page", PAGES)


def written(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def prose(text: str) -> str:
    """The text without its blocks of code."""
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def links(text: str) -> list[str]:
    """Where its links and pictures point in this repository; what is code has none."""
    without_code = re.sub(r"(?<!`)`[^`\n]+`(?!`)", "code", prose(text))
    found = re.findall(r"\]\(([^()\s]+)\)", without_code)
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def anchors(text: str) -> set[str]:
    """Of the headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.*)$", prose(text), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}


def broken(page: str, text: str) -> list[str]:
    """The links of a page that lead nowhere."""
    lost = []
    for link in links(text):
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text("utf-8"))):
            lost.append(link)
    return lost


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
    (row,) = [row for row in rows if row["name"] == "my-overlap-add"]
    assert row["family"] == "fft"
    assert row["available"] == {"numpy": True}


def test_the_new_algorithm_is_verified(folder: Path) -> None:
    arguments = ["--algorithms", "my_algorithms", "--contenders", "my-overlap-add", "--json"]
    (row,) = json.loads(convcross(folder, "check", *arguments, "--problems", "50"))
    assert row["contender"] == "my-overlap-add/numpy@cpu"
    assert row["problems"] == 50
    assert row["failures"] == 0
    assert 0 < row["worst_error"] <= row["bound"]


def test_the_new_algorithm_is_timed_and_plotted(folder: Path) -> None:
    grid = ["--sizes", "32,48", "--kernels", "3,5,7"]
    contenders = ["--contenders", "direct/numpy,my-overlap-add"]
    told = convcross(
        folder, "run", "quick", "--algorithms", "my_algorithms", *grid, *contenders
    ).splitlines()
    results = folder / told[-1]
    lines: list[dict[str, Any]] = [json.loads(line) for line in results.read_text().splitlines()]
    mine = [line for line in lines if line.get("algorithm") == "my-overlap-add"]
    assert len(mine) == 3 * 6  # launches of each duel
    assert {line["status"] for line in mine} == {"ok"}
    assert all(line["phase_seconds"]["run"] for line in mine)
    crossed = convcross(folder, "crossover", str(results))
    assert "my-overlap-add/numpy against direct/numpy" in crossed
    page = Path(folder / convcross(folder, "report", str(results)).splitlines()[-1])
    assert "my-overlap-add/numpy" in page.read_text(encoding="utf-8")
    (times,) = page.parent.glob("*-time.svg")
    assert "my-overlap-add/numpy" in times.read_text(encoding="utf-8")


@on_each_page
def test_the_other_python_blocks_run(page: str) -> None:
    texts = [block for block in blocks("python", written(page)) if "@algorithm" not in block]
    assert len(texts) == (page == "README.md")
    for text in texts:
        subprocess.run([sys.executable, "-W", "error", "-c", text], check=True, timeout=60)


@on_each_page
def test_the_sweeps_shown_are_valid(page: str, tmp_path: Path) -> None:
    texts = [block for block in blocks("toml", written(page)) if "[slurm]" not in block]
    assert len(texts) == (page in ("README.md", "bench/sweeps.md"))
    for text in texts:
        (tmp_path / "shown.toml").write_text(text, encoding="utf-8")
        sweep = load(str(tmp_path / "shown.toml"))
        assert sweep.sizes == [256, 512, 1024][: len(sweep.sizes)]
        assert sweep.kernels[-1] == (15 if page == "README.md" else 31)


@on_each_page
def test_the_jobs_are_read_as_they_stand_there(page: str, tmp_path: Path) -> None:
    texts = [block for block in blocks("toml", written(page)) if "[slurm]" in block]
    assert len(texts) == (page == "bench/many-gpus.md")
    for text in texts:
        (tmp_path / "slurm.toml").write_text(text)
        slurm = jobs.load(str(tmp_path / "slurm.toml"))
        assert (slurm.jobs, slurm.gres, slurm.wait_minutes) == (4, "gpu:1", 60)
        keys = set(re.findall(r"^(\w+) =", text, flags=re.MULTILINE))
        assert keys == set(type(slurm).model_fields)


@on_each_page
def test_commands_and_sweeps_named_exist(page: str) -> None:
    shell = "\n".join(blocks("sh", written(page)))
    commands = set(re.findall(r"^convcross (\w+)", shell, flags=re.MULTILINE))
    from convcross.cli.app import app

    known = {info.name or info.callback.__name__.rstrip("_") for info in app.registered_commands}
    assert commands
    assert commands <= known
    own = re.findall(r"Save this as `(.*?)`", written(page))
    sweeps = set(re.findall(r"^convcross run (\S+)", shell, flags=re.MULTILINE))
    assert sweeps <= {*shipped(), *own}


def test_every_sweep_that_comes_along_and_every_group_is_listed() -> None:
    listed = re.findall(r"^\| `([\w-]+)` \|", written("bench/sweeps.md"), flags=re.MULTILINE)
    assert sorted(listed) == sorted([*shipped(), *GROUPS])


def test_readme_is_short_and_leads_to_every_page() -> None:
    assert len(README.splitlines()) <= LONGEST
    rest = {page for page in LINKING if page != "README.md"}
    assert rest <= {link.partition("#")[0] for link in links(README)}


@pytest.mark.parametrize("page", LINKING)
def test_links_lead_somewhere(page: str) -> None:
    assert broken(page, written(page)) == []


@pytest.mark.parametrize(
    ("link", "lost"),
    [
        ("[a page](bench/sweeps.md)", False),
        ("[its heading](bench/sweeps.md#the-file)", False),
        ("[a folder](results)", False),
        ("[elsewhere](https://example.org/none)", False),
        ("`[no](link)`", False),
        ("[no page](bench/none.md)", True),
        ("[`no code`](bench/none.py)", True),
        ("![no picture](reports/none.png)", True),
        ("[no heading](bench/sweeps.md#none)", True),
    ],
)
def test_a_link_that_leads_nowhere_is_found(link: str, lost: bool) -> None:
    assert bool(broken("README.md", f"Text, then {link}.\n")) == lost


def test_the_first_figure_and_sentence_are_those_of_the_results() -> None:
    from convcross.analysis.crossover.crossover import crossovers
    from convcross.report.page import summary

    ((figure, told),) = re.findall(
        r"<!-- figure -->\n!\[.*?\]\((.*?)\)\n\n(.*?)\n<!-- /figure -->", README, flags=re.DOTALL
    )
    assert (ROOT / figure).is_file()
    (folder,) = re.findall(r"\(From \[`(results/.*?)`\]", README)
    (results,) = (ROOT / folder).glob("*-reference-*.jsonl.gz")
    sentences = " ".join(re.sub(r"^- ", "", told, flags=re.MULTILINE).split())
    assert sentences == " ".join(summary(crossovers([results])))
