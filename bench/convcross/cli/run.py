"""The commands that measure sweeps: run, repeatability."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convcross.cli.options import (
    Algorithms,
    Contenders,
    Device,
    Json,
    load_algorithms,
    parse_pair,
    parse_seconds,
    print_json,
)
from convcross.errors import BadInput
from convcross.sweeps.regimes import REGIMES
from convcross.sweeps.shipped import shipped

if TYPE_CHECKING:
    from convcross.run.outcome import Outcome
    from convcross.run.workers.machine import Machine


def run(
    sweep: Annotated[
        str,
        typer.Argument(help=f"{', '.join(shipped())}, or a TOML file."),
    ],
    sizes: Annotated[str | None, typer.Option(help="Image sizes N: 256,512 or 64:512:64.")] = None,
    kernels: Annotated[str | None, typer.Option(help="Kernel sizes n: 3,5,7 or 3:63:2.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float64, float32, float16, bfloat16.")] = None,
    mode: Annotated[str | None, typer.Option(help="full, same, valid.")] = None,
    op: Annotated[str | None, typer.Option(help="convolution, correlation.")] = None,
    direction: Annotated[
        str | None, typer.Option(help="forward, grad_input, grad_weight, step.")
    ] = None,
    regime: Annotated[str | None, typer.Option(help=f"{', '.join(REGIMES)}.")] = None,
    launches: Annotated[
        int | None, typer.Option(help="Fresh processes that each pass over the sweep.")
    ] = None,
    contenders: Contenders = None,
    device: Device = None,
    scheduler: Annotated[
        str | None,
        typer.Option(help="Of a Dask cluster: tcp://host:8786, or a TOML file of Slurm jobs."),
    ] = None,
    algorithms: Algorithms = None,
    energy: Annotated[
        bool, typer.Option("--energy", help="Measure energy too: 4 s for each contender.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Results file.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a results file.")] = False,
    resume_anyway: Annotated[
        bool,
        typer.Option("--resume-anyway", help="Also of another sweep, other versions; recorded."),
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Resume, and measure failed duels again.")
    ] = False,
    budget: Annotated[
        str | None,
        typer.Option(help="Begin nothing that does not fit in this time: 90s, 8m, 2h."),
    ] = None,
    find_crossover: Annotated[
        bool, typer.Option("--find-crossover", help="Measure only what n* needs: see --pair.")
    ] = False,
    pair: Annotated[
        str | None, typer.Option(help="A,B of --find-crossover. [default: direct,fft]")
    ] = None,
) -> None:
    """Run a sweep: measure time and error of every contender. Options override the sweep.

    --find-crossover measures a fifth to a third of the grid, closely where B overtakes A. Without
    --kernels, and where the sweep has fewer than 20, the grid is all odd n from 3 to 511,
    within N.
    """
    from convcross.run.progress import showing, summary
    from convcross.run.session import run as run_sweep
    from convcross.run.workers import local
    from convcross.sweeps import spec
    from convcross.sweeps.contenders import devices_named

    if pair is not None and not find_crossover:
        raise BadInput("--pair is given without --find-crossover; allowed: both")
    paths = load_algorithms(algorithms)
    lists = {"dtypes": dtype, "modes": mode, "ops": op, "directions": direction}
    lists["contenders"] = contenders
    overrides: dict[str, Any] = {
        key: parts for key, text in lists.items() if (parts := _parts(text)) is not None
    }
    given = {
        "sizes": sizes,
        "kernels": kernels,
        "regime": regime,
        "energy": energy or None,
        "launches": launches,
    }
    overrides |= {key: value for key, value in given.items() if value is not None}
    loaded = spec.load(sweep, overrides)
    if find_crossover and kernels is None:
        from convcross.run.search.search import dense

        loaded = dense(loaded)
    with contextlib.ExitStack() as stack:
        if scheduler is None:
            machines: list[Machine] = [
                stack.enter_context(contextlib.closing(machine))
                for machine in local.machines(devices_named(device))
            ]
        else:
            from convcross.run.cluster import cluster

            found = cluster.connect(scheduler, device, paths)
            machines = [*stack.enter_context(found).machines]
        progress, watching = stack.enter_context(showing())
        outcomes = run_sweep(
            loaded,
            machines,
            algorithm_paths=paths,
            out=out,
            resume=resume,
            resume_anyway=resume_anyway,
            retry_failed=retry_failed,
            budget=parse_seconds(budget) if budget else None,
            pair=parse_pair(pair or "direct,fft") if find_crossover else None,
            progress=progress,
            watching=watching,
        )
    for outcome in outcomes:
        summary(outcome, budget)
    if any(outcome.interrupted for outcome in outcomes):
        raise typer.Exit(130)
    if any(outcome.failed or outcome.workers_lost for outcome in outcomes):
        raise typer.Exit(1)


def repeatability(
    sweep: Annotated[
        str,
        typer.Argument(
            metavar="[SWEEP]", help="A sweep as in run, or a results file of several launches."
        ),
    ] = "repeatability",
    launches: Annotated[
        int | None, typer.Option(min=2, help="Fresh processes to hold against each other.")
    ] = None,
    contenders: Contenders = None,
    device: Device = None,
    algorithms: Algorithms = None,
    as_json: Json = False,
) -> None:
    """Measure a sweep against itself: the smallest difference that this machine can tell.

    By contender and image size: how far processes of the same code lie apart, and whether some have
    a slow mode. Kept in results/<machine>/repeatability.json, where compare takes it as the least
    difference that counts. The sweep "repeatability" takes some 4 minutes on two CPU cores.
    """
    from convcross.analysis import repeatability as analysis
    from convcross.machine import repeatability as kept

    files, failed = [Path(sweep)], False
    if not sweep.endswith((".jsonl", ".jsonl.gz")):
        outcomes = _measured(sweep, launches, contenders, device, algorithms, quiet=as_json)
        files = [outcome.path for outcome in outcomes]
        failed = any(outcome.failed or outcome.workers_lost for outcome in outcomes)
    elif (launches, contenders, device, algorithms) != (None, None, None, None):
        raise BadInput(f"{sweep} is measured already; allowed: it alone")
    found = [analysis.repeatability(file) for file in files]
    for one in found:
        path = kept.write(one)
        if not as_json:
            analysis.print_repeatability(one)
            print(path)
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
    if failed:
        raise typer.Exit(1)


def _measured(
    sweep: str,
    launches: int | None,
    contenders: str | None,
    device: str | None,
    algorithms: list[str] | None,
    *,
    quiet: bool,
) -> list[Outcome]:
    """The outcomes of a sweep on this machine's devices, each of several launches."""
    from convcross.run.progress import showing, summary
    from convcross.run.session import run as run_sweep
    from convcross.run.workers import local
    from convcross.sweeps import spec
    from convcross.sweeps.contenders import devices_named

    paths = load_algorithms(algorithms)
    given = {"launches": launches, "contenders": _parts(contenders)}
    loaded = spec.load(sweep, {key: value for key, value in given.items() if value is not None})
    if loaded.launches < 2:
        raise BadInput(f"launches is {loaded.launches}; allowed: 2 or more")
    with contextlib.ExitStack() as stack:
        machines: list[Machine] = [
            stack.enter_context(contextlib.closing(machine))
            for machine in local.machines(devices_named(device))
        ]
        progress, watching = stack.enter_context(showing(quiet=quiet))
        outcomes = run_sweep(
            loaded, machines, algorithm_paths=paths, progress=progress, watching=watching
        )
    for outcome in outcomes:
        if not quiet:
            summary(outcome, None)
    if any(outcome.interrupted for outcome in outcomes):
        raise typer.Exit(130)
    return outcomes


def _parts(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",")]
