"""All soaks, one after the other, and their table at the end.

python tests/soak [PART]...
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from soak.table import HEAD, Row, note, row

HERE = Path(__file__).parent
TESTS = HERE.parent
# Part → seconds that it may take; each is a script beside this one, or the test of that name.
PARTS = {
    "size": 150,
    "throughput": 120,
    "places": 90,
    "burner": 300,
    "repeated": 1200,
    "failures": 240,
    "kills": 360,
    "cluster": 260,
    "fuzz": 900,
}
TOTAL = 2940  # seconds for all of them


def _ran(part: str, limit: float) -> tuple[str, list[str]]:
    """How a part ended, "" for well, and the rows that it printed."""
    command, environment = [sys.executable, str(HERE / f"{part}.py")], dict(os.environ)
    if part == "fuzz":
        files = (TESTS / name for name in ("project/test_fuzz.py", "demo/test_photographs.py"))
        command = [sys.executable, "-m", "pytest", "-q", *map(str, files)]
        environment["CONVCROSS_SOAK"] = "1"
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as process:
        try:
            output, _ = process.communicate(timeout=limit)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGTERM)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            output, _ = process.communicate()
            return f"not done in {limit:.0f} s", output.splitlines()
    return f"exit code {process.returncode}" if process.returncode else "", output.splitlines()


def main(parts: Sequence[str]) -> int:
    table, missed, begin = [HEAD], 0, time.monotonic()
    for part in parts or PARTS:
        started = time.monotonic()
        how, lines = _ran(part, min(PARTS[part], TOTAL - (started - begin)))
        seconds = time.monotonic() - started
        note(f"{part}: {seconds:.0f} s")
        missed += bool(how)
        if part == "fuzz":
            note("\n".join(lines))
            tried = "malformed sweeps, results, command lines: 5,000 of each; images: 20,000"
            lines = [row(Row(tried, how or "no traceback, no hang", "the same", not how))]
        elif how.startswith("not done"):
            lines.append(row(Row(part, how, f"{PARTS[part]} s", False)))
        table += [line for line in lines if line != HEAD]
    print("\n".join(table))
    print(f"{(time.monotonic() - begin) / 60:.1f} min; parts that missed a target: {missed}")
    return min(1, missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
