"""Runs with --find-crossover: an ordinary file, cut anywhere, gone on with."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from convcross.analysis.crossover.crossover import crossovers
from convcross.analysis.crossover.words import number
from convcross.cli import app
from convcross.errors import BadInput
from convcross.results.reader import read
from convcross.sweeps.duels import Duel, of_first_launch
from convcross.sweeps.spec import Sweep
from support.runs import ids, run, sweep

PAIR = ("direct", "fft")


@pytest.fixture(autouse=True)
def one_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever commits while the tests run does not change what they resume."""
    monkeypatch.setenv("CONVCROSS_COMMIT", "tested")


def searching(**keys: Any) -> Sweep:
    return sweep(**{"sizes": [16, 24], "kernels": "3:15:2", **keys})


def test_a_search_leaves_an_ordinary_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    told: list[tuple[int, int]] = []

    def progress(duel: Duel, number: int, of: int, records: list[Any]) -> None:
        told.append((number, of))

    outcome = run(path, searching(), pair=PAIR, progress=progress)
    assert (outcome.before, outcome.left) == (0, 0)
    assert [number for number, _ in told] == list(range(1, outcome.done + 1))
    assert all(number <= of for number, of in told)
    found = ids(path)
    assert len(found) == len(set(found)) == outcome.done
    rows = crossovers([path], pairs=[PAIR])
    assert [row.N for row in rows] == [16, 24]
    *sentences, spent = outcome.found
    assert [one.partition(":")[0] for one in sentences] == ["N = 16", "N = 24"]
    for row, sentence in zip(rows, sentences, strict=True):
        if row.n_star is not None:
            assert f"fft overtakes direct at n = {number(row.n_star)} " in sentence
        assert re.search(r"\(\d+ of 7 cells\)$", sentence)
    assert f"search: {outcome.done} duels for a grid of 14 cells" in spent


def test_a_search_cut_anywhere_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    assert run(path, searching(), pair=PAIR, budget=1e-9).left > 10
    outcome = run(path, searching(), pair=PAIR, resume=True)
    whole = path.read_bytes()
    again = run(path, searching(), pair=PAIR, resume=True)
    assert (again.done, again.before, again.left) == (0, outcome.before + outcome.done, 0)
    assert again.found == outcome.found
    assert path.read_bytes() == whole
    ends = [place + 1 for place, byte in enumerate(whole) if byte == 10]
    path.write_bytes(whole[: ends[9] + 50])  # the header, three duels, and part of the next
    outcome = run(path, searching(), pair=PAIR, resume=True)
    assert (outcome.before, outcome.left) == (3, 0)
    assert path.read_bytes().startswith(whole[: ends[9]])
    assert len(ids(path)) == len(set(ids(path))) == 3 + outcome.done


@pytest.mark.parametrize("pair", [None, ("fft", "direct"), ("direct/numpy", "fft")])
def test_a_search_is_not_gone_on_with_for_another_pair(
    tmp_path: Path, pair: tuple[str, str] | None
) -> None:
    path = tmp_path / "a.jsonl"
    run(path, searching(), pair=PAIR, budget=1e-9)
    before = path.read_bytes()
    with pytest.raises(BadInput, match=r"has --find-crossover of pair \['direct', 'fft'\], this"):
        run(path, searching(), pair=pair, resume=True)
    assert path.read_bytes() == before


def test_the_newest_search_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = run(None, searching(sizes=[16]), pair=PAIR)
    newer = first.path.with_name("29990101T000000Z-small-unknown.jsonl")
    run(newer, searching(sizes=[16]), budget=1e-9)  # of the grid, not of a search
    again = run(None, searching(sizes=[16]), pair=PAIR, resume=True)
    assert (again.path, again.done) == (first.path, 0)


def test_a_search_along_the_image_sizes(tmp_path: Path) -> None:
    of = searching(sizes="8:48:8", kernels=[5])
    outcome = run(tmp_path / "a.jsonl", of, pair=("fft", "direct"))
    assert outcome.found[0].startswith("n = 5: ")
    assert len(ids(outcome.path)) == outcome.done >= 4


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["quick", "--find-crossover", "--pair", "direct,best"], "pair names 'best'"),
        (["quick", "--find-crossover", "--pair", "fft,fft"], "both sides are fft/numpy@cpu"),
        (["quick", "--find-crossover", "--pair", "fft"], "pair is 'fft'; allowed: A,B"),
        (["quick", "--pair", "direct,fft"], "--pair is given without --find-crossover"),
        (["cnn", "--find-crossover"], "it lists layers only"),
    ],
)
def test_a_search_that_cannot_be(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["convcross", "run", *arguments, "--device", "cpu"])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
    assert not list(tmp_path.iterdir())


def test_later_launches_confirm_what_the_first_has_found(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    of = searching(sizes=[24], launches=3)
    outcome = run(path, of, pair=PAIR)
    assert outcome.left == 0
    launches: dict[str, set[int | None]] = {}
    for record in read(path).records:
        launches.setdefault(of_first_launch(record.duel), set()).add(record.launch)
    confirmed = [cell for cell, own in launches.items() if own == {1, 2, 3}]
    assert 1 <= len(confirmed) <= 4
    assert all(own == {1} for cell, own in launches.items() if cell not in confirmed)
    again = run(path, of, pair=PAIR, resume=True)
    assert (again.done, again.before, again.left) == (0, outcome.done, 0)
