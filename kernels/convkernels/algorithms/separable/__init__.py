"""Kernels of rank 1 as two one-dimensional passes."""
