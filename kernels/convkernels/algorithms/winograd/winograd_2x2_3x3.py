"""F(2×2, 3×3): 16 products for 4 outputs of 3 × 3 kernels, where the sum takes 36; exact as it.

See ``_winograd``, and the room's README for the errors.
"""

from __future__ import annotations

from convkernels.algorithms.winograd._winograd import ARITHMETIC, SOURCE, Winograd
from convkernels.namespaces import NAMES
from convkernels.problem import DIRECTIONS
from convkernels.registry import algorithm


@algorithm(
    name="winograd-2x2-3x3",
    family="winograd",
    namespaces=NAMES,
    arithmetic=ARITHMETIC,
    source=SOURCE,
    directions=DIRECTIONS,
)
class Winograd2x2Of3x3(Winograd):
    m, r = 2, 3
