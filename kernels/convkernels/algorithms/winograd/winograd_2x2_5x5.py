"""F(2×2, 5×5): 36 products for 4 outputs of 5 × 5 kernels, where the sum takes 100.

See ``_winograd``, and the room's README for the errors.
"""

from __future__ import annotations

from convkernels.algorithms.winograd._winograd import ARITHMETIC, SOURCE, Winograd
from convkernels.namespaces import NAMES
from convkernels.problem import DIRECTIONS
from convkernels.registry import algorithm


@algorithm(
    name="winograd-2x2-5x5",
    family="winograd",
    namespaces=NAMES,
    arithmetic=ARITHMETIC,
    source=SOURCE,
    directions=DIRECTIONS,
)
class Winograd2x2Of5x5(Winograd):
    m, r = 2, 5
