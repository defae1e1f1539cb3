"""``convcross check``: every contender here against SciPy in float64 on random problems.

Most are small, of every kind. One in five has sides at multiples of usual tiles and blocks, plus
or minus one pixel: that is where a kernel that works in tiles goes wrong. One in ten has a
kernel of 3 × 3 or 5 × 5, as most networks have and some algorithms take alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convcross.measure.accuracy import reference, step_truth
from convcross.measure.accuracy import truth as accuracy
from convcross.measure.accuracy.arrays import each
from convcross.measure.trial import classify
from convcross.sweeps import data
from convcross.sweeps.contenders import Contender
from convkernels import Problem, UnsupportedProblem, namespaces
from convkernels.problem import BOUNDARIES, DIRECTIONS, DTYPES, MODES, OPS, STEP, Size
from convkernels.registry import Implementation

PROBLEMS = 500
TRIES = 100  # random problems drawn, at most, for each that a contender must be tried on
AT_TILES = 0.2
AT_USUAL, USUAL = 0.1, (3, 5)  # sides of square kernels
TILES = (16, 24, 32, 48, 64, 128, 256)
LONGEST, WIDEST = 600, 63  # sides of their images and of their kernels, at most
# Of SciPy's direct sums, at most: 40 ms. The largest kernels so have narrow images.
PRODUCTS = 2e7
# Kinds of kernels for what refuses the kind asked for: of low rank, separable, constant.
FITTING = ("rank-r", "rank-1", "box")

Floats = NDArray[np.float64]


@dataclasses.dataclass
class CheckResult:
    """How a contender did."""

    contender: str
    problems: int = 0
    failures: int = 0
    worst_error: float = 0.0  # relative L2, of the problem that came closest to its bound
    bound: float = math.inf
    first_failure: str | None = None

    def to_json(self) -> dict[str, Any]:
        row = dataclasses.asdict(self)
        row["bound"] = self.bound if math.isfinite(self.bound) else None
        return row


def random_problem(random: np.random.Generator) -> Problem:
    """A problem of any kind that ``Problem`` allows, forward; small or at tiles."""
    sizes = _at_tiles if random.random() < AT_TILES else _small
    while True:
        image, kernel = sizes(random)
        if random.random() < AT_USUAL:
            kernel = (int(random.choice(USUAL)),) * 2
        grouped = bool(random.random() < 0.4)
        groups = int(random.integers(1, 4)) if grouped else 1
        padded = bool(random.random() < 0.2)
        mode = str(random.choice(MODES))
        pads = [[int(pad) for pad in random.integers(0, 6, 2)] for _ in range(2)]
        try:
            problem = Problem(
                image=image,
                kernel=kernel,
                batch=int(random.integers(1, 4)),
                in_channels=groups * (int(random.integers(1, 4)) if grouped else 1),
                out_channels=groups * (int(random.integers(1, 4)) if grouped else 1),
                groups=groups,
                op=str(random.choice(OPS)),
                mode=None if padded else mode,
                padding=pads if padded else None,  # type: ignore[arg-type]
                stride=(1, 1) if random.random() < 0.7 else _pair(random, 3),
                dilation=(1, 1) if random.random() < 0.7 else _pair(random, 3),
                boundary=str(random.choice(BOUNDARIES, p=[0.8, 0.2])),
                dtype=str(random.choice(DTYPES)),
            )
        except ValueError:  # a kernel that does not fit
            continue
        if _products(problem) <= PRODUCTS:
            return problem


def _small(random: np.random.Generator) -> tuple[Size, Size]:
    """(image, kernel)"""
    return _pair(random, 24), _pair(random, 9)


def _at_tiles(random: np.random.Generator) -> tuple[Size, Size]:
    """(image, kernel): every side of the image near a multiple of a tile, half of the kernels
    square."""

    def side() -> int:
        tile = int(random.choice(TILES))
        return tile * int(random.integers(1, LONGEST // tile)) + int(random.integers(-1, 2))

    kernel = _pair(random, WIDEST)
    return (side(), side()), (kernel[0], kernel[0]) if random.random() < 0.5 else kernel


def _pair(random: np.random.Generator, most: int) -> Size:
    return (int(random.integers(1, most + 1)), int(random.integers(1, most + 1)))


def _products(problem: Problem) -> float:
    """Of ``reference.by_scipy``: it fills dilated kernels with zeros, and strides at the end."""
    planes = problem.batch * problem.out_channels * problem.in_channels // problem.groups
    return float(planes * math.prod(problem.image) * math.prod(problem.extent))


def check(
    contenders: Sequence[Contender],
    *,
    problems: int = PROBLEMS,
    image_data: Sequence[str] = ("normal",),
    kernel_data: Sequence[str] = ("normal",),
    directions: Sequence[str] = (*DIRECTIONS, STEP),
    seed: int = 0,
    progress: Callable[[str], None] = lambda name: None,
) -> list[CheckResult]:
    """Verify each contender on so many random problems that it does not refuse.

    Each is told in ``progress`` when it is done. Failures are wrong results, and anything raised
    but a refusal. Where ``load`` refuses a kernel, it is offered ``FITTING`` ones: it may be of a
    separable algorithm, which no other check would try.

    Parameters
    ----------
    image_data, kernel_data : kinds of ``sweeps.data``, from which each problem's are drawn
    directions : of which each problem's is drawn, where the contender has it
    """
    findings = []
    for contender in contenders:
        finding = CheckResult(str(contender))
        random = data.generator(seed, "check")
        ways = [way for way in contender.found.directions if way in directions]
        for _ in range(TRIES * problems):
            if finding.problems == problems or not ways:
                break
            problem = random_problem(random)
            if ways != ["forward"]:
                problem = dataclasses.replace(problem, direction=str(random.choice(ways)))
            kinds = str(random.choice(image_data)), str(random.choice(kernel_data))
            _try(contender, problem, kinds, finding, int(random.integers(1 << 31)))
        findings.append(finding)
        progress(finding.contender)
    return findings


def _try(
    contender: Contender,
    problem: Problem,
    kinds: tuple[str, str],
    finding: CheckResult,
    seed: int,
) -> None:
    place = contender.namespace, contender.device
    algorithm = contender.found
    try:
        if algorithm.refuses(problem, *place) is not None:
            return
        bound = algorithm.error_bound(problem)
        with namespaces.on(*place):
            instance = algorithm.prepare(problem, *place)
            x, w = _loaded(instance, problem, place, kinds, seed)
            result = instance.run(
                each(lambda one: namespaces.from_numpy(one, *place, problem.dtype), x)
            )
            found = each(namespaces.to_numpy, result)
    except Exception as error:
        status, reason = classify(error)
        if status != "unsupported":
            _fail(finding, problem, reason)
        return
    truth = step_truth.together(
        problem, x, w, lambda one, a, b: accuracy.given(one, a, b, reference.by_scipy(one, a, b))
    )
    wrong = truth.verify(found, bound)
    dtype = step_truth.dtype(result, problem)
    if dtype != problem.dtype:
        wrong = f"dtype {dtype}; expected {problem.dtype}"
    if wrong is not None:
        _fail(finding, problem, wrong)
        return
    finding.problems += 1
    relative = truth.relative_error(found)
    if relative * finding.bound >= finding.worst_error * bound or math.isinf(finding.bound):
        finding.worst_error, finding.bound = relative, bound


def _loaded(
    instance: Implementation,
    problem: Problem,
    place: tuple[str, str],
    kinds: tuple[str, str],
    seed: int,
) -> tuple[Any, Floats]:
    """Load a kernel of this kind or of the first of ``FITTING`` that is not refused.

    Returns both operands.
    """

    def load(kind: str) -> tuple[Any, Floats]:
        a, b = step_truth.rounded(problem, *data.operands(problem, (kinds[0], kind), seed))
        instance.load(namespaces.from_numpy(b, *place, problem.dtype))
        return a, b

    *first, last = (kinds[1], *FITTING)
    for offered in first:
        with contextlib.suppress(UnsupportedProblem):
            return load(offered)
    return load(last)


def _fail(finding: CheckResult, problem: Problem, reason: str) -> None:
    finding.problems += 1
    finding.failures += 1
    finding.first_failure = finding.first_failure or f"{problem}: {reason}"
