"""Print which kernels each contender of a results file ran, for bench/gpu-visit.sh.

python bench/gpu-visit/kernels-table.py FILE
"""

import sys
from pathlib import Path

from convcross.results.reader import read

for record in read(Path(sys.argv[1])).records:
    ran = record.provenance
    kernels = [f"{kernel.share:4.0%} {kernel.name[:110]}" for kernel in (ran.kernels or [])[:4]]
    reason = ran.kernels_untold or record.reason
    if kernels or reason:
        print(f"{record.duel.rpartition('-')[0]:20} {record.contender:34} {ran.engine or ''}")
        print("\n".join(f"    {line}" for line in kernels or [str(reason)]))
