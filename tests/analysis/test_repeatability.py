"""A machine measured against itself: planted levels of launches are found, by file and command."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from convcross.analysis.repeatability import repeatability
from convcross.cli import app
from convcross.errors import BadInput
from convcross.machine import repeatability as kept
from convcross.stats import modes
from support import synthetic

LEVELS = [1.0, 1.02, 0.99, 1.01, 0.98, 1.0, 1.01, 0.99, 1.02, 0.98]


def measured(path: Path, levels: Sequence[float] = LEVELS) -> Path:
    curves = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.0)}
    found = synthetic.launched(curves, levels, noise=0.001, rounds=300)
    return synthetic.write(path, found, synthetic.header("a-machine", launches=len(levels)))


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_spread_between_launches_is_found() -> None:
    found = repeatability(measured(Path("a.jsonl")))
    assert [(one.contender, one.N) for one in found.repeats] == [
        (name, N) for name in ("direct/numpy", "fft/numpy") for N in (256, 512)
    ]
    for one in found.repeats:
        assert one.deviation == pytest.approx(np.log(LEVELS).std(ddof=1), rel=0.25)
        assert one.within < 0.05
        assert (one.launches, one.slow) == (10, None)
        assert one.smallest(3, 3) > one.smallest(5, 5) > one.smallest(10, 10) > one.deviation


def test_a_slow_mode_is_found() -> None:
    slow = [level * (1.6 if place in (2, 7, 8) else 1.0) for place, level in enumerate(LEVELS)]
    for one in repeatability(measured(Path("a.jsonl"), slow)).repeats:
        assert one.slow is not None
        assert one.slow == (3, pytest.approx(1.6, rel=0.05))


def test_one_kind_of_processes_is_seldom_said_to_be_two() -> None:
    rng = np.random.default_rng(0)
    for count in (5, 10):
        said = sum(modes.upper(rng.standard_normal(count)) > 0 for _ in range(1000))
        assert said <= 10 * 1000 * modes.ERROR / 4
    assert modes.upper(np.array([0.0, 0.0, 9.0, 9.0])) == 0  # too few
    assert modes.upper(np.array([0.0, 0.01, 9.0, 9.0, 9.01])) == 3


def test_the_smallest_difference_is_that_of_a_t_test() -> None:
    one = kept.Repeat(
        contender="a",
        device="cpu",
        regime="warm",
        N=1,
        deviation=0.01,
        within=0,
        launches=3,
        cells=1,
    )
    assert one.smallest(3, 3) == pytest.approx(9.925 * 1.160 * 0.01 * math.sqrt(2 / 3), rel=1e-3)


def test_the_nearest_image_size_speaks_for_others() -> None:
    found = repeatability(measured(Path("a.jsonl")))
    for N, nearest in ((64, 256), (360, 256), (365, 512), (4096, 512)):
        one = found.of("fft/numpy", "cpu", "warm", N)
        assert one is not None
        assert nearest == one.N
    assert found.of("fft/numpy", "cuda:0", "warm", 256) is None


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str], str]:
    sys.argv = ["convcross", "repeatability", *arguments]
    code = app._main()
    out, err = capsys.readouterr()
    return code, out.splitlines(), err


def test_a_file_is_told_and_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [])
    path = measured(Path("a.jsonl"))
    code, lines, _ = told(capsys, str(path))
    assert code == 0
    assert len([line for line in lines if "no slow mode" in line]) == 4
    assert lines[-2].startswith("Two runs of 3 launches tell differences from ")
    assert lines[-1] == "results/a-machine/repeatability.json"
    assert kept.load("a-machine") == repeatability(path)
    code, lines, _ = told(capsys, str(path), "--json")
    (machine,) = json.loads("\n".join(lines))
    assert kept.Repeatability.model_validate(machine) == repeatability(path)


def test_a_sweep_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setenv("CONVCROSS_COMMIT", "tested")
    Path("small.toml").write_text(
        "sizes = [16]\nkernels = [3, 5]\nlaunches = 2\n"
        'contenders = ["direct/numpy", "fft/numpy"]\n[limits]\nseconds = 0.02\n'
    )
    code, lines, _ = told(capsys, "small.toml", "--device", "cpu")
    assert code == 0
    assert len([line for line in lines if "2: too few to tell a slow mode" in line]) == 2
    assert Path(lines[-1]).exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "sweep 'nothing': No such file"),
        (["quick", "--launches", "1"], "greater than or equal to 2"),
        (["one.jsonl"], "no contender was measured in two launches"),
        (["one.jsonl", "--launches", "3"], "one.jsonl is measured already; allowed: it alone"),
        (["none.jsonl"], "none.jsonl"),
    ],
)
def test_what_cannot_be_told(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.setattr(sys, "argv", [])
    measured(Path("one.jsonl"), [1.0])
    code, lines, err = told(capsys, *arguments)
    assert (code, lines, err.count("\n")) == (2, [], 1)
    assert said in err


def test_a_damaged_file_is_bad_input() -> None:
    kept.write(repeatability(measured(Path("a.jsonl"))))
    file = Path("results/a-machine/repeatability.json")
    file.write_text(file.read_text().replace('"launches": 10', '"launches": 1'))
    with pytest.raises(BadInput, match=r"repeatability file .*: repeats\.0\.launches: .*; allowed"):
        kept.load("a-machine")
