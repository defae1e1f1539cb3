"""Names at the ends of lines do not overlap, and stay as near as they can."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from convcross.report.figures.labels import End, at_ends, spread
from convcross.report.figures.style import Appearance

GAP = 0.1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=10))
def test_places_stand_apart_inside_and_in_order(wanted: list[float]) -> None:
    found = spread(np.array(wanted), GAP)
    order = np.argsort(wanted, kind="stable")
    assert (np.diff(found[order]) > GAP - 1e-9).all()
    assert found.min() >= 0
    assert found.max() <= 1 + 1e-9


@given(st.lists(st.integers(0, 8), min_size=1, max_size=9, unique=True))
def test_places_far_enough_apart_stay(wanted: list[int]) -> None:
    places = 1.1 * GAP * np.array(wanted)
    np.testing.assert_allclose(spread(places, GAP), places, atol=1e-12)


def test_two_that_collide_give_way_alike() -> None:
    np.testing.assert_allclose(spread(np.array([0.5, 0.5, 0.9]), GAP), [0.45, 0.55, 0.9])


def test_drawn_names_do_not_overlap() -> None:
    figure = Figure(figsize=(5, 3))
    canvas = FigureCanvasAgg(figure)
    panel = figure.add_axes((0.1, 0.1, 0.5, 0.8))
    panel.set_xlim(0, 1)
    panel.set_ylim(0, 1)
    appearance = Appearance("#D55E00", "o")
    at_ends(panel, [End(1, 0.5 + 0.01 * i, f"line {i}", appearance) for i in range(8)], 2.4)
    canvas.draw()
    boxes = [text.get_window_extent() for text in panel.texts if text.get_text()]
    assert len(boxes) == 8
    boxes.sort(key=lambda box: box.y0)
    assert all(low.y1 <= high.y0 for low, high in itertools.pairwise(boxes))
