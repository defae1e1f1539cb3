"""Powers of two that bring a kernel's values to where products of spectra stay normal numbers.

A spectrum is kept divided by the number of points of the transform: of a kernel around 1e-34 in
float32 it would be subnormal, and have a few bits left.
"""

from __future__ import annotations

import math
from typing import Any

NEAR = 40  # binary orders around 1 that need no scaling: 1e-12 to 1e12


def exponent(w: Any, xp: Any, near: int = NEAR) -> int:
    """k of the 2^k by which w is to be divided, and the result multiplied; 0 where w is within
    ``near`` binary orders of 1, zero, or not finite.

    Looks at the values: on a GPU that waits for them.
    """
    w = w.detach() if hasattr(w, "detach") else w
    largest = float(xp.max(xp.abs(w)))
    if not 0 < largest < math.inf:
        return 0
    _, power = math.frexp(largest)
    return power if abs(power) > near else 0


def scaled(values: Any, power: int) -> Any:
    """values · 2^power, exactly where nothing leaves the range: in two steps, as 2^power itself may
    be out of it."""
    half = power // 2
    return values * 2.0**half * 2.0 ** (power - half)
