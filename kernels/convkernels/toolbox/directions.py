"""A gradient as a forward problem with the roles of its operands exchanged, said once.

Along one axis, with w as a correlation has it, stride s, dilation d, p zeros before the image, and
the output's gradient gy:

    y[i]  = Σ_r w[r] · x[i·s + r·d − p]
    gx[j] = Σ_(i·s + r·d − p = j) w[r] · gy[i]
    gw[r] = Σ_i gy[i] · x[i·s + r·d − p]

Let g be gy with s − 1 zeros between its values, e the extent of the kernel. Grown by e − 1 − p
zeros before, and after it so far that H + e − 1 are there, it is the image of both gradients:

    gx is its correlation with the flipped filter, dilated by d;
    gw is its correlation with x, at every d-th place, and read from the last to the first.

Where e − 1 − p is below 0, outputs that see nothing but padding are left out. Of the channels, gx
has those of x and y exchanged within a group; gw has the batch for input channels, which are summed
over, and y's channels for the batch. A circular gx is a circular problem of the other op; of a
circular gw, x is first grown by what it wraps round.

The forward pass of a transposed convolution is grad_input: Dumoulin & Visin 2016, A guide to
convolution arithmetic for deep learning, chapter 4; all three passes: Mathieu, Henaff & LeCun 2013.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any, NamedTuple

from convkernels.problem import DIRECTIONS, OPS, Problem, Size, one_of
from convkernels.toolbox import layout

Array = Any

GRADIENTS = DIRECTIONS[1:]


def forward_of(problem: Problem) -> Problem:
    """The forward problem of which this one is a gradient or a step; itself where it is none."""
    if problem.direction == "forward":
        return problem
    return dataclasses.replace(problem, direction="forward")


class Exchange(NamedTuple):
    """A problem in any direction, the forward problem that solves it, and the way of the arrays
    from one to the other. Of a forward problem it changes nothing.

    Attributes
    ----------
    asked : the problem
    solved : the forward problem
    corner : where its image begins in the output's gradient with the zeros between its values
    """

    asked: Problem
    solved: Problem
    corner: Size = (0, 0)

    def image(self, a: Array, xp: Any) -> Array:
        """Operand a as the image of the forward problem; a view where it can be."""
        asked = self.asked
        if asked.direction == "forward":
            return a
        outs = asked.out_channels // asked.groups
        a = xp.reshape(a, (asked.batch, asked.groups, outs, *asked.output))
        if asked.direction == "grad_weight":
            a = xp.permute_dims(a, (2, 1, 0, 3, 4))
        if asked.stride == (1, 1):
            a = layout.window(a, self.corner, self.solved.image, xp)
        else:
            a = self._stretched(a, xp)
        return xp.reshape(a, self.solved.x_shape)

    def filters(self, b: Array, xp: Any) -> Array:
        """Operand b as the filters of the forward problem; a view where it can be."""
        asked = self.asked
        if asked.direction == "forward":
            return b
        groups, ins = asked.groups, asked.in_channels // asked.groups
        if asked.direction == "grad_input":
            b = xp.reshape(b, (groups, -1, ins, *asked.kernel))
            b = xp.permute_dims(b, (0, 2, 1, 3, 4))
        else:
            b = xp.reshape(b, (asked.batch, groups, ins, *asked.image))
            if asked.boundary == "circular":
                b = layout.padded(b, asked, xp)
            b = xp.permute_dims(b, (1, 2, 0, 3, 4))
        return xp.reshape(b, self.solved.w_shape)

    def result(self, y: Array, xp: Any) -> Array:
        """The forward problem's result as that of the problem asked, in its shape."""
        asked = self.asked
        if asked.direction == "forward":
            return y
        if asked.direction == "grad_weight":
            y = xp.reshape(y, (-1, asked.groups, asked.in_channels // asked.groups, *asked.kernel))
            y = xp.permute_dims(y, (1, 0, 2, 3, 4))
            if asked.op == "correlation":
                y = xp.astype(xp.flip(y, axis=(-2, -1)), y.dtype, copy=True)
        return xp.reshape(y, asked.shapes[2])

    def unresult(self, y: Array, xp: Any) -> Array:
        """Back from ``result``."""
        asked, solved = self.asked, self.solved
        if asked.direction == "grad_weight":
            y = xp.reshape(y, (asked.groups, solved.batch, -1, *asked.kernel))
            y = xp.permute_dims(y, (1, 0, 2, 3, 4))
            if asked.op == "correlation":
                y = xp.flip(y, axis=(-2, -1))
        return xp.reshape(y, solved.y_shape)

    def _stretched(self, a: Array, xp: Any) -> Array:
        """(…, OH, OW) with zeros between its values, from the corner on, (…, H, W)."""
        size = self.solved.image
        grown = xp.zeros((*a.shape[:-2], *size), dtype=a.dtype, device=a.device)
        values, places = [], []
        for axis in (0, 1):
            stride, first = self.asked.stride[axis], self.corner[axis]
            low = -(-first // stride)
            high = min(self.asked.output[axis], (first + size[axis] - 1) // stride + 1)
            if high <= low:  # no output sees the image
                return grown
            begin = low * stride - first
            values.append(slice(low, high))
            places.append(slice(begin, begin + (high - low - 1) * stride + 1, stride))
        grown[..., places[0], places[1]] = a[..., values[0], values[1]]
        return grown

    @property
    def copied(self) -> tuple[int, int, int]:
        """Elements of what ``image``, ``filters`` and ``result`` copy."""
        asked = self.asked
        if asked.direction == "forward":
            return (0, 0, 0)
        outs, ins = (c // asked.groups for c in (asked.out_channels, asked.in_channels))
        a, b, y = map(math.prod, self.solved.shapes)
        stretched = asked.stride != (1, 1) or self.solved.image != asked.output
        if asked.direction == "grad_input":
            return (a if stretched else 0, b if min(ins, outs) > 1 else 0, 0)
        moved = [size > 1 for size in (asked.batch, asked.groups, outs)]
        turned = [size > 1 for size in (asked.batch, asked.groups, ins)]
        wrapped = asked.boundary == "circular"
        return (
            a if stretched or sum(moved) > 1 else 0,
            b if wrapped or (asked.batch > 1 and sum(turned) > 1) else 0,
            y,
        )


@functools.lru_cache(4096)
def exchange(problem: Problem) -> Exchange:
    """The forward problem that solves this one, and the way there and back.

    Raises ValueError of a step, which no one problem solves.
    """
    one_of("direction", problem.direction, DIRECTIONS)
    if problem.direction == "forward":
        return Exchange(problem, problem)
    groups, circular = problem.groups, problem.boundary == "circular"
    if problem.direction == "grad_input" and circular:
        other = OPS[1 - OPS.index(problem.op)]
        solved = dataclasses.replace(
            problem,
            in_channels=problem.out_channels,
            out_channels=problem.in_channels,
            op=other,
            stride=(1, 1),
            direction="forward",
        )
        return Exchange(problem, solved)
    image = layout.grown_size(problem) if circular else problem.image
    axes = [
        _axis(
            problem.output[axis],
            problem.stride[axis],
            image[axis],
            problem.extent[axis],
            0 if circular else problem.pads[axis][0],
        )
        for axis in (0, 1)
    ]
    size, padding = (axes[0].size, axes[1].size), (axes[0].pads, axes[1].pads)
    corner = (axes[0].first, axes[1].first)
    if problem.direction == "grad_input":
        return Exchange(
            problem,
            Problem(
                size,
                problem.kernel,
                batch=problem.batch,
                in_channels=problem.out_channels,
                out_channels=problem.in_channels,
                groups=groups,
                op=OPS[1 - OPS.index(problem.op)],
                padding=padding,
                dilation=problem.dilation,
                dtype=problem.dtype,
            ),
            corner,
        )
    solved = Problem(
        size,
        image,
        batch=problem.out_channels // groups,
        in_channels=groups * problem.batch,
        out_channels=problem.in_channels,
        groups=groups,
        op="correlation",
        padding=padding,
        stride=problem.dilation,
        dtype=problem.dtype,
    )
    return Exchange(problem, solved, corner)


class _Axis(NamedTuple):
    """The image of a gradient along one axis: where it begins in the stretched gradient of the
    output, its size, and the zeros before and after it."""

    first: int
    size: int
    pads: Size


def _axis(outputs: int, stride: int, image: int, extent: int, before: int) -> _Axis:
    grown, wanted = extent - 1 - before, image + extent - 1
    first = max(0, -grown)
    last = min((outputs - 1) * stride + 1, image + before)
    size = max(1, last - first)  # of one zero, where no output sees the image
    pad = max(0, grown)
    return _Axis(first, size, (pad, wanted - pad - size))
