"""Discrete Fourier transforms of tiles as matrix products: only rows that are there go in, only
those that are wanted come out.

A transform of a filter of 9 × 9 over 36 × 36 points has 27 rows of zeros, and its inverse crops
as many away: fast algorithms compute them all the same. A product with the 9 columns of the DFT's
matrix does not (Goedecker 1993, Comput. Phys. Commun. 76, prunes fast ones; here the library's
matrix product, at near the peak, does it for free). It also puts the frequencies first and the
planes last, as the product over channels wants them, without a transposition of its own.

Spectra are complex, (M1·(M2/2 + 1), planes). Each number of a result is a sum of as many products
as there are rows, then columns, so that its error grows as their roots.

A library's complex product of a matrix, or of many, runs at the rate of its real one, and reads a
spectrum once where real and imaginary parts apart are read twice each; so even real rows are
transformed as complex ones with nothing to add.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from convkernels.layers.tiles import Axis

Tensor = Any
Matrix = Any  # of NumPy, complex128


class Matrices(NamedTuple):
    """Of one operand's transforms.

    Attributes
    ----------
    along : (half, columns), of a row
    down : (M1, rows), of columns
    up : (rows, M1), back
    across : (half, columns), back; with 1/(M1·M2)
    """

    along: Tensor
    down: Tensor
    up: Tensor
    across: Tensor


# The sign of the exponent by which each operand is transformed, and its gradient transformed back
# (what is real may be transformed back from the conjugate by the other sign). With these, no pass
# needs a conjugate: Y = X · Wᵀ, GX = G · W and GW = Gᵀ · X.
SIGNS = {"x": -1, "w": 1, "y": 1}


def _waves(frequencies: int, positions: Sequence[int], points: int) -> Matrix:
    """exp(2πi·frequency·position/points), (frequencies, positions); the product is taken modulo
    the points, exactly."""
    import numpy as np

    turns = np.outer(np.arange(frequencies), np.array(positions)) % points
    return np.exp(2j * np.pi * turns / points)


def matrices(rows: Axis, columns: Axis, operand: str) -> tuple[Matrix, Matrix, Matrix, Matrix]:
    """The four of an operand ("x", "w" or "y"), as ``Matrices`` has them, in complex128."""
    import numpy as np

    half = columns.points // 2 + 1
    along = _waves(half, getattr(columns, operand), columns.points)
    down = _waves(rows.points, getattr(rows, operand), rows.points)
    weights = np.full((half, 1), 2.0)  # for the conjugates, which are not kept
    weights[0] = 1.0
    if columns.points % 2 == 0:
        weights[-1] = 1.0
    weights /= rows.points * columns.points
    if SIGNS[operand] < 0:
        along, down = along.conj(), down.conj()
    return along, down, down.T, weights * along


@functools.lru_cache(256)
def on_device(rows: Axis, columns: Axis, operand: str, dtype: str, device: str) -> Matrices:
    """Those, rounded, on "cpu" or "cuda:0"; kept, whatever the batch."""
    import numpy as np
    import torch

    with torch.inference_mode(False):
        found = map(torch.from_numpy, map(np.ascontiguousarray, matrices(rows, columns, operand)))
        kind = torch.complex128 if dtype == "float64" else torch.complex64
        return Matrices(*(matrix.to(device, kind).contiguous() for matrix in found))


class Buffers:
    """Complex memory of one layer, by names.

    Fresh memory costs as much as what is computed in it: on a CPU it is faulted in page by page.
    NumPy asks for huge pages, of which there are 512 times fewer; kept memory has no faults.

    Parameters
    ----------
    like : a tensor of its dtype and device
    keep : whether a name's memory stays for its next use; what was there is then overwritten
    """

    def __init__(self, like: Tensor, keep: bool) -> None:
        self._like, self._keep = like, keep
        self._flat: dict[str, Tensor] = {}

    def take(self, name: str, *shape: int) -> Tensor:
        """Numbers of any value."""
        count = math.prod(shape)
        flat = self._flat.get(name)
        if flat is None or len(flat) < count:
            flat = self._fresh(count)
            if self._keep:
                self._flat[name] = flat
        return flat[:count].view(shape)

    def _fresh(self, count: int) -> Tensor:
        import numpy as np
        import torch

        if self._like.device.type != "cpu":
            return self._like.new_empty(count)
        kind = np.complex128 if self._like.dtype == torch.complex128 else np.complex64
        return torch.from_numpy(np.empty(count, kind))

    @property
    def held_bytes(self) -> int:
        """Of what is kept."""
        return sum(flat.nbytes for flat in self._flat.values())


def spectrum(a: Tensor, of: Matrices, buffers: Buffers, name: str) -> Tensor:
    """(…, rows, columns), real → (frequencies, planes), in the buffer of that name"""
    import torch

    cast = buffers.take("cast", *a.shape)
    cast.copy_(a)
    cast = cast.view(-1, *a.shape[-2:])
    (planes, rows, _), half = cast.shape, len(of.along)
    halves = buffers.take("halves", rows, half, planes)
    torch.bmm(of.along.expand(rows, *of.along.shape), cast.permute(1, 2, 0), out=halves)
    found = buffers.take(name, len(of.down), half * planes)
    torch.mm(of.down, halves.view(rows, -1), out=found)
    return found.view(-1, planes)


def inverse(spectrum: Tensor, of: Matrices, buffers: Buffers) -> Tensor:
    """(frequencies, planes) → (planes, rows, columns), real"""
    import torch

    planes, half = spectrum.shape[-1], len(of.across)
    rows, points = of.up.shape
    halves = buffers.take("halves", rows, half, planes)
    torch.mm(of.up, spectrum.view(points, -1), out=halves.view(rows, -1))
    found = buffers.take("cast", rows, planes, of.across.shape[1])
    across = of.across.expand(rows, *of.across.shape)
    torch.bmm(halves.transpose(1, 2), across, out=found)
    # Copied, also where it is one number: the buffer is written again.
    return found.real.transpose(0, 1).clone(memory_format=torch.contiguous_format)
