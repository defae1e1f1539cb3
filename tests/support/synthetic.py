"""Results files with known cost curves, for the tests of the analysis and the report."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convcross.results.schema import DuelFooter, Errors, Header, Record
from convcross.results.writer import Writer
from convkernels import Problem

# (N, n) → seconds of one run
Curve = Callable[[int, int], float]

FAMILIES = {
    "numba-direct": "direct",
    "ipp-direct": "direct",
    "ipp-fft": "fft",
    "numba-overlap-save": "fft",
    "opencv-filter2d": "library",
    "cuda-direct": "direct",
    "scipy-convolve2d": "direct",
    "scipy-fftconvolve": "fft",
    "im2col-gemm": "im2col",
    "torch-conv2d": "library",
}
# Of the contenders of ``forty``, by a part of their names.
PARTS = {
    "separable": "separable",
    "-sep": "separable",
    "winograd": "winograd",
    "-auto": "library",
    "filter2d": "library",
    "-direct": "direct",
    "overlap-save": "fft",
    "oaconvolve": "fft",
    "-dft": "fft",
    "fft-": "fft",
    "-fft": "fft",
}


def direct(scale: float = 1.0) -> Curve:
    return lambda N, n: scale * (2e-6 + 1e-10 * n**2 * N**2)


def fft(crossing: float, scale: float = 1.0) -> Curve:
    """Flat in n, and equal to ``direct()`` at n = crossing for each N."""
    return lambda N, n: scale * direct()(N, 1) * (direct()(N, crossing) / direct()(N, 1))


def forty() -> dict[str, Curve]:
    """Forty contenders of six families, as a sweep of everything on a CPU and more has them.

    The fastest of families direct and fft are ``numba-direct/numpy``, but for the smallest kernels,
    and ``numba-overlap-save/numpy``; those of im2col and library ``im2col-gemm/torch`` and
    ``ipp-auto/numpy``.
    """
    sums = ["numba-direct", "ipp-direct", "opencv-direct", "mkl-vsl-direct", "scipy-convolve2d"]
    sums += ["direct", "halide-direct", "toeplitz-direct", "tap-loop-direct"]
    spectra = ["numba-overlap-save", "fft", "fft-mkl", "fft-ducc", "fft-fftw", "ipp-fft"]
    spectra += ["mkl-vsl-fft", "scipy-fftconvolve", "scipy-oaconvolve", "fft-conv-pytorch"]
    spectra += ["fft-pyfftw", "fft-numpy", "opencv-dft", "fft-tiled"]
    chosen = ["ipp-auto", "opencv-filter2d", "scipy-auto", "mkl-vsl-auto", "torch-conv2d"]
    found: dict[str, Curve] = {}
    for place, name in enumerate(sums):
        found[f"{name}/numpy"] = direct(1.0 + 0.7 * place)
    found["direct/torch"] = lambda N, n: direct(0.8 + 0.02 * n**2)(N, n)  # at n = 3 the fastest
    for place, name in enumerate(spectra):
        found[f"{name}/numpy"] = fft(8.3 * 1.12**place)
    for name in ("fft", "fft-conv-pytorch", "fft-tiled"):
        found[f"{name}/torch"] = fft(14.0 if name == "fft" else 20.0)
    for place, name in enumerate(chosen):
        found[f"{name}/numpy"] = lambda N, n, place=place: min(  # type: ignore[misc]
            direct(1.6 + place)(N, n), fft(13.0 + 2 * place)(N, n)
        )
    for name, scale in (("im2col-gemm/numpy", 9.0), ("im2col-gemm/torch", 7.0)):
        found[name] = direct(scale)
    for place, name in enumerate(("numba-separable", "opencv-sep", "ipp-separable")):
        found[f"{name}/numpy"] = lambda N, n, place=place: (5 + place) * direct()(N, 2)  # type: ignore[misc]
    for place, name in enumerate(("winograd-f2", "winograd-f4", "winograd-f6")):
        found[f"{name}/numpy"] = direct(1.1 + place)
    return found


def header(
    machine: str = "Test Machine",
    started_at: str = "2026-11-01T00:00:00Z",
    ceilings: dict[str, Any] | None = None,
    launches: int = 1,
) -> Header:
    return Header(
        machine={"name": machine, "cpu": "Test CPU", "gpus": [], "os": "Test OS"},
        software={"python": "3.11", "numpy": "2.4", "commit": "unknown"},
        ceilings=ceilings,
        sweep={"name": "synthetic", "launches": launches},
        contenders=[],
        started_at=started_at,
    )


def record(name: str, problem: Problem, **changes: Any) -> Record:
    """A record of contender "algorithm/namespace", its family by its name."""
    algorithm, _, namespace = name.rpartition("/")
    keys: dict[str, Any] = {
        "duel": f"{zlib.crc32(repr(problem).encode()):08x}",
        "problem": problem,
        "algorithm": algorithm,
        "namespace": namespace,
        "device": "cpu",
        "family": FAMILIES.get(algorithm)
        or next((family for part, family in PARTS.items() if part in algorithm), algorithm),
        "arithmetic": "ieee",
        "image_data": "normal",
        "kernel_data": "normal",
        "seed": 0,
        "regime": "warm",
        "threads": 2,
        "status": "ok",
        "declared_flops": float(problem.flops),
        "declared_bytes": float(problem.min_bytes),
        "started_at": "2026-11-01T00:00:00Z",
    }
    return Record.model_validate(keys | changes)


def timed(
    name: str, problem: Problem, seconds: float, shared: np.ndarray, noise: float, **changes: Any
) -> Record:
    """A record whose run samples are ``seconds`` × the rounds' shared noise × its own noise."""
    seed = zlib.crc32(repr((name, problem, changes.get("device"))).encode())
    rng = np.random.default_rng([seed, len(shared)])
    run = seconds * shared * np.exp(noise * rng.standard_normal(len(shared)))
    n = problem.kernel[0]
    error = 2.5e-7 if "fft" in name or "overlap-save" in name else 5e-8 * n**0.5
    return record(
        name,
        problem,
        **{
            "phase_seconds": {
                "plan": [seconds * 2] * 5,
                "load": [seconds * 0.1] * 5,
                "run": run.tolist(),
                "fresh": (run * 1.1).tolist(),
            },
            "rounds": list(range(len(run))),
            "fresh_rounds": list(range(len(run))),
            "median_s": float(np.median(run)),
            "ci_low_s": float(np.quantile(run, 0.3)),
            "ci_high_s": float(np.quantile(run, 0.7)),
            "settled": True,
            "error": Errors(
                rel_l2=error,
                max_rel=2 * error,
                componentwise=error,
                ulp_median=0.5,
                ulp_p999=9.0,
            ),
            **changes,
        },
    )


def duels(
    contenders: Mapping[str, Curve],
    *,
    sizes: Iterable[int] = (256, 512),
    kernels: Iterable[int] = (3, 5, 7, 9, 11, 15, 21, 31),
    rounds: int = 20,
    noise: float = 0.01,
    seed: int = 0,
    problem: Mapping[str, Any] | None = None,
    **changes: Any,
) -> list[list[Record]]:
    """A duel for each (N, n): all contenders, with noise that rounds share and their own."""
    rng = np.random.default_rng(seed)
    kernels = list(kernels)
    found = []
    for N in sizes:
        for n in kernels:
            cell = Problem((N, N), (n, n), **{"mode": "same", **(problem or {})})
            shared = np.exp(0.05 * rng.standard_normal(rounds))
            found.append(
                [
                    timed(name, cell, curve(N, n), shared, noise, **changes)
                    for name, curve in contenders.items()
                ]
            )
    return found


def launched(
    contenders: Mapping[str, Curve], levels: Sequence[float], *, seed: int = 0, **how: Any
) -> list[list[Record]]:
    """Those duels in as many launches as there are levels, factors of all times of a launch."""
    found = []
    for launch, level in enumerate(levels, 1):
        scaled = {
            name: lambda N, n, curve=curve, level=level: level * curve(N, n)  # type: ignore[misc]
            for name, curve in contenders.items()
        }
        for records in duels(scaled, seed=seed + 1000 * launch, launch=launch, **how):
            suffix = f"~{launch}" if launch > 1 else ""
            found.append([r.model_copy(update={"duel": r.duel + suffix}) for r in records])
    return found


def write(path: Path, duels: Iterable[list[Record]], head: Header | None = None) -> Path:
    """A results file of these duels."""
    writer = Writer(path, head or header())
    for records in duels:
        footer = DuelFooter(duel=records[0].duel, records=len(records), seconds={"measured": 1.0})
        writer.append(records, footer)
    writer.close()
    return path


def swept(folder: Path, rival: Curve, **how: Any) -> Path:
    """A sweep at N = 512 of ``direct/numpy`` and of ``fft/numpy``, the rival."""
    contenders = {"direct/numpy": direct(), "fft/numpy": rival}
    return write(
        folder / "sweep.jsonl", duels(contenders, **({"sizes": [512], "noise": 0.03} | how))
    )
