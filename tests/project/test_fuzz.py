"""Malformed sweeps, results and command lines end in one clear line, and never in a traceback.

A hundred or so of each here; 5,000, and 50 through the real command, with CONVCROSS_SOAK=1.
"""

from __future__ import annotations

import codecs
import contextlib
import functools
import io
import json
import os
import signal
import subprocess
import sys
import tomllib
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from convcross.advice import calibrate
from convcross.cli import app
from convcross.demo import show
from convcross.machine import describe, doctor
from convcross.measure import ceilings
from convcross.measure.accuracy import check
from convcross.report import claims, page, report
from convcross.report.figures import scenes as pictures
from convcross.report.figures import style
from support import hostile
from support.calibrated import planted
from support.planted import forgotten

SOAK = bool(os.environ.get("CONVCROSS_SOAK"))
INSIDE = settings(
    max_examples=5000 if SOAK else 150,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
REAL = settings(INSIDE, max_examples=50 if SOAK else 3)
PATIENCE = 60  # seconds after which a command hangs
NOTHING = ("--budget", "0.000001s")  # a run that is over before its first duel


def plain(where: str) -> Figure:
    """A figure of next to nothing, in the place of one that takes seconds."""
    made, _, _ = style.panels(1, "Nothing", where, "", labels=[])
    return made


class Hung(BaseException):
    """A command that does not end."""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of its own with a sweep, results and files of other kinds."""
    monkeypatch.chdir(tmp_path)
    Path("sweep.toml").write_text(hostile.SWEEP)
    for name, seed in (("a.jsonl", 0), ("b.jsonl", 1)):
        Path(name).write_text("".join(json.dumps(line) + "\n" for line in hostile.lines(seed)))
    Path("binary.toml").write_bytes(bytes(range(256)))
    Path("empty.jsonl").touch()
    Path("folder.jsonl").mkdir()
    with forgotten():
        yield tmp_path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes its time and is no concern of this test is left out, or asked once."""
    for module, name in (
        (describe, "describe"),
        (describe, "software"),
        (page, "_inline"),
    ):
        monkeypatch.setattr(module, name, functools.cache(getattr(module, name)))
    for module, name, made in (
        (pictures, "start", lambda scenes: lambda: []),
        (claims, "_figures", lambda subject, appearances: []),
        (claims, "learning_drawn", lambda found, where: plain(where)),
        (check, "check", lambda chosen, **how: []),
        (show, "show", lambda image, out, devices: True),
        (doctor, "examine", lambda: []),
        (calibrate, "calibrate", lambda device, **options: planted(samples=20)),
        (ceilings, "measure_and_keep", lambda device: {"device": device}),
        (doctor, "print_ceilings", print),
    ):
        monkeypatch.setattr(module, name, made)
    monkeypatch.setattr("convcross.crosscheck.crosscheck.show", lambda devices, as_json: True)
    monkeypatch.setattr("convcross.cli.run._measured", lambda *sweep, quiet: [])
    built = typer.main.get_command(app.app)  # else anew for each command line
    built.registered_commands = app.app.registered_commands  # type: ignore[attr-defined]
    monkeypatch.setattr(app, "app", built)


class Ended:
    """How a command ended: its exit code and what it printed."""

    def __init__(self, arguments: Sequence[str], code: int, out: str, err: str) -> None:
        self.arguments, self.code, self.out, self.err = arguments, code, out, err


def inside(*arguments: str) -> Ended:
    """The command in this process; Hung where it takes too long."""
    out, err = io.StringIO(), io.StringIO()

    def give_up(number: int, frame: object) -> None:
        raise Hung(arguments)

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(PATIENCE)
    argv, sys.argv = sys.argv, ["convcross", *arguments]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = app._main()
    finally:
        sys.argv = argv
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return Ended(arguments, code, out.getvalue(), err.getvalue())


def really(*arguments: str) -> Ended:
    """The real command; TimeoutExpired where it takes too long."""
    done = subprocess.run(
        [sys.executable, "-m", "convcross", *arguments], capture_output=True, timeout=PATIENCE
    )
    return Ended(arguments, done.returncode, done.stdout.decode(), done.stderr.decode())


def judge(ended: Ended) -> None:
    """Exit code 2 with one clear line, or 0 or 1 without a complaint; and nothing raw."""
    assert ended.code in (0, 1, 2), ended.err
    complaints = [line for line in ended.err.splitlines() if line.startswith("convcross: ")]
    assert len(complaints) == (ended.code == 2), ended.err
    if ended.code == 2:  # after what was warned of
        assert ended.err.endswith(complaints[0] + "\n")
    assert "Traceback" not in ended.err
    given = set("".join(ended.arguments))  # the user's own, as the path of what was written
    for printed in (ended.out, ended.err):
        raw = {one for one in printed if not (one.isprintable() or one == "\n" or one in given)}
        assert not raw, (raw, printed[:2000])


def kept() -> set[str]:
    """Everything that lies beside this test's folder, and in it."""
    return {path.name for path in Path().iterdir()} | {path.name for path in Path("..").iterdir()}


# ---- in this process -----------------------------------------------------------------------


def judge_sweep(content: bytes, ended: Ended) -> None:
    judge(ended)
    try:
        tomllib.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        assert ended.code == 2


def asked_to_run(sweep: Path) -> list[str]:
    return ["run", str(sweep), "--device", "cpu", "--out", f"{sweep}.jsonl", *NOTHING]


@pytest.mark.usefixtures("quick")
def test_sweeps(here: Path) -> None:
    path = here / "fuzzed.toml"

    @INSIDE
    @given(hostile.sweeps)
    def ends_well(content: bytes) -> None:
        path.write_bytes(content)
        Path(f"{path}.jsonl").unlink(missing_ok=True)
        judge_sweep(content, inside(*asked_to_run(path)))

    ends_well()


LIGHT: tuple[Callable[[str], list[str]], ...] = (
    lambda file: ["crossover", file, "--json"],
    lambda file: ["crossover", file],
    lambda file: ["crossover", file, "a.jsonl"],
    lambda file: ["crossover", file, "--cost", "error", "--json"],
    lambda file: ["crossover", file, "--cost", "workspace"],
    lambda file: ["crossover", file, "--cost", "energy"],
    lambda file: ["crossover", file, "--phase", "fresh"],
    lambda file: ["crossover", file, "--phase", "first", "--json"],
    lambda file: ["compare", file, "b.jsonl"],
    lambda file: ["compare", "b.jsonl", file, "--json"],
    lambda file: ["compare", "a.jsonl", file, "--fail-on-slower"],
)
HEAVY: tuple[Callable[[str], list[str]], ...] = (
    lambda file: ["claims", file],
    lambda file: ["claims", file, "--json"],
    lambda file: ["report", file, "--out", "out"],
    lambda file: ["report", file],
)
reading = st.tuples(
    st.sampled_from(2 * LIGHT + HEAVY), st.sampled_from([[], ["--include-flagged"]])
)


def judge_results(suffix: str, content: bytes, ended: Ended) -> None:
    """As ``judge``; and what is no gzip file or no JSON lines is refused, a torn tail apart."""
    judge(ended)
    try:
        text = unpacked(content) if suffix.endswith(".gz") else content
        text = text.removeprefix(codecs.BOM_UTF8)
        for line in text.split(b"\n")[:-1]:
            json.loads(line.decode("utf-8") if line.strip() else "{}")
    except (zlib.error, ValueError):
        assert ended.code == 2
    if ended.code == 0 and "--json" in ended.arguments:
        json.loads(ended.out)


def unpacked(content: bytes) -> bytes:
    """What a gzip file holds up to where it was cut. Raises zlib.error where it is damaged."""
    text = b""
    while content:
        member = zlib.decompressobj(31)
        text += member.decompress(content)
        content = member.unused_data.lstrip(b"\0")
    return text


@pytest.mark.usefixtures("quick")
def test_results(here: Path) -> None:
    around = {*kept(), "out", "reports"}

    @INSIDE
    @given(hostile.results(), reading)
    def ends_well(file: tuple[str, bytes], how: tuple[Callable[[str], list[str]], Any]) -> None:
        path = here / f"fuzzed{file[0]}"
        path.write_bytes(file[1])
        read, flagged = how
        ended = inside(*read(path.name), *flagged)
        path.unlink()
        judge_results(*file, ended)
        assert kept() <= around

    ends_well()


@pytest.mark.usefixtures("quick")
def test_command_lines(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results are read, and not judged or shown: ``test_results`` does that."""
    monkeypatch.setattr("convcross.analysis.claims.claims.judged", lambda subjects, results: [])
    monkeypatch.setattr(report, "_written", lambda results, out, *_: [out / "a", out / "b"])

    @INSIDE
    @given(hostile.command_lines(files(here)))
    def ends_well(arguments: list[str]) -> None:
        judge(inside(*arguments, *(NOTHING if arguments[0] == "run" else ())))

    ends_well()


def files(here: Path) -> list[str]:
    return [*sorted(path.name for path in here.iterdir()), "missing", "new/made.jsonl", "."]


# ---- the real command ----------------------------------------------------------------------


def drawn(strategy: st.SearchStrategy[Any]) -> list[Any]:
    found: list[Any] = []

    @REAL
    @given(strategy)
    def note(one: Any) -> None:
        found.append(one)

    note()
    return found


def all_really(commands: list[list[str]]) -> list[Ended]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda arguments: really(*arguments), commands))


def test_sweeps_through_the_real_command(here: Path) -> None:
    contents = drawn(hostile.sweeps)
    paths = [here / f"fuzzed-{number}.toml" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    for content, ended in zip(contents, all_really(list(map(asked_to_run, paths))), strict=True):
        judge_sweep(content, ended)


def test_results_through_the_real_command(here: Path) -> None:
    cases = drawn(st.tuples(hostile.results(), reading))
    commands = []
    for number, ((suffix, content), (read, flagged)) in enumerate(cases):
        path = here / f"fuzzed-{number}{suffix}"
        path.write_bytes(content)
        commands.append([*read(path.name), *flagged])
    for (file, _), ended in zip(cases, all_really(commands), strict=True):
        judge_results(*file, ended)


def test_command_lines_through_the_real_command(here: Path) -> None:
    """Without those that measure for long."""
    short = ("list", "run", "crossover", "claims", "compare", "report")
    commands = drawn(hostile.command_lines(files(here), short))
    for ended in all_really([[*one, *(NOTHING if one[0] == "run" else ())] for one in commands]):
        judge(ended)
