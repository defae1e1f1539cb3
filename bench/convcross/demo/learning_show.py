"""``convcross demo --learning``: does it matter that layers correlate? Words, records, a figure."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

from convcross.analysis.claims import learning as claim
from convcross.analysis.claims.learning import NETWORKS
from convcross.demo import learning
from convcross.demo.learning import Digits
from convcross.errors import BadInput
from convcross.machine import describe
from convcross.report.figures import style
from convcross.report.figures.learning import learning as drawn
from convcross.results.schema import Header, Learned, dump

# (the same accuracy, to rounding) → the sentence above the figure
VERDICTS = {
    (True, True): "Networks learn either way; from rotated filters the rotated ones, to rounding.",
    (
        True,
        False,
    ): "Networks learn either way, but rotated filters ended beyond rounding.",
    (False, True): "Rotated filters are learned to rounding, but accuracies differ beyond seeds.",
    (False, False): "Networks did not learn either way.",
}


def show(out: Path, data: Digits | None = None, **how: int) -> bool:
    """Let them learn, print what comes of it, write the figure and, beside it, the records.

    Parameters
    ----------
    out : the figure, .png; the records have its name with .jsonl: a header, then a line a network
    data : what is learned; None for scikit-learn's digits
    how : ``seeds`` and ``epochs`` of ``learning.learn``

    Returns
    -------
    Whether the sentence holds: the same accuracy, and rotated filters from rotated ones.

    Raises
    ------
    BadInput
        The place of the figure is at fault, or a library is missing.
    """
    if out.suffix.lower() != ".png" or out.is_dir():
        raise BadInput(f"figure {str(out)!r}; allowed: a file name that ends in .png")
    data = learning.digits() if data is None else data
    found: list[Learned] = []
    for one in learning.learn(data, **how):
        found.append(one)
        print(_line(one), flush=True)
    outcome = claim.outcome(found)
    assert outcome is not None  # every network has learned
    verdict = VERDICTS[outcome.same, outcome.rounding]
    print("\n".join([*outcome.sentences(), verdict]))
    records = out.with_suffix(".jsonl")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        records.write_bytes(dump([_header(found), *found]))
        with style.settings():
            figure = drawn(found, "", verdict)
            figure.savefig(out, facecolor="white", metadata={"Software": None})
    except OSError as error:
        raise BadInput(f"figure {str(out)!r}: {error.strerror or error}") from None
    print(records)
    print(out)
    return outcome.holds


def _line(one: Learned) -> str:
    return (
        f"{one.dtype} seed {one.seed} {NETWORKS[one.network]:38} loss {one.loss[-1]:.4f}  "
        f"right {100 * one.accuracy[-1]:5.1f} %  apart {one.apart[-1]:.1e}"
    )


def _header(found: Sequence[Learned]) -> Header:
    return Header(
        machine=describe.describe("cpu"),
        software=describe.software("cpu"),
        sweep={"name": "learning", "seeds": len({one.seed for one in found}), "launches": 1},
        contenders=[],
        started_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
