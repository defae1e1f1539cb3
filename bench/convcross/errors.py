"""What ends a command with one clear line and exit code 2."""

from __future__ import annotations

from pydantic import ValidationError


class BadInput(ValueError):
    """The input is at fault; the message names what, where, and what is allowed."""


def first_complaint(error: ValidationError) -> str:
    """The first thing that pydantic found wrong, as "key: what (got value)"."""
    problem = error.errors(include_url=False)[0]
    key = " ".join(".".join(str(part) for part in problem["loc"]).split())
    where = f"{key}: " if key else ""
    if problem["type"] == "extra_forbidden":
        return f"{where}unknown key"
    if problem["type"] == "missing":
        return f"{where}missing"
    if problem["type"] == "value_error":  # our own words, which name the value
        return where + problem["msg"].removeprefix("Value error, ")
    given = repr(problem["input"])
    shown = given if len(given) <= 60 else given[:57] + "..."
    return f"{where}{problem['msg']} (got {shown})"
