"""Every planted failure in one sweep by the real command, and its report. Prints a table."""

from __future__ import annotations

import concurrent.futures
import html
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from convcross.results.reader import read
from convcross.results.schema import Record
from soak.sweeping import RESULTS, start
from soak.table import Row, note, show
from support import crashing, planted

HONEST = ("direct", "fft")
LOST = ("killed by", "ended with", "hung", "in its preparation")
LIMIT, LANES, TOGETHER = 300, 2, 4  # seconds a sweep, sweeps at once, lost workers in a duel

TOML = """
sizes = [{sizes}]
launches = 1
kernels = [3]
[limits]
seconds = 0.001
samples = 8
cell_seconds = {seconds}
"""
# Memory as a batch system limits it: this machine's is for others too.
LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_DATA, (3 << 29, 3 << 29))
from convcross.cli.app import main
main()
"""


def duels(expected: dict[str, tuple[str, str]]) -> list[list[str]]:
    """Names of contenders to meet in one duel: those that cost a worker a few at a time."""
    lethal = [name for name, (_, words) in expected.items() if words.startswith(LOST)]
    groups = [lethal[place : place + TOGETHER] for place in range(0, len(lethal), TOGETHER)]
    return [[name for name in expected if name not in lethal], *groups]


def measured(folder: Path, names: list[str], sizes: str = "16") -> list[Record]:
    """Records of a sweep with these contenders and the honest ones."""
    folder.mkdir()
    paths = [planted.plant(folder), crashing.crashing(folder)]
    more = [part for path in paths for part in ("--algorithms", path)]
    more += ["--contenders", ",".join(f"{name}/numpy" for name in (*HONEST, *names))]
    # One that fills memory takes its time, and must not wait for those that hang.
    toml = TOML.format(sizes=sizes, seconds=30.0 if "crashing-hoards" in names else 2.0)
    with start(folder, *more, toml=toml, driver=LIMITED) as process:
        try:
            output, errors = process.communicate(timeout=LIMIT)
        finally:
            process.kill()
    if process.returncode != 1:
        raise RuntimeError(f"exit code {process.returncode}, expected 1: {output}{errors}")
    note(f"failures: {', '.join(names)}")
    return read(folder / RESULTS).records


def as_expected(record: Record, expected: dict[str, tuple[str, str]]) -> bool:
    status, words = expected.get(record.algorithm, ("ok", ""))
    met = record.status == status and words in (record.reason or "")
    if not met:
        note(f"failures: {record.algorithm}: {record.status}, expected {status}: {record.reason}")
    return met


def rows() -> Iterator[Row]:
    expected = planted.FAILURES | crashing.FAILURES
    expected |= dict.fromkeys(("planted-right", *crashing.HARMLESS), ("ok", ""))
    with tempfile.TemporaryDirectory() as folder:
        groups = duels(expected)
        places = [Path(folder) / str(number) for number in range(len(groups))]
        with concurrent.futures.ThreadPoolExecutor(LANES) as pool:
            found = list(pool.map(measured, places, groups))
        records = [record for one in found for record in one]
        planted_ones = [one for one in records if one.algorithm not in HONEST]
        wrong = sum(not as_expected(one, expected) for one in planted_ones)
        missing = len(expected.keys() - {one.algorithm for one in records})
        others = [one for one in records if one.algorithm in HONEST]
        unmeasured = sum(not as_expected(one, {}) for one in others)
        yield Row(
            f"{len(expected)} planted contenders: not recorded", str(missing), "0", not missing
        )
        yield Row("  recorded as something else", str(wrong), "0", not wrong)
        yield Row(
            f"  of {len(others)} cells beside them: not measured",
            str(unmeasured),
            "0",
            not unmeasured,
        )
        untold = _untold([place / RESULTS for place in places], planted_ones)
        yield Row("  failures that the report leaves out", str(untold), "0", not untold)

        names = ["crashing-abort", "crashing-holds"]
        records = measured(Path(folder) / "suspended", names, "16, 18, 20, 22, 24")
        suspended = [one for one in records if "suspended after 3 cells" in (one.reason or "")]
        ok = sum(one.status == "ok" for one in records)
        yield Row(
            "2 that fail in each of 5 cells: suspended in",
            str(len(suspended)),
            "4",
            len(suspended) == 4,
        )
        yield Row("  cells measured beside them", str(ok), "10", ok == 10)


def _untold(files: list[Path], records: list[Record]) -> int:
    """Failures whose contender and reason a report does not show."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "convcross", "report", *map(str, files), "--out", folder]
        subprocess.run(command, check=True, capture_output=True)
        pages = [html.unescape(path.read_text()) for path in Path(folder).rglob("*.html")]
    failed = [one for one in records if one.status not in ("ok", "unsupported")]
    return sum(
        not any(one.algorithm in page and (one.reason or "")[:40] in page for page in pages)
        for one in failed
    )


def main() -> int:
    return min(1, show(rows()))


if __name__ == "__main__":
    sys.exit(main())
