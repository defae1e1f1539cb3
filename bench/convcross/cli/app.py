"""The command line: it reads arguments and prints; the work is done in the modules it imports."""

from __future__ import annotations

import contextlib
import importlib
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convcross.failures import BadInput
from convcross.text import file_name, one_line

if TYPE_CHECKING:
    from convcross.workers import Machine

app = typer.Typer(
    help="Which convolution algorithm wins at this image size and this kernel size, "
    "and where FFT overtakes the direct sum.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Algorithms = Annotated[
    list[str] | None,
    typer.Option(metavar="PATH", help="A .py file, or a folder of them, that registers more."),
]
Device = Annotated[
    str | None,
    typer.Option(help="cpu, cuda:0, cuda:all, or several with commas. [default: the best here]"),
]
Flagged = Annotated[
    bool, typer.Option("--include-flagged", help="Use what is flagged too: impossible, ran-fft…")
]
Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Results files.")]


def _load(paths: list[str] | None) -> list[str]:
    """Register what the files of --algorithms hold; their resolved paths."""
    if not paths:
        return []
    from convcross.loading import load

    return load(paths)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, allow_nan=False))


@app.command("list")
def list_(as_json: Json = False, algorithms: Algorithms = None) -> None:
    """Show every algorithm: family, namespaces, source, and why it is not available here."""
    from convkernels import registry

    _load(algorithms)
    rows: list[dict[str, Any]] = []
    for one in registry.algorithms().values():
        reasons = {namespace: one.missing(namespace) for namespace in one.namespaces}
        rows.append(
            {
                "name": one.name,
                "family": one.family,
                "namespaces": list(one.namespaces),
                "arithmetic": one.arithmetic,
                "source": one.source,
                "available": {name: reason is None for name, reason in reasons.items()},
                "reason": reasons,
            }
        )
    if as_json:
        _print_json(rows)
        return
    for row in rows:
        print(f"{row['name']}  ({row['family']}; {row['arithmetic']})\n    {row['source']}")
        for namespace, reason in row["reason"].items():
            print(f"    {namespace:6} {'yes' if reason is None else f'no: {reason}'}")


@app.command()
def check(
    contenders: Annotated[str, typer.Option(help="Patterns, with commas.")] = "*",
    problems: Annotated[int, typer.Option(min=1, help="Random problems for each.")] = 500,
    device: Device = None,
    algorithms: Algorithms = None,
    as_json: Json = False,
) -> None:
    """Verify every contender available here against SciPy in float64."""
    from convcross import check as checking
    from convcross.duels import available, devices_named, matching

    _load(algorithms)
    devices = sorted({name for group in devices_named(device) for name in group})
    if device is None and devices != ["cpu"]:
        devices.append("cpu")
    chosen = matching(contenders.split(","), available(devices))
    findings = checking.check(chosen, problems=problems)
    if as_json:
        _print_json([finding.to_json() for finding in findings])
    else:
        print(f"{'contender':36} {'problems':>8} {'failures':>8} {'worst error':>12} {'bound':>9}")
        for one in findings:
            print(
                f"{one.contender:36} {one.problems:8} {one.failures:8} "
                f"{one.worst_error:12.2e} {one.bound:9.2e}"
            )
        for one in findings:
            if one.first_failure:
                print(f"{one.contender}: {one.first_failure}")
    if any(finding.failures for finding in findings):
        raise typer.Exit(1)


@app.command()
def run(
    sweep: Annotated[
        str,
        typer.Argument(
            help="quick, image, dtypes, cnn, crossover, errors, profile, seed, or a TOML file."
        ),
    ],
    sizes: Annotated[str | None, typer.Option(help="Image sizes N: 256,512 or 64:512:64.")] = None,
    kernels: Annotated[str | None, typer.Option(help="Kernel sizes n: 3,5,7 or 3:63:2.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float64, float32, float16, bfloat16.")] = None,
    mode: Annotated[str | None, typer.Option(help="full, same, valid.")] = None,
    op: Annotated[str | None, typer.Option(help="convolution, correlation.")] = None,
    regime: Annotated[str | None, typer.Option(help="flushed, warm, graph, wall.")] = None,
    contenders: Annotated[str | None, typer.Option(help="Patterns: 'fft/*,direct/torch'.")] = None,
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
    budget: Annotated[str | None, typer.Option(help="Stop after this time: 90s, 8m, 2h.")] = None,
    find_crossover: Annotated[
        bool, typer.Option("--find-crossover", help="Measure only what n* needs: see --pair.")
    ] = False,
    pair: Annotated[
        str | None, typer.Option(help="A,B of --find-crossover. [default: direct,fft]")
    ] = None,
) -> None:
    """Run a sweep: measure time and error of every contender. Options override the sweep.

    --find-crossover measures a fifth to a third of the grid, closely where B overtakes A. Without
    --kernels, and where the sweep has fewer than 20, the grid is all odd n from 3 to 127.
    """
    from convcross import spec
    from convcross.duels import devices_named
    from convcross.progress import showing, summary
    from convcross.run import run as run_sweep
    from convcross.workers import local

    if pair is not None and not find_crossover:
        raise BadInput("--pair is given without --find-crossover; allowed: both")
    paths = _load(algorithms)
    lists = {"dtypes": dtype, "modes": mode, "ops": op, "contenders": contenders}
    overrides: dict[str, Any] = {
        key: [part.strip() for part in text.split(",")]
        for key, text in lists.items()
        if text is not None
    }
    given = {"sizes": sizes, "kernels": kernels, "regime": regime, "energy": energy or None}
    overrides |= {key: value for key, value in given.items() if value is not None}
    loaded = spec.load(sweep, overrides)
    if find_crossover and kernels is None:
        from convcross.search import dense

        loaded = dense(loaded)
    with contextlib.ExitStack() as stack:
        if scheduler is None:
            machines: list[Machine] = [
                stack.enter_context(contextlib.closing(one))
                for one in local.machines(devices_named(device))
            ]
        else:
            from convcross.workers import cluster

            found = cluster.connect(scheduler, device, paths)
            machines = [*stack.enter_context(found).machines]
        progress = stack.enter_context(showing())
        outcomes = run_sweep(
            loaded,
            machines,
            algorithm_paths=paths,
            out=out,
            resume=resume,
            resume_anyway=resume_anyway,
            retry_failed=retry_failed,
            budget=_seconds(budget) if budget else None,
            pair=_pair(pair or "direct,fft") if find_crossover else None,
            progress=progress,
        )
    for outcome in outcomes:
        summary(outcome, budget)
    if any(outcome.interrupted for outcome in outcomes):
        raise typer.Exit(130)
    if any(outcome.failed or outcome.gone for outcome in outcomes):
        raise typer.Exit(1)


def _seconds(text: str) -> float:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", text)
    if not match or float(match[1]) == 0:
        raise BadInput(f"budget is {text!r}; allowed: a time as 90s, 8m or 2h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


@app.command()
def crossover(
    files: Files,
    pair: Annotated[
        list[str] | None, typer.Option(help="A,B: where B overtakes A. Families or contenders.")
    ] = None,
    phase: Annotated[str, typer.Option(help="steady, fresh, first.")] = "steady",
    cost: Annotated[str, typer.Option(help="time, error, workspace, energy.")] = "time",
    include_flagged: Flagged = False,
    as_json: Json = False,
) -> None:
    """Print n*(N), the kernel size from which one contender stays faster than another."""
    from convcross.analysis import crossover as analysis

    pairs = [_pair(text) for text in pair] if pair else None
    rows = analysis.crossovers(
        files, pairs=pairs, phase=phase, cost=cost, include_flagged=include_flagged
    )
    if as_json:
        _print_json([row.to_json() for row in rows])
    else:
        analysis.print_table(rows)


def _pair(text: str) -> tuple[str, str]:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 2 or not all(parts):
        raise BadInput(f"pair is {text!r}; allowed: A,B with families or contenders")
    return parts[0], parts[1]


@app.command()
def claims(files: Files, include_flagged: Flagged = False, as_json: Json = False) -> None:
    """Judge each sentence of the theory on the results: verdict, condition, numbers."""
    from convcross.analysis import claims as analysis
    from convcross.analysis.load import load

    found = analysis.claims(load(files, include_flagged=include_flagged))
    if as_json:
        _print_json([claim.to_json() for claim in found])
    else:
        analysis.print_claims(found)


@app.command()
def report(
    files: Files,
    out: Annotated[
        Path | None, typer.Option(help="Folder. [default: reports/<machine>/<results file>]")
    ] = None,
    include_flagged: Flagged = False,
) -> None:
    """Write figures (PNG, SVG, PDF), every measurement (CSV) and one self-contained HTML page."""
    from convcross import report as reporting
    from convcross.records import read

    folder = out
    if folder is None:
        stem = files[0].name.removesuffix(".gz").removesuffix(".jsonl")
        machine = str(read(files[0]).header.machine.get("name"))
        folder = Path("reports") / file_name(machine) / file_name(stem)
    page, table, *figures = reporting.write(files, folder, include_flagged=include_flagged)
    print(f"{len(figures) // 3} figures, PNG, SVG and PDF, and {table.name} in {folder}")
    print(page)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="Results file, the one before.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Results file, the one after.")],
    fail_on_slower: Annotated[
        bool,
        typer.Option("--fail-on-slower", help="Exit with 1 where B is slower in a cell, or fails."),
    ] = False,
    include_flagged: Flagged = False,
    as_json: Json = False,
) -> None:
    """Hold B against A, cell by cell: two cards, drivers or commits.

    A cell is slower or faster where the medians differ by 2 % or more, and the Mann–Whitney test
    of its samples gives p < 0.002, adjusted for all cells (Benjamini and Hochberg). One that was
    ok and is now wrong, oom, timeout or error counts as slower.
    """
    from convcross.analysis import compare as analysis
    from convcross.analysis.compare_tables import print_comparison

    found = analysis.compare(a, b, include_flagged=include_flagged)
    if as_json:
        _print_json(found.to_json())
    else:
        print_comparison(found)
    if fail_on_slower and found.slower:
        raise typer.Exit(1)


@app.command()
def demo(
    image: Annotated[
        Path | None, typer.Argument(help="A photograph. [default: matplotlib's portrait]")
    ] = None,
    out: Annotated[Path, typer.Option(help="The figure, as PNG.")] = Path("convcross-demo.png"),
    device: Device = None,
) -> None:
    """Blur a photograph, find a patch in it, and time every algorithm on it; one figure."""
    from convcross import demo as showing
    from convcross.duels import devices_named

    devices = list(dict.fromkeys(name for group in devices_named(device) for name in group))
    if not showing.show(image, out, devices):
        raise typer.Exit(1)


@app.command()
def doctor(
    ceilings: Annotated[
        bool, typer.Option("--ceilings", help="Measure peak arithmetic and bandwidths instead.")
    ] = False,
    cross_check: Annotated[
        bool, typer.Option("--cross-check", help="Hold our timer against others' instead.")
    ] = False,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Tell what was found here and what is missing, with the command that installs it.

    --ceilings takes some 10 s a device and keeps the best ever seen of each figure in
    results/<machine>/ceilings.json: no time can lie below what they allow. --cross-check takes up
    to 3 minutes on a CPU and up to 5 on a GPU, and exits with 1 where a peer disagrees.
    """
    from convcross import doctor as examining
    from convcross.duels import devices_named

    devices = list(dict.fromkeys(name for group in devices_named(device) for name in group))
    if cross_check:
        from convcross.cross_check import show

        if not show(devices, as_json):
            raise typer.Exit(1)
        return
    if ceilings:
        measured = [examining.measure_ceilings(name) for name in devices]
        if as_json:
            _print_json(measured)
        else:
            for one in measured:
                examining.print_ceilings(one)
        return
    findings = examining.examine()
    if as_json:
        _print_json([finding.to_json() for finding in findings])
    else:
        examining.print_findings(findings)


def main() -> None:
    """Run the command line: 0 done, 1 a contender failed, 2 bad input, 130 interrupted."""
    sys.exit(_main())


def _main() -> int:
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    duplicate = importlib.import_module("convkernels.registry").DuplicateAlgorithm
    try:
        code = app(standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:
        # A usage error is of Click's class, which some versions of Typer vendor.
        usage = getattr(error, "format_message", None)
        if usage is None and not isinstance(error, (BadInput, duplicate)):
            raise
        complaint = usage() if usage is not None else str(error)
        if complaint.startswith("No such command"):
            commands = (info.name or info.callback for info in app.registered_commands)
            names = (getattr(command, "__name__", command) for command in commands)
            complaint += f" Allowed: {', '.join(map(str, names))}"
        print(f"convcross: {one_line(complaint)}", file=sys.stderr)
        return 2
    return code or 0
