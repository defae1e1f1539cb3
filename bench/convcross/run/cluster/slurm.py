"""Dask workers as Slurm jobs, one card each, from a TOML file."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, StringConstraints, ValidationError

from convcross.errors import BadInput, first_complaint
from convcross.sweeps.spec import Strict

if TYPE_CHECKING:
    from dask_jobqueue import SLURMCluster
    from distributed import Security

COMMANDS = ("sbatch", "squeue", "scancel")
Word = Annotated[str, StringConstraints(pattern=r"^\S+$")]
Text = Annotated[str, StringConstraints(pattern=r"^[^\r\n]+$")]
Count = Annotated[int, Field(strict=True, ge=1, le=1024)]


class Slurm(Strict):
    """The jobs: each is one worker, and one card unless ``gres`` asks for none."""

    jobs: Count
    cores: Count
    memory: Annotated[str, StringConstraints(pattern=r"^\d+(\.\d+)? ?[KMGT]i?B$")]
    walltime: Annotated[str, StringConstraints(pattern=r"^(\d+-)?\d+(:\d\d){0,2}$")]
    queue: Word | None = None
    account: Word | None = None
    gres: Annotated[str, StringConstraints(pattern=r"^\S*$")] = "gpu:1"
    directives: list[Text] = Field(default_factory=list)  # of sbatch, beside these
    setup: list[Text] = Field(default_factory=list)  # commands of the job before the worker starts
    python: Word | None = None  # on the nodes; None: as here
    interface: Word | None = None  # by which nodes reach this machine
    wait_minutes: Annotated[float, Field(gt=0, le=10_000)] = 60.0  # for the first job to start


class Jobs(Strict):
    slurm: Slurm


def load(path: str) -> Slurm:
    """Raises BadInput, which names the file, the key, the value and what is allowed."""
    try:
        keys = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"--scheduler {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"--scheduler {path}: not TOML: {error}") from None
    try:
        return Jobs.model_validate(keys).slurm
    except ValidationError as error:
        complaint = first_complaint(error)
        if complaint.endswith("unknown key"):
            inside = error.errors()[0]["loc"][0] == "slurm"
            complaint += f"; allowed: {', '.join((Slurm if inside else Jobs).model_fields)}"
        raise BadInput(f"--scheduler {path}: {complaint}") from None


def options(slurm: Slurm) -> dict[str, Any]:
    """Of ``dask_jobqueue.SLURMCluster``. One thread a worker, that duels have its cores."""
    directives = [f"--gres={slurm.gres}"] if slurm.gres else []
    return {
        "cores": 1,
        "job_cpu": slurm.cores,
        "processes": 1,
        "memory": slurm.memory,
        "walltime": slurm.walltime,
        "queue": slurm.queue,
        "account": slurm.account,
        "job_extra_directives": directives + slurm.directives,
        "job_script_prologue": slurm.setup,
        "job_name": "convcross",
        "python": slurm.python,
        "interface": slurm.interface,
        "nanny": True,
        "worker_extra_args": ["--resources", "GPU=1"],
    }


@contextlib.contextmanager
def start(path: str, slurm: Slurm, tell: Callable[[str], None]) -> Iterator[SLURMCluster]:
    """Submit the jobs; they are cancelled in the end.

    Only they and this process have the keys to their scheduler, which would run anybody's code. The
    keys lie meanwhile in a folder here, which the nodes are to see and nobody else can read.

    Raises BadInput without Slurm's commands or dask-jobqueue, and where a job is not taken.
    """
    missing = [command for command in COMMANDS if shutil.which(command) is None]
    if missing:
        raise BadInput(
            f"--scheduler {path}: {', '.join(missing)} not found; allowed: a machine that submits "
            "Slurm jobs"
        )
    try:
        import cryptography  # noqa: F401
        import dask_jobqueue  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name not in ("cryptography", "dask_jobqueue"):
            raise
        raise BadInput(
            f"--scheduler {path} needs {error.name.replace('_', '-')}, which is not installed: "
            "pip install 'convcross[cluster]'"
        ) from None
    with contextlib.ExitStack() as stack:
        try:
            keys = stack.enter_context(
                tempfile.TemporaryDirectory(prefix=".convcross-", dir=Path.cwd())
            )
        except OSError as error:
            raise BadInput(
                f"--scheduler {path}: {Path.cwd()} takes no keys: {error.strerror}; allowed: a "
                "folder to write to, which the nodes see"
            ) from None
        refused: list[str] = []
        cluster = _cluster(slurm, Path(keys), refused)
        stack.callback(_close, cluster)
        cluster.scale(jobs=slurm.jobs)
        cluster.sync(_submitted, cluster)
        if refused:
            raise BadInput(f"--scheduler {path}: sbatch takes no job: {refused[0]}")
        tell(f"{slurm.jobs} Slurm jobs submitted; waiting up to {slurm.wait_minutes:g} min for one")
        yield cluster


def _cluster(slurm: Slurm, keys: Path, refused: list[str]) -> SLURMCluster:
    """Without jobs; why one is not taken will be appended to `refused`."""
    from dask_jobqueue import SLURMCluster
    from dask_jobqueue.slurm import SLURMJob
    from distributed.core import Status

    class Job(SLURMJob):  # type: ignore[misc]
        """Dask only logs why a job was not taken, and would take one that is closed for open."""

        async def start(self) -> None:
            try:
                await super().start()
            except Exception as error:
                self.status = Status.failed
                refused.append((str(error).strip().splitlines() or [type(error).__name__])[-1])
                raise

        async def close(self) -> None:
            await super().close()
            self.status = Status.closed

    return SLURMCluster(
        job_cls=Job,
        scheduler_options={"dashboard_address": ":0"},
        security=_security(keys),
        **options(slurm),
    )


def _security(folder: Path) -> Security:
    """One key for all, made now."""
    from distributed import Security

    made = Security.temporary()
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    certificate.write_text(made.tls_ca_file)
    key.write_text(made.tls_worker_key)
    roles = ("client", "scheduler", "worker")
    return Security(
        require_encryption=True,
        tls_ca_file=str(certificate),
        **{f"tls_{role}_cert": str(certificate) for role in roles},
        **{f"tls_{role}_key": str(key) for role in roles},
    )


async def _submitted(cluster: SLURMCluster) -> None:
    await cluster


def _close(cluster: SLURMCluster) -> None:
    with contextlib.suppress(Exception):  # a scancel that fails: workers end without a scheduler
        cluster.close()
