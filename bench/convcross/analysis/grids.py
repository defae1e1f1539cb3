"""What lies on an N×n grid, on one by outputs, or on none: layers."""

from __future__ import annotations

import pandas as pd

from convcross.results.schema import Header
from convkernels.problem import Problem


def is_line(problem: Problem) -> bool:
    """Whether image and kernel have one row, and more than one pixel between them."""
    return problem.image[0] == problem.kernel[0] == 1 < problem.image[1]


def is_square(problem: Problem) -> bool:
    """A square image and kernel, or a line and its kernel, and nothing that
    ``load.CONDITIONS`` does not tell."""
    image, kernel = problem.image, problem.kernel
    plain = Problem(
        image,
        kernel,
        batch=problem.batch,
        in_channels=problem.in_channels,
        out_channels=problem.out_channels,
        op=problem.op,
        mode=problem.mode or "full",
        dtype=problem.dtype,
        direction=problem.direction,
    )
    square = image[0] == image[1] and kernel[0] == kernel[1]
    return (square or is_line(problem)) and problem == plain


def is_grid(problem: Problem, header: Header) -> bool:
    """Whether it is a cell of an N×n grid: not of one by outputs, where each N has its own n."""
    by_outputs = header.sweep.get("outputs") and problem.mode == "valid"
    return is_square(problem) and not by_outputs


def by_output(frame: pd.DataFrame) -> pd.Series[bool]:
    """Which rows are cells of a grid by outputs."""
    off_grid = frame["problem"].mask(frame["is_grid"])
    return off_grid.map(is_square, na_action="ignore").eq(True)


def with_channels(frame: pd.DataFrame) -> pd.Series[bool]:
    """Which rows are of a problem with channels, and no cell of a grid by outputs."""
    is_image = frame["problem"].map(lambda problem: problem.is_image).astype(bool)
    return ~is_image & ~by_output(frame)
