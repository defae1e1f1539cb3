"""``convcross demo``: a photograph blurred, searched, embossed and timed, with one figure of it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from convcross.demo.photo import (
    BRIGHTNESS,
    CONTRAST,
    EMBOSS,
    GAUSSIAN,
    NOISE,
    PATCH,
    SEED,
    BothOps,
    Photograph,
    Search,
    compare,
    photograph,
    search,
)
from convcross.demo.words import outcome, verdict, written
from convcross.errors import BadInput
from convcross.machine import describe, threads
from convcross.measure.duel import measure_on
from convcross.results.schema import Record
from convcross.results.status import failed
from convcross.sweeps import data
from convcross.sweeps.contenders import available, matching
from convcross.sweeps.data import Floats
from convcross.sweeps.duels import Duel
from convcross.sweeps.spec import Limits
from convkernels import Problem
from convkernels.problem import ROUNDOFF

LARGE = 25  # side of the second kernel that is timed
ROUNDING = 64 * ROUNDOFF["float32"]  # of a 5×5 sum and a transform, at most, at any pixel
LIMITS = Limits(seconds=0.1, run_seconds=0.3)


def time_all(x: Floats, kernel: Floats, devices: Sequence[str]) -> list[Record]:
    """Every contender on these devices, interleaved, verified; the fastest first.

    Those of which a run would outlast LIMITS.run_seconds have status "timeout" and come last,
    with others that have no time. Refusals are left out.
    """
    problem = Problem(image=x.shape, kernel=kernel.shape, mode="same", dtype="float32")
    duel = Duel(
        id=f"demo-{kernel.shape[0]}",
        problem=problem,
        contenders=matching(["strong", "textbook"], available(devices)),
        image_data="photograph",
        kernel_data="gaussian",
        seed=SEED,
        regime=None,
        threads=None,
        limits=LIMITS,
    )
    records = measure_on(duel, x, kernel).records
    kept = [record for record in records if record.status != "unsupported"]
    return sorted(kept, key=lambda record: record.median_s if record.status == "ok" else math.inf)  # type: ignore[arg-type, return-value]


# ---- the command -----------------------------------------------------------------------------


def show(path: Path | None, out: Path, devices: Sequence[str]) -> bool:
    """Run the demo, print what it finds, and write the figure.

    Returns whether every contender that was timed was right.

    Raises
    ------
    BadInput
        The photograph, or the place of the figure, is at fault.
    """
    from convcross.demo import figure

    if out.suffix.lower() != ".png" or out.is_dir():
        raise BadInput(f"figure {str(out)!r}; allowed: a file name that ends in .png")
    with _writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    photo = photograph(path)
    x = photo.values
    sought = search(x)
    emboss, blur = compare(x, EMBOSS), compare(x, GAUSSIAN)
    print("\n".join(_findings(photo, sought, emboss, blur)), flush=True)
    timings = []
    for kernel in (GAUSSIAN, data.kernel("gaussian", (LARGE, LARGE), SEED)):
        records = time_all(x, kernel, devices)
        timings.append((kernel.shape[0], records))
        print("\n".join(_table(kernel.shape[0], records, devices)), flush=True)
    with _writing(out):
        figure.write(out, photo, sought, emboss, blur, timings, _where(devices))
    print(out)
    return not any(failed(record.status) for _, records in timings for record in records)


@contextlib.contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadInput(f"figure {str(out)!r}: {error.strerror or error}") from None


def _findings(photo: Photograph, sought: Search, emboss: BothOps, blur: BothOps) -> list[str]:
    height, width = photo.values.shape
    size = f"{width} x {height} pixels"
    if photo.original != (height, width):
        size = "{1} x {0}, reduced to ".format(*photo.original) + size
    right = {True: "right", False: "wrong"}
    rounding = "rounding" if blur.largest < ROUNDING else "more than rounding"
    return [
        f"{photo.name}: {size}, as luminance",
        f"a patch of {PATCH} x {PATCH} cut at {_at(sought.place)}, then contrast x {CONTRAST}, "
        f"brightness + {BRIGHTNESS}, noise of {NOISE}:",
        f"  normalised correlation finds it at {_at(sought.found)}, score {sought.score:.2f}: "
        + right[sought.found == sought.place],
        f"  plain correlation is largest at {_at(sought.plain)}: "
        + right[sought.plain == sought.place],
        "convolution against correlation, the largest difference relative to the largest value:",
        f"  emboss {written(EMBOSS)}, not symmetric: {emboss.largest:.2g}",
        f"  Gaussian 5 x 5, symmetric: {blur.largest:.1e}, {rounding} in float32",
    ]


def _at(place: tuple[int, int]) -> str:
    return "row {}, column {}".format(*place)


def _where(devices: Sequence[str]) -> str:
    names = dict.fromkeys(describe.name(device) for device in devices)
    count = threads.usable()
    cpu = f", {count} thread{'s' * (count > 1)}" if "cpu" in devices else ""
    return " and ".join(names) + cpu


def _table(size: int, records: Sequence[Record], devices: Sequence[str]) -> list[str]:
    lines = [
        "",
        f"Gaussian {size} x {size}, mode same, float32, on {_where(devices)}: ms a run",
        f"{'contender':34} {'family':8} {'median':>9}   95 % interval",
    ]
    timed = [record for record in records if record.median_s is not None and record.status == "ok"]
    for record in records:
        head = f"{record.contender:34} {record.family:8}"
        if record in timed:
            middle, low, high = (
                1e3 * float(s or 0) for s in (record.median_s, record.ci_low_s, record.ci_high_s)
            )
            lines.append(f"{head} {middle:9.4g}   {low:.4g} to {high:.4g}")
        else:
            lines.append(f"{head} {outcome(record)}")
    if timed:
        lines.append(verdict(timed))
    return lines
