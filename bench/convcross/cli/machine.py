"""Commands about what is here: list, check, doctor, floor, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from convcross.cli.options import (
    Algorithms,
    Contenders,
    Device,
    Json,
    load_algorithms,
    parse_kinds,
    print_json,
)
from convcross.errors import BadInput
from convkernels.problem import DIRECTIONS, STEP


def list_(as_json: Json = False, algorithms: Algorithms = None) -> None:
    """Show every algorithm: family, groups, namespaces, source, the error that it promises, and why
    one is not here."""
    from convcross.sweeps.contenders import typical_bound
    from convcross.sweeps.groups import groups_of
    from convkernels import discovery

    load_algorithms(algorithms)
    rows: list[dict[str, Any]] = []
    for algorithm in discovery.algorithms().values():
        reasons = {namespace: algorithm.missing(namespace) for namespace in algorithm.namespaces}
        rows.append(
            {
                "name": algorithm.name,
                "family": algorithm.family,
                "groups": groups_of(algorithm.name),
                "namespaces": list(algorithm.namespaces),
                "directions": list(algorithm.directions),
                "arithmetic": algorithm.arithmetic,
                "source": algorithm.source,
                "bound": typical_bound(algorithm),
                "available": {name: reason is None for name, reason in reasons.items()},
                "reason": reasons,
            }
        )
    if as_json:
        print_json(rows)
        return
    for row in rows:
        print(f"{row['name']}  ({row['family']}; {row['arithmetic']})\n    {row['source']}")
        if (bound := row["bound"]) is not None:
            n = bound["kernel"]
            print(f"    error at most {bound['rel_l2']:.1e} on 512×512 by {n}×{n} of float32")
        print(f"    in {', '.join(row['groups'])}")
        if row["directions"] != ["forward"]:
            print(f"    directions {', '.join(row['directions'])}")
        for namespace, reason in row["reason"].items():
            print(f"    {namespace:6} {'yes' if reason is None else f'no: {reason}'}")


def check(
    contenders: Contenders = None,
    problems: Annotated[int, typer.Option(min=1, help="Random problems for each.")] = 500,
    image_data: Annotated[
        str, typer.Option(help="normal, uniform, photo, high-dynamic-range, impulses.")
    ] = "normal",
    kernel_data: Annotated[
        str, typer.Option(help="normal, gaussian, box, rank-1, rank-r.")
    ] = "normal",
    direction: Annotated[
        str, typer.Option(help="forward, grad_input, grad_weight, step: of those that each has.")
    ] = ",".join((*DIRECTIONS, STEP)),
    device: Device = None,
    algorithms: Algorithms = None,
    as_json: Json = False,
) -> None:
    """Verify every contender available here against SciPy in float64, gradients by the definition.

    A fifth of the problems have sides at multiples of usual tiles, plus or minus one. A contender
    that refuses a kernel, as separable ones do, is given one of rank 3, of rank 1, or a box.
    """
    from convcross.measure.accuracy import check as checking
    from convcross.sweeps import data
    from convcross.sweeps.contenders import available, devices_named, matching

    image_kinds = parse_kinds("image-data", image_data, data.IMAGES)
    kernel_kinds = parse_kinds("kernel-data", kernel_data, data.KERNELS)
    directions = parse_kinds("direction", direction, (*DIRECTIONS, STEP))
    load_algorithms(algorithms)
    devices = sorted({name for group in devices_named(device) for name in group})
    if device is None and devices != ["cpu"]:
        devices.append("cpu")
    chosen = matching((contenders or "all").split(","), available(devices))
    findings = checking.check(
        chosen,
        problems=problems,
        image_data=image_kinds,
        kernel_data=kernel_kinds,
        directions=directions,
    )
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


def floor(
    sizes: Annotated[
        str, typer.Option(help="Image sizes N, as 256,512 or 256:2048:256.")
    ] = "256,512,1024,2048,4096,8192",
    card: Annotated[
        list[str] | None,
        typer.Option(help="Published peaks instead of this machine's: h200, mi300x, epyc-9654, …"),
    ] = None,
    dtype: Annotated[str, typer.Option(help="float32, float64.")] = "float32",
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Print where the floors of direct and FFT convolution cross: arithmetic, not measured.

    n* from the ceilings of this machine (doctor --ceilings), or from published peaks: for the FFT
    of the whole image in separate passes, in three fused kernels, and for fused tiles of
    overlap-save. "6.1 to 9.0" is n* where all of an FFT's FLOP are paired into multiply-adds, to
    n* where none is. No launches, no latency: a real crossover also tells how good each side is.
    """
    from convcross.machine import floor_table, published
    from convcross.machine.floor_crossover import DTYPES, here
    from convcross.sweeps.contenders import devices_named
    from convcross.sweeps.spec import image_sizes

    wanted = image_sizes(sizes)
    if dtype not in DTYPES:
        raise BadInput(f"dtype is {dtype!r}; allowed: {', '.join(DTYPES)}")
    machines = [published.machine(name, dtype) for name in card or ()]
    if not card or device is not None:
        devices = dict.fromkeys(name for group in devices_named(device) for name in group)
        machines = [*(here(name, dtype) for name in devices), *machines]
    found = [(machine, floor_table.rows(machine, wanted)) for machine in machines]
    if as_json:
        print_json([floor_table.to_json(machine, rows) for machine, rows in found])
        return
    for machine, rows in found:
        floor_table.print_table(machine, rows)


def demo(
    image: Annotated[
        Path | None, typer.Argument(help="A photograph. [default: matplotlib's portrait]")
    ] = None,
    out: Annotated[Path, typer.Option(help="The figure, as PNG.")] = Path("convcross-demo.png"),
    device: Device = None,
    learning: Annotated[
        bool,
        typer.Option(
            "--learning", help="Instead: digits learned with correlation and with true convolution."
        ),
    ] = False,
) -> None:
    """Blur a photograph, find a patch in it, time strong and textbook algorithms; one figure.

    With --learning, small networks learn scikit-learn's digits on the CPU with nn.Conv2d, with
    FFTConv2d, and with true convolution in the place of correlation, a minute or two over five
    seeds: the figure tells whether it matters; what each learned is kept beside it (.jsonl), for
    claims and report.
    """
    if learning:
        from convcross.demo import learning_show

        if image is not None:
            raise BadInput(f"photograph {str(image)!r} with --learning; allowed: none")
        if not learning_show.show(out):
            raise typer.Exit(1)
        return
    from convcross.demo import show as showing
    from convcross.sweeps.contenders import devices_named

    devices = list(dict.fromkeys(name for group in devices_named(device) for name in group))
    if not showing.show(image, out, devices):
        raise typer.Exit(1)
