"""In how many layers FFT is the fastest: counted over planted times, by batch, channels, kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from convcross.analysis.claims import layers
from convcross.analysis.claims.claims import claims
from convcross.analysis.load import Results, load
from convcross.report import report
from convcross.results.schema import Record
from convkernels import Problem
from support import synthetic

LAYERS = [  # name, kernel, channels, groups, batch → times of torch-conv2d, of direct, of fft
    ("wide", 31, 8, 8, 1, (4.0, 3.0, 1.0)),
    ("wider", 63, 8, 8, 4, (2.0, 3.0, 1.0)),
    ("deep", 3, 64, 1, 1, (1.0, 2.0, 5.0)),
    ("flat", 3, 64, 1, 4, (1.0, 2.0, 1.01)),
]
NAMES = ("torch-conv2d/torch", "direct/torch", "fft/torch")


def problem(kernel: int, channels: int, groups: int, batch: int) -> Problem:
    return Problem(
        (56, 56),
        (kernel, kernel),
        batch=batch,
        in_channels=channels,
        out_channels=channels,
        groups=groups,
        op="correlation",
        mode="same",
    )


def planted(folder: Path, chosen: list[tuple] = LAYERS) -> Results:  # type: ignore[type-arg]
    head = synthetic.header()
    head.sweep["layers"] = [
        {
            "name": name,
            "image": [56, 56],
            "kernel": [kernel, kernel],
            "in_channels": channels,
            "out_channels": channels,
            "groups": groups,
            "batch": batch,
        }
        for name, kernel, channels, groups, batch, _ in chosen
    ]
    head.sweep["layers"].append({"name": "another program's"})  # what nobody checks
    duels: list[list[Record]] = [
        [
            synthetic.record(
                contender,
                problem(*shape),
                phase_seconds={"run": [seconds] * 9},
                rounds=list(range(9)),
                median_s=seconds,
                settled=True,
            )
            for contender, seconds in zip(NAMES, times, strict=True)
        ]
        for _, *shape, times in chosen
    ]
    return load([synthetic.write(folder / "layers.jsonl", duels, head)])


def test_the_fastest_fft_against_the_fastest_of_all_others(tmp_path: Path) -> None:
    table = layers.ratios(planted(tmp_path)).set_index("name")
    assert list(table.index) == ["wide", "wider", "flat", "deep"]  # FFT's best first
    assert table["ratio"].tolist() == pytest.approx([3, 2, 1 / 1.01, 0.2])
    assert table.loc["wide", "other"] == "direct/torch"
    assert table.loc["deep", "other"] == "torch-conv2d/torch"
    assert table["channels"].tolist() == [1, 1, 64, 64]  # of a group


def test_a_layer_whose_fastest_is_flagged_is_left_out(tmp_path: Path) -> None:
    """Of a side: who is left would seem the fastest. A flagged one that is slower is no matter."""
    results = planted(tmp_path)
    frame = results.frame
    at = {row["problem"].kernel[0]: row["problem"] for row in frame.to_dict("records")}
    for kernel, contender in ((31, "direct/torch"), (63, "direct/torch")):  # the fastest; another
        row = (frame["problem"] == at[kernel]) & (frame["contender"] == contender)
        frame.loc[row, "usable"] = False
    deep = frame["problem"].map(lambda one: (one.kernel[0], one.batch) == (3, 1))
    frame.loc[deep & (frame["contender"] == "direct/torch"), "status"] = "left-out"
    table = layers.ratios(results).set_index("name")
    assert not {"wide", "deep"} & set(table.index)
    assert table.loc["wider", "ratio"] == pytest.approx(2)
    assert "Left out: 2 more" in layers.judge(results)[-1].numbers[-1]


def test_the_sentence_counts_and_groups(tmp_path: Path) -> None:
    (finding,) = layers.judge(planted(tmp_path))
    assert finding.statement == "holds only if the layer is one of 2 of 4"
    first, second, *by = finding.numbers
    assert first == (
        "FFT is the fastest in 2 of 4 layers, there 2 to 3 times as fast as the best of all other "
        "contenders: wide 3× (fft/torch against direct/torch); wider 2× (fft/torch against "
        "torch-conv2d/torch)."
    )
    assert second == (
        "In the other 2 the best FFT takes 1 to 5 times as long as the fastest contender, 2.2 in "
        "geometric mean."
    )
    assert by == [
        "By batch: 1: 1 of 2; 4: 1 of 2.",
        "By input channels of a group: 1: 2 of 2; 64: 0 of 2.",
        "By kernel: 3: 0 of 2; 31 to 63: 2 of 2.",
    ]
    assert finding.values["fft_fastest"] == 2


@pytest.mark.parametrize(("chosen", "verdict"), [(LAYERS[:2], "holds"), (LAYERS[2:], "false")])
def test_all_and_none(tmp_path: Path, chosen: list[tuple], verdict: str) -> None:  # type: ignore[type-arg]
    (finding,) = layers.judge(planted(tmp_path, chosen))
    assert finding.verdict == verdict


def test_images_are_no_layers(tmp_path: Path) -> None:
    duels = synthetic.duels({"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9)})
    results = load([synthetic.write(tmp_path / "images.jsonl", duels)])
    finding = claims(results)[9].findings[0]
    assert finding.verdict == "not measured here"
    assert finding.command == "convcross run layers"


def test_the_report_has_the_figure_and_the_sentence(tmp_path: Path) -> None:
    results = planted(tmp_path)
    page, *files = report.write(results.paths, tmp_path / "report")
    (figure,) = [path for path in files if "claim-10-layers" in path.name and path.suffix == ".svg"]
    text = figure.read_text(encoding="utf-8")
    assert "wide: n = 31, 1 channel" in text
    assert "deep: n = 3, 64 channels" in text
    assert "FFT is the fastest in 2 of 4 layers" in page.read_text(encoding="utf-8")
