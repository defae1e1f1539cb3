"""The front door: ``convolve(x, w)`` on NumPy, PyTorch or CuPy arrays."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from typing import Any

from convkernels import namespaces
from convkernels.discovery import find
from convkernels.problem import Problem, Size, UnsupportedProblem
from convkernels.registry import Algorithm
from convkernels.selection import choose
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
) -> Array:
    """Convolve images with a kernel, or correlate them.

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
        A registered name, or "auto": the least by the cost models among those that take the
        problem in x's namespace and fit in memory, and through which gradients pass where they are
        wanted. It does not look at values.

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
    namespace, device = namespaces.of(x)
    if namespaces.of(w) != (namespace, device):
        raise ValueError(f"w is on {' '.join(namespaces.of(w))}; allowed: {namespace} {device}")
    x, w = (namespaces.native(array) for array in (x, w))
    if x.dtype != w.dtype:
        raise ValueError(f"w has dtype {w.dtype}; allowed: x's, {x.dtype}")
    shape = tuple(x.shape)
    empty = len(shape) > 2 and shape[0] == 0
    problem = Problem(
        **_sizes((1, *shape[1:]) if empty else shape, tuple(w.shape), groups),
        op=op,
        mode=mode,
        padding=padding,
        stride=stride,  # type: ignore[arg-type]
        dilation=dilation,  # type: ignore[arg-type]
        groups=groups,
        boundary=boundary,
        dtype=namespaces.dtype_name(x),
    )
    gradients = namespaces.wants_gradient(x, w)
    if algorithm == "auto":
        chosen = choose(problem, namespace, device, gradients=gradients)
    else:
        chosen = find(algorithm)
    reason = chosen.missing(namespace)
    if reason is None and gradients and not chosen.implementation.gradients:
        reason = f"{chosen.name}: no gradient passes through it; allowed: x and w detached"
    if reason is not None:
        raise UnsupportedProblem(reason)
    result = (*shape[:-2], *problem.output)
    if len(shape) == 4:
        result = (shape[0], problem.out_channels, *problem.output)
    with held_off(namespace, device):
        if empty:
            return x.reshape(-1).reshape(result)  # none to none: of its dtype and device
        instance = chosen.prepare(problem, namespace, device)
        instance.load(w.reshape(problem.w_shape))
        with _quiet(chosen):
            y = instance.run(x.reshape(problem.x_shape))
        if device == "cpu":
            _warn_of_spread(chosen, x, w, y, problem)
    return y.reshape(result)


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

    y = namespaces.to_numpy(y)
    if _apart(chosen) or np.isfinite(y).all():
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
