"""Kernels of low rank as one-dimensional passes, and constant ones as sums."""
