"""The claims on the page: verdicts with their numbers, and a figure for each that was measured."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from convcross.analysis import stages as staged
from convcross.analysis.claims import cost, denormals, model
from convcross.analysis.claims import layers as of_layers
from convcross.analysis.claims import learning as of_networks
from convcross.analysis.claims.claims import judged
from convcross.analysis.claims.cost import CONSIDERABLE
from convcross.analysis.claims.finding import Claim, Subject, interval, subjects
from convcross.analysis.crossover.sides import FAMILIES
from convcross.analysis.load import Results
from convcross.analysis.tables import by_cell
from convcross.report.emphasis import Emphasis
from convcross.report.figures import curves, labels, stages, style
from convcross.report.figures.denormals import denormals as denormals_drawn
from convcross.report.figures.labels import End
from convcross.report.figures.layers import layers as layers_drawn
from convcross.report.figures.learning import learning as learning_drawn
from convcross.report.figures.style import PANEL, Appearance
from convcross.text import seconds, slug

MOST_SIZES = 8  # lines of image sizes in a panel


def context(results: Results, out: Path, looks: Emphasis) -> dict[str, Any]:
    """What claims.html.j2 shows; its figures are written into the folder ``out``.

    Returns
    -------
    dict
        "claims": number, sentence, test, findings (where, verdict, told, numbers, command) and
        pictures (title, where, caption, source, files) of each claim; "models" and "predictions":
        rows of their tables; "claim_files": the paths that were written.

    Raises
    ------
    OSError
        The folder takes no files.
    """
    own = subjects(results)
    pictures: dict[int, list[dict[str, Any]]] = {}
    files: list[Path] = []
    with style.settings():
        for number, name, where, caption, figure in _drawn(own, results, looks):
            saved = style.save(figure, out / slug(f"claim-{number}-{name}"))
            files += saved
            pictures.setdefault(number, []).append(picture(figure, where, caption, saved))
    return {
        "claims": [_shown(claim, pictures) for claim in judged(own, results)],
        "models": [row for subject in own for row in _model_rows(subject)],
        "predictions": [row for subject in own for row in _prediction_rows(subject)],
        "claim_files": files,
    }


def _shown(claim: Claim, pictures: Mapping[int, list[dict[str, Any]]]) -> dict[str, Any]:
    return {
        "number": claim.number,
        "sentence": claim.sentence,
        "test": claim.test,
        "findings": claim.findings,
        "pictures": pictures.get(claim.number, []),
    }


def picture(figure: Figure, where: str, caption: str, files: Sequence[Path]) -> dict[str, Any]:
    svg = next(path for path in files if path.suffix == ".svg")
    data = base64.b64encode(svg.read_bytes()).decode()
    return {
        "title": figure.texts[0].get_text(),
        "where": where,
        "caption": caption,
        "source": f"data:image/svg+xml;base64,{data}",
        "files": [path.name for path in files],
    }


# ---- tables --------------------------------------------------------------------------------


def _model_rows(subject: Subject) -> Iterable[tuple[str, ...]]:
    """where, contender, model, constant, exponents, misfit, worst"""
    for fits, law in (
        (subject.models.power, "a + b·n^p·N^q"),
        (subject.models.transform, "a + c·M²·log2 M"),
        (subject.models.error, "error k·n^e·N^f"),
    ):
        for name, fit in fits.items():
            N, n, ratio = fit.worst
            yield (
                subject.where,
                name,
                law,
                "" if fit.constant is None else _constant(fit.constant),
                *(interval(exponent) for exponent in fit.exponents),
                *[""] * (2 - len(fit.exponents)),
                f"{fit.spread:.1%}",
                f"{ratio:.2f}× at {N} · {n}",
            )


def _constant(a: model.Estimate) -> str:
    if a.value == 0:
        return f"0 [up to {seconds(a.high, 2)}]" if a.high else "0"
    return f"{seconds(a.value, 2)} [{seconds(a.low, 2) if a.low else 0}, {seconds(a.high, 2)}]"


def _prediction_rows(subject: Subject) -> Iterable[tuple[str, ...]]:
    """where, N, n* of the models, n* measured"""
    verdicts = subject.verdicts(FAMILIES, "time")
    for prediction in model.predictions(subject.models, FAMILIES, verdicts):
        measured = prediction.measured
        found = f"{measured.n_star:.1f}" if measured.n_star is not None else measured.verdict
        if measured.n_star is not None and measured.low is not None and measured.high is not None:
            found += f" [{measured.low:.1f}, {measured.high:.1f}]"
        yield subject.where, str(prediction.N), cost.predicted(prediction), found


# ---- figures -------------------------------------------------------------------------------


def _figures(subject: Subject, looks: Emphasis) -> Iterable[tuple[int, str, str, Figure]]:
    """(claim, name, caption, figure) of what was measured; of many contenders, of those named."""
    shown = looks.named(by_cell(subject.rows))
    appearances = style.faded(looks.appearances, shown)
    families = {fit.family for name, fit in subject.models.power.items() if name in shown}
    if "direct" in families:
        yield 1, "product", PRODUCT, products(subject, shown)
    if "fft" in families:
        yield 2, "fft", FFT, transforms(subject, appearances)
    found = staged.by_stage(subject.rows)
    for name, cells in found[found["contender"].isin(shown)].groupby("contender", sort=True):
        yield 3, f"stages-{slug(str(name))}", STAGES, stages.stages(cells, subject.where)
    known = subject.rows[subject.rows["error"] > 0]
    if set(FAMILIES) <= set(known["family"]):
        yield 4, "error", ERROR, errors(subject, appearances)
    if set(FAMILIES) <= set(subject.rows["family"]):
        ratios = cost.against_direct(subject)
        if len(ratios):
            yield 8, "speed-up", SPEED, speed_ups(subject, ratios)


def _drawn(
    subjects: Iterable[Subject], results: Results, looks: Emphasis
) -> Iterable[tuple[int, str, str, str, Figure]]:
    """(claim, name, where, caption, figure) of each, of the subjects first."""
    for subject in subjects:
        for number, name, caption, figure in _figures(subject, looks):
            yield number, f"{name}-{subject.device}", subject.where, caption, figure
    for device, table in denormals.ratios(results).groupby("device", sort=True):
        where = f"{results.machine} ({device})"
        figure = denormals_drawn(table, looks.appearances, where)
        yield 9, f"denormal-{device}", where, DENORMAL, figure
    for values, table in of_layers.ratios(results).groupby(of_layers.WHERE, sort=True):
        told = ", ".join(map(str, values))
        where = f"{results.machine} ({told} data)"
        yield 10, f"layers-{told}", where, LAYERS, layers_drawn(table, where)
    if of_networks.outcome(results.learned):
        where = of_networks.where(results)
        yield 11, "learning", where, LEARNED, learning_drawn(results.learned, where)


PRODUCT = "A flat line is a time of n²·N²; a constant a call lifts its left end."
FFT = "Left: one line for all image and kernel sizes, if the padded size were all that counts."
STAGES = "Where the time of a run goes."
ERROR = "Solid: measured; dashed: the fitted power law."
SPEED = "Above 1× FFT is the faster."
LAYERS = "Right of 1× FFT is the faster: in that many layers, and by so much."
LEARNED = "Below: from rotated filters, true convolution ends at the first row's, rotated."
DENORMAL = "Above 1× subnormal numbers take longer."


def products(subject: Subject, shown: Collection[str]) -> Figure:
    """Time over n²·N² of each direct contender shown against n, a line an image size."""
    laws = subject.models.power
    fits = {name: fit for name, fit in laws.items() if fit.family == "direct" and name in shown}
    sizes = _sizes(subject.rows)
    note = "Time of one run over n²·N². Lower is better; flat is O(n²N²). Dashed: a + b·n^p·N^q."
    made, axes, _ = style.panels(
        len(fits),
        "What a product of the direct sum costs",
        subject.where,
        note + _others(subject, "direct", len(fits)),
        labels=map(_of_size, sizes),
        ends=True,
    )
    for panel, (name, fit) in zip(axes, fits.items(), strict=True):
        ends = []
        for N, appearance in sizes.items():
            own = fit.cells[fit.cells["N"] == N].sort_values("n")
            if own.empty:
                continue
            scale = (own["n"] * N) ** 2
            panel.plot(
                own["n"], own["value"] / scale, color=appearance.colour, marker=appearance.marker
            )
            panel.plot(
                own["n"], own["fitted"] / scale, "--", color=appearance.colour, linewidth=0.9
            )
            ends.append(_end(own["n"], own["value"] / scale, _of_size(N), appearance))
        p, q = fit.exponents
        panel.set_title(name, loc="left", fontweight="bold")
        _inside(panel, f"p = {p.value:.2f}, q = {q.value:.2f}")
        _logarithmic(panel, fit.cells["n"], style.KERNEL_AXIS, "time per product")
        style.cost_ticks(panel.yaxis, "s")
        labels.at_ends(panel, ends, PANEL[1])
    return made


def transforms(subject: Subject, appearances: Mapping[str, Appearance]) -> Figure:
    """Time of each FFT contender named against its padded size, and against n at each N."""
    shown = style.named(appearances)
    laws = {name: law for name, law in subject.models.transform.items() if name in shown}
    fits = subject.models.power
    names = [name for name, fit in fits.items() if fit.family == "fft" and name in shown]
    sizes = _sizes(subject.rows)
    made, axes, _ = style.panels(
        len(names) + bool(laws),
        "FFT against its padded size and against n",
        subject.where,
        "Lower is better. Time over the least at that N: 1 everywhere, did n not count. "
        f"Curves over M: a + c·M²·log2 M.{_others(subject, 'fft', len(names))}",
        labels=[*laws, *map(_of_size, sizes)],
        ends=True,
    )
    panels = iter(axes)
    if laws:
        panel, ends = next(panels), []
        for name, law in laws.items():
            appearance, known = appearances[name], law.cells["M"]
            panel.plot(
                known, law.cells["value"], appearance.marker, color=appearance.colour, alpha=0.7
            )
            M = np.geomspace(known.min(), known.max(), 100)
            assert law.constant is not None
            fitted = law.constant.value + law.factor.value * model.work(M)
            panel.plot(M, fitted, color=appearance.colour)
            ends.append(_end(M, fitted, name, appearance))
        panel.set_title("all N and n", loc="left", fontweight="bold")
        every = pd.concat([law.cells["N"] for law in laws.values()])
        _logarithmic(panel, every, "padded size M (M × M)", "time of one run")
        style.cost_ticks(panel.yaxis, "s")
        labels.at_ends(panel, ends, PANEL[1])
    for panel, name in zip(panels, names, strict=True):
        ends = []
        for N, appearance in sizes.items():
            own = fits[name].cells[fits[name].cells["N"] == N].sort_values("n")
            if own.empty:
                continue
            over = own["value"] / own["value"].min()
            panel.plot(own["n"], over, color=appearance.colour, marker=appearance.marker)
            ends.append(_end(own["n"], over, _of_size(N), appearance))
        panel.set_title(name, loc="left", fontweight="bold")
        p = fits[name].exponents[0]
        _inside(panel, f"grows as n^{p.value:.2f}")
        _logarithmic(panel, fits[name].cells["n"], style.KERNEL_AXIS, "time over the least at N")
        _ratio_ticks(panel)
        labels.at_ends(panel, ends, PANEL[1])
    return made


def errors(subject: Subject, appearances: Mapping[str, Appearance]) -> Figure:
    """Errors of direct sums and FFTs against n at one image size and against N at one kernel."""
    cells = by_cell(subject.rows[subject.rows["family"].isin(FAMILIES)])
    cells = cells[cells["error"] > 0]
    fits = subject.models.error
    looks = {name: look for name, look in appearances.items() if name in set(cells["contender"])}
    names = style.named(looks)
    note = "Lower is better. Relative L2 distance from a float64 reference. Dashed: k·n^e·N^f."
    made, axes, side = style.panels(
        2,
        "Error of direct sums and of FFT",
        subject.where,
        " ".join([note, *style.greyed(looks)]),
        labels=names,
        ends=True,
    )
    for panel, (along, fixed) in zip(axes, (("n", "N"), ("N", "n")), strict=True):
        counts = cells.groupby(fixed).size()
        value = counts.index[counts == counts.max()].max()
        here, ends = cells[cells[fixed] == value], []
        for name, appearance in looks.items():
            own = here[here["contender"] == name].sort_values(along)
            if own.empty:
                continue
            if not appearance.named:
                panel.plot(own[along], own["error"], color=appearance.colour, linewidth=0.6)
                continue
            panel.plot(own[along], own["error"], color=appearance.colour, marker=appearance.marker)
            if name in fits:
                at = fits[name].cells
                line = at[at[fixed] == value].sort_values(along)
                panel.plot(
                    line[along], line["fitted"], "--", color=appearance.colour, linewidth=0.9
                )
            ends.append(_end(own[along], own["error"], name, appearance))
        panel.set_title(f"{fixed} = {value}", loc="left", fontweight="bold")
        label = style.KERNEL_AXIS if along == "n" else style.IMAGE_AXIS
        _logarithmic(panel, here[along], label, "relative L2 error")
        style.cost_ticks(panel.yaxis)
        if side is None:
            labels.at_ends(panel, ends, PANEL[1])
    if side is not None:
        curves.legend(side, curves.handles(cells["contender"], looks))
    return made


def speed_ups(subject: Subject, direct: pd.Series[float]) -> Figure:
    """Speed-up of the best FFT over the best direct sum, and over the best of all others."""
    best, others = cost.against_all(subject)
    sizes = _sizes(subject.rows)
    made, axes, _ = style.panels(
        2,
        "Speed-up of the best FFT",
        subject.where,
        f"Higher is better for FFT. Black: equal; dotted: {CONSIDERABLE:g}×. Fastest of any other "
        f"family: {', '.join(others)}.",
        labels=map(_of_size, sizes),
        ends=True,
    )
    for panel, (title, ratios) in zip(
        axes,
        (("over the best direct sum", direct), ("over the fastest of any other family", best)),
        strict=True,
    ):
        ends = []
        for N, appearance in sizes.items():
            if N not in ratios.index.get_level_values(0):
                continue
            own: pd.Series[float] = ratios.xs(N)
            panel.plot(own.index, own, color=appearance.colour, marker=appearance.marker)
            ends.append(_end(own.index, own, _of_size(N), appearance))
        panel.axhline(1, color=style.INK, linewidth=1)
        panel.axhline(CONSIDERABLE, color=style.INK, linewidth=1, linestyle=":")
        panel.set_title(title, loc="left", fontweight="bold")
        _logarithmic(panel, ratios.index.get_level_values(1), style.KERNEL_AXIS, "times as fast")
        _ratio_ticks(panel)
        labels.at_ends(panel, ends, PANEL[1])
    return made


def _others(subject: Subject, family: str, shown: int) -> str:
    """How many of a family have no panel, if any."""
    count = sum(fit.family == family for fit in subject.models.power.values()) - shown
    return f" {count} slower contenders are in the table of models alone." if count else ""


def _sizes(rows: pd.DataFrame) -> dict[int, Appearance]:
    """A look for each image size shown, from dark to light with N."""
    sizes = sorted(rows["N"].unique())
    if len(sizes) > MOST_SIZES:
        places = np.linspace(0, len(sizes) - 1, MOST_SIZES).round().astype(int)
        sizes = [sizes[place] for place in places]
    shades = matplotlib.colormaps["viridis"](np.linspace(0, 0.85, len(sizes)))
    return {
        int(N): Appearance(
            matplotlib.colors.to_hex(shade), style.MARKERS[place % len(style.MARKERS)]
        )
        for place, (N, shade) in enumerate(zip(sizes, shades, strict=True))
    }


def _of_size(N: int) -> str:
    return f"N = {N}"


def _end(x: Any, y: Any, name: str, appearance: Appearance) -> End:
    return End(float(np.asarray(x)[-1]), float(np.asarray(y)[-1]), name, appearance)


def _inside(panel: Axes, text: str) -> None:
    """Words in the panel's lower left corner."""
    panel.text(0.03, 0.05, text, transform=panel.transAxes, fontsize=8, color=style.SOFT)


def _logarithmic(panel: Axes, values: Any, across: str, up: str) -> None:
    panel.set_xscale("log")
    panel.set_yscale("log")
    style.numbered_ticks(panel.xaxis, sorted(set(values)), PANEL[0])
    panel.set_xlabel(across)
    panel.set_ylabel(up)


def _ratio_ticks(panel: Axes) -> None:
    style.cost_ticks(panel.yaxis)
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
