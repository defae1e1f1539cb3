"""Commands about what is here: list, check, doctor, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from convcross.cli.options import Algorithms, Device, Json, load_algorithms, print_json


def list_(as_json: Json = False, algorithms: Algorithms = None) -> None:
    """Show every algorithm: family, namespaces, source, and why it is not available here."""
    from convkernels import discovery

    load_algorithms(algorithms)
    rows: list[dict[str, Any]] = []
    for algorithm in discovery.algorithms().values():
        reasons = {namespace: algorithm.missing(namespace) for namespace in algorithm.namespaces}
        rows.append(
            {
                "name": algorithm.name,
                "family": algorithm.family,
                "namespaces": list(algorithm.namespaces),
                "arithmetic": algorithm.arithmetic,
                "source": algorithm.source,
                "available": {name: reason is None for name, reason in reasons.items()},
                "reason": reasons,
            }
        )
    if as_json:
        print_json(rows)
        return
    for row in rows:
        print(f"{row['name']}  ({row['family']}; {row['arithmetic']})\n    {row['source']}")
        for namespace, reason in row["reason"].items():
            print(f"    {namespace:6} {'yes' if reason is None else f'no: {reason}'}")


def check(
    contenders: Annotated[str, typer.Option(help="Patterns, with commas.")] = "*",
    problems: Annotated[int, typer.Option(min=1, help="Random problems for each.")] = 500,
    device: Device = None,
    algorithms: Algorithms = None,
    as_json: Json = False,
) -> None:
    """Verify every contender available here against SciPy in float64."""
    from convcross.measure.accuracy import check as checking
    from convcross.sweeps.contenders import available, devices_named, matching

    load_algorithms(algorithms)
    devices = sorted({name for group in devices_named(device) for name in group})
    if device is None and devices != ["cpu"]:
        devices.append("cpu")
    chosen = matching(contenders.split(","), available(devices))
    findings = checking.check(chosen, problems=problems)
    if as_json:
        print_json([finding.to_json() for finding in findings])
    else:
        print(f"{'contender':36} {'problems':>8} {'failures':>8} {'worst error':>12} {'bound':>9}")
        for result in findings:
            print(
                f"{result.contender:36} {result.problems:8} {result.failures:8} "
                f"{result.worst_error:12.2e} {result.bound:9.2e}"
            )
        for result in findings:
            if result.first_failure:
                print(f"{result.contender}: {result.first_failure}")
    if any(finding.failures for finding in findings):
        raise typer.Exit(1)


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
    from convcross.machine import doctor as examining
    from convcross.sweeps.contenders import devices_named

    devices = list(dict.fromkeys(name for group in devices_named(device) for name in group))
    if cross_check:
        from convcross.crosscheck.crosscheck import show

        if not show(devices, as_json):
            raise typer.Exit(1)
        return
    if ceilings:
        from convcross.measure.ceilings import measure_and_keep

        measured = [measure_and_keep(name) for name in devices]
        if as_json:
            print_json(measured)
        else:
            for best in measured:
                examining.print_ceilings(best)
        return
    findings = examining.examine()
    if as_json:
        print_json([finding.to_json() for finding in findings])
    else:
        examining.print_findings(findings)


def demo(
    image: Annotated[
        Path | None, typer.Argument(help="A photograph. [default: matplotlib's portrait]")
    ] = None,
    out: Annotated[Path, typer.Option(help="The figure, as PNG.")] = Path("convcross-demo.png"),
    device: Device = None,
) -> None:
    """Blur a photograph, find a patch in it, and time every algorithm on it; one figure."""
    from convcross.demo import show as showing
    from convcross.sweeps.contenders import devices_named

    devices = list(dict.fromkeys(name for group in devices_named(device) for name in group))
    if not showing.show(image, out, devices):
        raise typer.Exit(1)
