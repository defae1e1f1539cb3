"""The sentences of the theory, each put to the test of measurements: verdict and numbers.

Claims 1 to 4 and 8 are judged on times and errors, for each device under the conditions most
measured there; 5 to 7 on the algebra of each contender; 9 on two kinds of data; 10 on problems with
channels; 11 on networks that have learned. What the results do not hold is "not measured here",
with the command that measures it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from convcross.analysis import stages
from convcross.analysis.claims import algebra, cost, denormals, layers, learning
from convcross.analysis.claims.algebra import Relations
from convcross.analysis.claims.finding import (
    Claim,
    Finding,
    Subject,
    by_size,
    interval,
    percent,
    span,
    subjects,
    told_from,
)
from convcross.analysis.claims.model import Fit
from convcross.analysis.crossover.sides import FAMILIES
from convcross.analysis.load import Results
from convcross.analysis.tables import by_cell
from convcross.text import one_line


def claims(results: Results) -> list[Claim]:
    """Every claim with its findings."""
    return judged(subjects(results), results)


def judged(subjects: list[Subject], results: Results) -> list[Claim]:
    """``claims`` of results with their subjects; there are none without a usable time."""
    relations = Relations(results)
    return [
        Claim(place, sentence.text, sentence.test, sentence.findings(subjects, relations, results))
        for place, sentence in enumerate(THEORY, start=1)
    ]


# ---- 3: the multiplication dominates --------------------------------------------------------


def _multiplication(subject: Subject) -> Finding:
    cells = stages.by_stage(subject.rows[subject.rows["family"] == "fft"])
    if cells.empty:
        return subject.unmeasured("no staged run of an FFT in these results")
    steady = stages.shares(cells, without=[stages.KERNEL])
    numbers: list[str] = []
    values: dict[str, Any] = {}
    largest: list[Any] = []
    total = 0
    for name, own in steady.groupby("contender", sort=True):
        table = own.pivot_table(index=["N", "n"], columns="stage", values="share", fill_value=0.0)
        total += len(table)
        multiply = table.get("multiply", pd.Series(0.0, table.index))
        largest += list(table.index[table.idxmax(axis=1) == "multiply"])
        others = [stage for stage in stages.ordered(list(map(str, table))) if stage != "multiply"]
        rest = ", ".join(f"{s} {percent(table[s].min(), table[s].max())}" for s in others)
        numbers.append(
            f"{name}: the multiplication takes {percent(multiply.min(), multiply.max())} of a run "
            f"over {len(table)} cells; {rest}. Share of the sum of stages in a staged run."
        )
        values[str(name)] = {
            stage: {"least": float(table[stage].min()), "most": float(table[stage].max())}
            for stage in table
        }
    if len(largest) == total:
        return Finding(subject.where, "holds", "", numbers, values=values)
    if not largest:
        return Finding(
            subject.where, "false", "another stage takes most in every cell", numbers, values=values
        )
    listing = ", ".join(f"{N} · {n}" for N, n in sorted(set(largest)))
    condition = f"N · n is {listing}: the largest stage in {len(largest)} of {total} cells"
    return Finding(subject.where, "holds only if", condition, numbers, values=values)


# ---- 4: direct is less accurate than FFT ----------------------------------------------------


def _accuracy(subject: Subject) -> Finding:
    rows = subject.rows[subject.rows["error"] > 0]
    if not set(FAMILIES) <= set(rows["family"]):
        return subject.unmeasured("no error of a direct sum beside that of an FFT")
    cells = by_cell(rows)
    family = dict(zip(cells["contender"], cells["family"], strict=True))
    table = cells.pivot_table(index=["N", "n"], columns="contender", values="error")
    direct, fft = (table[[name for name in table if family[name] == wanted]] for wanted in FAMILIES)
    over = direct.div(fft.median(axis=1), axis=0).dropna(how="all")
    if not over.size:
        return subject.unmeasured("no cell has the error of a direct sum and of an FFT")
    numbers: list[str] = []
    values: dict[str, Any] = {}
    for name, ratio in over.items():
        growth = subject.models.error.get(str(name))
        verdicts = subject.verdicts((str(name), "fft"), "error")
        since = {N: told_from(verdict) for N, verdict in verdicts.items()}
        numbers.append(
            f"{name}: {span(ratio.min(), ratio.max())} times the error of FFT{_growth(growth)}; "
            f"FFT is the more accurate {by_size(since)}."
        )
        least, most = float(ratio.min()), float(ratio.max())
        values[str(name)] = {
            "error_over_fft": {"least": least, "most": most},
            "fft_more_accurate": {str(N): n for N, n in since.items()},
            **_growth_values(growth),
        }
    for name, own in fft.items():
        growth = subject.models.error.get(str(name))
        numbers.append(f"{name}: {own.min():.1e} to {own.max():.1e}{_growth(growth)}.")
        values[str(name)] = _growth_values(growth)
    numbers += _summation_order(direct)
    worse, count = over > 1, int(over.notna().sum().sum())
    if not worse.any(axis=None):
        why = "every direct sum is the more accurate in every cell"
        return Finding(subject.where, "false", why, numbers, values=values)
    if int(worse.sum().sum()) == count:
        return Finding(subject.where, "holds", "", numbers, values=values)
    condition = (
        f"n is past what the order of summation bears: FFT is the more accurate in "
        f"{int(worse.sum().sum())} of {count} comparisons, all with "
        f"{', '.join(map(str, over.columns[worse.any()]))}"
    )
    return Finding(subject.where, "holds only if", condition, numbers, values=values)


def _summation_order(direct: pd.DataFrame) -> list[str]:
    """How far direct sums of the same operations lie apart, at the largest common kernel."""
    common = direct.dropna()
    if direct.shape[1] < 2 or common.empty:
        return []
    N, n = max(common.index, key=lambda place: (place[1], place[0]))
    own = common.loc[(N, n)]
    return [
        f"Direct sums of the same products differ {own.max() / own.min():.1f}× at N = {N}, n = {n} "
        f"({own.idxmin()} the least, {own.idxmax()} the most): it is the order of summation, and "
        "not the number of operations, that decides."
    ]


def _growth(fit: Fit | None) -> str:
    if fit is None:
        return ""
    e, f = fit.exponents
    return f", growing as n^{interval(e)} · N^{interval(f)}"


def _growth_values(fit: Fit | None) -> dict[str, Any]:
    if fit is None:
        return {}
    return {"e": asdict(fit.exponents[0]), "f": asdict(fit.exponents[1])}


# ---- the theory ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sentence:
    """A sentence of the theory and what tests it: measured times and errors, algebra, or the times
    of several kinds of data."""

    text: str
    test: str
    measured: Callable[[Subject], Finding] | None = None
    related: Callable[[Relations], Finding] | None = None
    across: Callable[[Results], list[Finding]] | None = None

    def findings(
        self, subjects: list[Subject], relations: Relations, results: Results
    ) -> list[Finding]:
        if self.across is not None:
            return self.across(results)
        if self.related is not None:
            if relations:
                return [self.related(relations)]
            why = "no record has the algebra of its contender (an earlier version wrote none)"
            return [Finding(relations.machine, "not measured here", why, command=algebra.COMMAND)]
        assert self.measured is not None
        if subjects:
            return [self.measured(subject) for subject in subjects]
        why = "no usable time of a square image with a square kernel"
        return [Finding(relations.machine, "not measured here", why, command=algebra.COMMAND)]


THEORY = (
    Sentence(
        "Direct convolution costs O(n²N²).",
        "p and q of t = a + b·n^p·N^q, fitted to each direct contender.",
        measured=cost.direct_cost,
    ),
    Sentence(
        "Convolution by FFT costs O(N² log N²) and does not depend on n.",
        "The exponent of its time in n; and t = a + c·M²·log2 M in the padded size M.",
        measured=cost.fft_cost,
    ),
    Sentence(
        "Its time is dominated by the pointwise multiplication.",
        "Shares of the stages of a run.",
        measured=_multiplication,
    ),
    Sentence(
        "More operations mean more numerical error, so the direct sum is less accurate than FFT.",
        "Relative L2 error against a float64 reference, and how it grows with n and N.",
        measured=_accuracy,
    ),
    Sentence(
        "Convolution is correlation with a flipped kernel; they are equal for symmetric kernels.",
        "Both, on small problems, by every contender that was profiled.",
        related=algebra.judge_flipping,
    ),
    Sentence(
        "Convolution commutes and associates; correlation does neither.",
        "Both orders, computed likewise.",
        related=algebra.judge_order,
    ),
    Sentence(
        "The convolution theorem: the transform of a convolution is the product of the transforms.",
        "The inverse transform of the product against the convolution itself.",
        related=algebra.judge_theorem,
    ),
    Sentence(
        "FFT gives a considerable speed-up.",
        "Time of the best direct sum over that of the best FFT, at every N and n.",
        measured=cost.speed_up,
    ),
    Sentence(
        "Subnormal numbers slow a direct sum, and an FFT hardly.",
        "Time on an image of them over that on ordinary values.",
        across=denormals.judge,
    ),
    Sentence(
        "FFT is the fastest way through a layer of a network.",
        "Time of the fastest contender of any other family over that of the fastest FFT, by layer.",
        across=layers.judge,
    ),
    Sentence(
        "Networks learn either way: layers may correlate where they are said to convolve.",
        "A network that learns digits with both, from the same filters and from rotated ones.",
        across=learning.judge,
    ),
)


def print_claims(found: Iterable[Claim]) -> None:
    """Each claim with its verdicts and numbers, as plain lines."""
    for claim in found:
        print(f"{claim.number}. {claim.sentence}")
        print(f"   Test: {claim.test}")
        for finding in claim.findings:
            print(f"   {one_line(finding.where)}")
            print(f"   => {one_line(finding.statement)}")
            for sentence in finding.numbers:
                print(f"      {one_line(sentence)}")
            if finding.command:
                print(f"      Measure it: {one_line(finding.command)}")
