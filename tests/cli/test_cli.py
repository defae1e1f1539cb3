"""The command line: exit codes, one clear line for bad input, and the JSON that scripts read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from convcross.cli import app, options
from convcross.results.reader import read
from convcross.sweeps import user_files
from support.planted import SOURCE, forgotten, plant

MINE = """
from convkernels import algorithm
from scipy import signal

@algorithm(name="mine", family="direct", namespaces=["numpy"], arithmetic="ieee", source="me")
def mine(x, w, problem):
    if not problem.is_image or problem.batch > 1:
        raise UnsupportedProblem("images only")
    function = signal.convolve2d if problem.op == "convolution" else signal.correlate2d
    return function(x, w, mode=problem.mode)
"""
SWEEP = """
sizes = [12]
launches = 1
kernels = [1, 3]
contenders = ["fft/numpy"]
[limits]
seconds = 0.001
samples = 5
run_seconds = 60.0
"""


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text(SWEEP)
    with forgotten():
        yield


class Done:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def convcross(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command line in this process."""

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["convcross", *arguments])
        code = app._main()
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run


def shell(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "convcross", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )


RUN = ("run", "small.toml", "--device", "cpu", "--out", "a.jsonl")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["fly"], "No such command 'fly'. Allowed: list, check, run, repeatability"),
        (["run"], "Missing argument 'sweep'"),
        (["run", "quick", "--sise", "3"], "No such option: --sise"),
        (["run", "nothing"], "sweep 'nothing': No such file or directory; allowed: cnn, "),
        (["run", "bad.toml"], "sweep 'bad.toml': not TOML: "),
        ([*RUN, "--sizes", "0"], "sizes.0: Input should be greater than or equal to 1 (got 0)"),
        ([*RUN, "--sizes", "8:4"], "sizes: '8:4' is an empty or endless range; allowed: "),
        ([*RUN, "--kernels", "three"], "kernels: 'three' is not a size; allowed: 3,5,7 or"),
        ([*RUN, "--sizes", ""], "sizes: '' is not a size; allowed: "),
        ([*RUN, "--dtype", "float8"], "dtypes: dtype is 'float8'; allowed: float64, float32"),
        ([*RUN, "--mode", "sane"], "modes: mode is 'sane'; allowed: full, same, valid"),
        ([*RUN, "--op", "product"], "ops: op is 'product'; allowed: convolution, correlation"),
        (
            [*RUN, "--regime", "cold"],
            "regime is 'cold'; allowed: flushed, warm, graph, wall",
        ),
        (
            [*RUN, "--mode", "valid", "--kernels", "13"],
            "kernels: all are larger than the images; allowed: n <= N",
        ),
        ([*RUN, "--contenders", "fftt"], "contenders: 'fftt' matches nothing here; available: "),
        ([*RUN, "--device", "cuda:99"], "device is 'cuda:99'; allowed: cpu"),
        ([*RUN, "--budget", "soon"], "budget is 'soon'; allowed: a time as 90s, 8m or 2h"),
        ([*RUN, "--budget", "0"], "budget is '0'; allowed: a time as 90s, 8m or 2h"),
        (
            ["run", "small.toml", "--device", "cpu", "--out", "small.toml"],
            "results file small.toml exists; allowed: --resume, or another --out",
        ),
        (
            ["run", "small.toml", "--device", "cpu", "--out", "small.toml", "--resume"],
            "small.toml:1: not JSON; allowed: one JSON object a line",
        ),
        (
            ["run", "small.toml", "--device", "cpu", "--out", ".", "--resume"],
            "results file . cannot be read: Is a directory",
        ),
        (
            ["run", "small.toml", "--device", "cpu", "--out", "small.toml/a.jsonl"],
            "results file small.toml/a.jsonl cannot be written: ",
        ),
        (
            ["run", "small.toml", "--device", "cpu", "--resume"],
            "--resume: no results of sweep 'small' in results",
        ),
        (["check", "--problems", "0"], "--problems"),
        (["check", "--contenders", "fftt"], "contenders: 'fftt' matches nothing here"),
        (["check", "--contenders", "textbook/jax"], "'textbook/jax' matches nothing here; avail"),
        (["check", "--image-data", "cat"], "image-data is 'cat'; allowed: normal, uniform, photo"),
        (["check", "--kernel-data", "box,"], "kernel-data is ''; allowed: normal, gaussian, box"),
        (["check", "--device", "tpu"], "device is 'tpu'; allowed: cpu"),
        (["crossover"], "Missing argument '"),
        (["crossover", "none.jsonl"], "none.jsonl does not exist"),
        (["crossover", "small.toml"], "small.toml:1: not JSON"),
        (["crossover", "empty.jsonl"], "empty.jsonl is empty"),
        (["report", "none.jsonl"], "none.jsonl does not exist"),
        (["crossover", "small.toml", "--pair", "fft"], "pair is 'fft'; allowed: A,B"),
        (["list", "--algorithms", "none.py"], "allowed: a .py file or a folder of them"),
    ],
)
def test_bad_input(arguments: list[str], told: str, tmp_path: Path, convcross: Any) -> None:
    """One line on stderr, nothing on stdout, exit 2, and nothing written."""
    (tmp_path / "bad.toml").write_text("sizes = [1")
    (tmp_path / "empty.jsonl").write_text("")
    before = sorted(path.name for path in tmp_path.iterdir())
    done = convcross(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("convcross: ")
    assert done.err.count("\n") == 1
    assert told in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("def broken(:\n", "SyntaxError: invalid syntax"),
        ("import nummpy\n", "mine.py:1: ModuleNotFoundError: No module named 'nummpy'"),
        ("\n\n1 / 0\n", "mine.py:3: ZeroDivisionError: division by zero"),
        (MINE.replace('"direct"', '"magic"'), "mine.py:5: family is 'magic'; allowed: direct"),
        (MINE.replace('"numpy"', '"jax"'), "mine.py:5: namespace is 'jax'; allowed: numpy"),
        (MINE.replace('source="me"', ""), "mine.py:5: TypeError: "),
        (MINE.replace('name="mine"', 'name="fft"'), "algorithm 'fft' is in two files"),
        ("\0", "null bytes"),
        ("raise SystemExit('enough')", "mine.py:1: SystemExit: enough"),
        ("import os\nos.abort()", "to load it ends the process (killed by SIGABRT)"),
        ("import os\nos._exit(0)", "to load it ends the process (exit code 0)"),
    ],
)
@pytest.mark.parametrize("command", ["list", "check", "run"])
def test_a_file_of_algorithms_that_does_not_load(
    command: str, source: str, told: str, tmp_path: Path, convcross: Any
) -> None:
    (tmp_path / "mine.py").write_text(source)
    first = {"list": ["list"], "check": ["check"], "run": [*RUN]}[command]
    done = convcross(*first, "--algorithms", "mine.py")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"convcross: --algorithms {tmp_path / 'mine.py'}")
    assert done.err.count("\n") == 1
    assert told in done.err


def test_a_file_of_algorithms_that_does_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, convcross: Any
) -> None:
    monkeypatch.setattr(user_files, "SECONDS", 1.0)
    (tmp_path / "mine.py").write_text("while True: pass")
    done = convcross("list", "--algorithms", "mine.py")
    assert (done.code, done.out) == (2, "")
    assert "mine.py: it is not loaded within 1 s; allowed: a file that defines" in done.err


def test_one_name_from_two_files(tmp_path: Path, convcross: Any) -> None:
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "mine.py", tmp_path / "folder" / "also.py"):
        path.write_text(MINE)
    done = convcross("list", "--algorithms", "mine.py", "--algorithms", "folder")
    assert done.code == 2
    assert "algorithm 'mine' is in two files: " in done.err
    assert "also.py" in done.err


def test_a_users_file_is_listed_checked_and_run(tmp_path: Path, convcross: Any) -> None:
    source = MINE.replace("import algorithm", "import UnsupportedProblem, algorithm").replace(
        "not problem.is_image",
        'problem.stride != (1, 1) or problem.dilation != (1, 1) or problem.dtype == "float16"'
        ' or problem.boundary != "zero" or problem.padding or not problem.is_image',
    )
    (tmp_path / "mine.py").write_text(source)
    added = ["--algorithms", "mine.py"]
    rows = json.loads(convcross("list", "--json", *added).out)
    [mine] = [row for row in rows if row["name"] == "mine"]
    assert (mine["family"], mine["source"], mine["available"]) == ("direct", "me", {"numpy": True})
    assert {row["name"]: row["groups"] for row in rows}["fft"] == ["textbook", "all"]
    told = f"    me\n    error at most {mine['bound']['rel_l2']:.1e} on 512×512 by 7×7 of float32\n"
    assert f"mine  (direct; ieee)\n{told}    in all\n" in convcross("list", *added).out
    assert {row["name"]: row["bound"]["kernel"] for row in rows}["winograd-4x4-3x3"] == 3
    done = convcross(
        "check", "--json", "--problems", "4", "--contenders", "mine", "--device", "cpu", *added
    )
    [row] = json.loads(done.out)
    assert (done.code, row["contender"], row["problems"]) == (0, "mine/numpy@cpu", 4)
    done = convcross(*RUN, "--contenders", "mine,fft/numpy", *added)
    assert (done.code, done.err) == (0, "")
    assert {one.algorithm for one in read(tmp_path / "a.jsonl").records} == {"mine", "fft"}


def test_list_as_json(convcross: Any) -> None:
    done = convcross("list", "--json")
    assert done.code == 0
    rows = json.loads(done.out)
    assert len(rows) >= 8
    for row in rows:
        assert set(row) == {
            *("name", "family", "groups", "namespaces", "directions", "arithmetic", "source"),
            *("bound", "available", "reason"),
        }
        assert set(row["available"]) == set(row["reason"]) == set(row["namespaces"])
        for namespace, here in row["available"].items():
            assert here == (row["reason"][namespace] is None)
    text = convcross("list").out
    assert all(row["name"] in text and row["source"] in text for row in rows)


@pytest.mark.torch
def test_check(tmp_path: Path, convcross: Any) -> None:
    some = ["check", "--problems", "3", "--device", "cpu", "--contenders", "fft/numpy,direct/torch"]
    done = convcross(*some, "--json")
    assert done.code == 0
    rows = json.loads(done.out)
    assert [row["contender"] for row in rows] == ["direct/torch@cpu", "fft/numpy@cpu"]
    for row in rows:
        assert set(row) >= {"contender", "problems", "failures", "worst_error", "bound"}
        assert 0 < row["worst_error"] <= row["bound"]
    assert "fft/numpy@cpu" in convcross(*some).out
    path = plant(tmp_path)
    planted = ["check", "--problems", "2", "--contenders", "planted-raises", "--algorithms", path]
    done = convcross(*planted, "--json")
    assert done.code == 1
    assert json.loads(done.out)[0]["failures"] == 2
    done = convcross(*planted)
    assert done.code == 1
    assert "ValueError: first line" in done.out


def test_run_and_its_last_line(tmp_path: Path, convcross: Any) -> None:
    done = convcross(*RUN, "--kernels", "1:5:2", "--dtype", "float64", "--mode", "full,valid")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[-1] == "a.jsonl"
    assert lines[0].startswith("[1/6] 12x12-")
    assert "6 duels measured, 0 found finished, 0 left" in lines
    [time] = [line for line in lines if line.startswith("time: ")]
    for part in ("measured code", "warm-up and flushes", "verification", "preparation", "the rest"):
        assert part in time
    found = read(tmp_path / "a.jsonl").records
    assert {(one.problem.kernel[0], one.problem.mode) for one in found} == {
        (kernel, mode) for kernel in (1, 3, 5) for mode in ("full", "valid")
    }
    assert {one.problem.dtype for one in found} == {"float64"}
    done = convcross(*RUN, "--kernels", "1:5:2", "--dtype", "float64", "--mode", "full,valid")
    assert done.code == 2  # the file exists


def test_a_failure_is_exit_1_and_a_refusal_or_a_spent_budget_is_not(
    tmp_path: Path, convcross: Any
) -> None:
    added = ["--algorithms", plant(tmp_path)]
    done = convcross(*RUN, "--contenders", "planted-wrong,planted-right", *added)
    assert done.code == 1
    assert "planted-wrong/numpy@cpu: 2 wrong: relative L2 error" in done.out
    assert done.out.splitlines()[-1] == "a.jsonl"
    done = convcross(*RUN[:-1], "b.jsonl", "--contenders", "planted-refuses", *added)
    assert done.code == 0
    assert "planted-refuses/numpy@cpu: 2 unsupported: odd kernels are dull" in done.out
    done = convcross(*RUN[:-1], "c.jsonl", "--budget", "0.000001s")
    assert done.code == 0
    assert "the budget of 0.000001s is spent; go on with --resume --out c.jsonl" in done.out
    done = convcross(*RUN[:-1], "c.jsonl", "--resume")
    assert (done.code, read(tmp_path / "c.jsonl").dropped) == (0, None)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("8m", 480), ("2h", 7200), ("1.5m", 90), (" 8 m ", 480)],
)
def test_budgets(text: str, seconds: float) -> None:
    assert options.parse_seconds(text) == seconds


def test_a_program_error_is_not_hidden(monkeypatch: pytest.MonkeyPatch, convcross: Any) -> None:
    """Only bad input is told in one line: a defect must show its traceback."""

    def defect(*arguments: Any, **options: Any) -> None:
        raise ValueError("a defect")

    monkeypatch.setattr("convcross.sweeps.spec.load", defect)
    with pytest.raises(ValueError, match="a defect"):
        convcross(*RUN)


def test_no_arguments_and_help_show_the_commands(convcross: Any) -> None:
    done = convcross("--help")
    assert done.code == 0
    commands = {
        "list",
        "check",
        "run",
        "crossover",
        "claims",
        "compare",
        "report",
        "demo",
        "doctor",
    }
    assert commands <= set(done.out.split())


# ---- in processes of their own ---------------------------------------------------------------

HEAVY = ("torch", "cupy", "triton", "cv2", "pandas", "matplotlib", "scipy")


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_list_imports_nothing_heavy(more: list[str]) -> None:
    code = (
        "import sys\n"
        "from convcross.cli import app as cli\n"
        f"sys.argv = ['convcross', 'list', *{more!r}]\n"
        "assert cli._main() == 0\n"
        f"print(*sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr.strip()) == (0, "")
    assert "scipy-fftconvolve" in done.stdout


def test_exit_codes_of_the_process(tmp_path: Path) -> None:
    done = shell("list", "--json", "--algorithms", plant(tmp_path, SOURCE))
    assert (done.returncode, done.stderr) == (0, "")
    assert "planted-right" in {row["name"] for row in json.loads(done.stdout)}
    done = shell("run", "none.toml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("convcross: sweep 'none.toml': No such file")
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="a pipe that closes is POSIX's")
def test_a_reader_that_leaves_early() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.Popen(
        [sys.executable, "-m", "convcross", "list"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writing)
    _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors
    assert "Exception" not in errors


def test_no_warnings_are_left_for_the_user(convcross: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert convcross(*RUN, "--contenders", "fft/*,im2col-gemm/*").code == 0
