"""Print whether two results files tell the same crossovers, for bench/gpu-visit.sh.

python bench/agreement-table.py FILE FILE
"""

import sys
from pathlib import Path

from convcross.analysis.crossover.crossover import Crossover, crossovers


def shown(row: Crossover) -> str:
    if row.n_star is None or row.low is None or row.high is None:
        return row.verdict
    return f"{row.n_star:.1f} [{row.low:.1f}, {row.high:.1f}]"


pair = [("direct", "fft")]
first, second = (
    {row.N: row for row in crossovers([Path(file)], pairs=pair)} for file in sys.argv[1:3]
)
print(f"{'N':>6} {'first':>22} {'second':>22}")
for size in sorted(set(first) & set(second)):
    a, b = first[size], second[size]
    agree = a.verdict == b.verdict
    if a.low is not None and b.high is not None:
        agree &= a.low <= b.high
    if b.low is not None and a.high is not None:
        agree &= b.low <= a.high
    print(f"{size:6} {shown(a):>22} {shown(b):>22}  {'agree' if agree else 'DIFFER'}")
