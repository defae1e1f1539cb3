"""The report: every figure there and sound, the page self-contained and escaped."""

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import matplotlib.image
import pytest

from convcross.analysis.load import load
from convcross.analysis.tables import left_out
from convcross.errors import BadInput
from convcross.report import page as paging
from convcross.report import report
from convcross.report.figures import style
from convkernels import Problem
from support import synthetic
from support.pages import CONTENDERS, draw_nothing, page_of

HOSTILE = "</script><script>alert(1)</script>"
KINDS = ("time", "crossover", "fastest", "families", "error", "pareto")
SUFFIXES = (".png", ".svg", ".pdf")


def drawn(files: list[Path]) -> list[Path]:
    """The figures of the report, less those of its claims."""
    return [path for path in files[2:] if not path.name.startswith("claim-")]


def kinds_of(files: list[Path]) -> set[str]:
    return {path.stem.rpartition("-")[2] for path in drawn(files)}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The report of a grid with a hostile contender, failures, layers and a hostile reason."""
    folder = tmp_path_factory.mktemp("report")
    duels = synthetic.duels(
        {**CONTENDERS, f"fft{HOSTILE}/numpy": synthetic.fft(9.4, 3)}, kernels=(3, 7, 15)
    )
    for duel in duels:
        duel[-1].family = "fft"
    failed = synthetic.record(
        "im2col/numpy",
        Problem((256, 256), (3, 3), mode="same"),
        status="error",
        reason=f"{HOSTILE} failed",
    )
    duels[0].append(failed)
    layer = {"stride": (2, 2), "in_channels": 3, "out_channels": 96, "batch": 8}
    duels += synthetic.duels(CONTENDERS, sizes=[64], kernels=[11], problem=layer)
    path = synthetic.write(folder / "sweep.jsonl", duels)
    return report.write([path], folder / "out")


def test_every_figure_is_written(written: list[Path]) -> None:
    stem = "cpu-warm-float32-convolution-same-normal"
    assert [path.name for path in written[:2]] == ["report.html", "points.csv"]
    expected = [f"{stem}-{kind}{suffix}" for kind in KINDS for suffix in SUFFIXES]
    assert [path.name for path in drawn(written)] == expected
    assert set(drawn(written)) < set(written[2:])
    for path in written:
        assert path.stat().st_size > 5000


def test_figures_have_sound_sizes_and_are_not_blank(written: list[Path]) -> None:
    for path in written[2:]:
        if path.suffix == ".png":
            height, width, _ = matplotlib.image.imread(path).shape
            assert 600 <= width <= 2400
            assert 400 <= height <= 2400
            assert len(set(matplotlib.image.imread(path)[..., :3].reshape(-1, 3)[:, 0])) > 10
        elif path.suffix == ".svg":
            assert ElementTree.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"
        else:
            assert path.read_bytes().startswith(b"%PDF-")


def test_the_page_opens_with_the_crossover(written: list[Path]) -> None:
    page = page_of(written)
    told = re.search(
        r"On Test Machine \(cpu\), fft overtakes direct at n = 9\.\d \[.*?\] for N = 512 "
        r"\(fft/numpy against direct/numpy\); at n = 9\.\d \[.*?\] for N = 256 "
        r"\(fft/numpy against direct/numpy\)\.",
        page.text,
    )
    assert told
    assert told.start() < page.text.index("Figures")


def test_the_page_loads_nothing(written: list[Path]) -> None:
    page = page_of(written)
    assert "url(" not in page.text
    assert "@import" not in page.text
    for tag, attributes in page.tags:
        assert tag not in ("iframe", "object", "embed", "base")
        assert not any(name.startswith("on") for name in attributes)
        if tag in ("img", "link"):
            source = attributes.get("src") or attributes.get("href") or ""
            assert source.startswith("data:")
        if tag == "script":
            assert "src" not in attributes
        if tag == "a":
            assert ":" not in (attributes["href"] or "")


def test_records_are_escaped(written: list[Path]) -> None:
    page = page_of(written)
    data, plotly, chart = page.scripts  # those of records are none
    assert "Plotly" in plotly[:1000]
    assert "Plotly.react" in chart
    curves = json.loads(data)["sets"][0]["curves"]
    assert f"fft{HOSTILE}/numpy" in curves
    assert f"{HOSTILE} failed" in page.text
    for path in written[1:]:
        if path.suffix == ".svg":
            assert "<script" not in path.read_text(encoding="utf-8")


def test_the_page_has_its_parts(written: list[Path]) -> None:
    page = page_of(written)
    for part in (
        "Crossovers",
        "Fastest contender of each layer",
        "11×11 kernel on 64×64, 3 → 96 channels, batch 8, stride (2, 2)",
        "When preparation pays",
        "Every measurement",
        "Left out",
        "How to read the numbers",
        "Test CPU",
        "2.4",
        "sweep.jsonl",
    ):
        assert part in page.text
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert 3 * len(images) == len(written) - 2
    assert all(attributes["alt"] for attributes in images)
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert "../sweep.jsonl" in links
    ids = {attributes.get("id") for _, attributes in page.tags}
    for link in map(str, links):
        assert link[1:] in ids if link[0] == "#" else (written[0].parent / link).exists()


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    duels = synthetic.duels(CONTENDERS, sizes=[256])
    duels[0][0].flags = ["impossible"]
    duels[1][0].status, duels[1][0].reason = "wrong", "past its bound"
    duels[2][0].status, duels[2][0].reason = "wrong", "past its bound"
    for number in (3, 4):
        duels[number][1].status, duels[number][1].reason = "timeout", f"about 0.{number} s"
    rows = left_out(load([synthetic.write(tmp_path / "a.jsonl", duels)]).frame)
    columns = ["contender", "status", "count", "reason"]
    assert set(rows[columns].itertuples(index=False, name=None)) == {
        ("direct/numpy", "impossible", 1, "its time lies below the floor of the hardware"),
        ("direct/numpy", "wrong", 2, "past its bound"),
        ("scipy-convolve2d/numpy", "timeout", 2, "about 0.3 s"),
    }


def test_each_set_of_conditions_has_its_figures(tmp_path: Path) -> None:
    duels = synthetic.duels(CONTENDERS, sizes=[256], kernels=[3, 15])
    duels += synthetic.duels(CONTENDERS, sizes=[256], kernels=[3, 15], problem={"dtype": "float64"})
    files = report.write([synthetic.write(tmp_path / "a.jsonl", duels)], tmp_path / "out")
    stems = {path.stem.rpartition("-")[0] for path in drawn(files)}
    assert stems == {
        "cpu-warm-float32-convolution-same-normal",
        "cpu-warm-float64-convolution-same-normal",
    }
    assert kinds_of(files) == set(KINDS) - {"crossover"}  # one image size
    assert len(drawn(files)) == 2 * 3 * (len(KINDS) - 1)


def test_without_a_crossover_the_page_says_why(tmp_path: Path) -> None:
    duels = synthetic.duels({"fft/numpy": synthetic.fft(9)}, sizes=[256], kernels=[3])
    files = report.write([synthetic.write(tmp_path / "a.jsonl", duels)], tmp_path / "out")
    assert "fft/numpy is the only contender with a usable time" in page_of(files).text
    assert not any("crossover" in path.name for path in files)


@pytest.mark.parametrize("fft", [synthetic.direct(), synthetic.fft(1.5), synthetic.fft(99)])
def test_no_verdict_spoils_a_figure(tmp_path: Path, fft: synthetic.Curve) -> None:
    """A tie, always and beyond-grid: nothing to draw a line through."""
    duels = synthetic.duels(
        {"direct/numpy": synthetic.direct(), "fft/numpy": fft}, kernels=[3, 15], noise=1e-3
    )
    files = report.write([synthetic.write(tmp_path / "a.jsonl", duels)], tmp_path / "out")
    tie = "no pair differs significantly" in page_of(files).text
    assert kinds_of(files) == set(KINDS) - ({"crossover"} if tie else set())


@pytest.mark.parametrize(
    ("contenders", "grid", "gone", "told"),
    [
        (
            {"fft/numpy": synthetic.fft(9)},
            {},
            {"crossover", "fastest", "families", "pareto"},
            [
                "Fastest contender: no figure, as fft/numpy is the only contender",
                "Crossover against image size: no figure, as",
                "fft/numpy is the only contender with a known error",
            ],
        ),
        (
            CONTENDERS,
            {"sizes": [256]},
            {"crossover"},
            ["one image size only (N = 256), and n* against N needs two"],
        ),
        (
            CONTENDERS,
            {"kernels": [5]},
            {"time", "error"},
            [
                "Time against kernel size: no figure, as one kernel size only (n = 5)",
                "Error against kernel size: no figure, as one kernel size only (n = 5)",
            ],
        ),
    ],
)
def test_what_says_nothing_is_a_sentence(
    tmp_path: Path,
    contenders: dict[str, synthetic.Curve],
    grid: dict[str, list[int]],
    gone: set[str],
    told: list[str],
) -> None:
    duels = synthetic.duels(contenders, **{"kernels": [3, 15], **grid})
    files = report.write([synthetic.write(tmp_path / "a.jsonl", duels)], tmp_path / "out")
    assert kinds_of(files) == set(KINDS) - gone
    text = " ".join(page_of(files).text.split())
    for sentence in told:
        assert sentence in text


def test_many_sets_of_conditions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest have figures, drawn in another process, too many to be in the page itself."""
    monkeypatch.setattr(report, "DETAILED", 3)
    monkeypatch.setattr(paging, "EMBEDDED", 5)
    monkeypatch.setattr(paging, "TABLED", 20)
    duels = []
    for seed, dtype in enumerate(("float64", "float32", "float16", "bfloat16")):
        kernels = [3, 15] if dtype == "float16" else [3, 7, 15]
        duels += synthetic.duels(
            CONTENDERS, sizes=[64], kernels=kernels, seed=seed, problem={"dtype": dtype}
        )
    files = report.write([synthetic.write(tmp_path / "a.jsonl", duels)], tmp_path / "out")
    stems = {path.stem.rpartition("-")[0] for path in drawn(files)}
    dtypes = {stem.split("-")[2] for stem in stems}
    assert dtypes == {"float64", "float32", "bfloat16"}
    made = page_of(files)
    text = " ".join(made.text.split())
    assert "Of 4 sets of conditions, the 3 with the most measurements have figures" in text
    assert "They are 33, too many for a page" in text
    sources = [attributes["src"] for tag, attributes in made.tags if tag == "img"]
    linked = {str(source) for source in sources if not str(source).startswith("data:")}
    assert linked == {path.name for path in drawn(files) if path.suffix == ".svg"}
    assert len(json.loads(made.scripts[0])["sets"]) == 4


def test_a_warning_is_said_once_and_on_the_page(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_nothing(monkeypatch)
    duels = synthetic.duels(CONTENDERS, sizes=[256], kernels=[3, 15])
    files = report.write([synthetic.write(tmp_path / "a.jsonl", duels)], tmp_path / "out")
    said = "N = 256 is the only image size"
    assert len([one for one in caplog.messages if one.startswith(said)]) == 1
    assert page_of(files).text.count(said) == 1


def test_nothing_usable_still_has_a_page(tmp_path: Path) -> None:
    duels = synthetic.duels(CONTENDERS, sizes=[256], kernels=[3], status="timeout")
    files = report.write([synthetic.write(tmp_path / "a.jsonl", duels)], tmp_path / "out")
    assert [path.name for path in files] == ["report.html", "points.csv"]
    page = page_of(files)
    assert "no usable time, so no crossover (3 timeout)" in page.text
    assert "No chart: no square image with a square kernel has a usable time." in page.text
    assert page.scripts == []


def test_layers_alone_have_their_table(tmp_path: Path) -> None:
    duels = synthetic.duels(CONTENDERS, sizes=[64], kernels=[3], problem={"stride": (2, 2)})
    files = report.write([synthetic.write(tmp_path / "a.jsonl", duels)], tmp_path / "out")
    assert [path.name for path in files] == ["report.html", "points.csv"]
    assert "3×3 kernel on 64×64, stride (2, 2)" in page_of(files).text


def test_the_same_records_give_the_same_files(tmp_path: Path) -> None:
    duels = synthetic.duels(CONTENDERS, sizes=[256], kernels=[3, 15])
    path = synthetic.write(tmp_path / "a.jsonl", duels)
    first = report.write([path], tmp_path / "first")
    again = report.write([path], tmp_path / "again")
    assert [a.read_bytes() for a in first] == [b.read_bytes() for b in again]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    duels = synthetic.duels(CONTENDERS, sizes=[256], kernels=[3])
    path = synthetic.write(tmp_path / "a.jsonl", duels)
    with pytest.raises(BadInput, match="cannot be written"):
        report.write([path], path)


def test_captions_tell_regime_and_intervals(written: list[Path]) -> None:
    text = " ".join(page_of(written).text.split())
    assert text.count("Regime: warm (caches as the run before left them).") == len(KINDS)
    assert "bands are 95 % intervals" in text


def test_there_is_no_roofline_without_ceilings(written: list[Path]) -> None:
    assert not any("roofline" in path.name for path in written)


def test_when_preparation_pays_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_nothing(monkeypatch)
    duels = synthetic.duels(CONTENDERS, sizes=[256], kernels=[3, 31])
    for duel in duels:
        duel[2].phase_seconds["plan"] = [10.0]
    page = page_of(report.write([synthetic.write(tmp_path / "a.jsonl", duels)], tmp_path / "out"))
    first, last = re.findall(r"best direct, best fft.*?(?=second|$)", page.text, flags=re.DOTALL)[
        :2
    ]
    assert "never" in first
    assert re.search(r"10 s.*from [\d,]{5,}", last, flags=re.DOTALL)


def test_looks_are_all_different(tmp_path: Path) -> None:
    names = [f"{letter}/numpy" for letter in "abcdefghijk"]
    duels = synthetic.duels(dict.fromkeys(names, synthetic.direct()), sizes=[64], kernels=[3])
    for record in duels[0][2:]:  # a and b keep families of their own, which no shade is for
        record.family = "direct"
    appearances = style.appearances(load([synthetic.write(tmp_path / "a.jsonl", duels)]).frame)
    assert len(set(appearances.values())) == len(names)
