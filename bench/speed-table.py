"""Speed of the CPU's strongest, classical and training contenders, as ratios of one run, with aims.

python bench/speed-table.py [strongest] [classical] [training]     (from the repository's root)

All where none is named: some 6 minutes, one and 8, on two cores. Each row is measured by the
harness: contenders interleaved, verified, medians; steps of training, which the harness does not
know, are run in turns here. Shares of the peak are of a loop in the cores' registers, or of the
library's own complex matrix product, timed before and after. The first column of times is with all
threads, the second with one.
"""

from __future__ import annotations

import sys

from rich.console import Console

from convcross.machine import describe
from convkernels.toolbox import threads
from speed import classical, strongest, training
from speed.rows import Rows

TABLES = {"strongest": strongest.table, "classical": classical.table, "training": training.table}


def main() -> None:
    rows = Rows(threads.usable())
    if sys.argv[1:] == ["kept"]:  # in a process of its own, by ``strongest``
        strongest.kept(rows)
        return
    if unknown := sorted(set(sys.argv[1:]) - set(TABLES)):
        print(
            f"{', '.join(unknown)}: no such table; there are {', '.join(TABLES)}", file=sys.stderr
        )
        sys.exit(2)
    version = describe.versions()
    told = ", ".join(f"{name} {version[name]}" for name in ("torch", "numba", "opencv", "ipp"))
    print(f"{describe.cpu()['model']}; {told}", flush=True)
    for name in sys.argv[1:] or TABLES:
        TABLES[name](rows)
    Console(width=140).print(rows.table)


if __name__ == "__main__":
    main()
