"""calibrate and advise as a user types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from convcross.advice import calibrate
from convcross.cli import app
from convcross.sweeps.contenders import Contender
from convkernels import Problem, calibration, plans
from convkernels.problem import DIRECTIONS
from support.calibrated import planted

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def convcross(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line in this process: exit code, output, complaints."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["convcross", *arguments])
        code = app._main()
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def known() -> None:
    calibration.write(planted(samples=30))


SHAPE = ("--image", "512", "--kernel", "31")


@pytest.mark.parametrize("arguments", [SHAPE, ("--export", "c")])
def test_without_a_calibration_the_command_that_makes_one_is_named(
    convcross: Run, arguments: tuple[str, ...]
) -> None:
    code, out, complaint = convcross("advise", *arguments)
    assert (code, out) == (2, "")
    assert complaint == (
        "convcross: no calibration of cpu is kept here; convcross calibrate makes one\n"
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "--image or --kernel is not given; allowed: both, or --export"),
        (("--image", "512"), "--image or --kernel is not given"),
        (("--image", "big", "--kernel", "3"), "image is 'big'; allowed: a side as 512, or HxW"),
        (("--image", "64", "--kernel", "0"), "kernel is (0, 0); allowed: whole numbers >= 1"),
        (("--image", "8", "--kernel", "9", "--mode", "valid"), "kernel"),
        ((*SHAPE, "--mode", "mirror"), "mode is 'mirror'; allowed: full, same, valid"),
        ((*SHAPE, "--dtype", "int8"), "dtype is 'int8'; allowed: "),
        (
            (*SHAPE, "--direction", "back"),
            "direction is 'back'; allowed: forward, grad_input, grad_weight",
        ),
        (("--export", "c", "--direction", "step"), "direction is 'step'; allowed: forward, grad"),
        ((*SHAPE, "--channels", "a"), "channels is 'a'; allowed: in,out as 64,128"),
        ((*SHAPE, "--channels", "3,4", "--groups", "2"), "groups"),
        ((*SHAPE, "--phase", "warm"), "phase is 'warm'; allowed: steady, fresh, first"),
        ((*SHAPE, "--phase", "first", "--calls", "3"), "--phase and --calls are both given"),
        ((*SHAPE, "--max-workspace", "64 apples"), "max-workspace is '64 apples'; allowed: bytes"),
        ((*SHAPE, "--max-error", "1e-20"), "no contender is within error 1e-20; the nearest is"),
        ((*SHAPE, "--contenders", "nobody"), "contenders: 'nobody' matches nothing here"),
        ((*SHAPE, "--device", "cuda:7"), "device is 'cuda:7'; allowed: cpu"),
        (("--export", "cobol"), "export is 'cobol'; allowed: python, c, markdown"),
    ],
)
@pytest.mark.usefixtures("known")
def test_bad_input_is_one_line(convcross: Run, arguments: tuple[str, ...], complaint: str) -> None:
    code, out, told = convcross("advise", *arguments)
    assert (code, out) == (2, "")
    assert told.startswith(f"convcross: {complaint}") or complaint in told
    assert told.count("\n") == 1


@pytest.mark.usefixtures("known")
def test_a_shape_is_advised(convcross: Run) -> None:
    code, out, _ = convcross("advise", *SHAPE)
    assert code == 0
    assert out.index("fft/numpy") < out.index("direct/numpy")
    code, out, _ = convcross("advise", "--image", "600x40", "--kernel", "3x1", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["problem"]["image"] == [600, 40]
    assert told["problem"]["kernel"] == [3, 1]
    code, out, _ = convcross("advise", *SHAPE, "--direction", "grad_weight", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["problem"]["direction"] == "grad_weight"
    assert [one["contender"] for one in told["ranked"]] == ["fft/numpy"]
    assert told["refused"] == {"direct/numpy": "the calibration has no grad_weight"}


@pytest.mark.usefixtures("known")
def test_a_rule_is_exported(convcross: Run) -> None:
    code, out, _ = convcross("advise", "--export", "python")
    assert code == 0
    space: dict[str, Callable[..., str]] = {}
    exec(out, space)
    assert space["fastest"](512, 3) == "direct/numpy"


def test_calibrate_is_kept_and_used(convcross: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    few = [Contender("direct/numpy@cpu"), Contender("fft/numpy@cpu")]
    monkeypatch.setattr(calibrate, "contenders", lambda device: few)
    measured, measure = set(), calibrate.measure

    def spy(problem: Problem, *arguments: Any) -> Any:
        measured.add(problem.direction)
        return measure(problem, *arguments)

    monkeypatch.setattr(calibrate, "measure", spy)
    code, out, complaint = convcross("calibrate", "--budget", "8s")
    assert code == 0, complaint
    assert "lie in their 90 % intervals" in out
    assert Path(out.splitlines()[-1]) == calibration.path("cpu")
    found = calibration.current("cpu")
    assert found is not None
    assert set(found.contenders) == {"direct/numpy", "fft/numpy"}
    assert found.held_out
    assert measured == set(DIRECTIONS)
    problem = Problem((1024, 1024), (31, 31), mode="same")
    assert plans.take_best(problem, "numpy", "cpu").algorithm.name == "fft"
    code, out, _ = convcross("advise", "--image", "1024", "--kernel", "31")
    assert code == 0
    assert "fft/numpy" in out


def test_too_short_a_budget_is_told(convcross: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "contenders", lambda device: [Contender("fft/numpy@cpu")])
    code, _, complaint = convcross("calibrate", "--budget", "0.01s")
    assert code == 2
    assert complaint.startswith("convcross: budget is 0.01 s; allowed: more")
    assert not calibration.path("cpu").exists()
