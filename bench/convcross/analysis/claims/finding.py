"""What is said of a claim: its findings, what they are judged on, and the words for numbers."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import pandas as pd

from convcross.analysis.claims import model
from convcross.analysis.claims.model import Estimate, Fit, Models
from convcross.analysis.crossover.curves import Grid
from convcross.analysis.crossover.sides import FAMILIES, Pair
from convcross.analysis.crossover.verdict import Verdict, judge
from convcross.analysis.crossover.words import number
from convcross.analysis.load import CONDITIONS, Results

Word = Literal["holds", "holds only if", "false", "not measured here"]


@dataclass(frozen=True)
class Finding:
    """A claim under one set of conditions.

    Attributes
    ----------
    where : machine, device and conditions
    condition : what must hold where the verdict is "holds only if"; why, where "not measured here"
    numbers : sentences
    command : what measures it, where it was not measured
    values : the numbers, for programs
    """

    where: str
    verdict: Word
    condition: str = ""
    numbers: list[str] = field(default_factory=list)
    command: str = ""
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def statement(self) -> str:
        """The verdict with its condition."""
        joint = " " if self.verdict == "holds only if" else ": "
        return f"{self.verdict}{joint}{self.condition}" if self.condition else self.verdict


@dataclass(frozen=True)
class Claim:
    """A sentence of the theory and the measurement that tests it."""

    number: int
    sentence: str
    test: str
    findings: list[Finding]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Subject:
    """What the claims are judged on: the usable grid of a device under one set of conditions."""

    where: str
    device: str
    rows: pd.DataFrame
    models: Models

    def unmeasured(self, why: str) -> Finding:
        command = f"convcross run quick --device {shlex.quote(self.device)}"
        return Finding(self.where, "not measured here", why, command=command)

    def verdicts(self, pair: Pair, cost: str) -> dict[int, Verdict]:
        """N → the verdict on B against A."""
        if not set(pair) <= {*self.rows["family"], *self.rows["contender"]}:
            return {}
        return {N: judge(curve, N) for _, N, curve in Grid(self.rows, "steady", cost).curves(pair)}


def subjects(results: Results) -> list[Subject]:
    """Of each device, the conditions with the most cells of direct sums and FFTs, float32 first."""
    grid = results.grid
    # The theory speaks of N² pixels, and of what is convolved.
    grid = grid[(grid["dimensions"] == 2) & (grid["direction"] == "forward")]
    found = []
    for device, rows in grid.groupby("device", sort=True):
        theirs = rows["family"].isin(FAMILIES)
        keys = [rows[key] for key in CONDITIONS]  # not sorted: channels are numbers and pairs
        counts = theirs.groupby(keys, sort=False).sum().reset_index(name="cells")
        counts["plain"] = counts["dtype"] == "float32"
        counts["words"] = counts[CONDITIONS].astype(str).agg(" ".join, axis=1)
        best = counts.sort_values(["cells", "plain", "words"]).iloc[-1]
        conditions = {key: best[key] for key in CONDITIONS}
        own = rows[(rows[CONDITIONS] == pd.Series(conditions)).all(axis=1)]
        described = [conditions[key] for key in ("dtype", "op", "mode")]
        described += [f"{conditions['data']} data", f"regime {conditions['regime']}"]
        if (conditions["batch"], conditions["channels"]) != (1, 1):
            described.append(f"batch {conditions['batch']}, channels {conditions['channels']}")
        where = f"{results.machine} ({device}): {', '.join(map(str, described))}"
        found.append(Subject(where, str(device), own, model.models(own)))
    return found


# ---- words ---------------------------------------------------------------------------------


def interval(estimate: Estimate) -> str:
    """1.98 [1.95, 2.01]"""
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def by_size(values: Mapping[int, float | str]) -> str:
    """ "n = 5 for N = 128, 256; n = 3 for N = 512" of N → n."""
    sizes: dict[str, list[int]] = {}
    for N, n in values.items():
        sizes.setdefault(n if isinstance(n, str) else f"n = {number(n)}", []).append(N)
    if len(sizes) == 1 and len(values) > 1:
        return f"{next(iter(sizes))} at every N"
    return "; ".join(f"{n} for N = {', '.join(map(str, N))}" for n, N in sizes.items())


def span(low: float, high: float) -> str:
    """2.1 to 35"""
    a, b = (f"{float(f'{value:.2g}'):g}" for value in (low, high))
    return a if a == b else f"{a} to {b}"


def share(value: float) -> str:
    """90 %, or 0.4 %"""
    percent = 100 * value
    return (
        f"{percent:.1f} %"
        if percent < 9.5 and round(percent, 1) != round(percent)
        else f"{percent:.0f} %"
    )


def percent(low: float, high: float) -> str:
    """4 to 12 %, of shares"""
    a, b = f"{100 * low:.0f}", f"{100 * high:.0f}"
    return f"{a} %" if a == b else f"{a} to {b} %"


def misfit(fit: Fit) -> str:
    """How far cells lie from a model."""
    N, n, ratio = fit.worst
    return f"misfit {share(fit.spread)}, at worst {ratio:.2f}× the model at N = {N}, n = {n}"


def told_from(verdict: Verdict) -> str:
    """From which n on B is better."""
    if verdict.n_star is not None:
        return f"from n = {number(verdict.n_star)}"
    if verdict.verdict == "always":
        return "at every n measured"
    if verdict.verdict == "tie":
        return "nowhere significantly"
    if verdict.high is not None:
        return f"from n = {number(verdict.high)} or below"
    return f"nowhere up to n = {number(verdict.low or 0)}"
