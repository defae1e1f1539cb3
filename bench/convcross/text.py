"""Text for people: strangers' text made fit to be shown or kept, and quantities with their units.

A results file may come from anybody: its text must not steer a terminal, reach past its line or
its folder, nor be a formula to a spreadsheet.
"""

from __future__ import annotations

import re

LINE = 4000  # characters that are printed of one line


def one_line(text: str, most: int = LINE) -> str:
    """The text on one line of at most so many characters.

    Blanks become single spaces, and "?" stands for what is not printable: control characters,
    escape sequences, marks that turn the direction of writing, halves of surrogate pairs.
    """
    line = " ".join(text.split())
    if len(line) > most:
        line = line[: most - 1] + "…"
    return line if line.isprintable() else "".join(c if c.isprintable() else "?" for c in line)


def file_name(text: str) -> str:
    """The text as the name of one file or folder, visible and never empty.

    Letters, digits and "._+-" stay, and at most 100 characters of them.
    """
    kept = re.sub(r"[^a-zA-Z0-9._+-]+", "-", text)[:100]
    return kept.strip(".-") or "unnamed"


def slug(text: str) -> str:
    """The text as part of a file's name in small letters and digits: cpu-warm-float32."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:150].strip("-")


def csv_cell(text: str) -> str:
    """The text as a cell of a CSV file, which a spreadsheet takes for text and not for a formula.

    https://owasp.org/www-community/attacks/CSV_Injection
    """
    line = one_line(text)
    return f"'{line}" if line.startswith(("=", "+", "-", "@")) else line


# ---- quantities ------------------------------------------------------------------------------

TIMES = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9), ("ps", 1e-12))
NO_TIME = 1e-15  # seconds: less is none


def _digits(value: float, count: int) -> str:
    """So many significant digits, never as a power of ten."""
    return f"{float(f'{value:.{count}g}'):g}"


def seconds(value: float, digits: int = 3) -> str:
    """A time with its unit: 1.23 ms; with two digits 12 µs."""
    if value < NO_TIME:
        return "0 s"
    unit, scale = next((step for step in TIMES if value >= step[1]), TIMES[-1])
    return f"{_digits(value / scale, digits)} {unit}"


def duration(value: float) -> str:
    """Seconds that somebody waits: 45 s, 12.3 min, 2.5 h."""
    for unit, scale, least in (("h", 3600.0, 5400.0), ("min", 60.0, 90.0)):
        if value >= least:
            return f"{_digits(value / scale, 3)} {unit}"
    return seconds(value)


def binary(size: float) -> str:
    """Bytes as 256 KiB or 32 MiB."""
    for unit, scale in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= scale:
            return f"{_digits(size / scale, 3)} {unit}"
    return f"{size:g} B"


def rate(value: float, unit: str) -> str:
    """What is done or moved in a second: 1.2 TFLOP/s, 194 GB/s."""
    for prefix, scale in (("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if value >= scale:
            return f"{_digits(value / scale, 3)} {prefix}{unit}/s"
    return f"{_digits(value, 3)} {unit}/s"
