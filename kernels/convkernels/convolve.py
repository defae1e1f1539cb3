"""The front door: ``convolve(x, w)`` on NumPy, PyTorch or CuPy arrays."""

from __future__ import annotations

from typing import Any

from convkernels import namespaces
from convkernels.discovery import algorithms, find
from convkernels.problem import Problem, Size, UnsupportedProblem
from convkernels.registry import Algorithm

Array = Any

# FLOP that a machine does in the time of moving a byte. What `auto` needs of it is the order of
# magnitude: CPUs and GPUs of the last decade lie between 5 and 20 in float32.
FLOPS_A_BYTE = 10.0


def convolve(
    x: Array,
    w: Array,
    *,
    op: str = "convolution",
    mode: str = "full",
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
    mode : "full", "same" or "valid", as ``scipy.signal.convolve2d`` and ``correlate2d``
    padding : ((top, bottom), (left, right)), in the place of mode
    stride, dilation : int or (vertical, horizontal)
    groups : int
    boundary : "zero" or "circular"
        Circular keeps the image's size: mode "full" begins at the origin, where the convolution
        theorem holds as written, mode "same" is centred.
    algorithm : str
        A registered name, or "auto": the least by the cost models among those that take the
        problem in x's namespace. It does not look at values.

    Returns
    -------
    array
        Same library, dtype and device; (OH, OW), (B, OH, OW) or (B, K, OH, OW).

    Raises
    ------
    ValueError
        Shapes that do not fit, or a value outside the allowed set; it names both.
    UnsupportedProblem
        The algorithm named refuses the problem, for the reason given.
    """
    namespace, device = namespaces.of(x)
    if namespaces.of(w) != (namespace, device):
        raise ValueError(f"w is on {' '.join(namespaces.of(w))}; allowed: {namespace} {device}")
    if x.dtype != w.dtype:
        raise ValueError(f"w has dtype {w.dtype}; allowed: x's, {x.dtype}")
    problem = Problem(
        **_sizes(tuple(x.shape), tuple(w.shape), groups),
        op=op,
        mode=mode,
        padding=padding,
        stride=(stride, stride) if isinstance(stride, int) else stride,
        dilation=(dilation, dilation) if isinstance(dilation, int) else dilation,
        groups=groups,
        boundary=boundary,
        dtype=namespaces.dtype_name(x),
    )
    chosen = choose(problem, namespace, device) if algorithm == "auto" else find(algorithm)
    reason = chosen.missing(namespace)
    if reason is not None:
        raise UnsupportedProblem(reason)
    with namespaces.on(namespace, device):
        instance = chosen.prepare(problem, namespace, device)
        instance.load(w.reshape(problem.w_shape))
        y = instance.run(x.reshape(problem.x_shape))
    return (
        y.reshape(*x.shape[:-2], *problem.output)
        if x.ndim < 4
        else y.reshape(problem.batch, problem.out_channels, *problem.output)
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


def choose(problem: Problem, namespace: str, device: str) -> Algorithm:
    """The algorithm whose cost model promises the least time and that takes the problem.

    Raises
    ------
    UnsupportedProblem
        Where every algorithm of the namespace refuses it; each with its reason.
    """
    refusals: dict[str, str] = {}
    best: tuple[float, Algorithm] | None = None
    for candidate in algorithms().values():
        if namespace not in candidate.namespaces:
            continue
        reason = candidate.missing(namespace) or candidate.refuses(problem, namespace, device)
        if candidate.family == "separable":  # it may yet refuse the kernel, by its values
            reason = reason or "for kernels of rank 1, and the choice looks at no values"
        if reason is not None:
            refusals[candidate.name] = reason
            continue
        cost = candidate.implementation.cost(problem)
        seconds = max(cost.flops, FLOPS_A_BYTE * cost.bytes)
        if best is None or seconds < best[0]:
            best = (seconds, candidate)
    if best is None:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in refusals.items())
        raise UnsupportedProblem(f"no algorithm on {namespace} takes it: {reasons}")
    return best[1]
