"""convcross: which convolution algorithm wins, and where FFT overtakes the direct sum."""

__version__ = "0.1.0"
