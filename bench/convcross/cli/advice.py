"""Commands that advise: calibrate, advise."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from convcross.cli.options import (
    Algorithms,
    Contenders,
    Device,
    Json,
    load_algorithms,
    parse_seconds,
    print_json,
)
from convcross.errors import BadInput

if TYPE_CHECKING:
    from convcross.advice.weights import Weights
    from convkernels.calibration import Calibration


def calibrate(
    device: Device = None,
    budget: Annotated[str, typer.Option(help="Time of it all, as 90s or 5m.")] = "83s",
    algorithms: Algorithms = None,
) -> None:
    """Measure what each contender that can win takes here, for advise and algorithm="auto".

    A designed sample of images, batches, layers and layers' gradients, each measured by those that
    may be among its fastest; kept in the user's cache folder for this machine, its threads and
    library versions. Kernels that are compiled on the way are kept too, so that no first call has
    to compile them.
    """
    from convcross.advice import calibrate as calibrating
    from convcross.advice import words, worth
    from convcross.machine.contention import ContentionWatch
    from convkernels import calibration

    load_algorithms(algorithms)
    name = one_device(device)
    watch = ContentionWatch()
    made = calibrating.calibrate(name, budget=parse_seconds(budget))
    shares = watch.shares()
    file = calibration.write(made)
    words.print_calibration(made, [*worth.words(made), *words.disturbed(shares)])
    print(file)


def advise(
    image: Annotated[str | None, typer.Option(help="Side of the image, or HxW.")] = None,
    kernel: Annotated[str | None, typer.Option(help="Side of the kernel, or HxW.")] = None,
    channels: Annotated[
        str | None, typer.Option(help="Of a layer: in,out. [default: one image]")
    ] = None,
    groups: Annotated[int, typer.Option(min=1, help="Groups of channels.")] = 1,
    batch: Annotated[int, typer.Option(min=1, help="Images at once.")] = 1,
    mode: Annotated[str, typer.Option(help="full, same, valid.")] = "same",
    dtype: Annotated[str, typer.Option(help="float32, float64, float16, bfloat16.")] = "float32",
    direction: Annotated[
        str, typer.Option(help="forward, or the pass of training: grad_input, grad_weight.")
    ] = "forward",
    device: Device = None,
    phase: Annotated[
        str | None, typer.Option(help="steady, fresh, first. [default: steady]")
    ] = None,
    calls: Annotated[
        int | None, typer.Option(min=1, help="Calls over which plan and load are spread.")
    ] = None,
    max_error: Annotated[float | None, typer.Option(min=0, help="Relative L2.")] = None,
    max_workspace: Annotated[str | None, typer.Option(help="As 64MiB or 1GiB.")] = None,
    contenders: Contenders = None,
    export: Annotated[
        str | None, typer.Option(help="Print a rule instead: python, c, markdown.")
    ] = None,
    algorithms: Algorithms = None,
    as_json: Json = False,
) -> None:
    """Rank the contenders for one problem by what this machine's calibration predicts.

    Steady is a run, fresh a load and a run, first all that a first call pays. --export prints a
    rule of a few lines for every size, with the loss that it has on held-out problems.
    --direction asks for a gradient of a layer: of its input or of its filters.
    """
    from convcross.advice import advise as advising
    from convcross.advice import weights, words
    from convkernels import Problem
    from convkernels.problem import DIRECTIONS

    if direction not in DIRECTIONS:
        raise BadInput(f"direction is {direction!r}; allowed: {', '.join(DIRECTIONS)}")
    load_algorithms(algorithms)
    known = advising.require(one_device(device))
    counted = weights.weights(phase, calls)
    known = advising.among(known, contenders)
    if export is not None:
        _export(known, counted, export, direction)
        return
    if image is None or kernel is None:
        raise BadInput("--image or --kernel is not given; allowed: both, or --export")
    ins, outs = _channels(channels)
    try:
        problem = Problem(
            _pair("image", image),
            _pair("kernel", kernel),
            batch=batch,
            in_channels=ins,
            out_channels=outs,
            groups=groups,
            mode=mode,
            dtype=dtype,
            direction=direction,
        )
    except ValueError as error:
        raise BadInput(str(error)) from None
    most = None if max_workspace is None else _bytes(max_workspace)
    advice = advising.advise(problem, known, counted, max_error=max_error, max_workspace=most)
    if as_json:
        print_json(advice.to_json())
    else:
        words.print_advice(advice)


def one_device(text: str | None) -> str:
    """The device named. Raises BadInput on several."""
    from convcross.sweeps.contenders import devices_named

    named = [name for group in devices_named(text) for name in group]
    if len(named) > 1:
        raise BadInput(f"device is {text!r}; allowed: one of {', '.join(named)}")
    return named[0]


def _export(known: Calibration, counted: Weights, form: str, direction: str) -> None:
    from convcross.advice import rule
    from convcross.advice.export import FORMATS

    if form not in FORMATS:
        raise BadInput(f"export is {form!r}; allowed: {', '.join(FORMATS)}")
    grown = rule.grow(known, known.leading(direction), counted, direction)
    print(FORMATS[form](grown, known))


def _pair(what: str, text: str) -> tuple[int, int]:
    match = re.fullmatch(r"\s*(\d+)\s*(?:[x×]\s*(\d+)\s*)?", text)
    if not match:
        raise BadInput(f"{what} is {text!r}; allowed: a side as 512, or HxW as 720x1280")
    return int(match[1]), int(match[2] or match[1])


def _channels(text: str | None) -> tuple[int, int]:
    if text is None:
        return 1, 1
    match = re.fullmatch(r"\s*(\d+)\s*(?:,\s*(\d+)\s*)?", text)
    if not match:
        raise BadInput(f"channels is {text!r}; allowed: in,out as 64,128, or one number for both")
    return int(match[1]), int(match[2] or match[1])


def _bytes(text: str) -> float:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG]i?B|B)?\s*", text)
    if not match:
        raise BadInput(f"max-workspace is {text!r}; allowed: bytes as 65536, 64MiB or 1GiB")
    unit = (match[2] or "B").replace("i", "")
    return float(match[1]) * {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}[unit]
