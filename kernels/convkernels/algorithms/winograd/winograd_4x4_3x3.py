"""F(4×4, 3×3): 36 products for 16 outputs of 3 × 3 kernels, where the sum takes 144.

See ``_winograd``, and the room's README for the errors.
"""

from __future__ import annotations

from convkernels.algorithms.winograd._winograd import ARITHMETIC, SOURCE, Winograd
from convkernels.namespaces import NAMES
from convkernels.problem import DIRECTIONS
from convkernels.registry import algorithm


@algorithm(
    name="winograd-4x4-3x3",
    family="winograd",
    namespaces=NAMES,
    arithmetic=ARITHMETIC,
    source=SOURCE,
    directions=DIRECTIONS,
)
class Winograd4x4Of3x3(Winograd):
    m, r = 4, 3
