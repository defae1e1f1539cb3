"""Where the floors of direct and FFT convolution cross, by arithmetic alone: nothing is measured.

One image of N × N with a kernel of n × n, one channel, mode "same", the kernel's spectrum kept from
image to image. A floor is the larger of FLOP / peak and bytes / bandwidth; launches, latency and
the bandwidth of caches cost nothing.

| floor | FLOP | numbers that pass through memory |
|---|---|---|
| direct | 2 n² N² | 2 N² |
| pipeline | M² (5 log2 M² + 3), M = N + n/2 | 2 N² + 13 M² |
| fused | the same | 2 N² + 4 N M + M² |
| tiles | T² (5 log2 T² + 3) for each of (N / (T - n + 1))² tiles | 2 N² |

2 N² are the image, read, and the result, written. The pipeline pads, transforms rows and columns,
multiplies, transforms back and crops, each a pass of its own. Fused are three kernels: rows;
columns, multiply and back; rows back. They neither write nor read rows of padding. Tiles are
overlap-save in on-chip memory, which holds T (T + 2) numbers of one; T is the best of the multiples
of 16 whose factors are 2, 3 and 5.

A real transform of M² numbers has 2.5 M² log2 M² FLOP, whatever M's factors, and there are two;
half a spectrum has M²/2 points, and a complex product 6 FLOP.

Memory: the image comes from main memory and the result goes there. Where the last-level cache
holds an image's spectrum and the kernel's, 2 M² numbers, it holds what lies between the passes too,
and pipeline and fused move 2 N² numbers alone.

FFT FLOP at the FMA peak are the least time: all of them can be paired into fused multiply-adds
(Linzer & Feig 1993, IEEE Trans. Signal Process. 41(1); Goedecker 1997, SIAM J. Sci. Comput. 18(6)).
Where none is, each takes the slot of an FMA: half the peak (UNPAIRED).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft, optimize

from convcross.errors import BadInput
from convcross.machine import ceilings as ceilings_file
from convcross.machine import describe
from convcross.machine.caches import UNTOLD
from convcross.machine.floor import BUSY
from convkernels.problem import ITEMSIZE

DTYPES = ("float32", "float64")
PAIRED, UNPAIRED = 1.0, 0.5  # the share of the FMA peak that is open to an FFT
SHARED_UNTOLD = 48 << 10  # bytes of shared memory that a block has on every CUDA card
L2_UNTOLD = 256 << 10  # bytes of a core's second cache where the system does not name it
TIE = 1e-9  # floors so close are one: both wait for the same bytes

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Machine:
    """What the floors ask of a machine.

    Attributes
    ----------
    name : of a published card, or ``describe.name``
    dtype : one of DTYPES
    peak : FLOP/s of fused multiply-adds in this dtype; measured on a card whose matrix units take
        float64, theirs
    bandwidth : bytes/s of main memory, reads and writes counted
    cache : bytes of the last-level cache
    tile_memory : bytes on chip that one tile may fill: shared memory of a block, L2 of a core
    source : where the figures are from
    """

    name: str
    dtype: str
    peak: float
    bandwidth: float
    cache: int
    tile_memory: int
    source: str


def measured(ceilings: Mapping[str, Any], machine: Mapping[str, Any], dtype: str) -> Machine:
    """The machine of a ceilings file, or of a results file's header.

    Parameters
    ----------
    ceilings : what ``ceilings.load`` gives
    machine : what ``describe.describe`` gives for the device of the ceilings: it has the caches
    dtype : one of DTYPES
    """
    if ceilings["device"] == "cpu":
        caches = machine["cpu"]["cache_bytes"]
        cache, tile_memory = max(caches.values(), default=UNTOLD), caches.get("L2", L2_UNTOLD)
        threads = f", {ceilings['threads']} threads"
    else:
        card = next(c for c in machine["gpus"] if c["device"] == ceilings["device"])
        cache, tile_memory = card["l2_bytes"], card.get("shared_bytes", SHARED_UNTOLD)
        threads = ""
    others = ceilings_file.taken(ceilings["neighbours"])
    busy = f", while others took {others:.0%} of the cores" if others > BUSY else ""
    return Machine(
        name=ceilings["machine"],
        dtype=dtype,
        peak=ceilings["flops"][dtype],
        bandwidth=ceilings["bytes"][-1][1],
        cache=cache,
        tile_memory=tile_memory,
        source=f"ceilings measured {ceilings['measured_at'][:10]}{threads}{busy}",
    )


def here(device: str, dtype: str) -> Machine:
    """The machine that runs this, of ceilings measured before.

    Raises BadInput where there are none, as ``ceilings.load`` does, and as ``describe.name`` does.
    """
    name = describe.name(device)
    found = ceilings_file.load(name)
    if found is None:
        raise BadInput(
            f"no ceilings of {name} in {ceilings_file.path(name)}; "
            f"measure them: convcross doctor --ceilings --device {device}"
        )
    return measured(found, describe.describe(device), dtype)


# ---- the floors, in seconds ------------------------------------------------------------------


def direct(size: int, n: Numbers, machine: Machine) -> Numbers:
    """Of the direct sum, for kernel sizes n."""
    return _floor(2 * n**2 * size**2, 2.0 * size**2, machine)


def pipeline(size: int, n: Numbers, machine: Machine, fft_share: float = PAIRED) -> Numbers:
    """Of pad, R2C, multiply, C2R and crop over the whole image."""
    padded = size + n / 2
    return _whole(size, padded, 2 * size**2 + 13 * padded**2, machine, fft_share)


def fused(size: int, n: Numbers, machine: Machine, fft_share: float = PAIRED) -> Numbers:
    """Of the same in three kernels, as few as a transform of rows and columns allows."""
    padded = size + n / 2
    numbers = 2 * size**2 + 4 * size * padded + padded**2
    return _whole(size, padded, numbers, machine, fft_share)


def tiles(size: int, n: Numbers, machine: Machine, fft_share: float = PAIRED) -> Numbers:
    """Of overlap-save with the best tile; infinite where no tile holds the kernel."""
    flops = _tile_flops(size, n, machine).min(axis=0, initial=math.inf)
    return _floor(flops / fft_share, 2.0 * size**2, machine)


def best_tile(size: int, n: float, machine: Machine) -> int | None:
    """The tile of least FLOP for this kernel; None where none holds it."""
    flops = _tile_flops(size, np.asarray(n), machine)
    return tile_sizes(machine)[int(flops.argmin())] if np.isfinite(flops).any() else None


def tile_sizes(machine: Machine) -> list[int]:
    """Sides T of the tiles that on-chip memory holds, rising."""
    most = math.isqrt(machine.tile_memory // ITEMSIZE[machine.dtype] + 1) - 1
    return [side for side in range(16, most + 1, 16) if fft.next_fast_len(side, real=True) == side]


def _floor(flops: Numbers, numbers: Numbers | float, machine: Machine) -> Numbers:
    moved = ITEMSIZE[machine.dtype] * numbers
    return np.maximum(flops / machine.peak, moved / machine.bandwidth)


def _fft_flops(side: Numbers | float) -> Numbers:
    """There and back, and the product between, of side × side real numbers."""
    points = np.square(side)
    return np.asarray(points * (5 * np.log2(points) + 3))


def _whole(
    size: int, padded: Numbers, numbers: Numbers, machine: Machine, fft_share: float
) -> Numbers:
    cached = 2 * padded**2 * ITEMSIZE[machine.dtype] <= machine.cache
    moved = np.where(cached, 2.0 * size**2, numbers)
    return _floor(_fft_flops(padded) / fft_share, moved, machine)


def _tile_flops(size: int, n: Numbers, machine: Machine) -> Numbers:
    """One row a tile size."""
    sides = tile_sizes(machine)
    rows = [
        np.where(n <= side, count * _fft_flops(side), math.inf)
        for side in sides
        for count in [np.maximum(1, size / np.maximum(1, side - n + 1)) ** 2]
    ]
    return np.array(rows).reshape(len(sides), *np.shape(n))


# ---- where they cross ------------------------------------------------------------------------

FFTS = {"pipeline": pipeline, "fused": fused, "tiles": tiles}


def n_star(size: int, machine: Machine, fft_share: float = PAIRED) -> dict[str, float | None]:
    """The kernel size from which each FFT's floor lies below that of the direct sum.

    Parameters
    ----------
    size : side N of the image
    fft_share : PAIRED, the least time of an FFT, or UNPAIRED

    Returns
    -------
    dict
        "pipeline", "fused" and "tiles": n* on the continuous n up to N, the last crossing; None
        where the direct sum's floor is the lower one for every n, or there is none of the FFT's.
    """
    return {name: _crossing(floor, size, machine, fft_share) for name, floor in FFTS.items()}


def _crossing(
    floor: Callable[..., Numbers], size: int, machine: Machine, fft_share: float
) -> float | None:
    def lead(n: Numbers) -> Numbers:
        return direct(size, n, machine) / floor(size, n, machine, fft_share) - 1 - TIE

    whole = np.arange(1.0, size + 1)
    ahead = lead(whole) > 0
    turns = np.flatnonzero(~ahead[:-1] & ahead[1:])
    if not len(turns):
        return None
    return float(optimize.brentq(lead, whole[turns[-1]], whole[turns[-1] + 1]))
