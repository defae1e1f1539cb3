"""The verdicts on planted results, what was not measured, and what the page shows of them."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import jinja2
import numpy as np
import pytest

from convcross.analysis.claims import claims
from convcross.analysis.claims.algebra import Relations
from convcross.analysis.claims.finding import Finding, by_size, share, span, subjects
from convcross.analysis.load import Results, load
from convcross.cli import app
from convcross.report import claims as shown
from convcross.report.emphasis import emphasis
from convcross.results.schema import Record
from convcross.text import seconds
from convkernels.algorithms.fft.fft import padded_size
from convkernels.problem import Problem
from support import synthetic

SIZES, KERNELS = (128, 256, 512), (3, 5, 9, 15, 31)
EXACT = synthetic.Curve


def products(call: float = 0.0, p: float = 2.0) -> EXACT:
    return lambda N, n: call + 1e-10 * n**p * N**2


def padded(N: int, n: int) -> tuple[int, int]:
    return padded_size(Problem((N, N), (n, n), mode="same"), "numpy")


def of_padded(c: float) -> EXACT:
    def curve(N: int, n: int) -> float:
        points = padded(N, n)[0] * padded(N, n)[1]
        return c * points * np.log2(points)

    return curve


def of_image(c: float) -> EXACT:
    return lambda N, n: c * N**2 * np.log2(N)


BOTH: Mapping[str, EXACT] = {"direct/numpy": products(), "fft/numpy": of_padded(1e-9)}


def planted(
    path: Path,
    contenders: Mapping[str, EXACT] = BOTH,
    change: Callable[[Record], None] = lambda record: None,
    kernels: tuple[int, ...] = KERNELS,
    noise: float = 0.002,
) -> Results:
    """Results of these curves; ``change`` may alter each record before it is written."""
    duels = synthetic.duels(contenders, sizes=SIZES, kernels=kernels, rounds=8, noise=noise)
    for record in (record for duel in duels for record in duel):
        (N, _), (n, _) = record.problem.image, record.problem.kernel
        if record.algorithm == "fft":
            record.provenance.padded = list(padded(N, n))
        change(record)
    return load_one(synthetic.write(path / "a.jsonl", duels))


def load_one(path: Path) -> Results:
    return load([path])


def finding(results: Results, number: int) -> Finding:
    sentence = claims.THEORY[number - 1]
    (one,) = sentence.findings(subjects(results), Relations(results), results)
    json.dumps(asdict(one), allow_nan=False)
    return one


# ---- 1 and 2: what they cost -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("curve", "verdict"),
    [
        (products(), "holds"),
        (products(call=100e-6), "holds only if"),
        (products(p=1.0), "false"),
    ],
)
def test_direct_costs_products(tmp_path: Path, curve: EXACT, verdict: str) -> None:
    one = finding(planted(tmp_path, {**BOTH, "direct/numpy": curve}), 1)
    assert one.verdict == verdict
    p = one.values["direct/numpy"]["p"]
    assert p["low"] <= (1.0 if verdict == "false" else 2.0) <= p["high"]


def test_direct_holds_from_where_products_dominate(tmp_path: Path) -> None:
    """100 µs a call are a tenth of the time from 1e-10·n²·N² = 900 µs on: n = 24, 12 and 6."""
    one = finding(planted(tmp_path, {**BOTH, "direct/numpy": products(call=100e-6)}), 1)
    since = one.values["direct/numpy"]["mostly_products_from_n"]
    assert since == {"128": 31, "256": 15, "512": 9}
    assert "products take 90 % of the time (direct/numpy from n = 9 to 31, by N)" in one.condition
    assert one.values["direct/numpy"]["parts_s"]["call"] == pytest.approx(100e-6, rel=0.05)


def test_a_contender_of_another_order_is_no_witness_for_all(tmp_path: Path) -> None:
    contenders = {**BOTH, "scipy-convolve2d/numpy": products(p=1.0)}
    one = finding(planted(tmp_path, contenders), 1)
    assert (one.verdict, one.condition) == ("holds only if", "the sum is that of direct/numpy")


def test_times_too_unsteady_for_exponents_are_no_verdict(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def change(record: Record) -> None:
        factor = float(np.exp(3 * rng.standard_normal()))
        run = record.phase_seconds["run"]
        record.phase_seconds["run"] = [value * factor for value in run]

    results = planted(tmp_path, change=change)
    for number in (1, 2):
        one = finding(results, number)
        assert one.verdict == "not measured here"
        assert "too unsteady" in one.condition


@pytest.mark.parametrize(
    ("curve", "verdict"),
    [
        (of_image(1e-9), "holds"),
        (of_padded(1e-9), "holds only if"),
        (products(), "false"),
        (lambda N, n: 1e-12 * N**3.0, "false"),
    ],
)
def test_fft_costs_its_padded_size(tmp_path: Path, curve: EXACT, verdict: str) -> None:
    one = finding(planted(tmp_path, {**BOTH, "fft/numpy": curve}), 2)
    assert one.verdict == verdict
    if curve is of_padded:
        assert one.values["fft/numpy"]["explained_by_M2logM"] == pytest.approx(1, abs=1e-3)


def test_without_padded_sizes_nothing_is_said_of_them(tmp_path: Path) -> None:
    contenders = {"direct/numpy": products(), "scipy-fftconvolve/numpy": of_padded(1e-9)}
    one = finding(planted(tmp_path, contenders), 2)
    assert "explained_by_M2logM" not in one.values["scipy-fftconvolve/numpy"]
    assert "do not name" in one.condition


# ---- 3: stages -------------------------------------------------------------------------------


def staged(multiply: Callable[[int, int], float]) -> Callable[[Record], None]:
    def change(record: Record) -> None:
        if record.algorithm != "fft":
            return
        N, n = record.problem.image[0], record.problem.kernel[0]
        seconds = {"forward": 3.0, "multiply": multiply(N, n), "inverse": 3.0, "kernel": 50.0}
        record.stage_seconds = {name: [value] * 9 for name, value in seconds.items()}

    return change


def test_the_multiplication_dominates_where_its_share_is_the_largest(tmp_path: Path) -> None:
    none = finding(planted(tmp_path / "none", change=staged(lambda N, n: 2.0)), 3)
    assert none.verdict == "false"
    assert none.values["fft/numpy"]["multiply"] == pytest.approx({"least": 0.25, "most": 0.25})
    every = finding(planted(tmp_path / "every", change=staged(lambda N, n: 4.0)), 3)
    assert every.verdict == "holds"
    some = planted(tmp_path / "some", change=staged(lambda N, n: 4.0 if (N, n) == (256, 9) else 2))
    one = finding(some, 3)
    assert one.verdict == "holds only if"
    assert "256 · 9" in one.condition
    assert "1 of 15 cells" in one.condition


def test_without_staged_runs_the_command_is_told(tmp_path: Path) -> None:
    one = finding(planted(tmp_path), 3)
    assert (one.verdict, one.values) == ("not measured here", {})
    assert one.command == "convcross run quick --device cpu"


# ---- 4: errors -------------------------------------------------------------------------------


def erring(direct: Callable[[int], float]) -> Callable[[Record], None]:
    def change(record: Record) -> None:
        assert record.error is not None
        if record.family == "direct":
            record.error.rel_l2 = direct(record.problem.kernel[0])

    return change


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (lambda n: 1e-8 * n**0.5, "false"),
        (lambda n: 1e-6 * n**0.5, "holds"),
        (lambda n: 2.5e-7 * (n / 12) ** 0.5, "holds only if"),
    ],
)
def test_errors_of_sums_against_those_of_fft(
    tmp_path: Path, error: Callable[[int], float], verdict: str
) -> None:
    one = finding(planted(tmp_path, change=erring(error)), 4)
    assert one.verdict == verdict
    assert one.values["direct/numpy"]["e"]["value"] == pytest.approx(0.5, abs=0.01)
    assert one.values["fft/numpy"]["e"]["value"] == pytest.approx(0.0, abs=0.01)
    since = set(one.values["direct/numpy"]["fft_more_accurate"].values())
    if verdict == "holds only if":
        assert since == {"from n = 12"}
        assert "6 of 15 comparisons, all with direct/numpy" in one.condition
    else:
        assert since == {"at every n measured" if verdict == "holds" else "nowhere up to n = 31"}


def test_the_order_of_summation_is_told_apart_from_the_operations(tmp_path: Path) -> None:
    def change(record: Record) -> None:
        assert record.error is not None
        record.error.rel_l2 *= 3 if record.algorithm == "scipy-convolve2d" else 1

    one = finding(planted(tmp_path, {**BOTH, "scipy-convolve2d/numpy": products()}, change), 4)
    (told,) = (text for text in one.numbers if "order of summation" in text)
    assert "differ 3.0× at N = 512, n = 31" in told
    assert "direct/numpy the least, scipy-convolve2d/numpy the most" in told


# ---- 8: speed-up -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factor", "verdict"), [(0.01, "holds"), (1.0, "holds only if"), (500.0, "false")]
)
def test_speed_ups(tmp_path: Path, factor: float, verdict: str) -> None:
    one = finding(planted(tmp_path, {**BOTH, "fft/numpy": of_padded(factor * 1e-9)}), 8)
    assert one.verdict == verdict
    fft = of_padded(factor * 1e-9)
    ratios = [products()(N, n) / fft(N, n) for N in SIZES for n in KERNELS]
    told = one.values["best_direct_over_best_fft"]
    assert told == pytest.approx({"least": min(ratios), "most": max(ratios)}, rel=0.02)
    if verdict == "holds only if":
        assert "2× or more from n = 31 at every N" in one.condition
        n_star = one.values["n_star"]["256"]
        assert n_star["low"] <= n_star["n_star"] <= n_star["high"]
        assert one.values["n_star_of_models"]["256"] == pytest.approx(n_star["n_star"], rel=0.1)


def test_a_faster_library_is_told(tmp_path: Path) -> None:
    contenders = {**BOTH, "torch-conv2d/torch": lambda N, n: products()(N, n) / 10}
    one = finding(planted(tmp_path, contenders), 8)
    assert one.values["fastest_other_over_best_fft"]["others"] == ["torch-conv2d/torch"]
    of_direct = one.values["best_direct_over_best_fft"]["most"]
    of_library = one.values["fastest_other_over_best_fft"]["most"]
    assert of_library == pytest.approx(of_direct / 10, rel=0.05)


# ---- what cannot be said -----------------------------------------------------------------------

MEASURED = (1, 2, 3, 4, 8)


@pytest.mark.parametrize("only", ["direct/numpy", "fft/numpy"])
def test_one_contender_only(tmp_path: Path, only: str) -> None:
    results = planted(tmp_path, {only: BOTH[only]})
    for number in {*MEASURED} - {1 if only == "direct/numpy" else 2}:
        one = finding(results, number)
        assert (one.verdict, one.values) == ("not measured here", {})
        assert one.command.startswith("convcross run ")


def test_too_few_kernels_have_no_exponents(tmp_path: Path) -> None:
    results = planted(tmp_path, kernels=(3, 31))
    for number in (1, 2):
        assert "2 kernel sizes" in finding(results, number).condition
    assert finding(results, 8).verdict == "holds only if"


def test_all_cells_censored(tmp_path: Path) -> None:
    def change(record: Record) -> None:
        record.status, record.phase_seconds = "timeout", {}
        record.rounds = record.fresh_rounds = []

    results = planted(tmp_path, change=change)
    for number in MEASURED:
        one = finding(results, number)
        assert (one.verdict, one.where) == ("not measured here", "Test Machine")
        assert one.command == "convcross run quick"
    context = shown.context(results, tmp_path, emphasis(results, ()))
    assert not context["claim_files"]
    assert not context["models"]


def test_each_device_is_judged_for_itself(tmp_path: Path) -> None:
    duels = synthetic.duels(BOTH, sizes=SIZES, kernels=KERNELS, rounds=4)
    slow = {"direct/numpy": products(p=1.0), "fft/numpy": of_padded(1e-9)}
    duels += synthetic.duels(slow, sizes=SIZES, kernels=KERNELS, rounds=4, device="cuda:0")
    results = load_one(synthetic.write(tmp_path / "a.jsonl", duels))
    first = claims.THEORY[0].findings(subjects(results), Relations(results), results)
    assert [one.verdict for one in first] == ["holds", "false"]
    assert "(cpu)" in first[0].where
    assert "(cuda:0)" in first[1].where


def test_the_conditions_most_measured_are_judged_and_of_equals_float32(tmp_path: Path) -> None:
    duels = []
    for dtype, kernels in (("float64", KERNELS), ("float32", KERNELS), ("float16", KERNELS[:4])):
        for mode in ("valid", "same") if dtype == "float16" else ("same",):
            problem = {"dtype": dtype, "mode": mode}
            duels += synthetic.duels(BOTH, sizes=SIZES, kernels=kernels, rounds=2, problem=problem)
    (one,) = subjects(load_one(synthetic.write(tmp_path / "a.jsonl", duels)))
    assert one.where == ("Test Machine (cpu): float32, convolution, same, normal data, regime warm")
    assert set(one.rows["dtype"]) == {"float32"}
    assert len(one.rows) == len(BOTH) * len(SIZES) * len(KERNELS)


# ---- words -----------------------------------------------------------------------------------


def test_words() -> None:
    assert [seconds(value, 2) for value in (0.0, 4.56e-10, 1.04e-7, 2.0)] == [
        "0 s",
        "460 ps",
        "100 ns",
        "2 s",
    ]
    assert [share(value) for value in (0.9, 0.004, 0.04)] == ["90 %", "0.4 %", "4 %"]
    assert (span(0.411, 63.2), span(3.0, 3.0)) == ("0.41 to 63", "3")
    assert by_size({128: 5, 256: 5, 512: 3.25}) == "n = 5 for N = 128, 256; n = 3.2 for N = 512"
    assert by_size({128: 5, 256: 5}) == "n = 5 at every N"


# ---- the page and the command ------------------------------------------------------------------


def test_the_page_shows_each_claim_with_its_figure(tmp_path: Path) -> None:
    contenders = {**BOTH, "scipy-convolve2d/numpy": products(1e-5)}
    results = planted(tmp_path, contenders, staged(lambda N, n: 1.0))
    context = shown.context(results, tmp_path, emphasis(results, ()))
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("convcross.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    page = environment.get_template("claims.html.j2").render(**context)
    for sentence in claims.THEORY:
        assert sentence.text in page
    assert page.count("<img ") == 5
    assert set(re.findall(r'href="([^"#]+)"', page)) == {
        path.name for path in context["claim_files"]
    }
    assert all(path.stat().st_size > 1000 for path in context["claim_files"])
    assert not re.search(r'(src|href)="https?:', page)
    pictured = [claim["number"] for claim in context["claims"] if claim["pictures"]]
    assert pictured == [1, 2, 3, 4, 8]
    assert len(context["predictions"]) == len(SIZES)
    laws = {(row[1], row[2]) for row in context["models"]}
    assert ("fft/numpy", "a + c·M²·log2 M") in laws
    assert ("direct/numpy", "error k·n^e·N^f") in laws


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planted(tmp_path)
    path = str(tmp_path / "a.jsonl")

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["convcross", "claims", *arguments])
        with pytest.raises(SystemExit) as done:
            app.main()
        assert done.value.code == 0
        return capsys.readouterr().out

    found = json.loads(run(path, "--json"))
    assert [claim["number"] for claim in found] == list(range(1, 12))
    assert set(found[0]) == {"number", "sentence", "test", "findings"}
    assert set(found[0]["findings"][0]) == {
        "where",
        "verdict",
        "condition",
        "numbers",
        "command",
        "values",
    }
    text = run(path)
    assert "=> not measured here: no staged run of an FFT in these results" in text
    assert "Measure it: convcross run quick --device cpu" in text
