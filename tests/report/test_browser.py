"""The report's page in a real browser without a network: silent, interactive, never too wide."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from convcross.analysis.load import load
from convcross.report import report
from support import browser, synthetic

HOSTILE = "</script><script>window.hacked = 1</script><b onclick=alert(1)>&amp;"
CONTENDERS = {
    "direct/numpy": synthetic.direct(),
    f"fft{HOSTILE}/numpy": synthetic.fft(9.4),
    "im2col-gemm/numpy": synthetic.direct(2),
}
RAN: list[str] = []  # tests that had a browser
CURVES = 'chart.data.filter(one => one.meta === "curve")'


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sets of conditions, with a hostile contender and machine."""
    folder = tmp_path_factory.mktemp("browser")
    duels = synthetic.duels(CONTENDERS, kernels=(3, 7, 15, 31))
    duels += synthetic.duels(CONTENDERS, sizes=[512], kernels=(3, 31), problem={"dtype": "float64"})
    for duel in duels:
        duel[1].family = "fft"
    return synthetic.write(
        folder / "sweep.jsonl", duels, synthetic.header(machine=f"Machine {HOSTILE}")
    )


@pytest.fixture(scope="module")
def page(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Browser]:
    path = browser.installed()
    if path is None:
        pytest.skip("no browser; apt-get install chromium")
    written = report.write([results], results.parent / "out")
    opened = browser.Browser(path, tmp_path_factory.mktemp("profile"))
    opened.resize(1100)
    opened.open(written[0])
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def fresh(page: browser.Browser, results: Path, request: pytest.FixtureRequest) -> None:
    RAN.append(request.node.name)
    page.open(results.parent / "out" / "report.html")


def choose(page: browser.Browser, name: str, value: str) -> None:
    """Choose an option as a user does."""
    page.evaluate(
        f"""(() => {{
            const select = document.forms[0].elements[{json.dumps(name)}];
            select.value = {json.dumps(value)};
            select.dispatchEvent(new Event("change", {{ bubbles: true }}));
        }})()"""
    )


def curves(page: browser.Browser) -> dict[str, dict[str, Any]]:
    """Contender, as plotly is given it → x, y and hover text of its curve, as drawn."""
    drawn = page.evaluate(f"{CURVES}.map(one => [one.name, one.x, one.y, one.text])")
    return {name: {"x": x, "y": y, "text": text} for name, x, y, text in drawn}


def test_it_opens_without_a_network_and_without_a_complaint(page: browser.Browser) -> None:
    assert page.complaints == []
    assert page.requests
    assert {url.partition(":")[0] for url in page.requests} <= {"file", "data", "blob"}
    assert page.evaluate("typeof window.hacked") == "undefined"
    assert page.evaluate("document.querySelectorAll('main > p')[0].textContent").startswith(
        f"On Machine {HOSTILE} (cpu), fft overtakes direct at n = 9."
    )


def test_it_draws_what_was_measured(page: browser.Browser, results: Path) -> None:
    assert page.evaluate("document.forms[0].elements.size.value") == "512"
    shown = curves(page)["direct/numpy"]
    frame = load([results]).grid
    rows = frame[(frame["contender"] == "direct/numpy") & (frame["N"] == 512)]
    rows = rows[rows["dtype"] == "float32"].sort_values("n")
    assert shown["x"] == rows["n"].tolist()
    assert shown["y"] == pytest.approx(rows["seconds"].tolist(), rel=1e-3)
    low, high = rows["low"].iloc[-1] * 1e3, rows["high"].iloc[-1] * 1e3
    middle = rows["seconds"].iloc[-1] * 1e3
    assert shown["text"][-1] == f"{middle:.4g} ms [{low:.4g} ms, {high:.4g} ms]"


def test_hovering_tells_value_and_interval(page: browser.Browser) -> None:
    x, y = page.evaluate(
        """(() => {
            const point = chart.querySelector(".scatterlayer .points path.point");
            chart.scrollIntoView();
            const box = point.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2];
        })()"""
    )
    for step in (-3, 0):
        page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + step, y=y)
    told = page.evaluate(
        """new Promise(done => setTimeout(
            () => done(chart.querySelector(".hoverlayer").textContent), 300))"""
    )
    assert "n = " in told
    assert "µs [" in told or "ms [" in told


def test_the_controls_change_the_chart(page: browser.Browser) -> None:
    before = curves(page)["direct/numpy"]["y"]
    choose(page, "size", "256")
    small = curves(page)["direct/numpy"]["y"]
    assert all(less < more / 2 for less, more in zip(small[1:], before[1:], strict=True))
    choose(page, "phase", "fresh")
    fresh = curves(page)["direct/numpy"]["y"]
    assert fresh == pytest.approx([1.1 * value for value in small], rel=2e-3)
    assert "time, fresh (s)" in page.evaluate("chart.querySelector('.ytitle').textContent")
    choose(page, "cost", "error")
    errors = curves(page)["direct/numpy"]["y"]
    assert errors == pytest.approx([5e-8 * n**0.5 for n in (3, 7, 15, 31)], rel=1e-3)
    assert page.evaluate("chart.querySelector('.ytitle').textContent") == "relative L2 error"
    assert "becomes more accurate than" in page.evaluate(
        "document.getElementById('chart-said').textContent"
    )
    choose(page, "where", "1")
    assert curves(page)["direct/numpy"]["x"] == [3, 31]


def test_contenders_can_be_picked(page: browser.Browser) -> None:
    names = page.evaluate(
        "[...document.querySelectorAll('#chart-contenders label')].map(one => one.textContent)"
    )
    assert set(names) == set(CONTENDERS)
    page.evaluate("document.querySelector('#chart-contenders input').click()")
    assert len(curves(page)) == len(CONTENDERS) - 1
    choose(page, "size", "256")
    assert len(curves(page)) == len(CONTENDERS) - 1
    page.evaluate(
        "document.querySelectorAll('#chart-contenders input:checked').forEach(b => b.click())"
    )
    assert curves(page) == {}
    assert "No contender" in page.evaluate("document.getElementById('chart-said').textContent")
    assert page.complaints == []


@pytest.mark.parametrize("width", [400, 1100])
def test_the_page_is_never_wider_than_the_window(page: browser.Browser, width: int) -> None:
    page.resize(width)
    wide = "Math.max(document.body.scrollWidth, document.documentElement.scrollWidth)"
    assert page.evaluate(wide) <= width
    assert page.evaluate("document.querySelectorAll('details').length")
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert page.evaluate(wide) <= width
    assert page.evaluate("chart.querySelector('.main-svg').getBoundingClientRect().width") <= width
    size = page.evaluate("parseFloat(getComputedStyle(document.querySelector('p')).fontSize)")
    assert size >= 14
    page.resize(1100)


def test_none_was_skipped(
    request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """Last of this file: how many had a browser."""
    collected = [item.name for item in request.session.items if item.path == request.path]
    assert collected == RAN
    with capsys.disabled():
        print(f"\n{len(RAN)} browser tests ran in {browser.installed()}")
