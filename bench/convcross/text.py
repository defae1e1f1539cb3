"""Text that others wrote (names, reasons, headers of results), made fit to be shown or kept.

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
