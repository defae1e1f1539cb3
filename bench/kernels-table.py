"""Print which kernels each contender of a results file ran, for bench/gpu-visit.sh.

python bench/kernels-table.py FILE
"""

import sys
from pathlib import Path

from convcross.results.schema import read

for record in read(Path(sys.argv[1])).records:
    said = record.provenance
    kernels = [f"{one['share']:4.0%} {one['name'][:110]}" for one in said.get("kernels", ())[:4]]
    untold = said.get("kernels_untold") or record.reason
    if kernels or untold:
        print(f"{record.duel.rpartition('-')[0]:20} {record.contender:34} {said.get('engine', '')}")
        print("\n".join(f"    {line}" for line in kernels or [str(untold)]))
