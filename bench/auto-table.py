"""What ``algorithm="auto"`` is worth after ``calibrate``, on problems that it has not seen.

python bench/auto-table.py [problems] [--device cuda:0] [--kept]

From the repository's root; 120 forward problems, and layers a quarter as many in each gradient
direction, take some 25 minutes on a CPU. The machine is calibrated anew, unless --kept asks for the
calibration that is kept. Each problem is measured with every
contender that may be its fastest; then what auto takes and the fastest are timed again, in turns.
Choices are compared warm: their plans are there, a call loads its filter and runs. Beside them:
SciPy's own choice, an FFT always, the library's default always, and the rule that
``advise --export`` prints.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import itertools
import math
import random
import time
from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from convcross.advice import calibrate, design, rule, trials, worth
from convcross.advice.weights import PHASE_WEIGHTS, total
from convcross.stats.median import median_interval
from convcross.sweeps.contenders import Contender
from convcross.text import binary, seconds
from convkernels import Problem, calibration, convolve, namespaces, plans
from convkernels.calibration import Calibration
from convkernels.discovery import find
from convkernels.toolbox.directions import GRADIENTS

SEED = 2027
COUNT = 120
KINDS = {"forward": (design.image, design.images, design.layer)} | {
    direction: (design.gradient(design.layer, direction),) for direction in GRADIENTS
}
SHARE = {"forward": 1, "grad_input": 4, "grad_weight": 4}  # so many times fewer problems
NEAR = 1.6  # times the fastest's predicted time: who may be the fastest
AGAIN = 15  # rounds in which the choice and the fastest are timed again
WARM = PHASE_WEIGHTS["fresh"]
RIVALS = {  # on a CPU and on a card
    "numpy": {
        "SciPy's choose_conv_method": "scipy-convolve/numpy",
        "always FFT (fft)": "fft/numpy",
        "always FFT (scipy.signal.fftconvolve)": "scipy-fftconvolve/numpy",
        "always OpenCV's filter2D": "opencv-filter2d/numpy",
    },
    "torch": {
        "always FFT (fft)": "fft/torch",
        "always torch's conv2d": "torch-conv2d/torch",
    },
    "cupy": {
        "always FFT (fft)": "fft/cupy",
        "always FFT (cupyx.scipy.signal.fftconvolve)": "cupyx-fftconvolve/cupy",
    },
}
LAYER = Problem(
    (128, 128), (31, 31), in_channels=64, out_channels=64, mode="same", op="correlation"
)

Losses = dict[str, list[float]]


@dataclasses.dataclass
class Found:
    """What was measured in a direction on a namespace: losses by who chose, and times beside
    predictions."""

    losses: Losses = dataclasses.field(default_factory=lambda: collections.defaultdict(list))
    slower: int = 0  # problems on which the choice is significantly slower, and by over 5 %
    inside: list[bool] = dataclasses.field(default_factory=list)
    cold: list[float] = dataclasses.field(default_factory=list)  # a first call over a warm one
    choosing: list[float] = dataclasses.field(default_factory=list)  # seconds


def near(known: Calibration, problem: Problem, namespace: str, device: str) -> list[Contender]:
    """Those that may be the fastest."""
    expected = {}
    for name in known.contenders:
        phases = known.predict(name, problem) if name.endswith(f"/{namespace}") else None
        if phases is not None:
            expected[name] = total(phases, WARM).seconds
    best = min(expected.values())
    return [Contender(f"{name}@{device}") for name, took in expected.items() if took <= NEAR * best]


def turns(problem: Problem, pair: Sequence[Contender], operands: trials.Operands) -> list[float]:
    """The first's time over the second's, of each round."""
    first, second = (trials.Trial(problem, contender, operands) for contender in pair)
    for number in range(AGAIN):
        for trial in (first, second) if number % 2 else (second, first):
            trial.sample()
    sums = [np.array(trial.loads) + np.array(trial.runs) for trial in (first, second)]
    ratios: list[float] = (sums[0] / sums[1]).tolist()
    return ratios


def ask(
    known: Calibration, grown: rule.Rule, problem: Problem, namespace: str, found: Found
) -> None:
    """Measure one problem on one namespace, on the calibration's device."""
    device = known.key.device
    operands, order = trials.Operands(SEED), random.Random(SEED)
    plans.clear()
    plan = plans.take_best(problem, namespace, device, calls=1000)
    plans.put_back(plan)
    begin = time.perf_counter()
    plans.put_back(plans.take_best(problem, namespace, device, calls=1000))
    found.choosing.append(time.perf_counter() - begin)
    choice = Contender.of(plan.algorithm.name, namespace, device)
    rivals = {
        who: Contender(f"{name}@{device}")
        for who, name in RIVALS[namespace].items()
        if find(name.partition("/")[0]).missing(namespace) is None
        and find(name.partition("/")[0]).refuses(problem, namespace, device) is None
    }
    ruled = Contender(f"{rule.take(grown.tree, problem)}@{device}")
    everyone = {choice, ruled, *near(known, problem, namespace, device), *rivals.values()}
    times, _ = trials.measure(problem, sorted(everyone), operands, order)
    best = min(times, key=lambda one: times[one].warm)
    losses, low = [1.0], 1.0
    if choice != best:
        losses = turns(problem, [choice, best], operands)
        _, low, _ = median_interval(losses)
    loss = float(np.median(losses))
    found.losses["auto"].append(max(loss, 1.0))
    found.slower += loss > worth.ALIKE and low > 1
    for who, contender in (*rivals.items(), ("the exported rule", ruled)):
        if contender in times:
            found.losses[who].append(times[contender].warm / times[best].warm)
    for contender, measured in times.items():
        known_of = contender.short in known.contenders
        phases = known.predict(contender.short, problem) if known_of else None
        if phases is not None:
            expected = total(phases, WARM)
            found.inside.append(expected.low <= measured.warm <= expected.high)
    if problem.is_image and problem.batch == 1 and problem.direction == "forward":
        x = operands.of(problem.image, choice, problem.dtype)
        w = operands.of(problem.kernel, choice, problem.dtype)
        plans.clear()
        calls = []
        for _ in range(3):
            begin = time.perf_counter()
            convolve(x, w, mode=problem.mode, op=problem.op)
            namespaces.synchronize(namespace, device)
            calls.append(time.perf_counter() - begin)
        found.cold.append(calls[0] / min(calls[1:]))


def show(console: Console, what: str, found: Found) -> None:
    """The table of a direction on a namespace."""
    table = Table(title=f"{what}: time over the fastest's", title_justify="left")
    for heading in (
        "who chooses",
        "problems",
        "geometric mean",
        "within 5 %",
        "within 1.5",
        "worst",
    ):
        table.add_column(heading, justify="left" if heading == "who chooses" else "right")
    for who, losses in found.losses.items():
        told = worth.Loss(tuple(losses), 0)
        table.add_row(
            who,
            str(len(losses)),
            f"{told.mean:.3f}",
            f"{told.share(worth.ALIKE):.0%}",
            f"{told.share(worth.LARGE):.0%}",
            f"{max(losses):.2f}",
        )
    console.print(table)
    count = len(found.losses["auto"])
    print(f"auto is within 5 %, or not significantly slower, on {1 - found.slower / count:.0%}")
    print(f"intervals hold {np.mean(found.inside):.1%} of {len(found.inside)} measured times")
    print(f"choosing, where the shape is known: {seconds(float(np.median(found.choosing)))}")
    if found.cold:
        mean = math.exp(float(np.mean(np.log(found.cold))))
        print(
            f"a first call of a shape takes {mean:.2f} times a later one (geometric mean, images)"
        )
    print()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("problems", type=int, nargs="?", default=COUNT)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--kept", action="store_true")
    asked = parser.parse_args()
    count, device = asked.problems, asked.device
    begin = time.perf_counter()
    known = calibration.current(device) if asked.kept else None
    if known is None:
        known = calibrate.calibrate(device, tell=lambda line: None)
        calibration.write(known)
    print(f"calibrate: {time.perf_counter() - begin:.0f} s, {known.key.machine}", flush=True)
    for direction, namespace in itertools.product(KINDS, RIVALS):
        among = [name for name in known.leading(direction) if name.endswith(f"/{namespace}")]
        if not among:
            continue
        what = f"{namespace}, {direction}"
        grown, found = rule.grow(known, among, WARM, direction), Found()
        several = max(1, count // SHARE[direction])
        problems = design.problems(SEED, KINDS[direction], ["float32"])
        for number, problem in enumerate(itertools.islice(problems, several)):
            ask(known, grown, problem, namespace, found)
            if (number + 1) % 10 == 0:
                told = worth.Loss(tuple(found.losses["auto"]), 0)
                print(f"{what}: {number + 1} of {several}, auto {told.mean:.3f}", flush=True)
        show(Console(width=120), what, found)
    if not any(name.endswith("/torch") for name in known.leading()):
        return
    chosen = plans.take_best(LAYER, "torch", device).algorithm
    mine, torchs = (algorithm.cost(LAYER).workspace for algorithm in (chosen, find("torch-conv2d")))
    print(
        f"(1,64,128,128)·(64,64,31,31): auto takes {chosen.name} with {binary(mine)} of workspace; "
        f"torch-conv2d declares {binary(torchs)}"
    )


if __name__ == "__main__":
    main()
