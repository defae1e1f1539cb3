"""Workers as Slurm jobs: the file that asks for them, their script, and a run on a played Slurm."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from convcross.errors import BadInput
from convcross.results.reader import read
from convcross.run.cluster import cluster
from convcross.run.cluster import slurm as jobs
from support import clusters

FULL = """
[slurm]
jobs = 4
cores = 8
memory = "32 GB"
walltime = "02:00:00"
queue = "gpu"
account = "lab"
gres = "gpu:h200:1"
directives = ["--constraint=nvlink", "--output=logs/%j.out"]
setup = ["module load cuda", "source venv/bin/activate"]
python = "python"
interface = "ib0"
"""

SCRIPT = """\
#!/usr/bin/env bash

#SBATCH -J convcross
#SBATCH -p gpu
#SBATCH -A lab
#SBATCH -n 1
#SBATCH --cpus-per-task=8
#SBATCH --mem=30G
#SBATCH -t 02:00:00
#SBATCH --gres=gpu:h200:1
#SBATCH --constraint=nvlink
#SBATCH --output=logs/%j.out
module load cuda
source venv/bin/activate
python -m distributed.cli.dask_worker tcp://10.0.0.1:8786 --name convcross-0 --nthreads 1 \
--memory-limit 29.80GiB --nanny --death-timeout 60 --resources GPU=1 --interface ib0
"""

# Each job is a session of processes on this machine; its number is that of the first.
SLURM = {
    "sbatch": """
folder=$(dirname "$0")
script=$(mktemp "$folder/job-XXXXXX")
cp "$1" "$script"
cd "$folder"
setsid bash "$script" > "$script.log" 2>&1 < /dev/null &
echo "Submitted batch job $!" | tee -a "$folder/submitted"
""",
    "squeue": "",
    "scancel": 'echo "$1" >> "$(dirname "$0")/cancelled"; kill -- -"$1" 2> /dev/null',
}


def written(folder: Path, text: str = FULL) -> str:
    path = folder / "slurm.toml"
    path.write_text(text)
    return str(path)


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a played Slurm's commands, first on the path."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    for name, body in SLURM.items():
        command = folder / name
        command.write_text(f"#!/usr/bin/env bash\n{body}")
        command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def test_the_jobs_script_asks_for_what_the_file_says(tmp_path: Path) -> None:
    from dask_jobqueue.slurm import SLURMJob

    options = jobs.options(jobs.load(written(tmp_path)))
    job = SLURMJob("tcp://10.0.0.1:8786", name="convcross-0", **options)
    assert job.job_script() == SCRIPT


def test_a_job_asks_for_one_card_unless_told_otherwise(tmp_path: Path) -> None:
    least = '[slurm]\njobs = 1\ncores = 2\nmemory = "1 GB"\nwalltime = "10"\n'
    asked = jobs.options(jobs.load(written(tmp_path, least)))
    assert asked["job_extra_directives"] == ["--gres=gpu:1"]
    without = jobs.options(jobs.load(written(tmp_path, least + 'gres = ""')))
    assert without["job_extra_directives"] == []


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            "jobs = 4",
            "jobs = 0",
            r"slurm\.jobs: Input should be greater than or equal to 1 \(got 0",
        ),
        ("jobs = 4", "", r"slurm\.jobs: missing"),
        ("cores = 8", 'cores = "8"', r"slurm\.cores: Input should be a valid integer \(got '8'\)"),
        ('"32 GB"', '"much"', r"slurm\.memory: .* \(got 'much'\)"),
        ('"02:00:00"', '"2h"', r"slurm\.walltime: .* \(got '2h'\)"),
        ('"gpu"', '"gpu\\n#SBATCH --begin=now"', r"slurm\.queue: "),
        ("queue", "partition", r"slurm\.partition: unknown key; allowed: jobs, cores, memory"),
        ("[slurm]", "[pbs]", r"(pbs: unknown key; allowed: slurm|slurm: missing)"),
        ("[slurm]", "[slurm", r"not TOML"),
    ],
)
def test_a_file_that_is_not_right_is_refused(
    before: str, after: str, said: str, tmp_path: Path
) -> None:
    path = written(tmp_path, FULL.replace(before, after, 1))
    with pytest.raises(BadInput, match=rf"--scheduler {path}: {said}"):
        jobs.load(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere\.toml: No such file or directory"):
        cluster.connect(str(tmp_path / "nowhere.toml"))


def test_without_slurm_it_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadInput, match="sbatch, squeue, scancel not found; allowed: a machine"):
        cluster.connect(written(tmp_path))


def test_without_dask_jobqueue_it_says_how_to_install_it(
    tmp_path: Path, slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    with pytest.raises(BadInput, match=r"dask-jobqueue, .* pip install 'convcross\[cluster\]'"):
        cluster.connect(written(tmp_path))


def test_a_folder_that_takes_no_keys_is_told(
    tmp_path: Path, slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path)

    def full(**options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", full)
    with pytest.raises(BadInput, match=r"takes no keys: No space left on device; allowed: a fold"):
        cluster.connect(path)


def test_a_job_that_slurm_does_not_take_is_told_and_the_others_are_cancelled(
    tmp_path: Path, slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (slurm / "sbatch").write_text(
        "#!/usr/bin/env bash\n"
        'mkdir "$(dirname "$0")/first" 2> /dev/null && { echo "Submitted batch job 17"; exit; }\n'
        "echo 'sbatch: error: invalid partition specified: gpu' >&2; exit 1"
    )
    path = written(tmp_path, FULL.replace('interface = "ib0"', ""))
    with pytest.raises(BadInput, match="sbatch takes no job: sbatch: error: invalid partition"):
        cluster.connect(path)
    assert (slurm / "cancelled").read_text() == "17\n"


def test_a_run_by_jobs_from_end_to_end(tmp_path: Path, slurm: Path) -> None:
    (tmp_path / "small.toml").write_text(
        'sizes = [12]\nlaunches = 1\nkernels = [1, 3, 5]\ncontenders = ["direct/numpy"]\n'
        "[limits]\nseconds = 0.001\nsamples = 5\n"
    )
    python_path = clusters.without("torch", tmp_path)["PYTHONPATH"]
    written(
        tmp_path,
        f"""
        [slurm]
        jobs = 2
        cores = 2
        memory = "1 GB"
        walltime = "10"
        gres = ""
        setup = ["export PYTHONPATH={python_path}"]
        interface = "lo"
        """,
    )
    command = ["-m", "convcross", "run", "small.toml", "--scheduler", "slurm.toml"]
    ran = subprocess.run(
        [sys.executable, *command, "--device", "cpu", "--out", "a.jsonl"],
        cwd=tmp_path,
        env=clusters.environment(),
        capture_output=True,
        text=True,
        timeout=2 * clusters.WAIT,
    )
    assert ran.returncode == 0, ran.stderr
    said = ran.stderr.splitlines()
    assert said[0] == "convcross: 2 Slurm jobs submitted; waiting up to 60 min for one"
    assert all(line.startswith("convcross: ") for line in said)
    assert len(read(tmp_path / "a.jsonl").footers) == 3
    (script,) = {one.read_text().partition(" --name")[0] for one in slurm.glob("job-??????")}
    assert "distributed.cli.dask_worker tls://127.0.0.1:" in script
    assert not list(tmp_path.glob(".convcross-*"))
    submitted = [line.split()[-1] for line in (slurm / "submitted").read_text().splitlines()]
    assert len(submitted) == 2
    assert sorted((slurm / "cancelled").read_text().split()) == sorted(submitted)
    left = [one for one in psutil.process_iter() if os.getsid(one.pid) in map(int, submitted)]
    _, alive = psutil.wait_procs(left, timeout=20)
    assert not alive
