"""F(6×6, 3×3): 64 products for 36 outputs of 3 × 3 kernels, where the sum takes 324.

See ``_winograd``, and the room's README for the errors.
"""

from __future__ import annotations

from convkernels.algorithms.winograd._winograd import ARITHMETIC, SOURCE, Winograd
from convkernels.namespaces import NAMES
from convkernels.problem import DIRECTIONS
from convkernels.registry import algorithm


@algorithm(
    name="winograd-6x6-3x3",
    family="winograd",
    namespaces=NAMES,
    arithmetic=ARITHMETIC,
    source=SOURCE,
    directions=DIRECTIONS,
)
class Winograd6x6Of3x3(Winograd):
    m, r = 6, 3
