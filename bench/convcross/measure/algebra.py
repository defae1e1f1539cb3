"""The algebra of convolution tried on a contender: flipping, commuting, associating, the theorem.

Small seeded problems in float64 and float32, through the front door, so that ops, modes and sizes
other than the duel's are met too. A distance is max|y − z| / max|z| of two results that should be
equal, or should not; claims 5 to 7 are judged on them (``analysis.claims.algebra``).
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import sys
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from convcross.results.schema import Distances
from convkernels import Problem, UnsupportedProblem, convolve, namespaces
from convkernels.discovery import find

SEED = 1806  # of the data
DTYPES = ("float64", "float32")
IMAGE, KERNEL, EVEN, OTHER = (32, 31), (5, 5), (4, 4), (3, 7)

Array = npt.NDArray[np.floating]
Convolve = Callable[..., Array]  # (x, w, **options) → y, of one contender
Algebra = dict[str, dict[str, Distances]]  # relation → dtype → its distances


@functools.cache
def algebra(algorithm: str, namespace: str, device: str) -> Algebra:
    """The distances of a contender, once a process. What it refuses is left out.

    Returns
    -------
    dict
        "flipped": convolution with w against correlation with w flipped, of odd kernels in every
        mode and of even ones in full and valid; "even": of even ones in mode same; "symmetric" and
        "transposed": convolution against correlation with a kernel that equals its half turn, and
        one that equals its transpose. "commutes" and "associates": convolution in mode full;
        "cropped": associating in mode same; "correlation_commutes", "correlation_associates".
        F⁻¹(F(x)·F(w)) at the image's size against "circular" convolution, and against the image's
        part of the zero-filled one ("unpadded"); at N + n − 1 against the latter ("padded").

    Raises what the contender raises.
    """
    found: dict[tuple[str, str], list[tuple[float, bool]]] = {}
    for dtype in DTYPES:
        problem = Problem(IMAGE, KERNEL, dtype=dtype)
        if find(algorithm).refuses(problem, namespace, device) is not None:
            continue

        def own(x: Array, w: Array, dtype: str = dtype, **options: str) -> Array:
            a, b = (namespaces.from_numpy(v, namespace, device, dtype) for v in (x, w))
            y: Array = namespaces.to_numpy(convolve(a, b, algorithm=algorithm, **options))  # type: ignore[arg-type]
            return y

        def add(relation: str, y: Array, z: Array, dtype: str = dtype) -> None:
            distance = float(np.abs(y - z).max() / np.abs(z).max())
            far = sys.float_info.max  # of results that are not finite: JSON has no infinity
            distance = distance if np.isfinite(distance) else far
            found.setdefault((relation, dtype), []).append((distance, np.array_equal(y, z)))

        for part in (_flipping, _order, _theorem):
            part(own, add, dtype)
    made: Algebra = {}
    for (relation, dtype), values in found.items():
        distances = [distance for distance, _ in values]
        made.setdefault(relation, {})[dtype] = Distances(
            largest=max(distances),
            least=min(distances),
            identical=sum(same for _, same in values),
            count=len(values),
        )
    return made


Add = Callable[[str, Array, Array], None]  # a relation, and two results of it


def _arrays(dtype: str, *shapes: tuple[int, int]) -> list[Array]:
    rng = np.random.default_rng(SEED)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def _flipping(own: Convolve, add: Add, dtype: str) -> None:
    x, w, even = _arrays(dtype, IMAGE, KERNEL, EVEN)
    turn = {"op": "correlation"}
    for mode, kernel in itertools.product(("full", "same", "valid"), (w, even)):
        with contextlib.suppress(UnsupportedProblem):
            y = own(x, kernel, mode=mode)
            z = own(x, kernel[::-1, ::-1].copy(), mode=mode, **turn)
            add("even" if kernel is even and mode == "same" else "flipped", y, z)
    for relation, kernel in (("symmetric", w + w[::-1, ::-1]), ("transposed", w + w.T)):
        with contextlib.suppress(UnsupportedProblem):
            add(relation, own(x, kernel), own(x, kernel, **turn))


def _order(own: Convolve, add: Add, dtype: str) -> None:
    x, v, w = _arrays(dtype, IMAGE, KERNEL, OTHER)
    turn = {"op": "correlation"}
    for prefix, options in (("", {}), ("correlation_", turn)):
        with contextlib.suppress(UnsupportedProblem):  # a kernel as large as the image, say
            add(f"{prefix}commutes", own(x, w, **options), own(w, x, **options))
        with contextlib.suppress(UnsupportedProblem):
            one_by_one = own(own(x, v, **options), w, **options)
            add(f"{prefix}associates", one_by_one, own(x, own(v, w, **options), **options))
    with contextlib.suppress(UnsupportedProblem):
        inside = own(v, w)  # the two kernels' own product is whole; the images are cropped
        cropped = own(own(x, v, mode="same"), w, mode="same")
        add("cropped", cropped, own(x, inside, mode="same"))


def _theorem(own: Convolve, add: Add, dtype: str) -> None:
    import scipy.fft

    x, w = _arrays(dtype, IMAGE, KERNEL)

    def product(size: tuple[int, ...]) -> Array:
        spectrum = scipy.fft.fft2(x, size) * scipy.fft.fft2(w, size)
        result: Array = scipy.fft.ifft2(spectrum).real
        return result

    with contextlib.suppress(UnsupportedProblem):  # a library without this boundary
        add("circular", product(x.shape), own(x, w, boundary="circular", mode="full"))
    with contextlib.suppress(UnsupportedProblem):
        filled = own(x, w)
        add("unpadded", product(x.shape), filled[: IMAGE[0], : IMAGE[1]])
        add("padded", product(filled.shape), filled)
