"""scipy.signal.fftconvolve: both transforms made in each call, real, at pocketfft's good sizes."""

from __future__ import annotations

from convkernels.algorithms.libraries._scipy_signal import SignalConvolution
from convkernels.registry import algorithm


@algorithm(
    name="scipy-fftconvolve",
    family="fft",
    namespaces=("numpy",),
    arithmetic="ieee",
    source="scipy.signal.fftconvolve",
)
class SciPyFFTConvolve(SignalConvolution):
    function = "fftconvolve"
