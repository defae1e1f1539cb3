"""Claims 1, 2 and 8: what direct sums and FFTs cost, and how much faster FFT is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from convcross.analysis.claims import model
from convcross.analysis.claims.finding import (
    Finding,
    Subject,
    Word,
    by_size,
    interval,
    misfit,
    share,
    span,
    told_from,
)
from convcross.analysis.claims.model import Estimate, Fit, Parts, Prediction
from convcross.analysis.crossover.curves import Grid
from convcross.analysis.crossover.sides import FAMILIES
from convcross.analysis.crossover.words import number
from convcross.analysis.tables import by_cell
from convcross.text import seconds

ORDER = 0.2  # an exponent is that of the theory within this
MOSTLY = 0.9  # a direct sum is n²·N² where its products take this share of the time
FLAT = 1.1  # times within this factor do not depend on n
LOOSE = 1.0  # an exponent whose interval is wider than this is not told
STRAY = 0.3  # an exponent in n below this is no growth
CONSIDERABLE = 2.0  # a speed-up from this on

# ---- 1: direct costs O(n²N²) ---------------------------------------------------------------


def direct_cost(subject: Subject) -> Finding:
    fits, untold = _fits(subject, "direct")
    if not fits:
        return subject.unmeasured(_why(untold, "direct"))
    numbers: list[str] = []
    values: dict[str, Any] = {}
    late: list[str] = []
    follow = [name for name, fit in fits.items() if all(map(_is_two, fit.exponents))]
    for name, fit in fits.items():
        own = by_cell(subject.rows[subject.rows["contender"] == name])
        parts = model.parts(own)
        since = parts.mostly_products(own, MOSTLY)
        if name in follow and set(since.values()) != {own["n"].min()}:
            late.append(f"{name} {_range(since)}")
        p, q = fit.exponents
        numbers += [
            f"{name}: t = a + b·n^p·N^q with p = {interval(p)}, q = {interval(q)}; {misfit(fit)}.",
            _below(name, own, parts, since),
        ]
        values[name] = {
            "p": asdict(p),
            "q": asdict(q),
            "a_s": asdict(fit.constant) if fit.constant else None,
            "misfit": fit.spread,
            "parts_s": asdict(parts),
            "mostly_products_from_n": {str(N): n for N, n in since.items()},
        }
    numbers += untold
    if not follow:
        why = f"each direct sum has an exponent that differs from 2 by more than {ORDER:g}"
        return Finding(subject.where, "false", why, numbers, values=values)
    conditions = []
    if len(follow) < len(fits):
        conditions.append(f"the sum is that of {', '.join(follow)}")
    if late:
        conditions.append(
            f"n is so large that products take {share(MOSTLY)} of the time ({'; '.join(late)})"
        )
    word: Word = "holds only if" if conditions else "holds"
    return Finding(subject.where, word, " and ".join(conditions), numbers, values=values)


def _is_two(exponent: Estimate) -> bool:
    """Whether its interval reaches the theory's exponent within ORDER."""
    return exponent.low <= 2 + ORDER and exponent.high >= 2 - ORDER


def _from(since: Mapping[int, int | None]) -> dict[int, str]:
    return {N: f"from n = {n}" if n else "nowhere measured" for N, n in since.items()}


def _range(since: Mapping[int, int | None]) -> str:
    known = sorted({n for n in since.values() if n})
    if not known:
        return "at no n measured"
    least, most = known[0], known[-1]
    at = f"n = {least}" if least == most else f"n = {least} to {most}, by N"
    return f"from {at}" + (", not at every N measured" if None in since.values() else "")


def _below(name: str, own: pd.DataFrame, parts: Parts, since: Mapping[int, int | None]) -> str:
    """What a run consists of, and what dominates where the law does not hold."""
    first: Any = own.sort_values(["N", "n"]).iloc[0]
    call, pixels, products = parts.shares(first["N"], first["n"])
    floor = first["floor"] / first["seconds"]
    needs = f" (the hardware needs {share(floor)} at least)" if floor > 0 else ""
    return (
        f"{name}: {seconds(parts.call, 2)} a call, {seconds(parts.pixel, 2)} a pixel and "
        f"{seconds(parts.product, 2)} a product; products take {share(MOSTLY)} of it "
        f"{by_size(_from(since))}. At N = {first['N']}, n = {first['n']} the call takes "
        f"{share(call)}, the pixels {share(pixels)}, the products {share(products)} of "
        f"{seconds(first['seconds'], 2)}{needs}."
    )


def _fits(subject: Subject, family: str) -> tuple[dict[str, Fit], list[str]]:
    """The power laws of a family's contenders, and sentences on those that have none."""
    rows, models = subject.rows, subject.models
    found, untold = {}, []
    for name in sorted(set(rows.loc[rows["family"] == family, "contender"])):
        fit = models.power.get(name)
        if fit is None:
            untold.append(f"{name}: not fitted, {models.unfit[name]}.")
        elif any(exponent.high - exponent.low > LOOSE for exponent in fit.exponents):
            p, q = map(interval, fit.exponents)
            untold.append(
                f"{name}: its times are too unsteady for exponents (p = {p}, q = {q}; "
                f"{misfit(fit)})."
            )
        else:
            found[name] = fit
    return found, untold


def _why(untold: list[str], family: str) -> str:
    return " ".join(untold).rstrip(".") or f"no usable time of family {family}"


# ---- 2: FFT costs O(N² log N²), whatever n --------------------------------------------------


def fft_cost(subject: Subject) -> Finding:
    fits, untold = _fits(subject, "fft")
    if not fits:
        return subject.unmeasured(_why(untold, "fft"))
    numbers: list[str] = []
    values: dict[str, Any] = {}
    spans: dict[str, float] = {}
    grow: list[str] = []
    for name, fit in fits.items():
        own = by_cell(subject.rows[subject.rows["contender"] == name])
        ranges = own.groupby("N")["seconds"].agg(lambda times: times.max() / times.min())
        spans[name] = float(ranges.max())
        p, q = fit.exponents
        expected = _log_exponent(own["N"])
        if p.low > STRAY or q.low > expected + ORDER:
            grow.append(name)
        numbers.append(
            f"{name}: grows as n^{interval(p)} · N^{interval(q)} (N²·log N² is N^"
            f"{expected:.2f} over these N); at one N its times differ by up to "
            f"{spans[name]:.2f}×."
        )
        values[name] = {"p": asdict(p), "q": asdict(q), "largest_range_at_one_N": spans[name]}
        law = subject.models.transform.get(name)
        if law is not None:
            numbers.append(_jumps(name, law))
            values[name] |= {
                "explained_by_M2logM": law.explained,
                "misfit": law.spread,
                "c_s": asdict(law.factor),
                "a_s": asdict(law.constant) if law.constant else None,
            }
    numbers += untold
    if len(grow) == len(fits):
        why = "its time grows with n, or faster than N²·log N²"
        return Finding(subject.where, "false", why, numbers, values=values)
    if max(spans.values()) <= FLAT and not grow:
        return Finding(subject.where, "holds", "", numbers, values=values)
    condition = (
        "N stands for the padded size M, which n and the mode move in jumps"
        if subject.models.transform
        else f"differences of up to {max(spans.values()):.2f}× at one N are those of the padded "
        "size, which these records do not name"
    )
    if grow:
        condition += f", and the contender is not {', '.join(grow)}, which grows faster"
    return Finding(subject.where, "holds only if", condition, numbers, values=values)


def _log_exponent(sizes: pd.Series[int]) -> float:
    """The exponent of N²·log N² between the least and the largest N."""
    low, high = float(sizes.min()), float(sizes.max())
    return 2 + float(np.log(np.log(high) / np.log(low)) / np.log(high / low))


def _jumps(name: str, law: Fit) -> str:
    """How much the padded size explains, and what it leaves."""
    cells = law.cells
    moved = cells.groupby("N")["work"].agg(lambda work: work.max() / work.min())
    left = (cells["value"] / cells["fitted"]).groupby(cells["N"]).agg(lambda r: r.max() / r.min())
    N = moved.index[int(np.argmax(moved))]
    jump = (
        f"with n it moves by up to {moved.max():.2f}× (N = {N})"
        if moved.max() > 1
        else "it does not move with n"
    )
    return (
        f"{name}: M²·log2 M explains {share(max(0.0, law.explained))} of the variance of log t "
        f"({misfit(law)}); {jump}, and leaves times at one N up to {left.max():.2f}× apart."
    )


# ---- 8: a considerable speed-up --------------------------------------------------------------


def against_direct(subject: Subject) -> pd.Series[float]:
    """(N, n) → time of the best direct sum over that of the best FFT, as the crossover sees it."""
    found = {
        (N, int(n)): float(np.exp(log))
        for _, N, curve in Grid(subject.rows, "steady", "time").curves(FAMILIES, draws=0)
        for n, log in zip(curve.n, curve.ratio, strict=True)
    }
    return pd.Series(found, dtype=float).sort_index()


def against_all(subject: Subject) -> tuple[pd.Series[float], list[str]]:
    """(N, n) → time of the fastest contender of any other family over that of the best FFT, and
    who was that fastest. A library may know better sums than a direct contender."""
    cells = by_cell(subject.rows).set_index(["N", "n"])
    is_fft = cells["family"] == "fft"
    others = cells[~is_fft].sort_values("seconds")
    fastest = others[~others.index.duplicated()]
    ratio = (fastest["seconds"] / cells[is_fft].groupby(["N", "n"])["seconds"].min()).dropna()
    return ratio.sort_index(), sorted(set(fastest.loc[ratio.index, "contender"]))


def speed_up(subject: Subject) -> Finding:
    if (
        not set(FAMILIES) <= set(subject.rows["family"])
        or (ratios := against_direct(subject)).empty
    ):
        return subject.unmeasured("no cell with a usable time of a direct sum and of an FFT")
    verdicts = subject.verdicts(FAMILIES, "time")
    ends: list[Any] = [ratios.idxmin(), ratios.idxmax()]
    (low_N, low_n), (high_N, high_n) = ends
    low, high = float(ratios.min()), float(ratios.max())
    numbers = [
        f"The best direct sum takes {span(low, high)} times as long as the best FFT: least at N = "
        f"{low_N}, n = {low_n}, most at N = {high_N}, n = {high_n}.",
        f"FFT is the faster {by_size({N: told_from(verdict) for N, verdict in verdicts.items()})}.",
    ]
    slower = {
        int(str(N)): f"n = {', '.join(str(n) for _, n in own.index)}"
        for N, own in ratios[ratios < 1].groupby(level=0)
    }
    if slower:
        numbers.append(f"It is the slower at {by_size(slower)}.")
    best, others = against_all(subject)
    numbers.append(
        f"Against the fastest contender of any other family ({', '.join(others)}) it is "
        f"{span(best.min(), best.max())} times as fast; slower in {int((best < 1).sum())} of "
        f"{len(best)} cells."
    )
    found = model.predictions(subject.models, FAMILIES, verdicts)
    if found:
        foretold = {prediction.N: predicted(prediction) for prediction in found}
        numbers.append(f"The models of claims 1 and 2 put n* at {by_size(foretold)}.")
    values = {
        "best_direct_over_best_fft": {"least": low, "most": high},
        "fastest_other_over_best_fft": {
            "least": float(best.min()),
            "most": float(best.max()),
            "others": others,
        },
        "n_star": {
            str(N): {
                "verdict": verdict.verdict,
                "n_star": verdict.n_star,
                "low": verdict.low,
                "high": verdict.high,
            }
            for N, verdict in verdicts.items()
        },
        "n_star_of_models": {str(prediction.N): prediction.n_star for prediction in found},
    }
    if low >= CONSIDERABLE:
        return Finding(subject.where, "holds", "", numbers, values=values)
    if high < CONSIDERABLE:
        why = f"it is under {CONSIDERABLE:g}× everywhere"
        return Finding(subject.where, "false", why, numbers, values=values)
    since = {}
    for N, own in ratios.groupby(level=0):
        short = np.flatnonzero(own.to_numpy() < CONSIDERABLE)
        first = int(short[-1]) + 1 if len(short) else 0
        since[int(str(N))] = (
            f"from n = {own.index[first][1]}" if first < len(own) else "nowhere measured"
        )
    condition = f"n is large enough: {CONSIDERABLE:g}× or more {by_size(since)}"
    return Finding(subject.where, "holds only if", condition, numbers, values=values)


def predicted(prediction: Prediction) -> str:
    """What the models say of n*."""
    if prediction.n_star is None:
        return "no n (FFT ahead at all)" if prediction.verdict == "always" else "no n up to N"
    return f"n = {number(prediction.n_star)}" + (
        "" if prediction.inside else " (outside the kernels measured)"
    )
