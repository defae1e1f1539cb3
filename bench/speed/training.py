"""The table of training: layers in three passes, and their spectra shared.

Targets are of two CPU cores in float32. A step of ``FFTTraining`` and each of its passes are run in
turns with ``torch.nn.Conv2d``'s step and ``FFTConv2d``'s, which both go through autograd.
"""

from __future__ import annotations

import functools
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from convkernels import Problem, namespaces
from convkernels.layers.spectra import product
from convkernels.layers.training import OPERANDS, FFTTraining, TorchTraining, room
from speed.rows import Rows, medians

BATCH = 16  # in the place of the benchmark's 128: a CPU's
# soumith/convnet-benchmarks, README: maps in, maps out, image, kernel; no padding.
LAYERS = {
    "L1": (3, 96, 128, 11),
    "L2": (64, 128, 64, 9),
    "L3": (128, 128, 32, 9),
    "L4": (128, 128, 16, 7),
    "L5": (384, 384, 13, 3),
}
SHARED = Problem(
    (32, 32), (9, 9), batch=16, in_channels=128, out_channels=128, op="correlation", mode="same"
)
DEPTHWISE = Problem(
    (56, 56),
    (31, 31),
    batch=8,
    in_channels=64,
    out_channels=64,
    groups=64,
    op="correlation",
    mode="same",
)
TORCH = ("torch-conv2d/torch", "torch-conv2d-channels-last/torch", "im2col-gemm/torch")
FOURIER = ("fft-gemm/torch", "fft/torch", "overlap-save/torch")


def turns(functions: Mapping[str, Callable[[], object]], count: int = 7) -> dict[str, float]:
    """Median seconds of each, run in turns; the first turn is not counted."""
    found: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(count + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if turn:
                found[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in found.items()}


def with_threads(count: int, functions: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """``turns`` with so many of torch's threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        return turns(functions)
    finally:
        torch.set_num_threads(before)


def best(rows: Rows, what: str, aim: str, own: Sequence[str], rivals: Sequence[str]) -> None:
    """How many times faster the best of some is than the best of others, in a layer."""
    problem = DEPTHWISE if "depthwise" in what else SHARED
    cells, rest = [], ""
    for count in rows.counts():
        found = medians([*own, *rivals], problem, count)
        sides = [[name for name in side if name in found] for side in (own, rivals)]
        if not all(sides):
            cells.append("not here")
            continue
        fast, slow = (min(side, key=lambda name: found[name]) for side in sides)
        cells.append(f"{found[slow] / found[fast]:.2f}×")
        rest = rest or f"{fast} {1e3 * found[fast]:.1f} ms, {slow} {1e3 * found[slow]:.1f} ms"
    rows.add(what, problem.image[0], problem.kernel[0], aim, cells, rest)


def operands(problem: Problem) -> dict[str, Any]:
    import torch

    generator = torch.Generator().manual_seed(0)
    shapes = {"x": problem.x_shape, "w": problem.w_shape, "gy": problem.y_shape}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def products(rows: Rows) -> None:
    """The sums over channels of one pass, of the rate of one large complex matrix product."""
    import torch

    training = FFTTraining(SHARED)
    given, spectra = operands(SHARED), training.spectra
    x, w = spectra.images(given["x"]), spectra.filters(given["w"])
    out = x.new_empty(*x.shape[:2], w.shape[1])
    a, b = torch.randn(2, 1024, 1024, dtype=torch.complex64)
    cells = []
    for count in rows.counts():
        found = with_threads(
            count,
            {
                "peak": lambda: torch.mm(a, b),
                "product": lambda: product(x, w.mT, out),
                "again": lambda: torch.mm(a, b),
            },
        )
        peak = 8 * 1024**3 / min(found["peak"], found["again"])
        cells.append(f"{spectra.tiling.product_flops / found['product'] / peak:.0%}")
    what = "products over channels, of the complex GEMM peak"
    rows.add(what, SHARED.image[0], SHARED.kernel[0], "", cells)


def steps(rows: Rows) -> None:
    """Of each layer: a step over its own three passes, nn.Conv2d's step over it, and memory."""
    layers = {"32², 128→128": SHARED}
    for name, (maps, filters, N, n) in LAYERS.items():
        layers[name] = Problem(
            (N, N),
            (n, n),
            batch=BATCH,
            in_channels=maps,
            out_channels=filters,
            op="correlation",
            mode="valid",
        )
    for name, problem in layers.items():
        step_of(rows, name, problem)


def step_of(rows: Rows, name: str, problem: Problem) -> None:
    N, n = problem.image[0], problem.kernel[0]
    import torch

    from convkernels.torch import FFTConv2d

    training, given = FFTTraining(problem), operands(problem)
    passes = {
        key: functools.partial(training.run, key, *(given[one] for one in wanted))
        for key, wanted in OPERANDS.items()
    }
    plain = functools.partial(TorchTraining(problem).run, "forward", given["x"], given["w"])
    whole: dict[str, Callable[[], object]] = {
        "conv2d": plain,
        "ours": module_step(FFTConv2d, problem, given),
        "theirs": module_step(torch.nn.Conv2d, problem, given),
    }
    cells = []
    for count in rows.counts():
        found = with_threads(count, passes | whole)
        apart = sum(found[key] for key in passes if key != "step")
        forward = found["conv2d"] / found["forward"]
        cells.append((found["step"] / apart, found["theirs"] / found["ours"], forward))
    what = f"{name}, batch {problem.batch}"
    rows.add(
        f"fft-training step over its three passes, {what}",
        N,
        n,
        "≤ 0.75",
        [f"{cell[0]:.2f}" for cell in cells],
    )
    rows.add(
        f"conv2d over a forward pass with its filter's transform, {what}",
        N,
        n,
        "",
        [f"{cell[2]:.2f}×" for cell in cells],
    )
    rows.add(
        f"nn.Conv2d step over FFTConv2d step, {what}",
        N,
        n,
        "> 1 in one" if name in LAYERS else "",
        [f"{cell[1]:.2f}×" for cell in cells],
    )
    kept, most, allowed = (
        f"{size / 2**20:,.0f} MiB"
        for size in (training.kept_bytes, training.workspace_bytes, room(problem))
    )
    own = f"{training.kept_bytes / problem.min_bytes:.1f}× x, w and y"
    rows.add(f"spectra kept for a step, {what}", N, n, f"≤ {allowed}", [kept, own], f"{most} held")


def module_step(kind: Any, problem: Problem, given: Mapping[str, Any]) -> Callable[[], object]:
    """Forward and backward of a layer of this kind, its input's gradient wanted too."""
    padding = "same" if problem.mode == "same" else 0
    layer = kind(
        problem.in_channels, problem.out_channels, problem.kernel, padding=padding, bias=False
    )
    x = given["x"].clone().requires_grad_()

    def step() -> None:
        layer.weight.grad = x.grad = None
        layer(x).backward(given["gy"])

    return step


def table(rows: Rows) -> None:
    if reason := namespaces.missing("torch"):
        print(f"training: {reason}", file=sys.stderr)
        return
    best(
        rows,
        "best FFT run, filter loaded, over the best other, 128→128, batch 16",
        "2.5×",
        FOURIER,
        TORCH,
    )
    products(rows)
    steps(rows)
    contenders = ("numba-overlap-save/torch", "numba-direct/torch", *FOURIER)
    what = "best over torch-conv2d, depthwise, 64 channels, batch 8"
    best(rows, what, "15×", contenders, TORCH[:1])
