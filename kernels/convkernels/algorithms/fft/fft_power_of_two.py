"""``fft`` at powers of two, as the textbooks pad: up to four times the pixels that the mode needs.

Beside ``fft`` and ``fft-exact`` it shows what padding costs: the steps of its time lie at powers of
two, and a circular image is transformed as it is where both of its sides are one.

Cooley & Tukey 1965: the factorisation of a power of two.
"""

from __future__ import annotations

from convkernels.algorithms.fft.fft import FFT, Padding
from convkernels.namespaces import NAMES
from convkernels.problem import DIRECTIONS
from convkernels.registry import algorithm


@algorithm(
    name="fft-power-of-two",
    family="fft",
    namespaces=NAMES,
    arithmetic="ieee, float32 for 16-bit storage",
    source="Cooley & Tukey 1965",
    directions=DIRECTIONS,
)
class PowerOfTwoFFT(FFT):
    padding = Padding(
        rounded=lambda least, engine, real: max(1 + real, 1 << (least - 1).bit_length()),
        whole=lambda side: side.bit_count() == 1,
    )
