"""``fft`` at the least size that the mode needs, whatever its prime factors.

Beside ``fft`` and ``fft-power-of-two`` it shows what padding costs, and what it saves: at a prime
length every library is several times slower, by sums of p terms or by Bluestein's algorithm, and
MKL at an odd one. Circular images are transformed as they are.

Bluestein's is as accurate as any: at every length to 1400 pocketfft loses at most 7 roundoffs. MKL
loses up to 14 by its code for AMD's processors, 30 to 270 by its sums for those of Intel with
AVX-512 (the last at lengths of 89 and 103), which the bound allows for.

Bluestein 1970, A linear filtering approach to the computation of discrete Fourier transform.
"""

from __future__ import annotations

from convkernels.algorithms.fft._libraries import largest_prime
from convkernels.algorithms.fft.fft import FFT, Padding, padded_size
from convkernels.namespaces import NAMES
from convkernels.problem import DIRECTIONS, ROUNDOFF, Problem
from convkernels.registry import algorithm
from convkernels.toolbox.bounds import compute_dtype


@algorithm(
    name="fft-exact",
    family="fft",
    namespaces=NAMES,
    arithmetic="ieee, float32 for 16-bit storage",
    source="Cooley & Tukey 1965; Bluestein 1970",
    directions=DIRECTIONS,
)
class ExactFFT(FFT):
    padding = Padding(rounded=lambda least, engine, real: least, whole=lambda side: True)

    @classmethod
    def error_bound(cls, problem: Problem) -> float:
        """``fft``'s, and 3·p roundoffs for the largest prime factor p of a side, where it is over
        13: a sum of p products whose factors are each in error by about one."""
        unit = ROUNDOFF[compute_dtype(problem.dtype)]
        primes = map(largest_prime, padded_size(problem, "numpy", cls.padding))
        return super().error_bound(problem) + unit * sum(3 * p for p in primes if p > 13)
