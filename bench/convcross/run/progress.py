"""What a run tells: each duel as it ends, and at its end what was done."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from convcross.machine.contention import NOTICED
from convcross.results.schema import Record
from convcross.results.status import STATUSES
from convcross.run.outcome import Outcome
from convcross.run.session import Progress
from convcross.run.suspension import ROW
from convcross.sweeps.duels import Duel
from convcross.text import duration, one_line, seconds

EVERY = {True: 2.0, False: 15.0}  # seconds between two words of one duel, on a terminal and off


@contextlib.contextmanager
def showing(*, quiet: bool = False) -> Iterator[tuple[Progress, Callable[[str], None]]]:
    """Who is told of each finished duel, and who of what is at work.

    Duels done, what won them and the time left, with a live bar on a terminal; and of a duel that
    takes longer, whose turn it is.
    """
    begin, first, told = time.perf_counter(), 0, time.perf_counter()
    console = Console(highlight=False, soft_wrap=True, quiet=quiet)
    with Bar(
        TextColumn("duels"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[left]}"),
        console=console,
        transient=True,
        auto_refresh=False,  # a thread that draws would take its share of what is being timed
        disable=quiet or not console.is_terminal,
    ) as bar:
        task = bar.add_task("duels", total=None, left="")

        every = EVERY[console.is_terminal]

        def watching(at_work: str) -> None:
            nonlocal told
            if time.perf_counter() - told < every:
                return
            told = time.perf_counter()
            if console.is_terminal:
                bar.update(task, left=at_work)
                bar.refresh()
            else:
                console.print(f"… {at_work}", markup=False)

        def tell(duel: Duel, number: int, of: int, records: list[Record]) -> None:
            nonlocal first, told
            first, told = first or number, time.perf_counter()
            left = (time.perf_counter() - begin) / (number - first + 1) * (of - number)
            until = f"; {duration(left)} left" if number < of else ""
            ok = [
                record
                for record in records
                if record.status == "ok" and record.median_s is not None
            ]
            best = min(ok, key=lambda record: record.median_s or 0.0, default=None)
            winner = "none ok"
            if best is not None:
                winner = f"{best.contender.partition('@')[0]} {seconds(best.median_s or 0.0)}"
            console.print(
                f"[{number}/{of}] {duel.id.rpartition('-')[0]:20} fastest: {winner:34} "
                f"{len(ok)} of {len(records)} timed{until}",
                markup=False,
            )
            bar.update(task, total=of, completed=number, left=until.removeprefix("; "))
            bar.refresh()

        yield tell, watching


def summary(outcome: Outcome, budget: str | None) -> None:
    """Print what a run did: failures, where the time went, what disturbed it, and its file."""
    names = sorted({contender for contender, _ in outcome.statuses})
    for name in names:
        for status in (status for status in STATUSES if status not in ("ok", "left-out")):
            count = outcome.statuses[name, status]
            if count:
                print(f"{name}: {count} {status}: {one_line(outcome.reasons[name, status])}")
    left_out = [
        f"{name} in {count}" for name in names if (count := outcome.statuses[name, "left-out"])
    ]
    if left_out:
        print(f"left out of duels, as the budget had no time: {', '.join(left_out)}")
    for name in outcome.suspended:
        print(f"{name}: suspended, as it failed in {ROW} cells in a row: not run in the rest")
    for (name, flag), count in sorted(outcome.flags.items()):
        print(f"{name}: {count} flagged {flag}: in no crossover unless asked for")
    for device in outcome.unbounded:
        print(
            f"note: the ceilings of {device} are not known, so no time was held to a floor; "
            f"convcross doctor --ceilings --device {device} measures them"
        )
    total = sum(outcome.seconds.values())
    if total:
        labels = {"measured": "measured code", "warmup": "warm-up and flushes", "rest": "the rest"}
        parts = (f"{labels.get(key, key)} {duration(s)}" for key, s in outcome.seconds.items())
        print(f"time: {', '.join(parts)}; in all {duration(outcome.wall)}")
    takers = {"others": "other processes", "stolen": "a hypervisor"}
    for who, share in outcome.neighbours.items():
        if share > NOTICED * total:
            took = f"{takers[who]} took {share / total:.0%} of the cores meanwhile"
            print(f"note: {took}: times are wider, and may be longer, than on a quiet machine")
    for (device, what), count in sorted(outcome.noticed.items()):
        print(f"note: {device}: {what} in {count} of {outcome.done} duels")
    cut = f" ({outcome.cut} of them cut by the budget)" if outcome.cut else ""
    print(
        f"{outcome.done} duels measured{cut}, {outcome.before} found finished, {outcome.left} left"
    )
    if outcome.left or outcome.cut:
        why = outcome.workers_lost or f"the budget of {budget} is spent"
        if outcome.interrupted:
            why = "interrupted"
        print(f"{why}; go on with --resume --out {outcome.path}")
    for sentence in outcome.found:
        print(sentence)
    print(outcome.path)
