"""``fft`` at the least size that the mode needs, whatever its prime factors.

Beside ``fft`` and ``fft-power-of-two`` it shows what padding costs, and saves: at a prime length
every library is slower, by Bluestein's algorithm or by sums of p terms. Circular images are
transformed as they are.

XX error
"""

from __future__ import annotations

from convkernels.algorithms.fft.fft import FFT, Padding
from convkernels.namespaces import NAMES
from convkernels.registry import algorithm


@algorithm(
    name="fft-exact",
    family="fft",
    namespaces=NAMES,
    arithmetic="ieee, float32 for 16-bit storage",
    source="Cooley & Tukey 1965; at prime lengths Bluestein 1970",
)
class ExactFFT(FFT):
    padding = Padding(rounded=lambda least, engine, real: least, whole=lambda side: True)
