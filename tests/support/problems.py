"""Random problems for the differential tests, and a fixed set with one of every kind."""

from __future__ import annotations

import dataclasses
import functools
import random

import numpy as np
from hypothesis import strategies as st

from convcross.measure.accuracy.reference import by_scipy
from convkernels import Problem, namespaces
from convkernels.problem import DTYPES, OPS


def random_problem(rng: random.Random) -> Problem:
    """A small forward problem; half are plain images, which every library can take."""
    plain = rng.random() < 0.5
    circular = rng.random() < 0.2
    dilation = (1, 1) if plain else (rng.choice([1, 1, 2]), rng.choice([1, 1, 3]))
    kernel = (rng.randint(1, 7), rng.randint(1, 7))
    if rng.random() < 0.3:
        kernel = (kernel[0], kernel[0])
    if rng.random() < 0.05:
        kernel = (rng.randint(8, 14), rng.randint(8, 14))
    extent = tuple((size - 1) * step + 1 for size, step in zip(kernel, dilation, strict=True))
    image = (rng.randint(1, 16), rng.randint(1, 16))
    mode: str | None = rng.choice(["full", "same"] if circular else ["full", "same", "valid"])
    padding = None
    if not plain and not circular and rng.random() < 0.4:
        mode, padding = None, tuple((rng.randint(0, 8), rng.randint(0, 8)) for _ in range(2))
    if circular or mode in ("valid", None):  # the kernel must fit
        image = tuple(max(size, least) for size, least in zip(image, extent, strict=True))
    groups = 1 if plain else rng.choice([1, 1, 2, 3])
    return Problem(
        image=image,
        kernel=kernel,
        batch=rng.choice([1, 1, 2, 3]),
        in_channels=1 if plain else groups * rng.randint(1, 3),
        out_channels=1 if plain else groups * rng.randint(1, 3),
        groups=groups,
        op=rng.choice(OPS),
        mode=mode,
        padding=padding,
        stride=(1, 1) if plain else (rng.choice([1, 1, 2, 3]), rng.choice([1, 1, 2])),
        dilation=dilation,
        boundary="circular" if circular else "zero",
        dtype=rng.choice(["float64", "float32"]) if rng.random() < 0.7 else rng.choice(DTYPES),
    )


problems = st.randoms(use_true_random=False).map(random_problem)


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A problem with data already rounded to its dtype (bfloat16 in float32), and its answer.

    x and w are its two operands: of a gradient that of the output, and w or x.
    """

    problem: Problem
    x: np.ndarray
    w: np.ndarray
    expected: np.ndarray


def case(problem: Problem, seed: int = 0, rank: int | None = None) -> Case:
    """Normal data; kernels of this rank at most, to within their rounding: see ``of_rank``."""
    rng = np.random.default_rng(seed)
    x, w = (rng.standard_normal(shape) for shape in problem.shapes[:2])
    w = of_rank(w, None if problem.direction == "grad_weight" else rank)
    x, w = (namespaces.round_to(values, problem.dtype) for values in (x, w))
    for array in (x, w):
        array.setflags(write=False)  # an algorithm that writes to its operands is caught
    return Case(problem, x, w, by_scipy(problem, x, w))


def of_rank(w: np.ndarray, rank: int | None) -> np.ndarray:
    """Kernels (…, kh, kw) of this rank: of each, its first columns times its last rows; of rank 0,
    constant ones; as they are where it is None."""
    if rank is None:
        return w
    if rank == 0:
        return np.broadcast_to(w[..., :1, :1], w.shape)
    return w[..., :rank] @ w[..., -rank:, :] if rank <= min(w.shape[-2:]) else w


@functools.cache
def random_case(index: int, rank: int | None = None, direction: str = "forward") -> Case:
    """The index-th of an endless seeded stream; all contenders meet the same one, those that take
    few kernels with such ones (``of_rank``)."""
    problem = random_problem(random.Random(index))
    return case(dataclasses.replace(problem, direction=direction), index, rank)


FIXED = {
    "one-pixel": Problem((1, 1), (1, 1), dtype="float64"),
    "pointwise": Problem((6, 9), (1, 1)),
    "row-kernel": Problem((5, 12), (1, 6), mode="same"),
    "kernel-over-image": Problem((3, 4), (6, 7), mode="same", op="correlation"),
    "even-full": Problem((11, 8), (4, 2), mode="full"),
    "even-same": Problem((11, 8), (4, 2), mode="same", op="correlation"),
    "valid-one-output": Problem((5, 7), (5, 7), mode="valid"),
    "batch": Problem((9, 10), (3, 3), batch=3, mode="valid", dtype="float64"),
    "circular-same": Problem((7, 9), (4, 3), mode="same", boundary="circular"),
    "circular-full": Problem((7, 9), (7, 9), boundary="circular", op="correlation"),
    "channels": Problem((8, 9), (3, 2), batch=2, in_channels=3, out_channels=4, mode="same"),
    "groups": Problem((8, 9), (3, 3), batch=2, in_channels=4, out_channels=6, groups=2),
    "depthwise": Problem((8, 7), (3, 3), in_channels=3, out_channels=6, groups=3, mode="valid"),
    "five": Problem(
        (13, 11), (5, 5), batch=2, in_channels=2, out_channels=2, groups=2, mode="same"
    ),
    "stride-dilation": Problem((17, 15), (3, 4), stride=(3, 2), dilation=(2, 3), mode="same"),
    "wide-padding": Problem((5, 6), (3, 2), padding=((9, 4), (0, 7)), op="correlation"),
    "half": Problem((12, 12), (5, 5), mode="same", dtype="float16"),
    "bfloat": Problem((12, 12), (5, 5), in_channels=2, mode="same", dtype="bfloat16"),
    "line": Problem((1, 57), (1, 9), mode="same"),
    "line-full": Problem((1, 40), (1, 6), mode="full", op="correlation"),
    "line-valid": Problem((1, 300), (1, 31), mode="valid", dtype="float64"),
    "line-batch": Problem((1, 33), (1, 5), batch=3, mode="same"),
    "line-channels": Problem(
        (1, 50), (1, 7), in_channels=3, out_channels=2, padding=((0, 0), (3, 3))
    ),
    "line-long": Problem((1, 2000), (1, 255), mode="same"),
    "line-kernel-over-image": Problem((1, 5), (1, 8), mode="same"),
    "line-circular": Problem((1, 32), (1, 9), mode="same", boundary="circular"),
    "larger": Problem((70, 61), (15, 31), mode="same"),
}
