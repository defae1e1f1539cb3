"""How far a result is from the truth, as ``error_bound`` measures it."""

from __future__ import annotations

from typing import Any

import numpy as np


def relative_error(y: Any, expected: np.ndarray, x: Any, w: Any) -> float:
    """‖y − expected‖ ÷ max(‖expected‖, ‖x‖·‖w‖): what ``error_bound`` is a bound of."""
    norms = [float(np.linalg.norm(np.asarray(a, float).ravel())) for a in (expected, x, w)]
    difference = np.asarray(y, float) - expected
    return float(np.linalg.norm(difference.ravel())) / max(norms[0], norms[1] * norms[2])
