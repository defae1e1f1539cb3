"""Networks that learn with correlation and with true convolution, on small planted images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from convcross.analysis.claims import learning as claim
from convcross.cli import app
from convcross.demo import learning, learning_show
from convcross.demo.learning import Digits
from convcross.errors import BadInput
from convcross.results import reader
from convcross.results.schema import Learned

FEW = {"seeds": 2, "epochs": 2}


def strokes(count: int = 420) -> Digits:
    """Lines in one of four directions at random places, so that filters have something to learn."""
    rng = np.random.default_rng(0)
    images, kinds = np.zeros((count, 1, 8, 8)), rng.integers(0, 4, count)
    steps = [(0, 1), (1, 0), (1, 1), (1, -1)]
    for image, kind in zip(images[:, 0], kinds, strict=True):
        row, column = rng.integers(2, 6, 2)
        for place in range(-2, 3):
            down, across = steps[kind]
            image[(row + place * down) % 8, (column + place * across) % 8] = 1
    return Digits(images + 0.1 * rng.random(images.shape), kinds)


@pytest.fixture(scope="module")
def found() -> list[Learned]:
    pytest.importorskip("torch", reason="torch is not installed")
    return list(learning.learn(strokes(), **FEW))


def of(found: list[Learned], **wanted: Any) -> list[Learned]:
    return [one for one in found if all(getattr(one, k) == v for k, v in wanted.items())]


def test_every_network_of_every_seed_and_type(found: list[Learned]) -> None:
    assert len(found) == 4 * 2 * FEW["seeds"]
    assert all(len(one.accuracy) == FEW["epochs"] for one in found)
    assert all(one.loss[-1] < one.loss[0] for one in found)
    assert {one.steps for one in found} == {2 * 2}  # 60 images in batches of 32


def test_rotated_filters_are_learned_from_rotated_ones(found: list[Learned]) -> None:
    for dtype, bound in (("float32", 1e-4), ("float64", 1e-12)):
        for network in ("rotated", "fft"):
            for one in of(found, dtype=dtype, network=network):
                assert one.apart[0] == 0
                assert 0 < one.apart[-1] < bound  # by rounding, so other arithmetic it was
        for one in of(found, dtype=dtype, network="convolution"):
            assert one.apart[0] == 0
            assert one.apart[-1] > 1e-3


def test_first_filters_of_a_rotated_network_are_the_others_rotated(found: list[Learned]) -> None:
    for seed in range(FEW["seeds"]):
        own, other = (
            np.array(of(found, dtype="float64", network=network, seed=seed)[0].filters)
            for network in ("rotated", "correlation")
        )
        np.testing.assert_allclose(own[:, ::-1, ::-1], other, rtol=1e-9, atol=1e-12)


def test_show_writes_the_figure_and_records_that_are_read_back(
    found: list[Learned],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(learning, "learn", lambda data, **how: iter(found))
    out = tmp_path / "new" / "learning.png"
    holds = learning_show.show(out, strokes(), **FEW)
    told = capsys.readouterr().out
    assert told.splitlines()[-2:] == [str(out.with_suffix(".jsonl")), str(out)]
    assert "over 2 seeds" in told
    assert imread(out).shape[2] == 4
    with reader.reading(out.with_suffix(".jsonl")) as file:
        assert list(file) == []
        assert file.learned == found
    outcome = claim.outcome(found)
    assert outcome is not None
    assert holds == outcome.holds


# ---- bad input -------------------------------------------------------------------------------


def test_without_scikit_learn_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = "sklearn is not installed: pip install 'convcross[digits]'"
    monkeypatch.setattr(learning.optional, "missing", lambda module, install: told)
    monkeypatch.setattr("sys.argv", ["convcross", "demo", "--learning"])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_bad_places(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"a file name that ends in \.png"):
        learning_show.show(tmp_path / "a.jpg", strokes())


def test_a_photograph_is_not_learned(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["convcross", "demo", "a.jpg", "--learning"])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 2
    assert "with --learning; allowed: none" in capsys.readouterr().err


def test_scikit_learns_digits() -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    found = learning.digits()
    assert found.images.shape == (1797, 1, 8, 8)
    assert (found.images.min(), found.images.max()) == (0, 1)
    assert set(found.digits) == set(range(10))
