"""The front door: ``convolve(x, w)`` on NumPy, PyTorch or CuPy arrays."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import warnings
from typing import Any

from convkernels import namespaces, plans
from convkernels.discovery import find
from convkernels.problem import Problem, Size, UnsupportedProblem, whole
from convkernels.registry import Algorithm
from convkernels.surroundings import held_off

Array = Any

APART = ("direct", "im2col")  # families whose outputs are sums apart; the first is an algorithm too


def convolve(
    x: Array,
    w: Array,
    *,
    op: str = "convolution",
    mode: str | None = None,
    padding: tuple[Size, Size] | None = None,
    stride: int | Size = 1,
    dilation: int | Size = 1,
    groups: int = 1,
    boundary: str = "zero",
    algorithm: str = "auto",
    calls: int = 1,
) -> Array:
    """Convolve images with a kernel, or correlate them.

    The next call of the same shapes finds the plan and the choice of this one (``plans``:
    at most 16, of 256 MiB; ``convkernels.plans.clear()`` forgets them).

    Parameters
    ----------
    x : array (H, W), (B, H, W) or (B, C, H, W)
    w : array (kh, kw) for images; (K, C/groups, kh, kw) for (B, C, H, W)
        Of the same library, device and dtype as x.
    op : "convolution" flips the kernel, "correlation" does not (as torch's conv2d)
    mode : "full" (where none is given), "same" or "valid", as ``scipy.signal.convolve2d`` and
        ``correlate2d``
    padding : ((top, bottom), (left, right)), in the place of mode
    stride, dilation : int or (vertical, horizontal)
    groups : int
    boundary : "zero" or "circular"
        Circular keeps the image's size: mode "full" begins at the origin, where the convolution
        theorem holds as written, mode "same" is centred.
    algorithm : str
        A registered name, or "auto": the least time of a call, which plans, loads w and runs, as
        the calibration of this machine (``convcross calibrate``) or else the cost models predict
        it, among those that take the problem in x's namespace and fit in memory, and through which
        gradients pass where they are wanted. It does not look at values.
    calls : int
        How many calls of these shapes are to come, for "auto": what a plan takes is spread over
        them. For one, nothing is compiled: an algorithm whose kernels are not on disk is passed
        over; for more, it may be.

    Returns
    -------
    array
        Same library, dtype (in the machine's byte order) and device; (OH, OW), (B, OH, OW) or
        (B, K, OH, OW).

    Raises
    ------
    ValueError
        Shapes that do not fit, or a value outside the allowed set; it names both.
    TypeError
        Operands that are no arrays, or mean more than their numbers, as masked ones.
    UnsupportedProblem
        The algorithm named refuses the problem, for the reason given.

    Warns
    -----
    RuntimeWarning
        On the CPU, where the result is not finite beyond what the kernel reaches from an x that is
        not: a transform spreads NaN and infinity, and overflows sooner than a sum. It names an
        algorithm that does not.
    """
    count = whole(calls)
    if count is None or count < 1:
        raise ValueError(f"calls is {calls!r}; allowed: whole numbers >= 1")
    namespace, device = namespaces.of(x)
    if namespaces.of(w) != (namespace, device):
        raise ValueError(f"w is on {' '.join(namespaces.of(w))}; allowed: {namespace} {device}")
    x, w = namespaces.native(x), namespaces.native(w)
    if x.dtype != w.dtype:
        raise ValueError(f"w has dtype {w.dtype}; allowed: x's, {x.dtype}")
    how = (op, mode, padding, stride, dilation, groups, boundary)
    known = all(map(_is_plain, how))
    problem, shape = (_asked if known else _asked.__wrapped__)(x.shape, w.shape, x.dtype, *how)
    gradients = namespaces.wants_gradient(x, w)
    with held_off(namespace, device):
        if algorithm == "auto":
            plan = plans.take_best(problem, namespace, device, gradients=gradients, calls=count)
        else:
            named = find(algorithm)
            if gradients and not named.implementation.gradients:
                reason = "no gradient passes through it; allowed: x and w detached"
                raise UnsupportedProblem(named.missing(namespace) or f"{named.name}: {reason}")
            plan = plans.take(named, problem, namespace, device, keep=not gradients)
        if 0 in shape:
            y = x.reshape(-1)  # none to none: of its dtype and device
        else:
            plan.instance.load(w.reshape(problem.w_shape))
            with _quiet(plan.algorithm):
                y = plan.instance.run(x.reshape(problem.x_shape))
            if device == "cpu":
                _warn_of_spread(plan.algorithm, x, w, y, problem)
        plans.put_back(plan)
    return y.reshape(shape)


@functools.lru_cache(1024)
def _asked(
    x: tuple[int, ...],
    w: tuple[int, ...],
    dtype: Any,
    op: str,
    mode: str | None,
    padding: tuple[Size, Size] | None,
    stride: int | Size,
    dilation: int | Size,
    groups: int,
    boundary: str,
) -> tuple[Problem, tuple[int, ...]]:
    """The problem of operands of these shapes, and the shape of their result; of an empty batch,
    the problem of one image."""
    empty = len(x) > 2 and x[0] == 0
    problem = Problem(
        **_sizes((1, *x[1:]) if empty else tuple(x), tuple(w), groups),
        op=op,
        mode=mode,
        padding=padding,
        stride=stride,  # type: ignore[arg-type]
        dilation=dilation,  # type: ignore[arg-type]
        groups=groups,
        boundary=boundary,
        dtype=namespaces.type_name(dtype),
    )
    lead = (x[0], problem.out_channels) if len(x) == 4 else tuple(x[:-2])
    return problem, (*lead, *problem.output)


def _is_plain(value: object) -> bool:
    """Whether equal values mean the same: 1.0 and True equal 1, and are refused where it is not."""
    if type(value) is tuple:
        return all(map(_is_plain, value))
    return value is None or type(value) in (int, str)


def _quiet(chosen: Algorithm) -> contextlib.AbstractContextManager[Any]:
    """NumPy's own warnings are of steps on the way; of these algorithms the result is looked at."""
    import numpy as np

    if _apart(chosen):
        return contextlib.nullcontext()
    return np.errstate(over="ignore", invalid="ignore")


def _apart(chosen: Algorithm) -> bool:
    return chosen.family in APART and not chosen.implementation.spreads


def _warn_of_spread(chosen: Algorithm, x: Array, w: Array, y: Array, problem: Problem) -> None:
    """Tell where values that are not finite are in more outputs than the kernel brings them to."""
    import numpy as np

    if _apart(chosen):
        return
    if hasattr(y, "detach") and math.isfinite(y.detach().sum()):  # torch's: a single pass
        return
    y = namespaces.to_numpy(y)
    if np.isfinite(y).all():
        return
    x, w = namespaces.to_numpy(x), namespaces.to_numpy(w)
    if not np.isfinite(w).all():
        return
    strange = ~np.isfinite(x)
    if not strange.any():
        taps = np.abs(w.astype("float64")).reshape(problem.out_channels, -1).sum(axis=1)
        most = np.abs(x).max().astype("float64") * taps.max()  # of any sum
        if not np.isnan(y).any() and most > np.finfo(y.dtype).max:
            return  # infinity may be the sum's own
        complaint = "the result is not finite, though x and w are"
    else:
        counting = dataclasses.replace(problem, dtype="float32")
        counted = find("fft").prepare(counting, "numpy", "cpu")
        counted.load(np.ones(problem.w_shape, "float32"))
        reached = counted.run(strange.reshape(problem.x_shape).astype("float32")) > 0.5
        beyond = int((~np.isfinite(y) & ~reached).sum())
        if not beyond:
            return
        complaint = f"x is not finite, and nor are {beyond} outputs that its values do not reach"
    warnings.warn(
        f"{complaint}: {chosen.name} computes many outputs together; "
        f"algorithm={APART[0]!r} sums each for itself",
        RuntimeWarning,
        stacklevel=3,
    )


def _sizes(x: tuple[int, ...], w: tuple[int, ...], groups: int) -> dict[str, Any]:
    if len(w) == 2 and len(x) in (2, 3):
        batch = x[0] if len(x) == 3 else 1
        return {"image": x[-2:], "kernel": w, "batch": batch}
    if len(w) == 4 and len(x) == 4:
        if x[1] != w[1] * groups:
            raise ValueError(
                f"x is {x} and w is {w} with groups={groups}; allowed: w (K, {x[1]}/groups, kh, kw)"
            )
        return {
            "image": x[-2:],
            "kernel": w[-2:],
            "batch": x[0],
            "in_channels": x[1],
            "out_channels": w[0],
        }
    raise ValueError(
        f"x is {x} and w is {w}; allowed: x (H, W) or (B, H, W) with w (kh, kw), "
        "or x (B, C, H, W) with w (K, C/groups, kh, kw)"
    )
