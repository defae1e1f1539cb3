"""Networks that have learned, on the page: with the claim, alone and beside duels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from convcross.errors import BadInput
from convcross.report import report
from convcross.report.figures import style
from convcross.report.figures.learning import learning
from convcross.results import reader
from convcross.results.schema import Learned
from support import networks, synthetic
from support.networks import FILTER, planted


def test_a_report_of_networks_alone(tmp_path: Path) -> None:
    path = networks.write(tmp_path / "a.jsonl", planted())
    page, table, *figures = report.write([path], tmp_path / "out")
    assert [figure.name for figure in figures] == [
        f"claim-11-learning{suffix}" for suffix in style.SUFFIXES
    ]
    text = page.read_text()
    assert report.NO_DUEL in text
    assert text.index('id="claim-11"') < text.index('src="data:image/svg+xml')
    assert len(table.read_text().splitlines()) == 1  # the columns


def test_the_figure_stands_by_the_claim_beside_duels(tmp_path: Path) -> None:
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9)}
    duels = synthetic.duels(contenders, sizes=[64], kernels=[3, 15])
    paths = [synthetic.write(tmp_path / "duels.jsonl", duels)]
    paths.append(networks.write(tmp_path / "networks.jsonl", planted()))
    page, _, *figures = report.write(paths, tmp_path / "out")
    assert "claim-11-learning.png" in {figure.name for figure in figures}
    assert 'href="claim-11-learning.png"' in page.read_text()


def drawn(found: Sequence[Learned]) -> list[str]:
    """The titles of all panels and of the figure's parts."""
    with style.settings():
        figure = learning(found, "here")
        figure.draw_without_rendering()
        parts = [figure, *figure.subfigs]
        titles = [axes.get_title() for part in parts for axes in part.axes]
        return [*titles, *(text.get_text() for part in parts for text in part.texts)]


def test_seeds_that_stopped_earlier_and_a_first_seed_of_any_number() -> None:
    found = [one.model_copy(update={"seed": one.seed + 5}) for one in planted()]
    longer = [
        one.model_copy(
            update={"accuracy": [*one.accuracy, 0.9], "loss": [2.0, 1.0, 0.5]}
            | {"apart": [*one.apart, 1e-6]}
        )
        for one in planted(seeds=1)
    ]
    assert any("What the first layer has learned" in title for title in drawn([*found, *longer]))


@pytest.mark.parametrize("filters", [[], [FILTER], [[[1.0]], [[0.0]]]])
def test_filters_that_are_not_alike_are_not_drawn(filters: Any) -> None:
    titles = drawn(planted(filters=filters))
    assert not any("What the first layer has learned" in title for title in titles)
    assert any("roundoff" in title or "rotated" in title for title in titles)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"accuracy": [0.5]}, "accuracy is of 1 epochs, loss of 2, apart of 3"),
        ({"apart": [0.0, 1e-7]}, "apart of 2; allowed: as many losses, and one distance more"),
        ({"filters": [FILTER, FILTER[:2]]}, "filters are ragged or empty"),
        ({"filters": [[[1.0, 2.0], [1.0]]]}, "filters are ragged or empty"),
        ({"filters": [[]]}, "filters are ragged or empty"),
        ({"filters": [[[1e300]]]}, "filters.0.0.0: Input should be less than or equal to"),
    ],
)
def test_records_of_no_network_are_refused(
    tmp_path: Path, changed: dict[str, Any], told: str
) -> None:
    found = [
        one.model_copy(update=changed) if place == 3 else one for place, one in enumerate(planted())
    ]
    path = networks.write(tmp_path / "a.jsonl", found)
    with pytest.raises(BadInput, match=f"{re.escape(str(path))}:5: .*{re.escape(told)}"):
        reader.read(path)
