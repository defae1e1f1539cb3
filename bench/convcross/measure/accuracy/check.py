"""``convcross check``: every contender here against SciPy in float64 on random problems."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from convcross.measure.accuracy import reference
from convcross.measure.accuracy import truth as accuracy
from convcross.measure.trial import classify
from convcross.sweeps import data
from convcross.sweeps.contenders import Contender
from convkernels import Problem, namespaces
from convkernels.problem import BOUNDARIES, DTYPES, MODES, OPS

PROBLEMS = 500
TRIES = 100  # random problems drawn, at most, for each that a contender must be tried on


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
    """A small problem of any kind that ``Problem`` allows, forward."""
    while True:
        grouped = bool(random.random() < 0.4)
        groups = int(random.integers(1, 4)) if grouped else 1
        padded = bool(random.random() < 0.2)
        pads = [[int(pad) for pad in random.integers(0, 6, 2)] for _ in range(2)]
        try:
            return Problem(
                image=_pair(random, 24),
                kernel=_pair(random, 9),
                batch=int(random.integers(1, 4)),
                in_channels=groups * (int(random.integers(1, 4)) if grouped else 1),
                out_channels=groups * (int(random.integers(1, 4)) if grouped else 1),
                groups=groups,
                op=str(random.choice(OPS)),
                mode=str(random.choice(MODES)),
                padding=pads if padded else None,  # type: ignore[arg-type]
                stride=(1, 1) if random.random() < 0.7 else _pair(random, 3),
                dilation=(1, 1) if random.random() < 0.7 else _pair(random, 3),
                boundary=str(random.choice(BOUNDARIES, p=[0.8, 0.2])),
                dtype=str(random.choice(DTYPES)),
            )
        except ValueError:  # a kernel that does not fit
            continue


def _pair(random: np.random.Generator, most: int) -> tuple[int, int]:
    return (int(random.integers(1, most + 1)), int(random.integers(1, most + 1)))


def check(
    contenders: Sequence[Contender],
    *,
    problems: int = PROBLEMS,
    seed: int = 0,
    progress: Callable[[str], None] = lambda name: None,
) -> list[CheckResult]:
    """Verify each contender on so many random problems that it does not refuse.

    Each is told in ``progress`` when it is done. Failures are wrong results, and anything raised
    but a refusal.
    """
    findings = []
    for contender in contenders:
        finding = CheckResult(str(contender))
        random = data.generator(seed, "check")
        for _ in range(TRIES * problems):
            if finding.problems == problems:
                break
            _try(contender, random_problem(random), finding, int(random.integers(1 << 31)))
        findings.append(finding)
        progress(finding.contender)
    return findings


def _try(contender: Contender, problem: Problem, finding: CheckResult, seed: int) -> None:
    place = contender.namespace, contender.device
    algorithm = contender.found
    try:
        if algorithm.refuses(problem, *place) is not None:
            return
        bound = float(algorithm.implementation.error_bound(problem))
    except Exception as error:
        _fail(finding, problem, classify(error)[1])
        return
    x, w = (
        namespaces.round_to(values, problem.dtype).astype(np.float64)
        for values in (
            data.image("normal", problem.x_shape, seed),
            data.kernel("normal", problem.w_shape, seed),
        )
    )
    try:
        with namespaces.on(*place):
            instance = algorithm.prepare(problem, *place)
            instance.load(namespaces.from_numpy(w, *place, problem.dtype))
            result = instance.run(namespaces.from_numpy(x, *place, problem.dtype))
            found = namespaces.to_numpy(result)
    except Exception as error:
        status, reason = classify(error)
        if status != "unsupported":
            _fail(finding, problem, reason)
        return
    truth = accuracy.given(problem, x, w, reference.by_scipy(problem, x, w))
    wrong = accuracy.verify(found, bound, truth)
    if namespaces.dtype_name(result) != problem.dtype:
        wrong = f"dtype {namespaces.dtype_name(result)}; expected {problem.dtype}"
    if wrong is not None:
        _fail(finding, problem, wrong)
        return
    finding.problems += 1
    relative = accuracy.relative_error(found, truth)
    if relative * finding.bound >= finding.worst_error * bound or math.isinf(finding.bound):
        finding.worst_error, finding.bound = relative, bound


def _fail(finding: CheckResult, problem: Problem, reason: str) -> None:
    finding.problems += 1
    finding.failures += 1
    finding.first_failure = finding.first_failure or f"{problem}: {reason}"
