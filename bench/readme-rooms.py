"""Write where each algorithm wins into the README of its room, from reference results.

python bench/readme-rooms.py RESULTS…      (from the repository's root; a file of each machine)
"""

import sys
from pathlib import Path

import pandas as pd

from convcross.analysis import tables
from convcross.analysis.load import Results, load
from convkernels.discovery import algorithms

ROOMS = Path("kernels/convkernels/algorithms")
BEGIN, END = "<!-- wins -->", "<!-- /wins -->"


def main() -> None:
    """Every room has a README with the two markers."""
    machines = [load([Path(name)]) for name in sys.argv[1:]]
    rooms: dict[str, list[str]] = {}
    for name, algorithm in algorithms().items():
        rooms.setdefault(Path(algorithm.path).parent.name, []).append(name)
    for room, names in sorted(rooms.items()):
        path = ROOMS / room / "README.md"
        parts = [_table(results, sorted(names)) for results in machines]
        before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        text = before + "\n\n".join([BEGIN, *parts, END]) + after
        path.write_text(text, encoding="utf-8")


def _table(results: Results, names: list[str]) -> str:
    """A row an algorithm: where it is the fastest of all, and how near it comes elsewhere."""
    cells = tables.by_cell(results.grid)
    cells["algorithm"] = cells["contender"].str.partition("/")[0]
    cells = cells.groupby(["algorithm", "N", "n"])["seconds"].min().reset_index()
    cells["ratio"] = cells["seconds"] / cells.groupby(["N", "n"])["seconds"].transform("min")
    header = results.headers[0]
    lines = [
        f"On {results.machine} ({header.sweep.get('threads') or 'all'} threads, "
        f"{', '.join(sorted(set(results.grid['dtype'])))}, one channel, "
        f"{', '.join(sorted(set(results.grid['data'])))} data; of "
        f"{len(cells.groupby(['N', 'n']))} sizes, by medians):",
        "",
    ]
    measured = [name for name in names if name in set(cells["algorithm"])]
    if measured:
        lines += ["| algorithm | fastest of all at | else at best |", "|---|---|---|"]
    for name in measured:
        own = cells[cells["algorithm"] == name]
        won = own[own["ratio"] == 1]
        lines.append(f"| `{name}` | {_places(won) or 'none'} | {_nearest(own)} |")
    if others := [f"`{name}`" for name in names if name not in measured]:
        lines += [*([""] if measured else []), f"Not measured: {', '.join(others)}."]
    return "\n".join(lines)


def _places(won: pd.DataFrame) -> str:
    """N = 256: n = 3, 5; N = 512: n = 9."""
    return "; ".join(
        f"N = {N}: n = {', '.join(map(str, sorted(set(group['n']))))}"
        for N, group in won.groupby("N")
    )


def _nearest(own: pd.DataFrame) -> str:
    """1.8 times as long (N = 64, n = 3)"""
    others = own[own["ratio"] > 1]
    if others.empty:
        return ""
    ratio, N, n = min(zip(others["ratio"], others["N"], others["n"], strict=True))
    return f"{ratio:.3g} times as long (N = {N}, n = {n})"


if __name__ == "__main__":
    main()
