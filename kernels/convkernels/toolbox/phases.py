"""A gradient with a stride or a dilation as one without, in phases.

Along one axis, with w as a correlation has it, stride s, dilation d, and p zeros before the image,
output i and element r of the kernel meet at i·s + r·d − p. Let g be the greatest common divisor of
s and d, s = g·s' and d = g·d'. With i = d'·m + e and r = s'·q + t they meet at

    g·s'·d'·(m + q) + e·s + t·d − p

so that of every d'-th output from e on, every s'-th element from t on, and every g·s'·d'-th pixel
from e·s + t·d − p on, the sum has neither stride nor dilation. Phases e of the outputs, d' of them,
are images of a batch, and phases t of the kernel, s' or as many as it has elements, are channels of
the image: one problem, whose kernel has ⌈k/s'⌉ elements where the whole one has k. No pixel is in
two phases, as s' and d' have no common divisor.

Each output is multiplied by s'·⌈k/s'⌉ elements an axis, those past the kernel zero, or by k where
k < s'; with s − 1 zeros between the outputs (``directions``) by s·k. Polyphase filters:
Vaidyanathan 1993, Multirate Systems and Filter Banks, chapter 4; as channels: Shi et al. 2016,
arXiv:1609.07009.

Arithmetic is not all: FFTs, which multiply no zeros but transform them, gain on a few shapes and
lose on others, and so do compiled blocks, which small images do not fill. Those that gain say so
(``Implementation.phases``).
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from convkernels.problem import Problem, Size
from convkernels.toolbox import layout

Array = Any


class Cut(NamedTuple):
    """Pieces along one axis: piece (e, t) is every ``step``-th of so many values from
    e·``outer`` + t·``inner`` on, counted from ``before`` the first of ``extent`` values that there
    are; beyond them are zeros."""

    phases: Size  # how many e, how many t
    outer: int
    inner: int
    step: int
    length: int
    before: int
    extent: int

    def pieces(self) -> Iterator[tuple[int, int, slice, slice]]:
        """e, t, those values of the piece that are there, and where they lie."""
        for e, t in itertools.product(*map(range, self.phases)):
            first = e * self.outer + t * self.inner - self.before
            low = max(0, -(first // self.step))
            high = min(self.length, -((first - self.extent) // self.step))
            if low < high:
                begin, last = (first + place * self.step for place in (low, high - 1))
                yield e, t, slice(low, high), slice(begin, last + 1, self.step)

    @property
    def whole(self) -> bool:
        """Whether all is one piece."""
        return (self.step, self.before, self.length) == (1, 0, self.extent)


Cuts = tuple[Cut, Cut]


class Phases(NamedTuple):
    """A gradient, the problem of its phases in the same direction, and the way of the arrays from
    one to the other; named as ``directions.Exchange`` names them.

    Attributes
    ----------
    asked, solved : Problem
    x, w, y : how each array is cut, down and across
    """

    asked: Problem
    solved: Problem
    x: Cuts
    w: Cuts
    y: Cuts

    def image(self, a: Array, xp: Any) -> Array:
        """Operand a, the output's gradient, as that of the phases."""
        asked = self.asked
        outs = asked.out_channels // asked.groups
        gy = xp.reshape(a, (asked.batch, asked.groups, outs, *asked.output))
        return xp.reshape(_cut(gy, self.y, xp), self.solved.y_shape)

    def filters(self, b: Array, xp: Any) -> Array:
        """Operand b, w or x, as that of the phases."""
        asked, solved = self.asked, self.solved
        ins = asked.in_channels // asked.groups
        if asked.direction == "grad_input":
            w = xp.reshape(b, (asked.groups, -1, ins, *asked.kernel))
            w = w if asked.op == "correlation" else xp.flip(w, axis=(-2, -1))
            return xp.reshape(_cut(w, self.w, xp), solved.w_shape)
        x = xp.reshape(b, (asked.batch, asked.groups, ins, *asked.image))
        return xp.reshape(_cut(layout.wrapped(x, asked, xp), self.x, xp), solved.x_shape)

    def result(self, y: Array, xp: Any) -> Array:
        """The phases' result, gx or gw, as that of the problem asked, in its shape."""
        asked = self.asked
        ins = asked.in_channels // asked.groups
        if asked.direction == "grad_input":
            gx = _joined(y, self.x, (asked.batch, asked.groups, ins), xp)
            return xp.reshape(gx, asked.x_shape)
        shape = (asked.groups, asked.out_channels // asked.groups, ins)
        gw = _joined(y, self.w, shape, xp)
        if asked.op == "convolution":
            gw = xp.astype(xp.flip(gw, axis=(-2, -1)), gw.dtype, copy=True)
        return xp.reshape(gw, asked.w_shape)

    @property
    def copied(self) -> tuple[int, int, int]:
        """Elements of what ``image``, ``filters`` and ``result`` copy."""
        a, b, y = map(math.prod, self.solved.shapes)
        return (a if self.solved.output != self.asked.output else 0, b, y)


@functools.lru_cache(4096)
def phases(problem: Problem) -> Phases | None:
    """Those of a gradient, or None where there is nothing to cut: with neither stride nor dilation,
    or for an image's gradient without a stride, as dilation multiplies no zeros. A circular image's
    is left alone too: where it wraps round, a pixel would be of several phases."""
    if problem.direction == "grad_input":
        whole = problem.stride == (1, 1) or problem.boundary == "circular"
    else:
        whole = problem.stride == problem.dilation == (1, 1)
    if whole:
        return None
    (x0, w0, y0), (x1, w1, y1) = (_axis(problem, axis) for axis in (0, 1))
    solved = Problem(
        (x0.length, x1.length),
        (w0.length, w1.length),
        batch=problem.batch * x0.phases[0] * x1.phases[0],
        in_channels=problem.in_channels * x0.phases[1] * x1.phases[1],
        out_channels=problem.out_channels,
        groups=problem.groups,
        op="correlation",
        mode="valid",
        dtype=problem.dtype,
        direction=problem.direction,
    )
    return Phases(problem, solved, (x0, x1), (w0, w1), (y0, y1))


def _axis(problem: Problem, axis: int) -> tuple[Cut, Cut, Cut]:
    """How x, w and y are cut."""
    stride, dilation = problem.stride[axis], problem.dilation[axis]
    outputs, elements = problem.output[axis], problem.kernel[axis]
    common = math.gcd(stride, dilation)
    many, apart = dilation // common, stride // common  # phases of outputs, of elements
    some, step = min(apart, elements), common * many * apart
    each, short = -(-outputs // many), -(-elements // apart)  # of a phase
    size, before = (pair[axis] for pair in layout.frame(problem))
    return (
        Cut((many, some), stride, dilation, step, each + short - 1, before, size),
        Cut((1, some), 0, 1, apart, short, 0, elements),
        Cut((many, 1), 1, 0, many, each, 0, outputs),
    )


def _cut(values: Array, cuts: Cuts, xp: Any) -> Array:
    """(·, ·, ·, H, W) → (e, e, ·, ·, ·, t, t, height, width), or as it is where it is whole."""
    down, across = cuts
    if down.whole and across.whole:
        return values
    outputs, elements = zip(down.phases, across.phases, strict=True)
    shape = (*outputs, *values.shape[:3], *elements, down.length, across.length)
    found = xp.zeros(shape, dtype=values.dtype, device=values.device)
    for e, t, inside, rows in down.pieces():
        for f, u, within, columns in across.pieces():
            found[e, f, :, :, :, t, u, inside, within] = values[..., rows, columns]
    return found


def _joined(parts: Array, cuts: Cuts, shape: tuple[int, int, int], xp: Any) -> Array:
    """Back from ``_cut``, in memory of its own: (*shape, H, W), zero where no piece is."""
    down, across = cuts
    outputs, elements = zip(down.phases, across.phases, strict=True)
    parts = xp.reshape(parts, (*outputs, *shape, *elements, down.length, across.length))
    size = (*shape, down.extent, across.extent)
    found = xp.zeros(size, dtype=parts.dtype, device=parts.device)
    for e, t, inside, rows in down.pieces():
        for f, u, within, columns in across.pieces():
            found[..., rows, columns] = parts[e, f, :, :, :, t, u, inside, within]
    return found
