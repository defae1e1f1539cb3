"""Clocks of the host and of CUDA, the regimes in which they time, and when sampling stops."""
