"""How far the rounding errors of minimal filtering reach."""

from __future__ import annotations

from typing import Any

from convcross.measure.accuracy.arrays import Array

# Minimal filtering (Winograd) errs alike all over a tile of up to 8 × 8: 7 pixels each way, the sum
# of these steps.
SPREAD = (1, 2, 4)


def widened(scale: Array, xp: Any) -> Array:
    """The largest within ``SPREAD`` rows and columns of each output."""
    for axis in (-2, -1):
        for step in SPREAD:
            size = scale.shape[axis]
            if step >= size:
                continue
            before, after = (
                (..., part, slice(None)) if axis == -2 else (..., part)
                for part in (slice(size - step), slice(step, None))
            )
            wide = xp.asarray(scale, copy=True)
            wide[before] = xp.maximum(wide[before], scale[after])
            wide[after] = xp.maximum(wide[after], scale[before])
            scale = wide
    return scale
