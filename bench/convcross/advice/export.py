"""A rule as Python, as C or as a Markdown table, its loss in the comment."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator

from convcross.advice.rule import Leaf, Node, Rule
from convkernels.calibration import Calibration

ARGUMENTS = ("N", "n", "batch", "channels", "filters", "groups")
WIDTH = 96


def python(rule: Rule, known: Calibration) -> str:
    """A function."""
    head = [f"# {line}" for line in _comment(rule, known)]
    arguments = ", ".join(name if name in "Nn" else f"{name}=1" for name in ARGUMENTS)
    body = _body(rule.tree, "if {}:", 'return "{}"', None)
    return "\n".join([*head, f"def fastest({arguments}):", *body])


def c(rule: Rule, known: Calibration) -> str:
    """A function."""
    head = [f" * {line}" for line in _comment(rule, known)]
    arguments = ", ".join(f"double {name}" for name in ARGUMENTS)
    body = _body(rule.tree, "if ({}) {{", 'return "{}";', "}")
    return "\n".join(["/*", *head, " */", f"const char *fastest({arguments}) {{", *body, "}"])


def _body(node: Node, condition: str, leaf: str, end: str | None, depth: int = 1) -> Iterator[str]:
    """Lines of a function, by how a language writes a condition, a leaf and a block's end."""
    space = "    " * depth
    if isinstance(node, Leaf):
        yield space + leaf.format(node.contender)
        return
    yield space + condition.format(f"{node.feature} < {node.bound:g}")
    yield from _body(node.below, condition, leaf, end, depth + 1)
    if end is not None:
        yield space + end
    yield from _body(node.above, condition, leaf, end, depth)


def markdown(rule: Rule, known: Calibration) -> str:
    """A table: a row a leaf."""
    lines = ["| where | fastest |", "|---|---|"]
    for conditions, contender in _leaves(rule.tree, ()):
        lines.append(f"| {', '.join(conditions) or 'everywhere'} | `{contender}` |")
    return "\n".join([*lines, "", *_comment(rule, known)])


FORMATS: dict[str, Callable[[Rule, Calibration], str]] = {
    "python": python,
    "c": c,
    "markdown": markdown,
}


def _leaves(node: Node, conditions: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(node, Leaf):
        yield conditions, node.contender
        return
    yield from _leaves(node.below, (*conditions, f"{node.feature} < {node.bound:g}"))
    yield from _leaves(node.above, (*conditions, f"{node.feature} ≥ {node.bound:g}"))


def _comment(rule: Rule, known: Calibration) -> list[str]:
    """What it is of, what its arguments are, and what it is worth."""
    key = known.key
    threads = f", {key.threads} threads" if key.threads else ""
    direction = "" if rule.direction == "forward" else f" in {rule.direction}"
    said = (
        f"Fastest of {', '.join(rule.among)}{direction} on {key.machine} ({key.device}{threads}), "
        f"measured by convcross on {known.made_at[:10]}. N and n are the sides of the image and of "
        "the kernel, channels and filters those of a group. Its time over that of the fastest: "
        f"{rule.loss.words()}."
    )
    return textwrap.wrap(said, WIDTH)
