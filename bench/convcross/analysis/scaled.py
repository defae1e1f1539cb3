"""What a file says of problems that were scaled to its device."""

from __future__ import annotations

from collections.abc import Iterable

MOST = 6  # that are told one by one


def said(scaled: Iterable[str]) -> str:
    """A sentence on problems that stand for larger ones; empty where none does.

    Parameters
    ----------
    scaled : of each record ``provenance.scaled``, "" where its problem is the sweep's own
    """
    found = [words for words in dict.fromkeys(scaled) if words]
    if not found:
        return ""
    told = "; ".join(words.replace("; ", " (", 1) + ")" * ("; " in words) for words in found[:MOST])
    more = f"; and {len(found) - MOST} more" if len(found) > MOST else ""
    return f"Scaled to this device: {told}{more}."
